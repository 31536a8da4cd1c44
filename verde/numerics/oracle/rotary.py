"""Why this module exists: rotary embeddings of section 5 of docs/exact-1.md."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from verde.numerics.constants import TWO_PI
from verde.numerics.oracle.elementwise import add, div, mul, neg, sub
from verde.numerics.oracle.rounding import rne
from verde.numerics.oracle.transcendental import cos, sin

Row = Sequence[float]


def integer_root(x: int, q: int) -> int:
    """The largest n with n^q <= x, by Newton's method from above."""
    n = 1 << -(-x.bit_length() // q)
    while True:
        smaller = ((q - 1) * n + x // n ** (q - 1)) // q
        if smaller >= n:
            return n
        n = smaller


def inv_freq(base: float, dim: int) -> list[float]:
    """The nearest binary32 of base^(-2i / dim): of an integer root with 100 bits to spare."""
    result = []
    for i in range(dim // 2):
        exponent = Fraction(2 * i, dim)
        p, q = exponent.numerator, exponent.denominator
        power = 1 / Fraction(base) ** p
        scaled = power * Fraction(2) ** (256 * q)
        root = integer_root(int(scaled), q)
        result.append(rne(Fraction(2 * root + (Fraction(root) ** q != scaled), 2) / 2**256))
    return result


def linear(frequencies: Row, factor: float) -> list[float]:
    """Linear scaling."""
    return [div(f, factor) for f in frequencies]


def llama3(frequencies: Row, factor: float, low: float, high: float, context: float) -> list[float]:
    """Llama 3.1's scaling: long waves slowed, short ones kept, those between interpolated."""
    result = []
    for f in frequencies:
        length = div(TWO_PI, f)
        if length > div(context, low):
            result.append(div(f, factor))
        elif length < div(context, high):
            result.append(f)
        else:
            smooth = div(sub(div(context, length), low), sub(high, low))
            result.append(add(div(mul(sub(1.0, smooth), f), factor), mul(smooth, f)))
    return result


def tables(position: int, frequencies: Row) -> tuple[list[float], list[float]]:
    """Cosines and sines [D / 2] at a position."""
    angles = [mul(rne(position), f) for f in frequencies]
    return [cos(a) for a in angles], [sin(a) for a in angles]


def rotate(x: Row, position: int, frequencies: Row) -> list[float]:
    """One head of width D turned by its position; element d goes with d + D/2."""
    c, s = tables(position, frequencies)
    half = len(x) // 2
    first = [add(mul(x[d], c[d]), mul(neg(x[half + d]), s[d])) for d in range(half)]
    return first + [add(mul(x[half + d], c[d]), mul(x[d], s[d])) for d in range(half)]


def rotate_backward(g: Row, position: int, frequencies: Row) -> list[float]:
    """Gradient of one head before it was turned."""
    c, s = tables(position, frequencies)
    half = len(g) // 2
    first = [add(mul(g[d], c[d]), mul(g[half + d], s[d])) for d in range(half)]
    return first + [add(mul(g[half + d], c[d]), neg(mul(g[d], s[d]))) for d in range(half)]
