"""Why this module exists: a round that is slow must say where its time went.

The node's main flow is in exactly one ``Activity`` at any moment, so the parts of a round add up to its whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

Now = Callable[[], float]
"""A clock: unix seconds. Handed in, so that tests own time."""


class Activity(StrEnum):
    """What the main flow of a peer is doing. ``WAIT`` is waiting for other peers' work."""

    GENERATE = "generate"
    TRAIN = "train"
    WAIT = "wait"
    NETWORK = "network"
    CHAIN = "chain"


class Stopwatch:
    """Divides time among activities. Nested use charges the inner activity and then goes back to the outer one."""

    def __init__(self, now: Now, initially: Activity = Activity.CHAIN) -> None:
        self._now = now
        self._activity = initially
        self._since = self._started = now()
        self._spent = dict.fromkeys(Activity, 0.0)

    def switch(self, activity: Activity) -> Activity:
        """Charge the time so far to the present activity and go on with another; returns the one before."""
        at = self._now()
        self._spent[self._activity] += at - self._since
        before, self._activity, self._since = self._activity, activity, at
        return before

    @contextmanager
    def during(self, activity: Activity) -> Iterator[None]:
        before = self.switch(activity)
        try:
            yield
        finally:
            self.switch(before)

    def lap(self) -> tuple[float, dict[Activity, float]]:
        """Total seconds since the start (or the last lap) and their parts; begins the next lap."""
        self.switch(self._activity)
        total, parts = self._since - self._started, self._spent
        self._started, self._spent = self._since, dict.fromkeys(Activity, 0.0)
        return total, parts
