"""Why this module exists: section 3 of docs/exact-1.md: sums that do not depend on an order."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from verde.numerics.oracle.elementwise import div, mul, sqrt
from verde.numerics.oracle.rounding import NotANumber, expo, nearest_integer, out, rne

BITS = 36
MOST_TERMS = 2**26
PIECE = 2**20


def total(values: Sequence[float]) -> float:
    """SUM."""
    if len(values) > MOST_TERMS:
        raise NotANumber("too many terms")
    if len(values) == 1:
        return values[0]
    e = expo(values)
    unit = Fraction(2) ** (e - BITS)
    return out(sum(nearest_integer(Fraction(x) / unit) for x in values) * unit)


def mean(values: Sequence[float]) -> float:
    """SUM divided by the number of values."""
    return div(total(values), rne(len(values)))


def scatter(size: int, index: Sequence[int], values: Sequence[float]) -> list[float]:
    """``size`` elements: each the SUM of the values whose index it is, 0 without any."""
    chosen: list[list[float]] = [[] for _ in range(size)]
    for i, value in zip(index, values, strict=True):
        chosen[i].append(value)
    return [total(group) if group else 0.0 for group in chosen]


def model_norm(tensors: Sequence[Sequence[float]]) -> float:
    """The norm of a model's gradient; each tensor's elements in row-major order."""
    pieces: list[float] = []
    for tensor in tensors:
        squares = [mul(x, x) for x in tensor]
        pieces += [total(squares[i : i + PIECE]) for i in range(0, len(squares), PIECE)]
    return sqrt(total(pieces))
