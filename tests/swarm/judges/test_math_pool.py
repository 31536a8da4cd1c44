"""Expressions are compared by their value, in processes that can hang or die without harm to the next comparison."""

import sys
import time

import pytest

from protocol.run import QuestionSet
from rewards.scoring.stages import Undecided
from swarm.judges import math_pool
from swarm.judges.judged import MathJudge
from swarm.judges.math_pool import MathPool

ODD = """
import os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    if "spin" in line:
        while True: pass
    if "hang" in line: time.sleep(60)
    if "die" in line: os._exit(1)
    if "chat" in line: print("x" * 40, flush=True)
    else: print(1, flush=True)
"""


@pytest.fixture(scope="module")
def pool():
    with_library = MathPool(10)
    yield with_library
    with_library.close()


@pytest.mark.parametrize(
    ("answer", "truth", "score"),
    [
        (r"\frac{1}{2}", "0.5", 1000),
        ("2(x - 1.5)", "$2x - 3$", 1000),
        ("x*2-3", "$2x - 3$", 1000),
        ("so it is $2x-3$", "$2x-3$", 1000),
        ("2x - 4", "$2x - 3$", 0),
        (r"\sqrt{8}", r"$2\sqrt{2}$", 1000),
        ("1/3", "0.333", 0),
        ("", "3", 0),
        ("\ud800", "3", 0),
        ("__import__('os').system('touch /tmp/was-run')", "1", 0),
        ("\u202e3", "7", 0),
        ("{" * 200, "3", 0),
    ],
)
def test_expressions_are_compared_by_value(pool, answer, truth, score):
    assert pool.compare(answer, truth) == score


def odd_pool(limit_s=0.3):
    return MathPool(limit_s, command=(sys.executable, "-S", "-c", ODD))


@pytest.mark.parametrize(
    ("answer", "why"),
    [("spin", "takes longer than 0.3 s to check"), ("hang", "takes longer"), ("die", "breaks"), ("chat", "breaks")],
)
def test_an_answer_that_hangs_or_kills_the_checker_scores_0_and_the_next_one_is_checked(answer, why):
    pool = odd_pool()
    assert pool.compare("1", "1") == 1000
    first = pool._places.queue[0]._process.pid
    started_at = time.monotonic()
    judged = pool.compare(answer, "1")
    assert time.monotonic() - started_at < 5
    assert (judged, judged.why[: len(why)]) == (0, why)
    assert pool.compare("1", "1") == 1000
    assert pool._places.queue[0]._process.pid != first
    pool.close()


def test_a_checker_that_somebody_else_kills_is_replaced():
    pool = odd_pool()
    assert pool.compare("1", "1") == 1000
    pool._places.queue[0]._process.kill()
    pool._places.queue[0]._process.wait()
    assert pool.compare("1", "1") == 1000
    pool.close()


def test_a_checker_that_does_not_start_decides_nothing(monkeypatch):
    with pytest.raises(Undecided):
        MathPool(1, command=("/does/not/exist",)).compare("1", "1")
    with pytest.raises(Undecided, match="did not start"):
        MathPool(1, command=(sys.executable, "-c", "pass")).compare("1", "1")
    monkeypatch.setattr(math_pool, "START_S", 0.2)
    with pytest.raises(Undecided, match="did not start"):
        MathPool(1, command=(sys.executable, "-S", "-c", "import time; time.sleep(9)")).compare("1", "1")


def test_the_same_answer_is_judged_once(monkeypatch):
    judge = MathJudge(QuestionSet("ab" * 32, 1, 1, "math", 1))
    asked = []
    monkeypatch.setattr(judge._pool, "compare", lambda answer, truth: asked.append(answer) or 1000)
    assert [judge.score("3", "6/2"), judge.score("3", "6/2"), judge.score("3", " 3 ")] == [1000, 1000, 1000]
    assert asked == ["6/2"]
    assert judge.score("3", "3" * 600) == 0
    assert asked == ["6/2"]
