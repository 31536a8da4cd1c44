"""Why this module exists: what waits to be sent lies in files that a display may not parse; whoever starts it hands in
a reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Sending(Protocol):
    """An intent and how it is going; see ``swarm.observe.sending``, whose values have these and more."""

    name: str
    kind: str
    number: int
    state: str
    since: float
    why: str
    transaction: str
    attempts: int


Outbox = Callable[[], tuple[Sending, ...]]
"""Everything that the peers of the home have to send, and what ended last. May raise ``OSError`` or ``SwarmError``."""
