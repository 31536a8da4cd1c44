"""What being watched costs a peer: how long a scrape takes, and how long the peer's own loop waits because of it.

    python -m benchmarks.scrape [--json] [--rounds N] [--peers N]

A made-up log of a long run is served as a peer serves its own, in a process whose event loop does nothing but look at
the clock every 5 ms. Scrapes come from another process, one after the other, each after a new event. ``scrape_cpu_ms``
is the median of what one takes of a core, the loop's own ticking left out; ``loop_delay_ms`` is by how much later the
loop's ticks are (95th percentile) while somebody scrapes. The first scrape reads the whole log. The last line of stdout
is one JSON object with ``criteria``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.swarm_runs import criterion
from protocol.events import PeerSeen
from swarm.observe.eventlog import EventLog
from swarm.observe.serving import MetricsServer
from tests.swarm.observe import playback

NUM_SCRAPES = 20
TICK_S = 0.005
LIMITS = {"scrape_cpu_ms": 100.0, "loop_delay_ms": 20.0}
CLIENT = "import sys, urllib.request as r; print(len(r.urlopen(sys.argv[1], timeout=120).read()))"


async def lateness(watched: asyncio.Future[Any]) -> tuple[list[float], float]:
    """How late (s) each tick of this loop was until ``watched`` was done, and CPU seconds of this process meanwhile."""
    ticks, cpu = [], time.process_time()
    while not watched.done():
        before = time.perf_counter()
        await asyncio.sleep(TICK_S)
        ticks.append(time.perf_counter() - before - TICK_S)
    return ticks, time.process_time() - cpu


async def scrape(url: str) -> None:
    """Ask once, from another process."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", CLIENT, f"{url}/metrics", stdout=subprocess.DEVNULL
    )
    assert await client.wait() == 0


async def measure(log: Path) -> dict[str, float]:
    server = MetricsServer(log, host="127.0.0.1", port=0)
    server.start()
    try:
        began = time.process_time()
        await scrape(server.url)
        first_s = time.process_time() - began
        quiet, quiet_cpu_s = await lateness(asyncio.ensure_future(asyncio.sleep(3.0)))
        per_tick_s = quiet_cpu_s / len(quiet)
        busy, cpu = [], []
        with EventLog(log) as events:
            for number in range(NUM_SCRAPES):
                events.append(PeerSeen(playback.peer_id(number % 20), "online", number))
                ticks, cpu_s = await lateness(asyncio.ensure_future(scrape(server.url)))
                busy += ticks
                cpu.append(cpu_s - per_tick_s * len(ticks))
        return {
            "first_scrape_cpu_s": round(first_s, 2),
            "scrape_cpu_ms": round(1000 * max(0.0, statistics.median(cpu)), 1),
            "loop_delay_ms": round(1000 * max(0.0, late(busy) - late(quiet)), 1),
        }
    finally:
        server.stop()


def late(ticks: list[float]) -> float:
    """The 95th percentile of lateness."""
    return statistics.quantiles(ticks, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--peers", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "peers" / "peer-1" / "events.jsonl"
        with EventLog(log, now=lambda: playback.START_AT) as events:
            for _, event in playback.script(0, chosen.peers, chosen.rounds):
                events.append(event)
        found = asyncio.run(measure(log))
        megabytes = round(log.stat().st_size / 1e6, 1)
    criteria = [
        criterion("scrape_cpu_ms", found["scrape_cpu_ms"], LIMITS["scrape_cpu_ms"], "ms"),
        criterion("loop_delay_ms", found["loop_delay_ms"], LIMITS["loop_delay_ms"], "ms"),
    ]
    body = {"rounds": chosen.rounds, "peers": chosen.peers, "log_mb": megabytes, **found, "criteria": criteria}
    if not chosen.json:
        for name, value in found.items():
            print(f"{name:<16} {value}")
    print(json.dumps(body))


if __name__ == "__main__":
    main()
