"""Why this module exists: ``swarm top`` and ``swarm replay`` show a home, live or as a recording."""

from __future__ import annotations

from typing import Annotated

import typer

from swarm.commands.options import HomeOption

ShownOption = Annotated[str | None, typer.Option("--peer", help="Which of this home's peers to show first.")]
LightOption = Annotated[bool, typer.Option("--light", help="For a light terminal (key d changes it, too).")]


def top(home: HomeOption = None, peer: ShownOption = None, light: LightOption = False) -> None:
    """The dashboard of peers that run by themselves; q leaves them running."""
    from swarm.app import displays

    raise typer.Exit(displays.top(home, peer=peer, light=light))


def replay(
    number: Annotated[int | None, typer.Argument(metavar="ROUND", min=0, help="Where to begin.")] = None,
    home: HomeOption = None,
    peer: ShownOption = None,
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=128, help="So many times as fast.")] = 4.0,
    paused: Annotated[bool, typer.Option("--paused", help="Stand still until space is pressed.")] = False,
    light: LightOption = False,
) -> None:
    """Play a past run back from its event logs: pause, speed, scrub."""
    from swarm.app import displays

    raise typer.Exit(displays.replay(home, number, peer=peer, speed=speed, paused=paused, light=light))
