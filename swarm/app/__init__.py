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
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError, SwarmError
from protocol.run import JoinToken, parse_token
from swarm.config import Settings, load_settings, save_resolved
from swarm.home import Home
from swarm.joining import is_multiaddress, read_join_file, with_addresses

PASSWORD_VARIABLE = "SWARM_WALLET_PASSWORD"


def settings(profile: str, config: Path | None, **overrides: Any) -> Settings:
    """The configuration in force for a command; ``overrides``: its options, by dotted key with ``__`` for the dot."""
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_settings("local" if profile == "local" else "join", config, dotted, os.environ)


def local(
    chosen: Settings,
    *,
    num_peers: int,
    num_rounds: int | None,
    tui: bool,
    as_json: bool,
    host_options: Sequence[str],
    peer_options: Sequence[str],
) -> int:
    """A private swarm on this machine; returns the exit code."""
    from swarm.launcher import Launcher, show_dashboard, show_lines
    from swarm.observe.summary import summary
    from swarm.process import run_until_signal

    home = Home(chosen.home)
    started_at = time.time()
    save_resolved(chosen)
    launcher = Launcher(home, num_peers, num_rounds, started_at, host_options, peer_options)
    show = show_dashboard if tui and sys.stdout.isatty() else show_lines
    code = run_until_signal(lambda: launcher.run(show))
    if as_json:
        print(json.dumps(summary(home.root, started_at)), flush=True)
    return code


def host(chosen: Settings, *, as_json: bool) -> int:
    """Chain, gate and bootnode for others, until a signal; prints the join token."""
    from swarm.process import leave, run_until_signal

    code = run_until_signal(lambda: _host(chosen, as_json))
    leave(code)
    return code


def run(
    chosen: Settings,
    *,
    name: str,
    join: Sequence[str],
    rpc: Sequence[str],
    num_rounds: int | None,
    wait_s: float,
    since: float,
) -> int:
    """One peer, until ``num_rounds`` rounds since ``since`` (unix seconds) are over or a signal ends it."""
    from swarm.process import leave, print_error, run_until_signal

    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"A peer cannot be called {name!r}.", "Nothing was started.", "Use letters and digits.")
    find = _token_finder(chosen, join, rpc, wait_s)
    try:
        code = run_until_signal(lambda: _peer(chosen, name, find, num_rounds, since))
    except SwarmError as error:
        print_error(error)
        code = error.exit_code
    leave(code)
    return code


def show(what: str, home: Path | None, as_json: bool, *, count: int = 10) -> None:
    """``status``, ``rounds``, ``peers`` or ``credits`` of a home, from its event logs alone."""
    import msgspec
    from rich.console import Console

    from swarm.observe import queries, tables

    root = home or Home.default().root
    now = time.time()
    views: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "status": (lambda: queries.status(root), lambda found: tables.status_table(found, now)),
        "rounds": (lambda: queries.rounds(root, count), tables.rounds_table),
        "peers": (lambda: queries.peers(root), lambda found: tables.peers_table(found, now)),
        "credits": (lambda: queries.credits(root), tables.credits_table),
    }
    query, table = views[what]
    found = query()
    if as_json:
        print(msgspec.json.encode({what: found}).decode(), flush=True)
    elif found:
        Console().print(table(found))
    else:
        print(f"Nothing was recorded in {root} yet. Start a swarm with `swarm local`.", file=sys.stderr)


def claim(chosen: Settings, peer: str | None, *, as_json: bool) -> int:
    """Claim what is settled for one peer or all peers of the home."""
    from swarm.process import run_until_signal

    token = read_join_file(Home(chosen.home).join_file)
    return run_until_signal(lambda: _claim(chosen, token, peer, as_json))


# --- building --------------------------------------------------------------------------------------------------------


def _token_finder(chosen: Settings, join: Sequence[str], rpc: Sequence[str], wait_s: float) -> Callable[[], JoinToken]:
    """How this peer learns where the swarm is. Checks what can be checked at once; the file may still be written."""
    addresses = [text for text in join if is_multiaddress(text)]
    tokens = [text for text in join if not is_multiaddress(text)]
    endpoints = tuple(rpc) or chosen.chain.rpc
    if len(tokens) > 1 or (tokens and addresses):
        raise ConfigError(
            "--join was given several things.", "Nothing was started.", "Give one token, or only multiaddresses."
        )
    if tokens:
        token = with_addresses(parse_token(tokens[0]), chosen.network.bootnodes, endpoints)
        return lambda: token
    if addresses:
        if not endpoints:
            raise ConfigError(
                "Addresses alone do not say which chain and run to join.",
                "Nothing was started.",
                "Add --rpc URL of the host's gate, or use the join token that `swarm host` printed.",
            )
        return lambda: with_addresses(_ask_gate(endpoints[0]), addresses, endpoints)
    path = Home(chosen.home).join_file

    def from_file() -> JoinToken:
        deadline = time.monotonic() + wait_s
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        return with_addresses(read_join_file(path), chosen.network.bootnodes, endpoints)

    return from_file


def _ask_gate(url: str) -> JoinToken:
    import asyncio

    from chain.rpc import Rpc

    async def ask() -> Any:
        rpc = Rpc([url])
        try:
            return await rpc.request("swarm_token")
        finally:
            await rpc.close()

    answer = asyncio.run(ask())
    if not isinstance(answer, str):
        raise ConfigError(
            f"{url} hands out no join token.",
            "Nothing was started.",
            "Ask the host for its token, and use --join TOKEN.",
        )
    return parse_token(answer)


async def _host(chosen: Settings, as_json: bool) -> int:
    from swarm.app.building import build_host
    from swarm.guardian import start_guardian

    with start_guardian():
        hosting = await build_host(chosen)
        try:
            print(json.dumps({"token": hosting.token_text}) if as_json else hosting.token_text, flush=True)
            await hosting.serve()
        finally:
            await hosting.close()
    return 0


async def _peer(
    chosen: Settings, name: str, find: Callable[[], JoinToken], num_rounds: int | None, since: float
) -> int:
    from swarm.app.building import open_peer
    from swarm.guardian import start_guardian
    from swarm.observe.eventlog import first_round_since

    with start_guardian():
        async with open_peer(chosen, name, find, os.environ.get(PASSWORD_VARIABLE)) as peer:
            await peer.run(num_rounds, first_round_since(Home(chosen.home).peer(name).events_file, since))
    return 0


async def _claim(chosen: Settings, token: JoinToken, only: str | None, as_json: bool) -> int:
    from swarm.app.building import claim_for

    homes = sorted(path for path in Home(chosen.home).peers.glob("*") if (path / "swarm.pem").exists())
    names = [only] if only else [path.name for path in homes]
    claims = [await claim_for(chosen, name, token, os.environ.get(PASSWORD_VARIABLE)) for name in names]
    if as_json:
        print(json.dumps({"claims": claims}), flush=True)
    else:
        for row in claims:
            print(f"{row['nickname']}: {row['claimed_now']} tokens claimed, {row['balance']} in the wallet")
    return 0
