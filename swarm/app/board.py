"""Why this module exists: the leaderboard is put together here: a page in one process, an indexer in another.

    swarm leaderboard --serve ─┬─ page: reads the database, touches nothing else
                               └─ indexer (a child, niced): a p2p daemon of its own, the chain's endpoints, the database

Each can die without the other; the page then shows how old its data are. An indexer is a stranger to the swarm: it has
an identity for the DHT, and no wallet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from protocol.errors import ConfigError
from protocol.run import JoinToken
from swarm.app.finding import Find
from swarm.indexing.rows import Run
from swarm.settings.config import Settings
from swarm.settings.home import Home, write_atomically

if TYPE_CHECKING:
    from web.views import Standings

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8844
EVERY_S = 1.5
AGAIN_S = 15.0
NICE = 15
LAST_TURN_S = 4.0


def folder(home: Home) -> Path:
    """Where the leaderboard keeps its files."""
    return home.root / "leaderboard"


def default_database(home: Home) -> str:
    return str(folder(home) / "index.sqlite")


async def serve(
    chosen: Settings, *, host: str, port: int, database: str | None, indexer_options: Sequence[str], as_json: bool
) -> int:
    """The page, and an indexer that is started again whenever it ends, until a signal."""
    from swarm.processes.children import Child
    from swarm.processes.guardian import start_guardian
    from web.database import open_database
    from web.serve import address_of, listen
    from web.serve import serve as serve_page

    home = Home(chosen.home)
    engine = open_database(database or default_database(home))
    listener = listen(host, port)
    address = address_of(listener)
    command = [sys.executable, "-m", "swarm.cli", "leaderboard", "--index", *indexer_options]
    log_file = folder(home) / "indexer.log"

    async def keep_indexing() -> None:
        while True:  # a host that is away for hours must not end the index for good
            indexer = Child("indexer", command, log_file, lambda note: print(note.text, file=sys.stderr, flush=True))
            try:
                await indexer.supervise()
            finally:
                await asyncio.shield(indexer.stop())
            await asyncio.sleep(AGAIN_S)

    with start_guardian():
        write_atomically(folder(home) / "address", f"{address}\n".encode())
        print(json.dumps({"url": address}) if as_json else f"Leaderboard: {address}", flush=True)
        indexing = asyncio.ensure_future(keep_indexing())
        try:
            await serve_page(engine, listener)
        finally:
            indexing.cancel()
            await asyncio.gather(indexing, return_exceptions=True)
            engine.dispose()
    return 0


async def index(chosen: Settings, find: Find, *, database: str | None, reindex: bool) -> int:
    """Read the swarm into the database until a signal; one last look on the way out."""
    from chain.rpc import Rpc
    from identity.envelope import verify
    from identity.keyfile import open_key
    from swarm.app.asking import open_run_task
    from swarm.app.chain_access import contracts_of, depth_of, endpoints_of
    from swarm.dht.libp2p import Libp2pSettings, start_libp2p
    from swarm.indexing.chain_source import RpcSource
    from swarm.indexing.indexer import Indexer
    from swarm.processes.guardian import start_guardian
    from swarm.tasks.files import QuestionFiles
    from web.database import open_database
    from web.store import Store

    home = Home(chosen.home)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    engine = open_database(database or default_database(home))
    store = Store(engine)
    if reindex:
        store.reindex()
    token = await find()
    run, contracts = token.run, contracts_of(token)
    store.begin(_run_row(token), replace=database is None)
    key_file = folder(home) / "swarm.pem"
    open_key(key_file)
    rpc = Rpc(endpoints_of(chosen, token))
    with start_guardian():
        transport = await start_libp2p(
            Libp2pSettings(
                identity=key_file,
                bootnodes=token.bootnodes,
                host=chosen.network.host,
                start_s=chosen.network.start_timeout_s,
            ),
            run=run.id,
            verify=lambda envelope: verify(envelope, contracts),
        )
        task = await open_run_task(run, QuestionFiles(Home(chosen.home).questions), transport, token.bootnodes)
        indexer = Indexer(
            run,
            task,
            RpcSource(rpc, contracts, depth=depth_of(chosen, run.chain_id)),
            transport,
            store,
            time.time,
            set_members=transport.set_members,
        )
        try:
            await indexer.follow(EVERY_S)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_TURN_S):
                    await indexer.look_once_more()
            await indexer.close()
            await transport.close()
            await rpc.close()
            engine.dispose()
    return 0


def show(chosen: Settings, *, database: str | None, count: int, as_json: bool) -> int:
    """The table as the index has it, without a page. Raises ``ConfigError`` when there is no index yet."""
    from web.database import database_url, open_database
    from web.queries import Queries

    text = database or default_database(Home(chosen.home))
    url = database_url(text)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise ConfigError(
            f"There is no index at {url.database} yet.",
            "Nothing was read.",
            "Start one with `swarm leaderboard --serve`, or a private swarm with `swarm local`.",
        )
    queries = Queries(open_database(text))
    summary, table = queries.summary(), queries.standings(size=count)
    if as_json:
        body = {"summary": summary.model_dump(), "peers": [peer.model_dump() for peer in table.peers]}
        print(json.dumps(body), flush=True)
        return 0
    _print_table(table)
    return 0


def _print_table(table: Standings) -> None:
    from rich.text import Text

    from swarm.app.printing import printed
    from swarm.observe.tables import FittingTable
    from swarm.observe.text import credits_text, short_id

    shown = FittingTable(
        ">#", "peer", "id", ">credits", ">rounds", ">mean score", ">passed", ">struck",
        spare=("struck", "passed", "id", "mean score"),
    )  # fmt: skip
    for peer in table.peers:
        mean = "" if peer.mean_milli is None else f"{peer.mean_milli / 1000:.3f}"
        shown.add_row(
            Text(str(peer.rank or "–")), Text(peer.nickname, "bold"), Text(short_id(peer.peer)),
            Text(credits_text(peer.credits_micro)), Text(str(peer.rounds)), Text(mean), Text(str(peer.passed)),
            Text(str(peer.failed)),
        )  # fmt: skip
    printed(shown)


def _run_row(token: JoinToken) -> Run:
    run = token.run
    return Run(
        run=run.id,
        name=run.name,
        chain_id=run.chain_id,
        task=run.task.name,
        model=run.model,
        model_name=os.path.basename(token.model_name.rstrip("/")),
        engine=run.audit.engine,
        budget_micro=run.economics.budget_micro,
        min_stake_micro=run.economics.min_stake_micro,
        contracts=msgspec.to_builtins(token.contracts),
    )
