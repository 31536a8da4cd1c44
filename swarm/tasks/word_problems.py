"""Why this module exists: the shape of data set that everybody brings (GSM8K's) can be tried without a download.

    python -m swarm.tasks.word_problems > configs/tasks/word_problems.jsonl

Each row has a question in words, and an answer that works it out and ends in ``#### result``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

from protocol.seeds import derive_seed

NUM_ROWS = 400

_NAMES = ("Ana", "Bo", "Chen", "Dara", "Emil", "Fatou", "Goran", "Hana")
_THINGS = ("apples", "books", "candles", "eggs", "pencils", "shells", "tiles", "tickets")

Draw = Callable[[str, int, int], int]
"""(name, least, most) -> a number, the same for the same row."""


def rows(count: int = NUM_ROWS) -> Iterator[dict[str, str]]:
    """The first ``count`` problems, all different."""
    seen: set[str] = set()
    number = 0
    while len(seen) < count:
        question, steps, result = _problem(number)
        number += 1
        if question not in seen:
            seen.add(question)
            yield {"question": question, "answer": "\n".join([*steps, f"#### {result}"])}


def _problem(number: int) -> tuple[str, list[str], int]:
    def draw(name: str, least: int, most: int) -> int:
        return least + derive_seed("word problem", number, name) % (most - least + 1)

    return _KINDS[number % len(_KINDS)](draw)


def _shopping(draw: Draw) -> tuple[str, list[str], int]:
    name, thing = _NAMES[draw("who", 0, 7)], _THINGS[draw("what", 0, 7)]
    count, price, paid = draw("count", 2, 9), draw("price", 2, 12), draw("extra", 1, 40)
    cost = count * price
    return (
        f"{name} buys {count} {thing} at {price} coins each and pays with {cost + paid} coins. "
        "How many coins does the shopkeeper give back?",
        [f"The {thing} cost {count} * {price} = {cost} coins.", f"{cost + paid} - {cost} = {paid} coins come back."],
        paid,
    )


def _sharing(draw: Draw) -> tuple[str, list[str], int]:
    name, thing = _NAMES[draw("who", 0, 7)], _THINGS[draw("what", 0, 7)]
    friends, each, kept = draw("friends", 2, 8), draw("each", 2, 12), draw("kept", 1, 9)
    total = friends * each + kept
    return (
        f"{name} has {total} {thing}, keeps {kept} and shares the rest equally among {friends} friends. "
        f"How many {thing} does each friend get?",
        [f"{total} - {kept} = {total - kept} {thing} are shared.", f"{total - kept} / {friends} = {each} for each."],
        each,
    )


def _journey(draw: Draw) -> tuple[str, list[str], int]:
    name = _NAMES[draw("who", 0, 7)]
    first, second = draw("first", 2, 6), draw("second", 2, 6)
    slow, fast = draw("slow", 3, 12), draw("fast", 13, 30)
    return (
        f"{name} walks for {first} hours at {slow} km an hour and then rides for {second} hours at {fast} km an hour. "
        "How many kilometres is that in all?",
        [
            f"Walking makes {first} * {slow} = {first * slow} km, riding {second} * {fast} = {second * fast} km.",
            f"{first * slow} + {second * fast} = {first * slow + second * fast} km.",
        ],
        first * slow + second * fast,
    )


def _saving(draw: Draw) -> tuple[str, list[str], int]:
    name = _NAMES[draw("who", 0, 7)]
    start, weekly, weeks = draw("start", 5, 60), draw("weekly", 3, 15), draw("weeks", 2, 12)
    spent = draw("spent", 1, start)
    saved = weekly * weeks
    result = start + saved - spent
    return (
        f"{name} has {start} coins, saves {weekly} more in each of {weeks} weeks, and then spends {spent}. "
        "How many coins are left?",
        [f"{weekly} * {weeks} = {saved} coins are saved.", f"{start} + {saved} - {spent} = {result} are left."],
        result,
    )


_KINDS = (_shopping, _sharing, _journey, _saving)

if __name__ == "__main__":
    sys.stdout.writelines(json.dumps(row) + "\n" for row in rows())
