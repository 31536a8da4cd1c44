"""Why this module exists: what a model has learned is measured on questions that nobody ever trains on."""

from __future__ import annotations

from protocol.ids import ContentId, Stage
from protocol.seeds import derive_seed
from rewards.scoring.format import parse
from rewards.scoring.stages import Undecided
from swarm.game.prompts import answer_prompt
from swarm.policy.base import Engine, SampleRequest, Sampling
from swarm.tasks.base import Question, Task

FULL_MILLI = 1000


class Exam:
    """The same held-out questions for every peer of a run, answered greedily; only a fully right answer counts."""

    def __init__(self, task: Task, run: ContentId, num_questions: int, max_new_tokens: int) -> None:
        self._task = task
        there_are = task.num_held_out
        count = num_questions if there_are is None else min(num_questions, there_are)
        self._questions = task.questions(derive_seed("exam", run), count, held_out=True)
        self._sampling = Sampling(max_new_tokens=max_new_tokens, temperature=0.0)

    @property
    def num_questions(self) -> int:
        return len(self._questions)

    def take(self, engine: Engine) -> int:
        """How many answers are right. Blocks while the engine generates."""
        requests = [SampleRequest(answer_prompt(question.text), 0) for question in self._questions]
        completions = engine.generate(requests, self._sampling)
        answers = [parse(Stage.ANSWER, completion.text).fields.get("answer") for completion in completions]
        scored = zip(self._questions, answers, strict=True)
        return sum(answer is not None and self._is_right(question, answer) for question, answer in scored)

    def _is_right(self, question: Question, answer: str) -> bool:
        try:
            return self._task.score(question, answer) == FULL_MILLI
        except Undecided:
            return False
