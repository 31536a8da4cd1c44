"""Why this module exists: a model card states what was measured, on questions that no training text contained."""

from __future__ import annotations

from pathlib import Path

import msgspec

from models.examples import careless
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.run import GameRules, LearnRules
from rewards.scoring.stages import StageScore, score_answer
from swarm.game.prompts import answer_prompt
from swarm.game.rescore import build_batch, rescore
from swarm.game.round_view import RoundView, stage_requests, stage_sampling, with_batches
from swarm.policy.base import SampleRequest, Sampling
from swarm.policy.native import NativeEngine
from swarm.tasks.base import Question
from swarm.tasks.reasoning_gym import ReasoningGymTask

NUM_GREEDY = 1024
NUM_PLAYED = 96
SEED = 20_240_229
RULES = GameRules(
    num_questions=NUM_PLAYED, num_samples=4, answer_tokens=64, critique_tokens=64, decide_tokens=80,
    temperature_milli=1000, cohort_size=3,
)  # fmt: skip


class StageMeasure(msgspec.Struct, frozen=True):
    """Sampled at temperature 1 in a round of three copies of the model. Shares in percent, scores in milli."""

    well_formed: float
    correct: float
    mean_score_milli: float


class Measures(msgspec.Struct, frozen=True):
    """``greedy``: percent of ``NUM_GREEDY`` held-out questions answered right at temperature 0; ``careless``: percent
    of them that somebody who forgets every carry would answer right."""

    greedy: float
    careless: float
    stages: dict[str, StageMeasure]


def measure(directory: Path, task: ReasoningGymTask, num_threads: int) -> Measures:
    """Play one round on held-out questions, and answer more of them greedily."""
    engine = NativeEngine.open(directory, LearnRules(0, 1, 0, 0, 0, 0, 0, 0, 0), num_threads=num_threads)
    questions = task.questions(SEED, NUM_GREEDY, held_out=True)
    greedy = greedy_correct(engine, task, questions, RULES.answer_tokens)
    no_carry = sum(careless(question.text) == question.truth for question in questions)
    run, seed = ContentId("0" * 64), ContentId("1" * 64)
    peers = tuple(PeerId(f"copy-{letter}") for letter in "123")
    view = RoundView(run, 1, seed, RULES, peers, task.questions(SEED + 1, NUM_PLAYED, held_out=True))
    stages = {}
    for stage in STAGES:
        batches = {
            peer: build_batch(
                view, stage, peer, engine.generate(stage_requests(view, stage, peer), stage_sampling(RULES, stage))
            )
            for peer in peers
        }
        stages[stage.value] = _summary(
            [score for batch in batches.values() for row in rescore(batch, view, task) for score in row]
        )
        if stage is not Stage.DECIDE:
            view = with_batches(view, stage, batches)
    return Measures(100 * greedy / NUM_GREEDY, 100 * no_carry / NUM_GREEDY, stages)


def greedy_correct(
    engine: NativeEngine, task: ReasoningGymTask, questions: tuple[Question, ...], max_new_tokens: int
) -> int:
    """How many of ``questions`` the engine answers right at temperature 0."""
    requests = [SampleRequest(answer_prompt(question.text), 0) for question in questions]
    completions = engine.generate(requests, Sampling(max_new_tokens, temperature=0.0))
    return sum(
        score_answer(completion.text, lambda answer, question=question: task.score(question, answer)).correct  # type: ignore[misc]
        for question, completion in zip(questions, completions, strict=True)
    )


def _summary(scores: list[StageScore]) -> StageMeasure:
    count = len(scores)
    return StageMeasure(
        well_formed=100 * sum(score.format_milli == 1000 for score in scores) / count,
        correct=100 * sum(score.correct for score in scores) / count,
        mean_score_milli=sum(score.score_milli for score in scores) / count,
    )
