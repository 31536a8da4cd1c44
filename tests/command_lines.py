"""Why this module exists: command lines in documents, units and containers must be ones that ``swarm`` takes."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from typer.main import get_command

from swarm.cli import UsageError, app


def refusal(arguments: Sequence[str]) -> str:
    """Why ``swarm ARGUMENTS`` is no valid command line; empty when it is one. Parses all of it and runs nothing."""
    command, context, name, left = get_command(app), None, "swarm", list(arguments)
    try:
        while True:
            context = command.make_context(name, left, parent=context)
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            if not hasattr(command, "resolve_command") or not rest:
                return ""
            name, command, left = command.resolve_command(context, rest)
    except typer.Exit:
        return ""  # --help
    except UsageError as error:
        return error.format_message()


def is_built(command: str) -> bool:
    """Whether this version has ``swarm COMMAND``."""
    return command in get_command(app).commands
