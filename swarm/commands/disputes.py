"""Why this module exists: disputes are looked at, and asked for, from the command line. Parses; ``swarm.app`` does."""

from __future__ import annotations

from typing import Annotated

import typer

from swarm.commands.options import (
    ConfigOption,
    DryRunOption,
    HomeOption,
    JoinOption,
    JsonOption,
    PeerOption,
    RpcOption,
)


def disputes(
    which: Annotated[str, typer.Argument(metavar="[ID]", help="Beginning of a dispute's id: with every move.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Disputes on the chain: parties, phase, moves with their gas, why each ended; and who signed twice."""
    from swarm import app as root

    root.disputes(home, which, as_json)


def dispute(
    round_number: Annotated[int, typer.Argument(min=1, metavar="ROUND", help="A round that is not paid yet.")],
    accused: Annotated[str, typer.Argument(metavar="PEER", help="Whose contribution: a nickname or a peer id.")],
    level: Annotated[int, typer.Option(min=1, max=2, help="1 rollouts, 2 the training step, too.")] = 2,
    peer: PeerOption = "1",
    join: JoinOption = None,
    rpc: RpcOption = None,
    dry_run: DryRunOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a running peer do somebody's work again and take what differs to the contract, for a bond."""
    from swarm import app as root

    if dry_run:
        chosen = root.settings("join", config, home=home)
        find = root.token_finder(chosen, join or [], rpc or [])
        raise typer.Exit(root.price_dispute(chosen, find, peer, round_number, accused, level=level, as_json=as_json))
    raise typer.Exit(root.dispute(home, peer, round_number, accused, level=level, as_json=as_json))
