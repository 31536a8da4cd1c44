"""Why this module exists: a log is a recording; this plays it back to any moment, forwards and backwards.

A ``Tape`` is a read-model in memory that holds what its log said up to a time. Going back starts from the nearest saved
copy, so that scrubbing through a long run does not read it from the beginning each time.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from protocol.events import LoggedEvent
from swarm.observe import fold
from swarm.observe.eventlog import LINE_CAP, START, Position, read_from
from swarm.observe.store import Store, clear
from swarm.observe.stores import EVENTS, natural

_BLOCK = 1 << 20
_COPY_EVERY = 2_000
"""Events between two saved copies."""

_COPIES_CAP = 64 << 20
"""Bytes of saved copies per tape; beyond it every second one is given up."""

_ROUND = re.compile(rb'"type":"Round(Opened|Ended)"')


class RoundMark(NamedTuple):
    """When a round began for the earliest local peer, and ended for the latest (unix seconds)."""

    round: int
    opened_at: float
    ended_at: float


class _Copy(NamedTuple):
    at: float
    data: bytes
    position: Position
    num_taken: int


class _Stamp(msgspec.Struct):
    at: float


class Tape(Store):
    """One log up to a moment. Not for several threads at once."""

    def __init__(self, log: Path) -> None:
        super().__init__(log, Path(":memory:"))
        self.at = float("-inf")
        self._copies: list[_Copy] = []
        self._copy_every = _COPY_EVERY
        self._num_folded = 0
        self._start()

    def refresh(self) -> bool:
        """A recording does not grow."""
        return False

    def wind(self, at: float) -> bool:
        """Make it hold exactly what the log said by ``at`` (unix seconds); True when anything changed."""
        changed = False
        if at < self.at:
            self._back(at)
            changed = True
        taken: list[float] = []
        self._db.execute("BEGIN")
        while (logged := self._next()) is not None and logged.at <= at:
            self._take(logged)
            taken.append(logged.at)
            self._num_folded += 1
            changed = True
            if self._num_folded % self._copy_every == 0:
                self._note(taken)
                taken = []
                self._save(logged.at)
                self._db.execute("BEGIN")
        self._note(taken)
        self.at = at
        return changed

    def next_at(self) -> float | None:
        """When the next event after the present moment happens; None at the end."""
        logged = self._next()
        return None if logged is None else logged.at

    def _start(self) -> None:
        self._block: deque[LoggedEvent] = deque()
        self._block_start = self._block_end = START
        self._num_taken = 0

    def _next(self) -> LoggedEvent | None:
        while not self._block:
            chunk = read_from(self.log, self._block_end, _BLOCK)
            if not chunk.events and not chunk.more:
                return None
            self._block_start, self._block_end = self._block_end, chunk.position
            self._block, self._num_taken = deque(chunk.events), 0
        return self._block[0]

    def _take(self, logged: LoggedEvent) -> None:
        self._block.popleft()
        self._num_taken += 1
        with contextlib.suppress(OverflowError, UnicodeEncodeError):  # as the live read-model does
            fold.apply(self._db, logged)

    def _note(self, taken: list[float]) -> None:
        """Count events by their times, and close the transaction."""
        if taken:
            self._db.execute(
                "UPDATE log SET num_events = num_events + ?, first_at = coalesce(first_at, ?), last_at = ?",
                (len(taken), taken[0], taken[-1]),
            )
        self._db.execute("COMMIT")

    def _save(self, at: float) -> None:
        """Keep a copy of this moment, unless one of a later moment is there: then this was passed before."""
        if self._copies and at <= self._copies[-1].at:
            return
        self._copies.append(_Copy(at, self._db.serialize(), self._block_start, self._num_taken))
        if sum(len(copy.data) for copy in self._copies) > _COPIES_CAP:
            self._copies = self._copies[1::2]
            self._copy_every *= 2

    def _back(self, at: float) -> None:
        earlier = [copy for copy in self._copies if copy.at <= at]
        if not earlier:
            self._db.execute("BEGIN")
            clear(self._db)
            self._db.execute("COMMIT")
            self._start()
            return
        copy = earlier[-1]
        self._db.deserialize(copy.data)
        chunk = read_from(self.log, copy.position, _BLOCK)
        self._block_start, self._block_end = copy.position, chunk.position
        self._block = deque(chunk.events[copy.num_taken :])
        self._num_taken = copy.num_taken


class Rewind:
    """All logs under HOME as recordings. ``peers`` are their tapes; ``first_at`` to ``last_at`` is what they cover."""

    def __init__(self, home: Path) -> None:
        logs = _logs(home)
        self.peers: dict[str, Store] = {path.parent.name: Tape(path) for path in logs}
        self.host: Store | None = None
        spans = [span for path in logs if (span := _span(path)) is not None]
        self.first_at = min((span[0] for span in spans), default=0.0)
        self.last_at = max((span[1] for span in spans), default=0.0)
        self.rounds = _rounds(logs)

    def wind(self, at: float) -> bool:
        """Every tape to ``at``; True when anything changed."""
        return any([tape.wind(at) for tape in self.tapes])

    def next_at(self) -> float | None:
        """When anything happens next."""
        return min((at for tape in self.tapes if (at := tape.next_at()) is not None), default=None)

    @property
    def tapes(self) -> list[Tape]:
        return [store for store in self.peers.values() if isinstance(store, Tape)]

    def close(self) -> None:
        for store in self.peers.values():
            store.close()


def round_marks(home: Path) -> tuple[RoundMark, ...]:
    """Every round in the logs under HOME, in order."""
    return _rounds(_logs(home))


def _logs(home: Path) -> list[Path]:
    return sorted((Path(home) / "peers").glob(f"*/{EVENTS}"), key=natural)


def _span(path: Path) -> tuple[float, float] | None:
    """Times of the first and the last line."""
    with path.open("rb") as file:
        first = _stamp(file.readline(LINE_CAP + 1))
        size = file.seek(0, 2)
        file.seek(max(0, size - LINE_CAP))
        stamps = [at for line in reversed(file.read().split(b"\n")[-50:]) if (at := _stamp(line)) is not None]
    return None if first is None or not stamps else (first, stamps[0])


def _stamp(line: bytes) -> float | None:
    try:
        return msgspec.json.decode(line, type=_Stamp).at
    except msgspec.MsgspecError:
        return None


def _rounds(logs: list[Path]) -> tuple[RoundMark, ...]:
    """Only the lines that open or end a round are read in full: a log is long, and they are few."""
    opened: dict[int, float] = {}
    ended: dict[int, float] = {}
    for path in logs:
        with path.open("rb") as file:
            for line in file:
                if len(line) > LINE_CAP or not _ROUND.search(line[:200]):
                    continue
                try:
                    logged = msgspec.json.decode(line, type=LoggedEvent)
                except msgspec.MsgspecError:
                    continue
                number = getattr(logged.event, "round", 0)
                if b'"RoundOpened"' in line[:200]:
                    opened[number] = min(logged.at, opened.get(number, logged.at))
                else:
                    ended[number] = max(logged.at, ended.get(number, logged.at))
    starts = sorted(opened.items())
    following = {number: at for (number, _), (_, at) in pairwise(starts)}
    return tuple(RoundMark(number, at, ended.get(number, following.get(number, float("inf")))) for number, at in starts)
