"""Why this module exists: what an answer is worth, and why, where it takes a process of its own to find out.

The same answer to the same question is judged once: critiques and decisions are scored by the answers that they show.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.metadata import version as installed_version

from protocol.errors import ConfigError
from protocol.run import QuestionSet
from rewards.scoring.stages import Judged
from rewards.scoring.verifiers import ANSWER_CAP, FULL
from swarm.judges import sandbox
from swarm.judges.math_pool import MathPool
from swarm.judges.protection import require_protection
from swarm.judges.tests_of_code import CODE_CAP, code_in, read_tests

CODE_VERSION = "1"
"""Changes whenever the same code would get another score."""

_REMEMBERED = 1 << 14


def judge_version(check: str) -> str:
    """What a judge is made of, besides the verifiers; empty for checks that run nothing."""
    if check == "math":
        return f"math-verify {installed_version('math-verify')}, sympy {installed_version('sympy')}"
    return f"code {CODE_VERSION}" if check == "code" else ""


def answer_cap(check: str) -> int:
    """Characters of an answer (of the tests, where code is asked for)."""
    return CODE_CAP if check == "code" else ANSWER_CAP


class MathJudge:
    """Equal expressions, by math-verify, in processes with a limit of CPU time."""

    def __init__(self, data: QuestionSet) -> None:
        self._pool = MathPool(data.limit_s, num_workers=max(1, (os.cpu_count() or 1) // 2))
        self.score = lru_cache(maxsize=_REMEMBERED)(self._score)

    def _score(self, truth: str, answer: str) -> Judged:
        if len(answer) > ANSWER_CAP:
            return Judged(0, f"longer than {ANSWER_CAP} characters")
        if answer.strip() == truth.strip():
            return Judged(FULL)
        return self._pool.compare(answer, truth)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


class CodeJudge:
    """Code that returns what the tests expect, run in a cell. Raises ``ConfigError`` where there can be none."""

    def __init__(self, data: QuestionSet) -> None:
        require_protection()
        self._limits = sandbox.Limits(data.limit_s, data.memory_mb << 20)
        self.score = lru_cache(maxsize=_REMEMBERED)(self._score)

    def _score(self, truth: str, answer: str) -> Judged:
        code = code_in(answer)
        if len(code) > CODE_CAP:
            return Judged(0, f"longer than {CODE_CAP} characters")
        tests = read_tests(truth)
        outcome = sandbox.run(code, [test.call for test in tests], self._limits)
        for test, value in zip(tests, outcome.values, strict=False):
            if value != test.expected:
                return Judged(0, f"{test.call} gives {value[:60]}, not {test.expected[:60]}")
        if len(outcome.values) < len(tests):
            return Judged(0, f"{tests[len(outcome.values)].call}: {outcome.why or 'nothing comes back'}")
        return Judged(FULL, f"passes {len(tests)} tests")

    def close(self) -> None:
        """Nothing is left running."""


Judge = MathJudge | CodeJudge


def open_judge(data: QuestionSet) -> Judge | None:
    """The judge of a question set; ``None`` where parsing is enough. Raises ``ConfigError`` for limits that cannot be,
    and where this machine cannot run what has to be run."""
    if data.check not in ("math", "code"):
        return None
    if not data.limit_s or (data.check == "code" and not data.memory_mb):
        raise ConfigError(
            f"An answer that is checked as {data.check!r} needs a limit.",
            "Nothing was started.",
            "Set limit_s (seconds, up to 60) and memory_mb (up to 4096) in the task file.",
        )
    return MathJudge(data) if data.check == "math" else CodeJudge(data)
