"""Why this module exists: it is the only place that builds concrete things and wires them together.

Each function here is one command of ``swarm.cli``. Heavy packages are imported inside the function that needs them, so
that the launcher, ``--help`` and the commands that only read stay light.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import ConfigError
from swarm.app.finding import Find, token_finder
from swarm.app.founders import create_run, deploy, list_runs, show_run
from swarm.app.logs import naming_the_run, telling_of
from swarm.app.orders import PASSWORD_VARIABLE, claim, in_micro, order, require_peer_name
from swarm.app.purse import credits, home_root
from swarm.app.wellness import host_well, well
from swarm.settings.config import Settings, load_settings
from swarm.settings.home import Home, require_writable
from swarm.settings.resolved import save_resolved

if TYPE_CHECKING:
    from swarm.processes.watching import Telling

__all__ = [
    "claim",
    "create_run",
    "credits",
    "deploy",
    "dispute",
    "disputes",
    "home_root",
    "host",
    "host_well",
    "in_micro",
    "leaderboard",
    "list_runs",
    "local",
    "order",
    "outbox",
    "run",
    "settings",
    "show",
    "show_run",
    "token_finder",
    "up",
    "verify",
    "well",
]


def settings(profile: str, config: Path | None, *, peer: str | None = None, **overrides: Any) -> Settings:
    """The configuration in force for a command, about one ``peer`` of the home where it is; ``overrides``: its options,
    by dotted key with ``__`` for the dot."""
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    if peer is not None:
        require_peer_name(peer)
    return load_settings("local" if profile == "local" else "join", config, dotted, os.environ, peer=peer)


def local(
    chosen: Settings,
    *,
    num_peers: int,
    num_rounds: int | None,
    tui: bool,
    as_json: bool,
    host_options: Sequence[str],
    peer_options: Sequence[str],
    json_logs: bool = False,
    leaderboard: bool = True,
) -> int:
    """A private swarm on this machine; returns the exit code."""
    from swarm.app.memory import memory_plan, with_model
    from swarm.observe.lines import words
    from swarm.observe.notes import Note
    from swarm.observe.summary import summary
    from swarm.processes.boarding import Board
    from swarm.processes.launcher import Launcher, lines_through, show_dashboard
    from swarm.processes.process import run_until_signal

    home = Home(chosen.home)
    started_at = time.time()
    require_writable(home.root)
    if (named := with_model(chosen, num_peers=num_peers)) is not chosen:
        chosen, host_options = named, [*host_options, "--model", named.run.model]
    planned = memory_plan(chosen, None, num_peers=num_peers)
    save_resolved(chosen)
    board = Board.of(home) if leaderboard else None
    launcher = Launcher(home, num_peers, num_rounds, started_at, host_options, peer_options, board=board)
    said = [f"Each peer {words(planned)}."] if planned is not None else []
    if board is not None:
        said.append(f"Leaderboard: {board.address}")
    for text in said:
        if json_logs:
            launcher.notes.append(Note(text))
        else:
            print(text, file=sys.stderr, flush=True)
    telling = telling_of(chosen, json_logs, started_at)
    show = show_dashboard if tui and not json_logs and sys.stdout.isatty() else lines_through(telling)
    code = run_until_signal(lambda: launcher.run(show))
    if as_json:
        print(json.dumps(summary(home.root, started_at)), flush=True)
    return code


def host(chosen: Settings, *, which: str | None = None, as_json: bool, json_logs: bool = False) -> int:
    """Chain, gate and bootnode for others, until a signal; prints the join token. On a configured chain it is only the
    bootnode, of the run ``which`` (see ``swarm.app.guesting``)."""
    from swarm.app.memory import with_model
    from swarm.processes.process import run_until_signal

    require_writable(chosen.home)
    chosen = with_model(chosen)
    telling = telling_of(chosen, json_logs, time.time(), only="host")
    return run_until_signal(lambda: _host(chosen, which, as_json, telling))


def run(
    chosen: Settings,
    find: Find,
    *,
    name: str,
    num_rounds: int | None,
    since: float,
    lines: bool,
    json_logs: bool = False,
) -> int:
    """One peer, until ``num_rounds`` rounds since ``since`` (unix seconds) are over or a signal ends it.

    ``lines``: tell on stderr what happens; ``json_logs``: as JSON.
    """
    from swarm.processes.process import run_until_signal

    require_peer_name(name)
    require_writable(chosen.home)
    telling = telling_of(chosen, json_logs, time.time(), only=name)
    find = naming_the_run(chosen, find, telling)
    return run_until_signal(lambda: _peer(chosen, name, find, num_rounds, since, lines or json_logs, telling))


def up(
    chosen: Settings, *, names: Sequence[str], num_rounds: int | None, options: Sequence[str], json_logs: bool = False
) -> int:
    """Several peers of this home in somebody's swarm, looked after: started again when they die or stall."""
    from swarm.processes.keeper import Keeper
    from swarm.processes.process import run_until_signal

    for name in names:
        require_peer_name(name)
    require_writable(chosen.home)
    started_at = time.time()
    keeper = Keeper(Home(chosen.home), names, num_rounds, started_at, options)
    telling = telling_of(chosen, json_logs, started_at)
    return run_until_signal(lambda: keeper.run(telling))


