"""What a contribution must name follows from its material, the engine that made it included."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.ids import ZERO_ROOT, ContentId, Stage
from swarm.audit.commitments import Material, derive
from swarm.game.round_view import RoundView
from swarm.policy.base import ChatMessage
from swarm.policy.fake import FakeEngine
from swarm.rounds.contribution import Commitments
from swarm.tasks.base import Question
from tests.swarm.game.conftest import PEERS, RULES, RUN, SEED
from tests.swarm.game.test_contested import checked
from tests.swarm.small_swarm import pupil
from verde.program.computation import Computation

ANN, BOB = PEERS[:2]
STEP, DRAW = ContentId("a1" * 32), ContentId("b2" * 32)


class Proving(FakeEngine):
    """Has programs, and counts how often it is asked for one."""

    asked = 0

    def step_computation(self, samples, seed):
        return self._named(STEP)

    def draw_computation(self, request, sampling, tokens):
        return self._named(DRAW)

    def _named(self, root):
        self.asked += 1
        return Computation(root, {"x": np.zeros(1, np.float32)}, lambda: None)


def material(engine: str) -> Material:
    view = RoundView(RUN, 4, SEED, RULES, PEERS, [Question("2 * 2 = ?", "4", "sums")])
    own, other = checked(view, ANN, (1000, 0)), checked(view, BOB, (0, 1000))
    batches = {stage: {} for stage in Stage} | {Stage.ANSWER: {ANN: own, BOB: other}}
    return Material(view, ANN, engine, batches, {Stage.ANSWER: [(ChatMessage("user", "2 * 2 = ?"),)]})


def test_exact_work_names_its_step_and_every_draw():
    engine = Proving(pupil)
    derived = derive(engine, material("exact"), 4)
    assert (derived.commitments.step_program, derived.has_step, engine.asked) == (STEP, True, 3)
    assert ZERO_ROOT not in (derived.commitments.draws, derived.commitments.step_data)


@pytest.mark.parametrize("made_by", ["native", "trl"])
def test_nobody_writes_down_programs_for_work_of_an_engine_that_is_only_tolerated(made_by):
    engine = Proving(pupil)
    derived = derive(engine, material(made_by), 4)
    assert (derived.commitments, derived.has_step, engine.asked) == (Commitments(), True, 0)


def test_places_are_numbered_by_stage_question_and_sample_and_each_has_its_own_seed():
    one = material("exact")
    assert [(place.stage, place.question, place.sample, place.rollout.tokens) for place in one.places] == [
        (Stage.ANSWER, 0, 0, (1, 7)), (Stage.ANSWER, 0, 1, (2, 7)),
    ]  # fmt: skip
    requests = [one.request(place) for place in one.places]
    assert requests[0].prompt == requests[1].prompt == one.prompts[Stage.ANSWER][0]
    assert requests[0].seed != requests[1].seed
