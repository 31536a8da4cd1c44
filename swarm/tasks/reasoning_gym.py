"""Why this module exists: every peer must draw the same questions from a seed, and judge answers the same way.

Questions come from reasoning-gym's generators, verdicts from ``rewards.scoring.verifiers``. reasoning-gym is imported
when the first question is drawn (about 1 s and 35 MB on top of torch), so that commands that only print stay quick.
"""

from __future__ import annotations

import decimal
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version as installed_version
from typing import Any

from protocol.codec import content_id_of
from protocol.errors import ConfigError
from protocol.run import FamilySpec, TaskSpec
from protocol.seeds import derive_bytes, derive_seed
from rewards.scoring.verifiers import FULL, VERIFIER_VERSION, verify
from swarm.tasks.base import Question, is_held_out
from swarm.tasks.families import DEFAULT_CAP, FAMILIES, Item
from swarm.tasks.questions import QUESTION_CAP

_ATTEMPTS_PER_QUESTION = 100
_RESERVED = {"seed", "size"}
_FIX_TASK = "Correct the task file (see configs/tasks for examples)."


def task_version() -> str:
    """Names the generator and the verifiers: peers with other ones are in another run."""
    return f"reasoning-gym {installed_version('reasoning_gym')}, verifiers {VERIFIER_VERSION}"


class ReasoningGymTask:
    """A ``Task`` over a weighted mix of reasoning-gym families. Raises ``ConfigError`` for a spec it cannot serve."""

    def __init__(self, spec: TaskSpec) -> None:
        if spec.version != task_version():
            raise ConfigError(
                f"This run's questions come from {spec.version!r}; this program has {task_version()!r}.",
                "You would be asked, and scored on, other questions than the rest of the swarm.",
                "Install the version of this program that the host runs.",
            )
        if spec.held_out_one_in < 2:
            raise ConfigError(f"held_out_one_in is {spec.held_out_one_in}.", "", "Set it to 2 or more. " + _FIX_TASK)
        if not spec.families or any(not 1 <= family.weight <= 1_000_000 for family in spec.families):
            raise ConfigError("A task needs families, each with a weight from 1 to 1000000.", "", _FIX_TASK)
        if len({(family.family, family.level) for family in spec.families}) < len(spec.families):
            raise ConfigError("A family is listed twice in a level of the task.", "", "Merge its entries. " + _FIX_TASK)
        empty = set(range(1, spec.num_levels + 1)) - {family.level for family in spec.families}
        if empty:
            raise ConfigError(
                f"The task has no family of level {min(empty)}.", "", "Number levels from 1. " + _FIX_TASK
            )
        self.spec = spec
        self._id = content_id_of(spec)
        self._parameters = [_parameters(family) for family in spec.families]
        self._generators: dict[int, Callable[[int], Item]] = {}

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def version(self) -> str:
        return self.spec.version

    @property
    def num_held_out(self) -> None:
        return None

    def questions(self, seed: int, count: int, *, held_out: bool = False, level: int = 0) -> tuple[Question, ...]:
        """``count`` distinct questions of one side of the split. Raises ``ConfigError`` when the task has too few."""
        entries = [number for number, family in enumerate(self.spec.families) if level in (0, family.level)]
        found: dict[str, Question] = {}
        for attempt in range(_ATTEMPTS_PER_QUESTION * self.spec.held_out_one_in * max(count, 10)):
            if len(found) >= count:
                break
            question = self._draw(entries, seed, attempt)
            if question is None or question.text in found:
                continue
            if is_held_out(question.text, self.spec.held_out_one_in) == held_out:
                found[question.text] = question
        if len(found) < count:
            raise ConfigError(
                f"Task {self.name!r} has fewer than {count} distinct {'held-out ' if held_out else ''}questions"
                f"{f' of level {level}' if level else ''}.",
                "",
                "Widen its parameters, or ask for fewer questions.",
            )
        return tuple(found.values())

    def score(self, question: Question, answer: str) -> int:
        """0 to 1000; see ``rewards.scoring.verifiers``."""
        kind, _, payload = question.payload.partition(" ")
        return verify(kind, answer, question.truth, payload)

    def _draw(self, entries: Sequence[int], seed: int, attempt: int) -> Question | None:
        ticket = int.from_bytes(derive_bytes("family", self._id, seed, attempt)[:8], "big")
        entry = self._entry(entries, ticket)
        family = self.spec.families[entry].family
        try:
            with decimal.localcontext():  # one generator changes the thread's decimal precision
                item = self._generator(entry)(derive_seed("question", self._id, seed, attempt))
        except ArithmeticError:  # a generator that divides by zero does so for everyone: that index has no question
            return None
        row, text = FAMILIES[family], str(item["question"]).strip()
        if len(text) > QUESTION_CAP:
            return None
        payload = f"{row.verifier(item)} {row.payload(item, self._parameters[entry])}".strip()
        question = Question(text=text, truth=row.truth(item), family=family, payload=payload)
        # Some generators give up and name a wrong example; who asks must know at least one right answer.
        return question if self.score(question, question.truth) == FULL else None

    def _entry(self, entries: Sequence[int], number: int) -> int:
        """Which of the spec's families a question comes from, by their weights."""
        ticket = number % sum(self.spec.families[entry].weight for entry in entries)
        for entry in entries:
            ticket -= self.spec.families[entry].weight
            if ticket < 0:
                return entry
        raise AssertionError("weights are positive")

    def _generator(self, entry: int) -> Callable[[int], Item]:
        if entry not in self._generators:
            self._generators[entry] = _build(self.spec.families[entry].family, self._parameters[entry])
        return self._generators[entry]


def _parameters(family: FamilySpec) -> dict[str, Any]:
    """The family's parameters, checked. Whether reasoning-gym knows their names is checked when it is built."""
    if family.family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ConfigError(f"There is no task family {family.family!r}.", "", f"Use one of: {known}.")
    try:
        parameters = json.loads(family.parameters or "{}")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The parameters of {family.family!r} are not JSON.", "", _FIX_TASK) from error
    if not isinstance(parameters, dict) or len(family.parameters) > 4000:
        raise ConfigError(f"The parameters of {family.family!r} are not a short JSON object.", "", _FIX_TASK)
    caps = FAMILIES[family.family].caps
    for name, value in parameters.items():
        if name in _RESERVED:
            raise ConfigError(f"{name!r} of {family.family!r} cannot be set: the round's seed decides.", "", _FIX_TASK)
        if isinstance(value, int | float) and not isinstance(value, bool):
            limit = caps.get(name, DEFAULT_CAP)
            if not -limit <= value <= limit:
                raise ConfigError(f"{name} = {value} of {family.family!r} is beyond {limit}.", "", _FIX_TASK)
    return parameters


def _build(family: str, parameters: dict[str, Any]) -> Callable[[int], Item]:
    import reasoning_gym

    try:
        dataset: Any = reasoning_gym.create_dataset(family, seed=0, size=1, **parameters)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(f"reasoning-gym refuses the parameters of {family!r}: {error}.", "", _FIX_TASK) from error
    return lambda index: dataset[index]