def leaderboard(
    chosen: Settings,
    find: Find,
    *,
    serve: bool,
    host: str | None,
    port: int | None,
    database: str | None,
    reindex: bool,
    indexer_options: Sequence[str],
    as_json: bool,
) -> int:
    """The leaderboard's page with its indexer (``serve``), or the indexer alone, until a signal."""
    from swarm.app import board
    from swarm.processes.process import run_until_signal

    require_writable(chosen.home)
    if not serve:
        return run_until_signal(lambda: board.index(chosen, find, database=database, reindex=reindex))
    return run_until_signal(
        lambda: board.serve(
            chosen,
            host=host or board.DEFAULT_HOST,
            port=board.DEFAULT_PORT if port is None else port,
            database=database,
            indexer_options=indexer_options,
            as_json=as_json,
        )
    )


def show(what: str, home: Path | None, as_json: bool, *, count: int = 10) -> None:
    """``status``, ``rounds`` or ``peers`` of a home, from its event logs alone."""
    import msgspec

    from swarm.app.printing import printed
    from swarm.member.backups import missing_backups
    from swarm.observe import queries, tables

    root, now = home_root(home), time.time()
    views: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "status": (lambda: queries.status(root), lambda found: tables.status_table(found, now)),
        "rounds": (lambda: queries.rounds(root, count), tables.rounds_table),
        "peers": (lambda: queries.peers(root), lambda found: tables.peers_table(found, now)),
    }
    query, table = views[what]
    found = query()
    warnings = missing_backups(root) if what == "status" else []
    if as_json:
        print(msgspec.json.encode({what: found} | ({"warnings": warnings} if what == "status" else {})).decode())
    elif found:
        printed(table(found))
    else:
        print(f"Nothing was recorded in {root} yet. Start a swarm with `swarm local`.", file=sys.stderr)
    for warning in warnings:
        if not as_json:
            print(warning, file=sys.stderr)


def disputes(home: Path | None, which: str, as_json: bool) -> None:
    """The disputes that the peers of a home saw, from their event logs alone."""
    import msgspec

    from swarm.app.printing import printed
    from swarm.observe.disputes import disputes as seen
    from swarm.observe.disputes import disputes_table

    found = seen(home_root(home), which)
    if as_json:
        print(msgspec.json.encode({"disputes": found}).decode(), flush=True)
    else:
        printed(disputes_table(found, time.time(), whole=bool(which)))


def dispute(home: Path | None, name: str, round_number: int, peer: str, *, level: int, as_json: bool) -> int:
    """Have a running peer dispute somebody's contribution; returns the exit code."""
    from swarm.app.disputing import dispute as order

    require_peer_name(name)
    return order(home_root(home), name, round_number, peer, level, as_json)


