"""Why this module exists: the group of commands that take care of a peer's identity. Parses; ``swarm.app`` does."""

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

group = typer.Typer(name="identity", help="Look at a peer's identity, save it, bring it back, change its key.")

BackupPasswordOption = Annotated[
    Path | None, typer.Option("--password-file", help="File with the backup's password, readable by you alone.")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


@group.command()
def show(
    peer: Annotated[str | None, typer.Option("--peer", help="Only this peer of the home (default: all).")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name, wallet, signing accounts and last backup. Shows no secret."""
    from swarm.app import home_root, identity_care

    raise typer.Exit(identity_care.show(home_root(home), peer, as_json=as_json))


@group.command()
def backup(
    file: FileArgument,
    peer: PeerOption = "1",
    home: HomeOption = None,
    password_file: BackupPasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a peer (identity, wallet, work) to one encrypted file; it may be running."""
    from swarm.app import home_root, identity_care

    raise typer.Exit(identity_care.backup(home_root(home), peer, file, password_file, as_json=as_json))


@group.command()
def restore(
    file: FileArgument,
    peer: PeerOption = "1",
    home: HomeOption = None,
    password_file: BackupPasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a saved peer back, on this machine or another one."""
    from swarm.app import home_root, identity_care

    raise typer.Exit(identity_care.restore(home_root(home), peer, file, password_file, as_json=as_json))


@group.command()
def rotate(
    peer: PeerOption = "1",
    join: JoinOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a fresh key sign for a peer; its name, wallet and credits stay."""
    from swarm import app as root
    from swarm.app import identity_care

    chosen = root.settings("join", config, home=home, wallet__password_file=password_file)
    find = root.token_finder(chosen, join or [], rpc or [])
    raise typer.Exit(identity_care.rotate(chosen, find, peer, dry_run=dry_run, as_json=as_json))
