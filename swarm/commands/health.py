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


def export_model(
    to: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; must not exist.", show_default=False)],
    merged: Annotated[bool, typer.Option("--merged", help="All weights, adapters added in, instead of these.")] = False,
    push: Annotated[str | None, typer.Option("--push", help="Upload it to the hub, too, as OWNER/NAME.")] = None,
    public: Annotated[bool, typer.Option("--public", help="What is pushed may be seen by everybody.")] = False,
    token_file: Annotated[Path | None, typer.Option("--token-file", help="File with the hub's token.")] = None,
    peer: PeerOption = "1",
    home: HomeOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a peer learned, as adapters or a model that plain libraries load, with a card that says where it is from."""
    from swarm import app as root
    from swarm.app import hub, model_export

    chosen = root.settings("join", config, peer=peer, home=home, run__model=model)
    token = hub.read_token(token_file) if push else ""
    record = model_export.export_model(chosen, peer, to, is_merged=merged)
    pushed = hub.push(to, push, token, private=not public) if push else ""
    model_export.told(to, record, pushed=pushed, as_json=as_json)


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