def price_dispute(
    chosen: Settings, find: Find, name: str, round_number: int, peer: str, *, level: int, as_json: bool
) -> int:
    """Have a running peer work out a dispute, and say what opening it would cost; returns the exit code."""
    from swarm.app.orders import priced_dispute
    from swarm.processes.process import run_until_signal

    require_peer_name(name)
    return run_until_signal(lambda: priced_dispute(chosen, find, name, round_number, peer, level, as_json))


def outbox(home: Path | None, as_json: bool) -> None:
    """What every peer of a home has to send to the chain and how that is going, from its files alone."""
    import msgspec

    from swarm.app.printing import printed
    from swarm.observe.sending import outbox_table, sendings

    found = sendings(home_root(home))
    if as_json:
        print(msgspec.json.encode({"outbox": found}).decode(), flush=True)
    else:
        printed(outbox_table(found, time.time()))


def verify(chosen: Settings, find: Find, round_number: int, peer: str, *, level: int, as_json: bool) -> int:
    """Do somebody's work again, from outside; returns 0, 6 when it differs, or 4 when it cannot be had."""
    import msgspec

    from swarm.app.verifying import EXIT_CODES, examine_in_swarm
    from swarm.processes.guardian import start_guardian
    from swarm.processes.process import run_until_signal

    async def check() -> int:
        with start_guardian():
            found = await examine_in_swarm(chosen, find, round_number, peer, level)
        difference = found.first_difference
        about = f"Contribution of {found.nickname} to round {found.round}, checked at level {found.level}"
        what = found.why if difference is None else difference.what
        print(f"{about}: {found.verdict}. {what}".strip(), file=sys.stderr if as_json else sys.stdout, flush=True)
        if as_json:
            print(msgspec.json.encode(found).decode(), flush=True)
        return EXIT_CODES[found.verdict]

    return run_until_signal(check)


# --- running ---------------------------------------------------------------------------------------------------------


async def _host(chosen: Settings, which: str | None, as_json: bool, telling: Telling | None) -> int:
    from swarm.processes.guardian import start_guardian
    from swarm.processes.pulse import ServiceManager
    from swarm.processes.watching import events_printed

    logs = events_printed(chosen.home, time.time(), telling, only="host") if telling is not None else nullcontext()
    with start_guardian():
        hosting = await _hosting(chosen, which)
        try:
            print(json.dumps({"token": hosting.token_text}) if as_json else hosting.token_text, flush=True)
            if sys.stdout.isatty():
                print("Others join with `swarm run --join` and this line. Ctrl-C ends the host.", file=sys.stderr)
            ServiceManager().tell("READY=1", "STATUS=Others can join.")
            async with logs:
                await hosting.serve()
        finally:
            await hosting.close()
    return 0


async def _hosting(chosen: Settings, which: str | None) -> Any:
    """A host with a dev chain of its own, or a guest on the chain that is configured."""
    if chosen.chain.chain_id:
        from swarm.app.guesting import build_guest

        return await build_guest(chosen, which)
    if which is not None:
        raise ConfigError(
            "--run is for runs on a chain that is configured, and none is.",
            "Nothing was started.",
            "Give the --config of that chain, or leave --run out: a host with its own chain creates its run itself.",
        )
    from swarm.app.founding import build_host

    return await build_host(chosen)


async def _peer(
    chosen: Settings,
    name: str,
    find: Find,
    num_rounds: int | None,
    since: float,
    lines: bool,
    telling: Telling | None,
) -> int:
    from swarm.app.building import open_peer
    from swarm.observe.eventlog import first_round_since
    from swarm.processes.guardian import start_guardian
    from swarm.processes.watching import events_printed

    home = Home(chosen.home)
    password = os.environ.get(PASSWORD_VARIABLE)
    if lines:
        from swarm.app.checkup import warn_before_joining

        await warn_before_joining(chosen, find, name)
    with start_guardian():
        async with (
            events_printed(home.root, time.time(), telling, only=name) if lines else nullcontext(),
            open_peer(chosen, name, find, password) as peer,
        ):
            await peer.run(num_rounds, first_round_since(home.peer(name).events_file, since))
    return 0
