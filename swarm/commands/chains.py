"""Why this module exists: a chain is set up once, by anybody, before there can be runs on it."""

from __future__ import annotations

import typer

from swarm.commands.options import (
    ConfigOption,
    DryRunOption,
    HomeOption,
    JsonOption,
    PasswordOption,
    RpcOption,
    WalletOption,
)


def deploy(
    wallet: WalletOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a chain up: registry of peers, token, factory of runs."""
    from swarm import app as root

    chosen = root.settings("join", config, home=home, chain__rpc=rpc or None, wallet__password_file=password_file)
    raise typer.Exit(root.deploy(chosen, wallet, dry_run=dry_run, as_json=as_json))
