"""Why this module exists: commands that send to the chain, from settings to an exit code. Light to import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError, SwarmError
from swarm.app.finding import Find
from swarm.settings.config import Settings
from swarm.settings.home import Home, require_writable

PASSWORD_VARIABLE = "SWARM_WALLET_PASSWORD"


def order(
    chosen: Settings, find: Find, command: str, name: str, *, amount: str | None, dry_run: bool, as_json: bool
) -> int:
    """``register``, ``stake``, ``unstake`` or ``withdraw`` for one peer of the home."""
    from swarm.processes.process import run_until_signal

    require_peer_name(name)
    if amount is not None:
        _checked(amount, may_be_all=command == "unstake")
    return run_until_signal(lambda: _order(chosen, find, command, name, amount, dry_run, as_json))


def claim(chosen: Settings, find: Find, peer: str | None, *, dry_run: bool, as_json: bool) -> int:
    """Claim what is unlocked for one peer or all peers of the home."""
    from swarm.processes.process import run_until_signal

    names = [peer] if peer else sorted(path.parent.name for path in Home(chosen.home).peers.glob("*/swarm.pem"))
    if not names:
        raise ConfigError(
            f"No peer has ever run in {chosen.home}.", "There is nothing to claim.", "Name the peer's --home."
        )
    return run_until_signal(lambda: _claim(chosen, find, names, dry_run, as_json))


def in_micro(typed: Mapping[str, str | None]) -> dict[str, int]:
    """Overrides of settings in micro, from tokens as typed; what was not given is left out. Keys are dotted, as in
    ``economics.budget_micro``; those returned have ``__`` for the dot. Raises ``ConfigError``."""
    from swarm.app.amounts import tokens_micro

    return {
        key.replace(".", "__"): tokens_micro(text, key.partition(".")[2].removesuffix("_micro").replace("_", " "))
        for key, text in typed.items()
        if text is not None
    }


def require_peer_name(name: str) -> None:
    """Raise ``ConfigError`` for what cannot be the name of a peer's folder."""
    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"A peer cannot be called {name!r}.", "Nothing was started.", "Use letters and digits.")


def _checked(amount: str, *, may_be_all: bool) -> None:
    """What is typed wrong is said before anything is opened or asked."""
    from swarm.app.amounts import tokens_micro

    if not (may_be_all and amount.strip().lower() == "all"):
        tokens_micro(amount)


async def _order(
    chosen: Settings, find: Find, command: str, name: str, amount: str | None, dry_run: bool, as_json: bool
) -> int:
    from swarm.app import chain_commands
    from swarm.app.acting import Terminal, open_actor

    token = await find()
    if not dry_run and command == "register":
        require_writable(chosen.home)
    terminal = Terminal(as_json=as_json)
    async with open_actor(
        chosen,
        token,
        name,
        terminal,
        password=os.environ.get(PASSWORD_VARIABLE),
        dry_run=dry_run,
        create=command == "register",
    ) as actor:
        if command == "stake":
            body = await chain_commands.stake(actor, amount or "")
        elif command == "unstake":
            body = await chain_commands.unstake(actor, amount or "")
        else:
            body = await {"register": chain_commands.register, "withdraw": chain_commands.withdraw}[command](actor)
    if as_json:
        print(json.dumps({command: body}), flush=True)
    return 0


async def priced_dispute(
    chosen: Settings, find: Find, name: str, round_number: int, peer: str, level: int, as_json: bool
) -> int:
    """`dispute --dry-run` for one peer of the home, which runs."""
    from swarm.app.acting import Terminal, open_actor
    from swarm.app.disputing import price

    token, terminal = await find(), Terminal(as_json=as_json)
    password = os.environ.get(PASSWORD_VARIABLE)
    async with open_actor(chosen, token, name, terminal, password=password, dry_run=True) as actor:
        body = await price(actor, chosen.home, round_number, peer, level)
    if as_json:
        print(json.dumps({"dispute": body}), flush=True)
    return 0


async def _claim(chosen: Settings, find: Find, names: list[str], dry_run: bool, as_json: bool) -> int:
    """Every peer that can claim does; the first failure is raised after that."""
    from swarm.app.claiming import claim_for

    token = await find()
    claims: list[dict[str, Any]] = []
    failures: list[SwarmError] = []
    for name in names:
        try:
            claims.append(
                await claim_for(
                    chosen, name, token, os.environ.get(PASSWORD_VARIABLE), dry_run=dry_run, as_json=as_json
                )
            )
        except SwarmError as error:
            failures.append(error)
    if as_json:
        print(json.dumps({"claims": claims}), flush=True)
    if failures:
        raise failures[0]
    return 0
