"""A small round with three peers, played by hand: no model, no network."""

from collections.abc import Callable, Sequence

import pytest

from protocol.ids import ContentId, PeerId, Stage
from protocol.run import FamilySpec, GameRules, TaskSpec
from swarm.game.rescore import build_batch
from swarm.game.round_view import RoundView, round_questions
from swarm.policy.base import Completion
from swarm.tasks.reasoning_gym import ReasoningGymTask, task_version

RUN, SEED = ContentId("1" * 64), ContentId("2" * 64)
PEERS = (PeerId("QmAda"), PeerId("QmBob"), PeerId("QmCyd"))
RULES = GameRules(
    num_questions=3, num_samples=2, answer_tokens=8, critique_tokens=8, decide_tokens=8, temperature_milli=1000,
    cohort_size=8,
)  # fmt: skip


@pytest.fixture(scope="session")
def task():
    row = FamilySpec("chain_sum", 1, '{"max_terms":2,"max_digits":2}')
    return ReasoningGymTask(TaskSpec("sums", task_version(), (row,), 8))


@pytest.fixture(scope="session")
def view(task):
    return RoundView(RUN, 4, SEED, RULES, PEERS, round_questions(task, RUN, 4, SEED, RULES.num_questions))


def batch(view: RoundView, stage: Stage, peer: PeerId, texts: Callable[[int, int], str]):
    """A peer's batch whose text for (question, sample) is ``texts``; token ids are made up."""
    completions: Sequence[Completion] = [
        Completion(tokens=(7, 0), text=texts(question, sample), ended=True)
        for question in range(len(view.questions))
        for sample in range(view.game.num_samples)
    ]
    return build_batch(view, stage, peer, completions)


def answering(value: str) -> str:
    return f"<think>work</think><answer>{value}</answer>"


def picking(label: str) -> str:
    return f"<compare>check</compare><identify>{label}</identify>"


def deciding(label: str, value: str) -> str:
    return f"<majority>{label}</majority><think>work</think><answer>{value}</answer>"
