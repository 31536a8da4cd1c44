"""Why this module exists: a task is a source of questions and a judge of answers, and nothing more."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec


class Question(msgspec.Struct, frozen=True):
    """A question, the answer that the task holds true, and the family it came from.

    ``payload`` is what the judge needs besides the text (JSON); it never leaves this machine: peers derive it from the
    same seed. ``truth`` is never taken from a peer's record.
    """

    text: str
    truth: str
    family: str
    payload: str = ""


class Task(Protocol):
    """Seeded questions, split into training and held-out ones by the hash of the question's text."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Changes whenever the same seed would give other questions or the judge other scores; part of the run's id."""
        ...

    @property
    def num_held_out(self) -> int | None:
        """How many held-out questions there are; ``None`` where there are always more."""
        ...

    def questions(self, seed: int, count: int, *, held_out: bool = False, level: int = 0) -> tuple[Question, ...]:
        """``count`` distinct questions, the same for everyone with the same seed. ``level``: from 1 to
        ``TaskSpec.num_levels``, or 0 for questions of all levels."""
        ...

    def score(self, question: Question, answer: str) -> int:
        """0 to 1000 (milli). What cannot be judged scores 0. Same answer, same score, anywhere; only a task that runs
        something under limits (``TaskSpec.is_exact`` is false) may differ at their edge, may block for as long as they
        say, and raises ``rewards.scoring.stages.Undecided`` where this machine cannot find out."""
        ...


def is_held_out(text: str, one_in: int) -> bool:
    """Whether a question with this text is only ever used for evaluation: SHA-256 of the text, modulo ``one_in``."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") % one_in == 0
