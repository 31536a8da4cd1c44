"""Why this module exists: what a peer tells beside its rounds: whom it sees, trouble, restarts, memory, its end.

They are events like those of ``protocol.events``.
"""

from __future__ import annotations

from protocol.event import Event
from protocol.ids import PeerId


class PeerSeen(Event, frozen=True):
    """A peer announced itself; ``phase`` is what it says it is doing."""

    peer: PeerId
    phase: str
    round: int


class Problem(Event, frozen=True):
    """Something is wrong and the peer goes on: what, what for the credits, what to do. ``error`` is the class."""

    error: str
    what: str
    so_what: str
    next_step: str


class Recovered(Event, frozen=True):
    """The last problem of class ``error`` is over."""

    error: str


class Serving(Event, frozen=True):
    """Metrics and health of this peer can be read at ``url`` while it runs."""

    url: str


class Restarted(Event, frozen=True):
    """Whoever looks after this peer started it again: ``why`` in words, for the ``count``-th time in a row."""

    why: str
    count: int


class MemoryShrunk(Event, frozen=True):
    """Memory ran out while sampling, so less is computed at once from now on: at most ``megabytes`` of working memory.
    What is computed stays the same, bit by bit."""

    what: str
    megabytes: float


class TimesChosen(Event, frozen=True):
    """A run's times follow its model's speed. ``stage_takes_s`` and ``step_takes_s``: the longest stage and a training
    step at most, on the founder's machine; others may take ``margin`` times as long."""

    stage_s: int
    contribute_s: int
    round_s: int
    stage_takes_s: float
    step_takes_s: float
    margin: int


class MemoryPlanned(Event, frozen=True):
    """What this peer is predicted to take at its worst moment, and what was free before it started, in bytes of
    ``place`` (RAM or VRAM). ``cache``: the keys and values that fit, ``full_cache`` what the rules would allow: less
    means smaller batches. ``parts``: what the prediction is made of."""

    model: str
    place: str
    predicted: int
    free: int
    cache: int
    full_cache: int
    parts: dict[str, int]


class MemoryMeasured(Event, frozen=True):
    """The largest memory that this peer took, against what was predicted, in bytes. ``is_near``: within a fifth of it
    (asked only of a peer that trained)."""

    place: str
    predicted: int
    measured: int
    is_near: bool


class StepSkipped(Event, frozen=True):
    """This peer took no training step in ``round`` and makes no contribution. ``reason``: the error's class; ``what``
    happened, in words. Its state is the one before."""

    round: int
    reason: str
    what: str


class NetworkUsed(Event, frozen=True):
    """What this peer asked of the network since it last said so: ``ops`` counts operations by name and result, as
    ``publish ok`` or ``fetch unavailable``."""

    round: int
    ops: dict[str, int]


class Stopped(Event, frozen=True):
    """The peer's process ends in an orderly way. ``peak_mb``: the largest resident memory it ever had."""

    why: str
    exit_code: int
    peak_mb: int
