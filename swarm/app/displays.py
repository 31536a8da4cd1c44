"""Why this module exists: a dashboard can be attached to a home at any time, or to what is left of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from protocol.errors import ConfigError
from swarm.app.purse import home_root
from swarm.observe.sending import Sending, sendings


def top(home: Path | None, *, peer: str | None, light: bool) -> int:
    """The dashboard of a home whose peers run (or ran) by themselves; leaving it ends nothing. Returns 0.

    Raises ``ConfigError`` without a terminal, or for a home that is not there.
    """
    from tui.app import Attached

    root = _root(home, peer, "top")
    Attached(root, outbox=outbox_of(root), peer=peer or "", owns_swarm=False, dark=not light).run()
    return 0


def replay(home: Path | None, number: int | None, *, peer: str | None, speed: float, paused: bool, light: bool) -> int:
    """Play a home's event logs back from round ``number`` on (from the beginning when None). Returns 0.

    Raises ``ConfigError`` without a terminal, for a home without logs, or for a round that is not in them.
    """
    from swarm.observe.rewind import round_marks
    from tui.app import Attached
    from tui.playing import Player

    root = _root(home, peer, "replay")
    marks = [mark.round for mark in round_marks(root)]
    if number is not None and number not in marks:
        known = f"It has rounds {marks[0]} to {marks[-1]}." if marks else "It has no round at all."
        raise ConfigError(
            f"Round {number} is not in the logs of {root}. {known}", "Nothing was played.", "Name another."
        )

    def player() -> Player:
        return Player(root, number if number is not None else 0, speed=speed, playing=not paused)

    Attached(root, player=player, peer=peer or "", owns_swarm=False, dark=not light).run()
    return 0


def outbox_of(root: Path) -> Callable[[], tuple[Sending, ...]]:
    """What the home's peers have to send, read anew at each call."""
    return lambda: sendings(root)


def _root(home: Path | None, peer: str | None, command: str) -> Path:
    root = home_root(home)
    if not sys.stdout.isatty():
        raise ConfigError(
            f"`swarm {command}` draws on a terminal, and its output goes elsewhere.",
            "Nothing was shown; peers are not touched.",
            "Run it in a terminal; `swarm status --json` and `swarm rounds --json` are for programs.",
        )
    logs = sorted(path.parent.name for path in root.glob("peers/*/events.jsonl"))
    if not root.is_dir() or (command == "replay" and not logs):
        raise ConfigError(
            f"Nothing was recorded in {root} yet.",
            "There is nothing to show.",
            "Start a swarm with `swarm local`, or name another folder with --home DIR.",
        )
    if peer is not None and peer not in logs:
        named = ", ".join(logs) or "none yet"
        raise ConfigError(f"No peer {peer!r} was recorded in {root}.", "Nothing was shown.", f"Its peers: {named}.")
    return root
