"""Why this module exists: section 4 of docs/exact-1.md: products summed as integers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from verde.numerics.oracle.elementwise import mul
from verde.numerics.oracle.rounding import NotANumber, Real, expo, nearest_integer, out

BITS = 15
LARGEST = 32639
MOST_TERMS = 2**22
Matrix = Sequence[Sequence[float]]


def significands(row: Sequence[Real | float]) -> tuple[list[int], int]:
    """(q, e) of a row: x is about q · 2^(e-15), every abs q at most 32639."""
    e = expo(row)
    q = _quantise(row, e)
    if any(abs(one) > LARGEST for one in q):
        e += 1
        q = _quantise(row, e)
    return q, e


def _quantise(row: Sequence[Real | float], e: int) -> list[int]:
    return [nearest_integer(Fraction(x) * Fraction(2) ** (BITS - e)) for x in row]


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """DOT."""
    if len(a) > MOST_TERMS:
        raise NotANumber("too many terms")
    if len(a) == 1:
        return mul(a[0], b[0])
    qa, ea = significands(a)
    qb, eb = significands(b)
    return out(sum(x * y for x, y in zip(qa, qb, strict=True)) * Fraction(2) ** (ea + eb - 2 * BITS))


def columns(matrix: Matrix) -> list[list[float]]:
    """The columns of a matrix."""
    return [list(column) for column in zip(*matrix, strict=True)]


def matmul(a: Matrix, b: Matrix) -> list[list[float]]:
    """a · b."""
    return [[dot(row, column) for column in columns(b)] for row in a]
