"""The leaderboard: requests per second of its table, and contributions per minute that its indexer checks.

    python -m benchmarks.ui_web [--json] [--peers N] [--rounds N] [--seconds S]

``web_requests_per_s``: the table's page over an index of 10,000 peers and 1,000 rounds, asked for by eight clients over
keep-alive connections: pages, orders and searches in ever new combinations, so that hardly any answer is one that was
made for somebody else in the same second. ``web_front_requests_per_s``: all of them ask for the first page. The server
runs on one core; the figure is requests per second of its CPU time, since a machine that measures shares its cores with
who asks (``web_requests_per_wall_s`` is by the clock).

``indexed_contributions_per_min``: an indexer comes late to a swarm of 192 peers (as many as a proposal can name) with
the default game (32 questions, 8 samples, three stages: 768 rollouts a contribution) and catches up, from signed
records to rows in SQLite: all signatures, hashes, roots and ledger lines, and of a drawn cohort every rollout scored
again (``swarm.indexing.sampling``). Per minute of CPU time, likewise. ``rescored_contributions_per_min``: the indexer
is there while they play, and computes everything of everybody again.

The last line of stdout is one JSON object with ``criteria``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import resource
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.swarm_runs import criterion

NUM_PEERS, NUM_ROUNDS, SHARE = 10_000, 1_000, 0.01
"""Of the peers, so many contribute to each round: what the table costs depends on the peers and on the rounds."""

ROUNDS_PER_PUT = 50
INDEXED_PEERS, INDEXED_ROUNDS = 192, 6
RESCORED_PEERS, RESCORED_ROUNDS = 24, 3

NUM_CLIENTS = 8
LIMITS = {"web_requests_per_s": 200, "indexed_contributions_per_min": 10_000}


def fill(path: str, num_peers: int, num_rounds: int) -> None:
    """An index of a made-up swarm."""
    from web import sample
    from web.database import open_database
    from web.store import Store

    store, peers = Store(open_database(path)), sample.peer_ids(num_peers)
    store.put([sample.run_row()])
    store.put(sample.register(peers))
    waiting: list[Any] = []
    for number, rows in enumerate(sample.play(peers, num_rounds, share=SHARE, talk=False), 1):
        waiting += rows
        if number % ROUNDS_PER_PUT == 0 or number == num_rounds:
            store.put(waiting)
            waiting = []
    store.beat(int(time.time()))


def serve(path: str, listener: socket.socket, core: int) -> None:
    """The server process, on one core."""
    from web.database import open_database
    from web.serve import serve as serve_page

    os.sched_setaffinity(0, {core})
    asyncio.run(serve_page(open_database(path), listener))


async def ask(port: int, seconds: float, *, front: bool = False) -> tuple[int, float]:
    """(answers, seconds) of clients that ask for the table in ever new ways, or all for its ``front`` page."""
    counts, ends_at = [0] * NUM_CLIENTS, time.monotonic() + seconds

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        dice = random.Random(number)
        while time.monotonic() < ends_at:
            query: dict[str, Any] = {"page": dice.randint(1, 200)}
            if dice.random() < 0.3:
                query = {"q": "".join(dice.choices("abcdefghilmnoprstu", k=3)), "page": 1}
            query["sort"] = dice.choice(("credits", "name", "rounds", "score", "standing", "seen"))
            async with session.get(f"http://127.0.0.1:{port}/", params={} if front else query) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
                counts[number] += 1

    began_at = time.monotonic()
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(number, session) for number in range(NUM_CLIENTS)))
    return sum(counts), time.monotonic() - began_at


def measure_web(num_peers: int, num_rounds: int, seconds: float) -> dict[str, float]:
    """Requests per second of the server's CPU time and of the clock, and its memory."""
    import psutil

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "index.sqlite")
        fill(path, num_peers, num_rounds)
        listener = socket.create_server(("127.0.0.1", 0))
        port, cores = listener.getsockname()[1], sorted(os.sched_getaffinity(0))
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(path, listener, cores[-1]))
        server.start()
        try:
            asyncio.run(_until_up(port))
            asyncio.run(ask(port, 1.0))
            process = psutil.Process(server.pid)
            count, wall_s, cpu_s = _answered(process, port, seconds)
            front_count, _, front_cpu_s = _answered(process, port, seconds / 3, front=True)
            megabytes = process.memory_info().rss / 2**20
        finally:
            server.terminate()
            server.join()
    rates = {"per_cpu_s": count / cpu_s, "per_wall_s": count / wall_s, "front_per_cpu_s": front_count / front_cpu_s}
    return rates | {"megabytes": megabytes}


