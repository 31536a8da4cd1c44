"""Why this module exists: what people call when something is wrong: the doctor, and a report for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swarm.commands.options import (
    ConfigOption,
    HomeOption,
    JoinOption,
    JsonOption,
    ModelOption,
    PasswordOption,
    PeerOption,
    RpcOption,
)


def doctor(
    numerics: Annotated[
        bool | None, typer.Option("--numerics/--no-numerics", help="Only the arithmetic / everything but it.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without bootnodes and arithmetic: a few seconds.")] = False,
    peer: PeerOption = "1",
    join: JoinOption = None,
    rpc: RpcOption = None,
    home: HomeOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Whether this machine is fit to take part, and how to mend what is not."""
    if numerics:
        from swarm.app import doctor as arithmetic

        raise typer.Exit(arithmetic.numerics(as_json=as_json))
    from swarm import app as root
    from swarm.app import checkup

    chosen = root.settings("join", config, home=home, run__model=model, wallet__password_file=password_file)
    raise typer.Exit(
        checkup.doctor(chosen, join or [], rpc or [], peer, quick=quick, numerics=numerics is None, as_json=as_json)
    )


def export(
    to: Annotated[Path, typer.Argument(metavar="DIR|FILE.zip", help="Where to; must not exist.", show_default=False)],
    redacted: Annotated[bool, typer.Option("--redacted", help="Without anything secret; the only form there is.")],
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """A report for whoever helps: versions, settings, last events, doctor, outbox. No secrets."""
    from swarm import app as root
    from swarm.app import bug_report

    chosen = root.settings("join", config, home=home)
    raise typer.Exit(bug_report.export(chosen, to, is_redacted=redacted, as_json=as_json))
