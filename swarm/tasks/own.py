"""Why this module exists: people bring their own questions; every peer must draw the same of them, and judge alike."""

from __future__ import annotations

from protocol.codec import content_id_of
from protocol.errors import BadRecord, ConfigError
from protocol.ids import ContentId
from protocol.run import QuestionSet, TaskSpec
from protocol.seeds import derive_seed
from rewards.scoring.stages import Undecided
from rewards.scoring.verifiers import FULL, VERIFIER_VERSION, verify
from swarm.judges.judged import judge_version, open_judge
from swarm.judges.math_pool import MathPool
from swarm.judges.tests_of_code import read_tests
from swarm.tasks.base import Question, is_held_out
from swarm.tasks.questions import Rows, row_levels, unpack

CHECKS = {
    "exact": "the same text",
    "number": "the same number",
    "quantity": "the same number, whatever its unit",
    "math": "an equal mathematical expression",
    "code": "code that passes the tests",
}
"""How an answer may be compared, and what that means in words."""


NUM_TRIED = 16
"""Answers that are compared with themselves before a set of expressions is taken."""


def own_version(check: str = "exact") -> str:
    """Names the verifiers and what else judges: peers with other ones are in another run."""
    return ", ".join(filter(None, (f"questions, verifiers {VERIFIER_VERSION}", judge_version(check))))


class OwnTask:
    """A ``Task`` over a question set.

    Raises ``ConfigError`` for a spec that it cannot serve, or where ``blob`` is not the spec's question set.
    """

    def __init__(self, spec: TaskSpec, blob: bytes) -> None:
        data = require_own(spec)
        try:
            rows = unpack(blob, data)
        except BadRecord as error:
            raise ConfigError(
                f"The questions of task {spec.name!r} cannot be used: {error.what}",
                "Nothing was started: you would be asked, and scored on, something else than the rest of the swarm.",
                "Delete the file under HOME/questions, so that it is fetched again, or ask whoever founded the run.",
            ) from error
        self.spec = spec
        self._check = data.check
        self._judge = open_judge(data)
        self._id = content_id_of(spec)
        self._sides: dict[tuple[bool, int], list[tuple[str, str]]] = {}
        for row, level in zip(rows, row_levels(data), strict=True):
            held_out = is_held_out(row[0], spec.held_out_one_in)
            for group in {0, level}:  # 0: all levels
                self._sides.setdefault((held_out, group), []).append(row)
        if not self._side(True, 0):
            raise ConfigError(
                f"None of the {len(rows)} questions of task {spec.name!r} is held out.",
                "Nothing was started: nobody could tell what the swarm learns.",
                "Write more questions, or lower held_out_one_in.",
            )

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def version(self) -> str:
        return self.spec.version

    @property
    def num_held_out(self) -> int:
        return len(self._side(True, 0))

    def questions(self, seed: int, count: int, *, held_out: bool = False, level: int = 0) -> tuple[Question, ...]:
        """``count`` different questions of one side of the split: the first ``count`` of an order that ``seed`` gives.

        Raises ``ConfigError`` when the set has too few.
        """
        rows = self._side(held_out, level)
        if count > len(rows):
            raise ConfigError(
                f"Task {self.name!r} has {len(rows)} {'held-out' if held_out else 'training'} questions"
                f"{f' of level {level}' if level else ''}; {count} are asked at once.",
                "",
                "Write more questions, or ask for fewer (game.num_questions, observe.num_eval_questions)"
                f"{', or make fewer levels' if level else ''}.",
            )
        return tuple(self._question(*rows[number]) for number in _first_of_shuffle(self._id, seed, len(rows), count))

    def score(self, question: Question, answer: str) -> int:
        """0 to 1000; see ``rewards.scoring.verifiers``, and ``swarm.judges`` for what has to be run."""
        if self._judge is not None:
            return self._judge.score(question.truth, answer)
        return verify(self._check, answer, question.truth)

    def close(self) -> None:
        """End what its judge keeps running."""
        if self._judge is not None:
            self._judge.close()

    def _side(self, held_out: bool, level: int) -> list[tuple[str, str]]:
        return self._sides.get((held_out, level), [])

    def _question(self, text: str, truth: str) -> Question:
        return Question(text=text, truth=truth, family=self.name)


def require_own(spec: TaskSpec) -> QuestionSet:
    """The spec's question set. Raises ``ConfigError`` where this program cannot ask from it."""
    mine = own_version(spec.data.check if spec.data is not None else "exact")
    if spec.version != mine:
        raise ConfigError(
            f"This run's questions are judged by {spec.version!r}; this program has {mine!r}.",
            "You would be scored otherwise than the rest of the swarm.",
            "Install the version of this program that the host runs.",
        )
    if spec.data is None or spec.families:
        raise ConfigError("A task has either families or data.", "", "Correct the task file.")
    if spec.data.check not in CHECKS:
        raise ConfigError(
            f"There is no check {spec.data.check!r}.", "Nothing was started.", f"Use one of: {', '.join(CHECKS)}."
        )
    if spec.held_out_one_in < 2:
        raise ConfigError(f"held_out_one_in is {spec.held_out_one_in}.", "", "Set it to 2 or more.")
    return spec.data


def first_unjudgeable(rows: Rows, check: str) -> tuple[int, str, str] | None:
    """Number and answer of the first row whose own answer would not be right (words, say, where a number is asked), and
    why, where more is known. Tests of code are read, not run; of expressions, which take their time, some are tried."""
    if check == "math":
        return _first_unreadable(rows[:NUM_TRIED])
    for number, (_, answer) in enumerate(rows):
        if check == "code":
            try:
                read_tests(answer)
            except ValueError as error:
                return number, answer, str(error)
        elif verify(check, answer, answer) != FULL:
            return number, answer, ""
    return None


def _first_unreadable(rows: Rows) -> tuple[int, str, str] | None:
    pool = MathPool(10.0)
    try:
        for number, (_, answer) in enumerate(rows):
            judged = pool.compare(answer, answer)
            if judged != FULL:
                return number, answer, judged.why
    except Undecided as error:
        raise ConfigError(
            f"Mathematical answers cannot be checked here: {error}.", "Nothing was started.", "Try it again."
        ) from error
    finally:
        pool.close()
    return None


def _first_of_shuffle(task: ContentId, seed: int, size: int, count: int) -> list[int]:
    """The first ``count`` places of a Fisher-Yates shuffle of ``size``, without shuffling the rest."""
    moved: dict[int, int] = {}
    drawn = []
    for place in range(count):
        other = place + derive_seed("row", task, seed, place) % (size - place)
        drawn.append(moved.get(other, other))
        moved[other] = moved.get(place, place)
    return drawn
