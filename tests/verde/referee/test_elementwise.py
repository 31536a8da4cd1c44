"""The EVM and the oracle give the same bits, one number at a time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.verde.referee.evm import Evm
from tests.verde.referee.hostile import bits_of, expected, maybe_none, mismatches, number, ordinary, value
from verde.numerics.oracle import elementwise as oracle
from verde.numerics.oracle import transcendental
from verde.numerics.oracle.rounding import NotANumber, rne
from verde.program.kinds import Kind

UNARY: dict[Kind, Callable[[float], float]] = {
    Kind.NEG: oracle.neg,
    Kind.SQRT: oracle.sqrt,
    Kind.EXP: transcendental.exp,
    Kind.LOG: transcendental.log,
    Kind.SIN: transcendental.sin,
    Kind.COS: transcendental.cos,
    Kind.TANH: transcendental.tanh,
    Kind.EXPM1: transcendental.expm1,
    Kind.SIGMOID: oracle.sigmoid,
}
BINARY: dict[Kind, Callable[[float, float], float]] = {
    Kind.ADD: oracle.add,
    Kind.SUB: oracle.sub,
    Kind.MUL: oracle.mul,
    Kind.DIV: oracle.div,
    Kind.MINIMUM: min,
    Kind.MAXIMUM: max,
}
COMPARISONS: dict[Kind, Callable[[float, float], bool]] = {
    Kind.LE: lambda a, b: a <= b,
    Kind.LT: lambda a, b: a < b,
    Kind.EQ: lambda a, b: a == b,
}
EDGES = [0x43000000, 0x42FFFFFF, 0xC3000000, 0xC2FFFFFF, 0x3EC00000, 0x3EC00001, 0xBEC00000, 0x3F100000, 0x3F0FFFFF]
EDGES += [0x41800000, 0x41800001, 0x3FB504F3, 0x3FB504F4, 0x42B17217, 0x42B17218, 0xC2AEAC50, 0xC2AEAC4F, 0x3FC90FDB]
EDGES += [0x7F7FFFFF, 0x6F79BE45, 0x41B17218, 0x41B2B8C0, 0x3EB17218, 0x3F851592, 0x41AEAC50, 0x41B437E0, 0x41B9C371]
EDGES += [0x41B56E3E, 0x41B87B19, 0x41B11AE0, 0x41B155EB]
"""Where a function changes its formula, overflows, vanishes, or comes closest to a quarter turn; the last four are
numbers whose exponential less 1 is another number than the exponential, on both sides of where it counts as that."""


def argument(rng: random.Random) -> int:
    """What a function of one number is interesting for: mostly between 2^-14 and 2^8."""
    return ordinary(rng, 113, 135) if rng.random() < 0.6 else number(rng)


def roots_next_to_ties() -> list[int]:
    """Bits of numbers whose root is 2^-25 to 2^-18 places above or below t + 1/2: x = t^2 + t + c with few bits."""
    found = []
    for c in range(-40, 41, 2):
        for places in (23, 24):
            for t in (0, 1):
                for place in range(1, places):
                    if (t * t + t + c) % 2 ** (place + 1):
                        t += 2**place
                t |= 1 << 23
                x = t * t + t + c
                if x % 2**places == 0 and 2**23 <= x >> places < 2**24:
                    found.append(bits_of(float(x)))
    return found


def quotient_next_to_a_tie(rng: random.Random) -> tuple[int, int]:
    """Bits of a and b with a / b as close to the middle of two numbers as it can be: 2^25 a = n b + 1 or - 1, n odd."""
    while True:
        b = rng.randrange(2**23 + 1, 2**24, 2)
        a = rng.choice([1, -1]) * pow(2**25, -1, b) % b
        if 2 * a > b and ((a << 25) // b | 1) * b - (a << 25) in (1, -1) and a >= 2**23:
            return bits_of(float(a)), bits_of(float(b))


def pair(rng: random.Random) -> tuple[int, int]:
    """Two numbers: of any size, close together, or with a sum, product or quotient at the least normal."""
    a, b = number(rng), number(rng)
    kind = rng.random()
    if kind < 0.2:
        b = a ^ rng.choice([0, 0x80000000, 0x80000001, 1, 2, 0x80000003])
    elif kind < 0.35:
        a = ordinary(rng, 1, 126)
        field = (a >> 23) & 0xFF
        b = ordinary(rng, 127 - field, min(127 - field + 2, 254))
    elif kind < 0.5:
        a, b = ordinary(rng, 1, 3), ordinary(rng, 1, 3)
    elif kind < 0.6:
        distance = rng.choice([22, 23, 24, 25, 26, 99, 100, 101, 150])
        field = rng.randint(1, 254 - distance)
        a, b = ordinary(rng, field, field), ordinary(rng, field + distance, field + distance)
    elif kind < 0.7:
        a, b = ordinary(rng, 1, 60), ordinary(rng, 180, 188)
    elif kind < 0.8:
        a, b = quotient_next_to_a_tie(rng)
    return maybe_none(rng, a), maybe_none(rng, b)


@pytest.mark.parametrize("kind", UNARY)
def test_functions_of_one_number(evm: Evm, rng: random.Random, num_cases: int, kind: Kind) -> None:
    cases = [edge ^ change for edge in EDGES for change in (0, 1, 0x80000000)]
    cases += [maybe_none(rng, argument(rng)) for _ in range(num_cases)]
    if kind in (Kind.SQRT, Kind.LOG):
        cases = [bits & 0x7FFFFFFF if rng.random() < 0.9 else bits for bits in cases]
    wanted = [expected(UNARY[kind], bits) for bits in cases]
    assert mismatches(cases, evm.apply(kind, cases), wanted) == []


@pytest.mark.integration
def test_roots_next_to_ties(evm: Evm) -> None:
    cases = roots_next_to_ties()
    assert len(cases) > 30
    wanted = [expected(oracle.sqrt, bits) for bits in cases]
    assert mismatches(cases, evm.apply(Kind.SQRT, cases), wanted) == []


@pytest.mark.parametrize("kind", BINARY)
def test_functions_of_two_numbers(evm: Evm, rng: random.Random, num_cases: int, kind: Kind) -> None:
    cases = [pair(rng) for _ in range(num_cases)]
    wanted = [expected(BINARY[kind], *case) for case in cases]
    assert mismatches(cases, evm.apply(kind, *zip(*cases, strict=True)), wanted) == []


@pytest.mark.parametrize("kind", COMPARISONS)
def test_comparisons(evm: Evm, rng: random.Random, num_cases: int, kind: Kind) -> None:
    def holds(a: int, b: int) -> int | str:
        try:
            return int(COMPARISONS[kind](value(a), value(b)))
        except NotANumber:
            return "none"

    cases = [pair(rng) for _ in range(num_cases)]
    wanted = [holds(*case) for case in cases]
    assert mismatches(cases, evm.apply(kind, *zip(*cases, strict=True)), wanted) == []


def test_integers_become_numbers(evm: Evm, rng: random.Random, num_cases: int) -> None:
    near = [(1 << 24) + 1, (1 << 24) + 3, (1 << 25) + 2, (1 << 25) + 6, 2**31 - 1, -(2**31), 0, -1, 2**31 - 64]
    cases = [
        rng.choice([rng.choice(near), rng.getrandbits(rng.randint(1, 31)) * rng.choice([1, -1])])
        for _ in range(num_cases)
    ]
    wanted = [bits_of(rne(one)) for one in cases]
    assert mismatches(cases, evm.apply(Kind.TO_FLOAT, cases), wanted) == []
