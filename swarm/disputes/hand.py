"""Why this module exists: a side of a game holds one trace, and the states and data that it started from.

Blocking, and memory goes with the step: runs on the engine's thread, in slices, so that a round's own work comes in
between. Nothing of it exists unless there is a game.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from chain.games import GameRecord, GameSide, MoveRecord
from protocol.errors import VerificationError
from protocol.ids import ContentId
from swarm.policy.base import StateParts
from verde.bisect import calldata, challenger, defender
from verde.bisect.challenger import Evidence, State
from verde.commit import join, parse_manifest, state_root
from verde.program.computation import Computation
from verde.program.program import Sources
from verde.program.trace import Tracing

Array = np.ndarray[Any, Any]

SLICE_S = 0.5
"""How long a trace is computed before somebody else may use the engine's thread."""

KEEP_BYTES = 128 << 20
"""Values of a step that are kept in memory; what does not fit goes to a temporary file."""

SPILL_BYTES = 8 << 30
"""The most that such a file may take. Of a step that is larger, those values are kept from which any other is computed
again within about a micro-batch's time when a move asks for it (``verde.program.stages``)."""


@dataclass(frozen=True)
class Hand:
    """What a side plays with, whichever side it is."""

    evidence: Evidence

    @property
    def has_grounds(self) -> bool:
        """Whether the trace ends otherwise than claimed, so that whoever claims it can be shown to be wrong."""
        return challenger.has_grounds(self.evidence)

    def call(self, record: GameRecord, moves: tuple[MoveRecord, ...], side: GameSide) -> bytes:
        """The next move, written for the contract. Raises ``NothingToShow`` where both sides agree on everything,
        ``BadMove`` when it is not this side's turn."""
        game = calldata.dispute_of(record, moves)
        if side is GameSide.DEFENDER:
            return calldata.encode(record, game, defender.answer(self.evidence.trace, game))
        return calldata.encode(record, game, challenger.answer(self.evidence, game))


class Dealing:
    """Makes a hand, a slice at a time."""

    def __init__(self, computation: Computation, before: StateParts, after: StateParts | None) -> None:
        self._before = _state(before)
        self._after = _state(after) if after is not None else None
        self._sources = Sources(_tensors(self._before), computation.data, self._before.manifest.step)
        self._tracing = Tracing(computation.build(), self._sources, Values())

    def go_on(self, slice_s: float = SLICE_S, now: Callable[[], float] = time.monotonic) -> Hand | None:
        """Compute for about ``slice_s``; the hand once it is complete."""
        until = now() + slice_s
        trace = self._tracing.go_on(lambda: now() >= until)
        return None if trace is None else Hand(Evidence(trace, self._sources, self._before, self._after))


class Values:
    """Values by number: in memory as long as there is room, then in a file that is gone with the process."""

    def __init__(self, keep_bytes: int = KEEP_BYTES, spill_bytes: int = SPILL_BYTES) -> None:
        self._keep_bytes, self._spill_bytes = keep_bytes, spill_bytes
        self._kept: dict[int, Array] = {}
        self._spilled: dict[int, tuple[int, np.dtype[Any], tuple[int, ...]]] = {}
        self._file: IO[bytes] | None = None

    @property
    def room_bytes(self) -> int:
        """See ``verde.program.trace.Store``."""
        return self._keep_bytes + self._spill_bytes

    def put(self, number: int, value: Array) -> bool:
        """See ``verde.program.trace.Store``. A disk that is full is no room."""
        if value.nbytes <= self._keep_bytes:
            self._keep_bytes -= value.nbytes
            self._kept[number] = value
            return True
        if value.nbytes > self._spill_bytes:
            self._forget()
            return False
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the game)
            self._spilled[number] = (self._file.seek(0, os.SEEK_END), value.dtype, value.shape)
            self._file.write(np.ascontiguousarray(value).data)
        except OSError:
            self._forget()
            return False
        self._spill_bytes -= value.nbytes
        return True

    def get(self, number: int) -> Array:
        """See ``verde.program.trace.Store``."""
        if number in self._kept:
            return self._kept[number]
        offset, dtype, shape = self._spilled[number]
        assert self._file is not None
        self._file.seek(offset)
        return np.frombuffer(self._file.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)

    def _forget(self) -> None:
        self._kept.clear()
        self._spilled.clear()
        if self._file is not None:
            self._file.close()


def check_state(parts: StateParts, root: ContentId) -> None:
    """Raises ``VerificationError`` when these are not the parts of that state."""
    if state_root(parse_manifest(parts.manifest)) != root:
        raise VerificationError(
            f"What is kept as the state {root[:16]}… is another one.",
            "A game about it cannot be played; the deadline decides it.",
            "Look whether the disk is damaged.",
        )


def _state(parts: StateParts) -> State:
    return State(parse_manifest(parts.manifest), parts.chunks)


def _tensors(state: State) -> Mapping[str, Array]:
    manifest = state.manifest
    joined = join(manifest, state.chunks, manifest.tensors, manifest.base)
    return {
        row.name: np.frombuffer(joined[row.name], np.dtype("<f4")).reshape(row.shape).astype(np.float32, copy=False)
        for row in manifest.tensors
    }
