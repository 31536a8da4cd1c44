"""Why this module exists: numbers that tell one arithmetic from another: ties, edges, extremes, and those between."""

from __future__ import annotations

from collections.abc import Iterable

from verde.numerics.vectors.encoding import number, seeded_bits, words_of

ONE, LARGEST, LEAST = 0x3F800000, 0x7F7FFFFF, 0x00800000

# Bit patterns beside which a rule of section 6 changes, or a result leaves the range of binary32; and, last in
# some rows, arguments whose result is not the nearest binary32, which a better function would not give.
EDGES = {
    "exp": (0x42AEAC50, 0x42B17218, 0x42FFFFFF, 0x3EB17218, 0x33800000, 0x3F00F94B, 0x3F787525, 0x3FE7B7DB),
    "expm1": (0x3EC00000, 0x42B17218, 0x41B00000, 0x41A00000, 0x42FFFFFF, 0x3F007EA0, 0x3F312F46, 0x401FB82E),
    "log": (ONE, 0x3FB504F3, 0x3F3504F3, LEAST, LARGEST, 0x3F20BCFE, 0x3F4CB2CA, 0x3FA20D84),
    "sin": (0x3F490FDB, 0x3FC90FDB, 0x40490FDB, 0x3E800000, 0x6F79BE45, LARGEST, 0x3F039213, 0x3F90079E, 0x401CBC79),
    "cos": (0x3F490FDB, 0x3FC90FDB, 0x40490FDB, 0x3E800000, 0x6F79BE45, LARGEST, 0x3F026D41, 0x3F634019, 0x40469C12),
    "tanh": (0x3F100000, 0x41100000, 0x41800000, LARGEST, 0x3F00473A, 0x3F334184, 0x3F879B09),
    "sigmoid": (0x42AEAC50, 0x42B17218, 0x41800000, LARGEST),
    "silu": (0x42AEAC50, 0x42B17218, 0x42A00000, LARGEST),
    "gelu_tanh": (0x40C00000, 0x3F3504F3, 0x41100000),
    "sqrt": (LEAST, ONE, 0x40800000, LARGEST),
    "rsqrt": (LEAST, ONE, 0x40800000, LARGEST),
}


def drawn(seed: int, count: int, least: int, span: int) -> list[float]:
    """Random numbers with exponent fields from ``least`` on, ``span`` of them."""
    return [number(seeded_bits(word, least, span)) for word in words_of(seed, count)]


def beside(patterns: Iterable[int], reach: int = 2) -> list[float]:
    """The numbers with these bits and their neighbours, normal ones only."""
    near = {pattern + step for pattern in patterns for step in range(-reach, reach + 1)}
    return [number(bits) for bits in sorted(near) if LEAST <= bits <= LARGEST]


def arguments(operator: str, index: int) -> list[float]:
    """Arguments of a function of one number: its edges, 0, ordinary numbers and numbers of any size, of both signs."""
    values = [
        *beside(EDGES[operator]),
        0.0,
        *(abs(x) for x in drawn(100 + index, 24, 118, 14)),
        *(abs(x) for x in drawn(200 + index, 12, 1, 253)),
    ]
    return [*values, *(-x for x in values if x != 0)]


TINY = 2.0**-126
STEP = 2.0**-149

# Pairs whose product or sum falls into [2^-126 - 2^-150, 2^-126), beside it, or onto a tie.
PAIRS = [
    (TINY, 1 - 2.0**-24),
    (TINY, 1 - 2.0**-23),
    (-TINY, 1 - 2.0**-24),
    (TINY * (1 + 2.0**-23), 1 - 2.0**-23),
    (TINY * (2 - 2.0**-23), 0.5),
    (TINY * (2 - 2.0**-23), 0.5 + 2.0**-24),
    (TINY * 1.5, 0.5),
    (TINY * (2 - 2.0**-23), 2.0),
    (TINY * (2 - 2.0**-22), -2.0),
    (TINY * (3 - 2.0**-22), 3.0),
    (TINY * (1 + 2.0**-23), 1 + 2.0**-22),
    (TINY, -TINY),
    (TINY * 1.5, -TINY),
    (TINY + STEP, -TINY),
    (-TINY * 1.25, TINY * 1.25),
    (1.0, 2.0**-24),
    (1.0 + 2.0**-23, 2.0**-24),
    (1.0, 3 * 2.0**-25),
    (1.0 + 2.0**-12, 1.0 + 2.0**-12),
    (1.0 + 2.0**-23, 1.0 - 2.0**-24),
    (number(LARGEST), 0.5),
    (number(LARGEST), -number(LARGEST)),
    (number(LARGEST), 2.0**103 * (1 - 2.0**-24)),
    (1.0, 3.0),
    (3.0, 10.0),
    (1.0, 49.0),
    (0.0, 5.0),
    (0.0, -5.0),
    (-5.0, 2.0**-126),
]
