"""Numbers that break arithmetic: edges, ties, what is not normal, and what is no number; and what the oracle says."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Sequence

from tests.verde.referee.evm import REASONS, Answer
from verde.numerics.oracle.rounding import NotANumber, into

INFINITY = 0x7F800000
SPECIAL = (
    *(0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x007FFFFF),  # zeros and subnormals
    *(0x00800000, 0x80800000, 0x00800001, 0x00FFFFFF, 0x01000000),  # around the least normal
    *(0x7F7FFFFF, 0xFF7FFFFF, 0x7F000000, 0x7E800000),  # around the largest
    *(0x3F800000, 0xBF800000, 0x3F7FFFFF, 0x3F800001, 0x40000000, 0x3F000000),  # around 1
    *(0x33800000, 0x34000000, 0x33FFFFFF, 0x4B000000, 0x4B800000, 0xCB7FFFFF),  # around the last place of 1, and 2^23
)
NO_NUMBERS = (INFINITY, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001)


def number(rng: random.Random) -> int:
    """The bits of a finite number, often a nasty one; subnormals and -0 among them."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(SPECIAL)
    if kind < 0.4:
        return _finite(rng.getrandbits(32))
    return ordinary(rng, 1, 254)


def ordinary(rng: random.Random, low: int, high: int) -> int:
    """The bits of a number whose exponent field is in these bounds; round significands are frequent."""
    significand = rng.choice([0, 1, 0x7FFFFF, 0x7FFFFE, 0x400000, 1 << rng.randrange(23), *[rng.getrandbits(23)] * 6])
    return rng.getrandbits(1) << 31 | rng.randint(low, high) << 23 | significand


def maybe_none(rng: random.Random, bits: int, chance: float = 0.02) -> int:
    """Now and then what is no number instead."""
    return rng.choice(NO_NUMBERS) if rng.random() < chance else bits


def value(bits: int) -> float:
    """The number of a pattern from outside. Raises ``NotANumber``."""
    x: float = struct.unpack(">f", struct.pack(">I", bits))[0]
    if not math.isfinite(x):
        raise NotANumber("not finite")
    return into(x)


def bits_of(x: float) -> int:
    """The pattern of a binary32."""
    pattern: int = struct.unpack(">I", struct.pack(">f", x))[0]
    return pattern


def expected(function: Callable[..., float], *patterns: int) -> Answer:
    """The oracle's result for these patterns; "none" where it has none."""
    try:
        return bits_of(function(*(value(one) for one in patterns)))
    except NotANumber:
        return "none"


def mismatches(cases: Sequence[object], answers: Sequence[Answer], wanted: Sequence[Answer]) -> list[object]:
    """(case, answer, wanted) where they differ; every reason to have no number is as good as another one."""
    given = ["none" if answer in REASONS else answer for answer in answers]
    assert len(cases) == len(given) == len(wanted)
    return [found for found in zip(cases, given, wanted, strict=True) if found[1] != found[2]]


def _finite(bits: int) -> int:
    return bits if (bits >> 23) & 0xFF != 0xFF else bits & ~0x40000000
