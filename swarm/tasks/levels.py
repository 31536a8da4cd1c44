"""Why this module exists: questions that say how hard they are can be asked from easy to hard, and this sorts them.

A column says it: a number (``0.25``), a word with one in it (``Level 3``), or a word of an order that the task file
gives (``[easy, medium, hard]``). Each different value is a level, or the questions are cut into so many equal parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec

from protocol.errors import ConfigError
from protocol.run import MAX_LEVELS
from swarm.tasks.questions import Rows, normalised, tidy
from swarm.tasks.reading import Item

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NOTHING = "Nothing was started."


class Scale(msgspec.Struct, frozen=True):
    """How levels come from a column: ``words`` in their order, else numbers; ``parts``: into so many (0: by value)."""

    words: tuple[str, ...] = ()
    parts: int = 0


def read_scale(levels: Any, where: str) -> Scale:
    """What ``levels`` of a task file means: nothing, how many parts, or a list of words. Raises ``ConfigError``."""
    if levels is None:
        return Scale()
    if isinstance(levels, int) and not isinstance(levels, bool) and 2 <= levels <= MAX_LEVELS:
        return Scale(parts=levels)
    if isinstance(levels, list) and 2 <= len(levels) <= MAX_LEVELS:
        words = tuple(_folded(str(word)) for word in levels)
        if len(set(words)) == len(words):
            return Scale(words)
    raise ConfigError(
        f"{where}: levels must be a whole number from 2 to {MAX_LEVELS}, or the words of the column from easy to hard.",
        _NOTHING,
        "Correct the file (see docs/tasks.md).",
    )


def arrange(items: Iterable[Item], scale: Scale, check: str, where: str) -> tuple[Rows, int, tuple[int, ...]]:
    """The questions from easy to hard, how many of them cannot be asked, and how many each level has.

    Within a level they keep their order. Raises ``ConfigError`` for a level that cannot be read, or too many."""
    found = [(_hardness(item.level, scale, where), item) for item in items]
    found.sort(key=lambda one: one[0])
    hardness: dict[str, float] = {}
    for hard, item in found:
        hardness.setdefault(tidy(item.question), hard)
    rows, num_left_out = normalised(((item.question, item.answer) for _, item in found), check)
    sizes = [len(list(group)) for _, group in groupby(rows, key=lambda row: hardness[row[0]])]
    if scale.parts:
        sizes = _in_parts(sizes, scale.parts)
    if len(sizes) > MAX_LEVELS:
        raise ConfigError(
            f"{where}: the column has {len(sizes)} different levels; a task has {MAX_LEVELS} at most.",
            _NOTHING,
            "Say `levels: 5` to cut the questions into five parts, from easy to hard.",
        )
    return rows, num_left_out, tuple(sizes) if len(sizes) > 1 else ()


def _in_parts(sizes: list[int], parts: int) -> list[int]:
    """Neighbouring levels joined to ``parts`` of about the same size, fewer where one value takes several parts."""
    total, before = sum(sizes), 0
    joined: dict[int, int] = {}
    for size in sizes:
        part = parts * (2 * before + size) // (2 * total)  # where the middle of the value's questions lies
        joined[part] = joined.get(part, 0) + size
        before += size
    return list(joined.values())


def _hardness(text: str, scale: Scale, where: str) -> float:
    if scale.words:
        if _folded(text) in scale.words:
            return scale.words.index(_folded(text))
        what = f"{text[:40]!r} is none of the words in `levels`"
    else:
        numbers = [text] if _is_number(text) else _NUMBER.findall(text)
        if len(numbers) == 1:
            return float(numbers[0])
        what = f"{text[:40]!r} does not hold one number"
    raise ConfigError(
        f"{where}: a question's level cannot be read: {what}.",
        _NOTHING,
        "Give each question a number, or name the words from easy to hard: `levels: [easy, medium, hard]`.",
    )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
