"""Whole games between two traces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from protocol.ids import ContentId
from tests.verde.program.small import PROGRAMS
from verde.bisect import challenger, defender
from verde.bisect.challenger import Evidence, State
from verde.bisect.game import Dispute, Phase, Side, Terms, open_dispute, play
from verde.commit import split, state_root, tensor_row
from verde.program.execute import execute
from verde.program.program import Sources
from verde.program.trace import Trace

BASE = ContentId("ab" * 32)


def state_of(tensors: dict[str, np.ndarray], step: int) -> State:
    rows = [(tensor_row(name, x.shape), x.tobytes()) for name, x in sorted(tensors.items())]
    return State(*split(step, BASE, rows))


@dataclass(frozen=True)
class Honest:
    """A program that was executed as it should be."""

    trace: Trace
    sources: Sources
    before: State
    after: State

    def terms(self, after: State | None) -> Terms:
        return Terms(
            program_root=self.trace.program.root,
            state_before=state_root(self.before.manifest),
            state_after=None if after is None else state_root(after.manifest),
            data_root=ContentId(self.sources.data_tree.root),
            trace_seconds=1000,
            move_seconds=100,
        )


@cache
def honest(name: str) -> Honest:
    program, sources = PROGRAMS[name]()
    trace = Trace.of_values(program, execute(program, sources))
    results = {result.removeprefix("tensor/"): value for result, value in trace.results().items()}
    after = results if name == "step" else sources.state
    return Honest(trace, sources, state_of(dict(sources.state), sources.step), state_of(dict(after), sources.step + 2))


def other_value(value: np.ndarray, element: int) -> np.ndarray:
    """The same but for the least bit of one element."""
    changed = value.copy().reshape(-1)
    changed.view({4: np.uint32, 2: np.uint16, 1: np.uint8}[value.itemsize])[element] ^= 1
    return changed.reshape(value.shape)


def play_out(terms: Terms, accused: Trace, evidence: Evidence) -> list[Dispute]:
    """The game from its opening to its end, one state per move."""
    games = [open_dispute(terms, now=0)]
    while games[-1].phase is not Phase.OVER:
        game = games[-1]
        side = game.phase.turn
        move = defender.answer(accused, game) if side is Side.DEFENDER else challenger.answer(evidence, game)
        games.append(play(game, side, move, now=game.deadline))
    return games
