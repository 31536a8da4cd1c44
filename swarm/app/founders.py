"""Why this module exists: commands of those who set a chain up and create runs, from settings to an exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from swarm.app.orders import PASSWORD_VARIABLE
from swarm.settings.config import Settings
from swarm.settings.home import Home, require_writable


def deploy(chosen: Settings, wallet: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Set the configured chain up, once; returns the exit code."""
    from swarm.app.deploying import deploy_chain

    return _run(
        lambda: deploy_chain(chosen, _wallet(chosen, wallet), _password(), dry_run=dry_run, as_json=as_json),
        "deploy", as_json=as_json, home=None if dry_run else chosen.home,
    )  # fmt: skip


def create_run(chosen: Settings, wallet: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """Create the run that the settings describe, and put its budget into escrow."""
    from swarm.app.creating import create

    return _run(
        lambda: create(chosen, _wallet(chosen, wallet), _password(), dry_run=dry_run, as_json=as_json),
        "run", as_json=as_json, home=None if dry_run else chosen.home,
    )  # fmt: skip


def list_runs(chosen: Settings, *, as_json: bool) -> int:
    """Print the runs of the chain."""
    from swarm.app.run_views import listed

    return _run(lambda: listed(chosen, as_json=as_json), "runs", as_json=as_json)


def show_run(chosen: Settings, which: str, *, as_json: bool) -> int:
    """Print one run."""
    from swarm.app.run_views import shown

    return _run(lambda: shown(chosen, which, as_json=as_json), "run", as_json=as_json)


def _run(ask: Callable[[], Coroutine[Any, Any, Any]], key: str, *, as_json: bool, home: Path | None = None) -> int:
    from swarm.processes.process import run_until_signal

    if home is not None:
        require_writable(home)

    async def command() -> int:
        body = await ask()
        if as_json:
            print(json.dumps({key: body}), flush=True)
        return 0

    return run_until_signal(command)


def _wallet(chosen: Settings, named: Path | None) -> Path:
    return named.expanduser() if named is not None else Home(chosen.home).host / "wallet.json"


def _password() -> str | None:
    return os.environ.get(PASSWORD_VARIABLE)
