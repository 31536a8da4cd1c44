"""Why this module exists: section 1 of docs/exact-1.md: what a binary32 is, how a real number becomes one.

A value is a Python float that is a binary32; a real number is a Fraction. Nothing in the oracle computes with floats:
they are only how values are written down.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

LARGEST = Fraction((1 << 24) - 1) * Fraction(2) ** 104
TINY = Fraction(1, 1 << 126)
Real = Fraction | int


class NotANumber(ArithmeticError):
    """The result is no binary32: too large, or it does not exist."""


def nearest_integer(x: Real) -> int:
    """The nearest integer, ties to even."""
    return round(Fraction(x))


def rne(x: Real) -> float:
    """The nearest binary32 of a real number, ties to even, on the grid of IEEE 754 with its subnormals."""
    x = Fraction(x)
    unit = Fraction(2) ** (max(exponent_of(x), -125) - 24)
    result = nearest_integer(x / unit) * unit
    if abs(result) > LARGEST:
        raise NotANumber(f"{x} is beyond binary32")
    return float(result)


def out(x: Real) -> float:
    """``rne``, then +0 for what is below 2^-126."""
    result = rne(x)
    return 0.0 if abs(Fraction(result)) < TINY else result


def into(x: float) -> float:
    """``in``: a subnormal or -0 from a file reads as +0."""
    return 0.0 if abs(Fraction(x)) < TINY else x


def exponent_of(x: Real) -> int:
    """The least e with abs x < 2^e; 0 for 0."""
    x = abs(Fraction(x))
    if x == 0:
        return 0
    e = x.numerator.bit_length() - x.denominator.bit_length()
    while x >= Fraction(2) ** e:
        e += 1
    while x < Fraction(2) ** (e - 1):
        e -= 1
    return e


def expo(values: Iterable[Real | float]) -> int:
    """The least e with every abs x < 2^e; 0 where all are 0."""
    return exponent_of(max((abs(Fraction(x)) for x in values), default=Fraction(0)))
