"""Why this module exists: a task whose answers can be written in many ways can be tried without a download.

    python -m swarm.tasks.algebra > configs/tasks/algebra.jsonl

Each row asks for the derivative of a polynomial; the answer is one way to write it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from protocol.seeds import derive_seed

NUM_ROWS = 120


def rows(count: int = NUM_ROWS) -> Iterator[dict[str, str]]:
    """The first ``count`` problems, all different."""
    seen: set[str] = set()
    number = 0
    while len(seen) < count:
        a, b, c = (1 + derive_seed("algebra", number, name) % 9 for name in "abc")
        number += 1
        question = f"What is the derivative of {_polynomial((a, -b, c))} with respect to x?"
        if question in seen:
            continue
        seen.add(question)
        yield {"question": question, "answer": f"${_polynomial((2 * a, -b))}$"}


def _polynomial(coefficients: tuple[int, ...]) -> str:
    text = ""
    for value, power in zip(coefficients, ("x^2", "x", "")[-len(coefficients) :], strict=True):
        if value:
            size = "" if abs(value) == 1 and power else str(abs(value))
            text += (" - " if value < 0 else " + ") + size + power
    return text.removeprefix(" + ")


if __name__ == "__main__":
    sys.stdout.writelines(json.dumps(row) + "\n" for row in rows())
