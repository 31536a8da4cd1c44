"""Why this module exists: a process's logs are lines for people or JSON for programs; which, is settled here, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.run import JoinToken
from swarm.app.finding import Find
from swarm.app.orders import PASSWORD_VARIABLE
from swarm.settings.config import Settings

if TYPE_CHECKING:
    from swarm.observe.jsonlogs import JsonPrinter

_SECRET_FILE_CAP = 4096


def telling_of(chosen: Settings, json_logs: bool, since: float, *, only: str | None = None) -> JsonPrinter | None:
    """What tells this process's events as JSON on stderr; ``None`` where lines are wanted.

    From here on everything else that the process says there is JSON, too, its last error included.
    """
    if not json_logs:
        return None
    from swarm import failures
    from swarm.observe.jsonlogs import JsonLogs, JsonPrinter

    logs = JsonLogs(secrets=secrets_of(chosen))
    if only is not None:
        logs.bound["peer"] = only
    failures.tell_through(logs.fail)
    return JsonPrinter(logs, chosen.home, since, only)


def naming_the_run(chosen: Settings, find: Find, telling: JsonPrinter | None) -> Find:
    """The same search; once the run is found, every log line names it, and hides the wallet's new password, too."""
    if telling is None:
        return find

    async def found() -> JoinToken:
        token = await find()
        telling.hide(secrets_of(chosen))
        telling.bind(run=token.run.id[:16])
        return token

    return found


def secrets_of(chosen: Settings) -> tuple[str, ...]:
    """What this process knows and must never say: the wallets' passwords, and what comes after an endpoint's host."""
    secrets = [os.environ.get(PASSWORD_VARIABLE, ""), *map(_rest, chosen.chain.rpc)]
    if chosen.wallet.password_file is not None:
        secrets.append(_content(chosen.wallet.password_file))
    secrets += [_content(path) for path in chosen.home.glob("*/*/wallet.password")]
    return tuple(secret for secret in secrets if secret)


def _rest(address: str) -> str:
    """Path and query of an address, without the slash that every address has."""
    return address.partition("://")[2].partition("/")[2]


def _content(path: Path) -> str:
    try:
        with path.open() as file:
            return file.read(_SECRET_FILE_CAP).strip()
    except (OSError, UnicodeDecodeError):
        return ""  # what cannot be read here cannot be said here