def _answered(process: Any, port: int, seconds: float, **how: bool) -> tuple[int, float, float]:
    """(answers, seconds, seconds of the server's CPU time)"""
    before = process.cpu_times()
    count, wall_s = asyncio.run(ask(port, seconds, **how))
    after = process.cpu_times()
    return count, wall_s, after.user + after.system - before.user - before.system


async def _until_up(port: int) -> None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/healthz"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def measure_indexer(num_peers: int, num_rounds: int, *, in_haste: bool) -> dict[str, float]:
    """Contributions per minute of CPU time, and of the clock; every result must come out as recorded.

    ``in_haste``: the indexer comes when all rounds are over, and catches up; otherwise it reads each as it ends."""
    from benchmarks.ui_swarm import MadeUpSwarm
    from chain.devchain import CHAIN_ID
    from protocol.ids import ContentId
    from swarm.indexing.indexer import Indexer
    from swarm.settings.config import load_settings
    from swarm.tasks.registry import load_task, open_task
    from web.database import open_database
    from web.queries import Queries
    from web.store import Store

    chosen = load_settings("local", None, {}, {})
    spec = load_task(chosen.run.task).spec
    run, task = chosen.to_run_spec(chain_id=CHAIN_ID, model=ContentId("ab" * 32), task=spec), open_task(spec)
    count, cpu_s, wall_s = 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        swarm = MadeUpSwarm(run, task, num_peers, Path(folder), in_haste=in_haste)
        engine = open_database(str(Path(folder) / "index.sqlite"))
        indexer = Indexer(run, task, swarm.chain, swarm.network, Store(engine), time.time)  # type: ignore[arg-type]

        async def turn() -> None:
            nonlocal cpu_s, wall_s
            cpu, wall = time.process_time(), time.monotonic()
            assert await indexer.turn()
            cpu_s, wall_s = cpu_s + time.process_time() - cpu, wall_s + time.monotonic() - wall

        for number in range(1, num_rounds + 1):
            swarm.open(number)
            if not in_haste:
                await turn()
            count += swarm.play(number)
            if not in_haste:
                await turn()
        if in_haste:
            swarm.open(num_rounds + 1)
            await turn()
        found = {one.round: one.check_level for one in Queries(engine).rounds().rounds if one.settled_at}
        level = "sampled" if in_haste else "recomputed"
        assert found == dict.fromkeys(range(1, num_rounds + 1), level), found
        engine.dispose()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"per_cpu_min": 60 * count / cpu_s, "per_wall_min": 60 * count / wall_s, "megabytes": peak_mb}


def measure(num_peers: int = NUM_PEERS, num_rounds: int = NUM_ROUNDS, seconds: float = 15.0) -> list[dict[str, Any]]:
    """All criteria of the leaderboard."""
    whole = asyncio.run(measure_indexer(RESCORED_PEERS, RESCORED_ROUNDS, in_haste=False))
    index = asyncio.run(measure_indexer(INDEXED_PEERS, INDEXED_ROUNDS, in_haste=True))
    web = measure_web(num_peers, num_rounds, seconds)
    requests, indexed = LIMITS["web_requests_per_s"], LIMITS["indexed_contributions_per_min"]
    return [
        criterion("web_requests_per_s", round(web["per_cpu_s"], 1), requests, "1/s", at_most=False),
        criterion("web_front_requests_per_s", round(web["front_per_cpu_s"], 1), None, "1/s"),
        criterion("web_requests_per_wall_s", round(web["per_wall_s"], 1), None, "1/s"),
        criterion("web_server_mb", round(web["megabytes"]), None, "MB"),
        criterion("indexed_contributions_per_min", round(index["per_cpu_min"]), indexed, "1/min", at_most=False),
        criterion("rescored_contributions_per_min", round(whole["per_cpu_min"]), None, "1/min"),
        criterion("indexed_contributions_per_wall_min", round(index["per_wall_min"]), None, "1/min"),
    ]


def figures(quick: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What ``benchmarks.ui`` asks of each of its parts."""
    return {"peers": NUM_PEERS, "rounds": NUM_ROUNDS}, measure(seconds=5.0 if quick else 15.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    parser.add_argument("--peers", type=int, default=NUM_PEERS)
    parser.add_argument("--rounds", type=int, default=NUM_ROUNDS)
    parser.add_argument("--seconds", type=float, default=15.0)
    chosen = parser.parse_args()
    criteria = measure(chosen.peers, chosen.rounds, chosen.seconds)
    if not chosen.json:
        for one in criteria:
            print(f"{one['name']}: {one['value']} {one['unit']}")
    print(json.dumps({"criteria": criteria}))


if __name__ == "__main__":
    main()
