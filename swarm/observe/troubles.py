"""Why this module exists: a lasting problem is told when it begins and when it is over, not at every retry."""

from __future__ import annotations

from protocol.errors import SwarmError
from protocol.events import Problem, Recovered
from swarm.observe.eventlog import EventLog


class Troubles:
    """The problems that a peer lives with at the moment, by class and words."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._present: dict[str, str] = {}

    def report(self, error: SwarmError) -> bool:
        """Tell it, unless the same problem was told and is not over; whether it was told now."""
        name = type(error).__name__
        is_new = self._present.get(name) != error.what
        if is_new:
            self._present[name] = error.what
            self._events.append(Problem(name, error.what, error.so_what, error.next_step))
        return is_new

    def over(self, kind: type[SwarmError]) -> None:
        """Problems of this class, if there were any, are over."""
        if self._present.pop(kind.__name__, None) is not None:
            self._events.append(Recovered(kind.__name__))
