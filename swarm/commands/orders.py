"""Why this module exists: what an owner orders on the chain for one peer. Parses; ``swarm.app`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swarm.commands.options import (
    ConfigOption,
    DryRunOption,
    HomeOption,
    JoinOption,
    JsonOption,
    PasswordOption,
    PeerOption,
    RpcOption,
)

AmountArgument = Annotated[str, typer.Argument(help="Tokens, e.g. 50 or 0.25.", metavar="AMOUNT", show_default=False)]


def register(
    peer: PeerOption = "1",
    join: JoinOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bind a peer to the wallet that owns it, on the run's chain."""
    _order("register", peer, join, rpc, dry_run, home, config, password_file, as_json)


def stake(
    amount: AmountArgument,
    peer: PeerOption = "1",
    join: JoinOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deposit tokens for a peer: what it risks, and its weight."""
    _order("stake", peer, join, rpc, dry_run, home, config, password_file, as_json, amount)


def unstake(
    amount: AmountArgument,
    peer: PeerOption = "1",
    join: JoinOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin to take stake out; AMOUNT may be `all`. It can be withdrawn later."""
    _order("unstake", peer, join, rpc, dry_run, home, config, password_file, as_json, amount)


def withdraw(
    peer: PeerOption = "1",
    join: JoinOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay out stake that has left and is liable no longer."""
    _order("withdraw", peer, join, rpc, dry_run, home, config, password_file, as_json)


def claim(
    peer: Annotated[str | None, typer.Option("--peer", help="Only this peer of the home (default: all).")] = None,
    join: JoinOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn unlocked credits into tokens in the wallet."""
    from swarm import app as root

    chosen = root.settings("join", config, home=home, wallet__password_file=password_file)
    find = root.token_finder(chosen, join or [], rpc or [])
    raise typer.Exit(root.claim(chosen, find, peer, dry_run=dry_run, as_json=as_json))


def credits(
    offline: Annotated[bool, typer.Option("--offline", help="Only what this machine's logs say.")] = False,
    join: JoinOption = None,
    rpc: RpcOption = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is earned, verified, settled, unlocked and claimed, and what each part waits for."""
    from swarm import app as root

    raise typer.Exit(root.credits(home, config, join or [], rpc or [], offline=offline, as_json=as_json))


def _order(
    command: str,
    peer: str,
    join: list[str] | None,
    rpc: list[str] | None,
    dry_run: bool,
    home: Path | None,
    config: Path | None,
    password_file: Path | None,
    as_json: bool,
    amount: str | None = None,
) -> None:
    from swarm import app as root

    chosen = root.settings("join", config, home=home, wallet__password_file=password_file)
    find = root.token_finder(chosen, join or [], rpc or [])
    raise typer.Exit(root.order(chosen, find, command, peer, amount=amount, dry_run=dry_run, as_json=as_json))
