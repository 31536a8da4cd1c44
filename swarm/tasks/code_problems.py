"""Why this module exists: a task whose answers are run can be tried without a download.

    python -m swarm.tasks.code_problems > configs/tasks/code_problems.jsonl

Each row asks for one function and has tests, as MBPP's rows do: ``assert f(...) == ...``. ``solution`` is a function
that passes them; no peer sees it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

from protocol.seeds import derive_seed

NUM_ROWS = 120
NUM_TESTS = 4

Draw = Callable[[str, int, int], int]
"""(name, least, most) -> a number, the same for the same row."""


def rows(count: int = NUM_ROWS) -> Iterator[dict[str, str]]:
    """The first ``count`` problems, all different."""
    seen: set[str] = set()
    number = 0
    while len(seen) < count:
        question, solution, arguments = _problem(number)
        number += 1
        if question in seen:
            continue
        seen.add(question)
        yield {"question": question, "tests": "\n".join(_tests(solution, arguments)), "solution": solution}


def _tests(solution: str, arguments: list[str]) -> Iterator[str]:
    world: dict[str, object] = {}
    exec(solution, world)
    for one in arguments:
        yield f"assert f({one}) == {eval(f'f({one})', world)!r}"


def _problem(number: int) -> tuple[str, str, list[str]]:
    def draw(name: str, least: int, most: int) -> int:
        return least + derive_seed("code problem", number, name) % (most - least + 1)

    return _KINDS[number % len(_KINDS)](draw)


def _linear(draw: Draw) -> tuple[str, str, list[str]]:
    factor, plus = draw("factor", 2, 9), draw("plus", 1, 20)
    return (
        f"Write a Python function f(x) that returns x times {factor}, plus {plus}.",
        f"def f(x):\n    return x * {factor} + {plus}",
        [str(draw(f"x{n}", -20, 20)) for n in range(NUM_TESTS)],
    )


def _multiples(draw: Draw) -> tuple[str, str, list[str]]:
    by = draw("by", 2, 9)
    return (
        f"Write a Python function f(numbers) that returns how many of a list's numbers can be divided by {by}.",
        f"def f(numbers):\n    return sum(number % {by} == 0 for number in numbers)",
        [str([draw(f"{n}/{i}", 0, 60) for i in range(2 + n)]) for n in range(NUM_TESTS)],
    )


def _letters(draw: Draw) -> tuple[str, str, list[str]]:
    letter = "aeinorst"[draw("letter", 0, 7)]
    words = ("banana", "starting", "onion", "tree", "rotation", "assets", "", "neon")
    first = draw("word", 0, 7)
    return (
        f"Write a Python function f(word) that returns the word without any letter {letter!r}.",
        f"def f(word):\n    return word.replace({letter!r}, '')",
        [repr(words[(first + n) % 8]) for n in range(NUM_TESTS)],
    )


def _largest(draw: Draw) -> tuple[str, str, list[str]]:
    count = draw("count", 2, 4)
    return (
        f"Write a Python function f(numbers) that returns the {count} largest numbers of a list, largest first.",
        f"def f(numbers):\n    return sorted(numbers, reverse=True)[:{count}]",
        [str([draw(f"{n}/{i}", -50, 50) for i in range(3 + n)]) for n in range(NUM_TESTS)],
    )


def _clamp(draw: Draw) -> tuple[str, str, list[str]]:
    low, span = draw("low", -20, 10), draw("span", 5, 30)
    return (
        f"Write a Python function f(x) that returns x, but {low} for less and {low + span} for more.",
        f"def f(x):\n    return max({low}, min({low + span}, x))",
        [str(draw(f"x{n}", -60, 60)) for n in range(NUM_TESTS)],
    )


_KINDS = (_linear, _multiples, _letters, _largest, _clamp)

if __name__ == "__main__":
    sys.stdout.writelines(json.dumps(row) + "\n" for row in rows())
