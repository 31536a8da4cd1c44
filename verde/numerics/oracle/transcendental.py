"""Why this module exists: section 6 of docs/exact-1.md on one number at a time, in integers of any size.

``//`` and ``>>`` round down, as every shift of that section does.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from verde.numerics.constants import (
    COS,
    EXP2,
    EXPM1,
    LN2_42,
    LOG,
    LOG2E_HI,
    LOG2E_LO,
    LOG_SPLIT,
    SIN,
    TANH,
    TWO_OVER_PI,
)
from verde.numerics.oracle.rounding import NotANumber, exponent_of, out


def two_to(e: int) -> Fraction:
    """2^e."""
    return Fraction(2) ** e


def floor(x: Fraction) -> int:
    """The largest integer not above x."""
    return x.numerator // x.denominator


def significand(x: float) -> tuple[int, int]:
    """(M, e) with abs x = M · 2^(e-23) and 2^23 <= M < 2^24, for x not 0."""
    e = exponent_of(Fraction(x)) - 1
    return floor(abs(Fraction(x)) * two_to(23 - e)), e


def polynomial(coefficients: Sequence[int], x: int) -> int:
    """POLY: Horner's rule with 32-bit numbers, each step rounded to nearest with ties up."""
    q = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        q = (q * x + c * 2**32 + 2**31) // 2**32
        if not -(2**31) <= q < 2**31:
            raise AssertionError("a step has left 32 bits")
    return q


def rest(q: int, x: int) -> int:
    """1 - q·x with 30 bits after the point."""
    return (2**62 + 2**31 - q * x) // 2**32


def power(x: float) -> tuple[int, int]:
    """(p, k): e^x is about p · 2^(k-30), for abs x < 128."""
    y = 0
    if x != 0:
        m, e = significand(x)
        product = m * LOG2E_HI + m * LOG2E_LO // 2**31
        y = product // 2 ** (6 - e)
        if x < 0:
            y = -y
    k = (y + 2**46) // 2**47
    f = (y - k * 2**47) // 2**15
    return rest(polynomial(EXP2, f), f), k


def exp(x: float) -> float:
    """e^x."""
    if x >= 128:
        raise NotANumber("exp overflows")
    if x <= -128:
        return 0.0
    p, k = power(x)
    return out(p * two_to(k - 30))


def _logarithm(h: int, k: int) -> float:
    """log(1 - h · 2^-32) + k · log(2)."""
    t = h * polynomial(LOG, h)
    if k == 0:
        return out(t * two_to(-62))
    return out((t // 2**20 + k * LN2_42) * two_to(-42))


def _split(m: Fraction) -> tuple[int, int]:
    """(h, 1 or 0) of a significand 2^23 <= m < 2^24: 1 where the logarithm is taken of its half."""
    if m > LOG_SPLIT:
        return floor((2**24 - m) * 2**8), 1
    return floor((2**23 - m) * 2**9), 0


def log(x: float) -> float:
    """The natural logarithm."""
    if x <= 0:
        raise NotANumber("logarithm of 0 or less")
    m, e = significand(x)
    h, half = _split(Fraction(m))
    return _logarithm(h, e + half)


def gumbel(r: int) -> float:
    """Gumbel noise of a 32-bit word."""
    j = r | 1
    b = j.bit_length() - 1
    h, half = _split(j * two_to(23 - b))
    return out(-Fraction(log(-_logarithm(h, b - 32 + half))))


def expm1(x: float) -> float:
    """e^x - 1."""
    if x == 0:
        return 0.0
    m, e = significand(x)
    if abs(Fraction(x)) <= Fraction(3, 8):
        f = floor(m * two_to(e + 9))
        if x < 0:
            m, f = -m, -f
        return out(m * polynomial(EXPM1, f) * two_to(e - 53))
    if x >= 128:
        raise NotANumber("expm1 overflows")
    if x <= -128:
        return -1.0
    p, k = power(x)
    if k <= -32:
        return -1.0
    if k > 32:
        return exp(x)
    if k >= 1:
        return out((p * 2**k - 2**30) * two_to(-30))
    return out((floor(p * two_to(20 + k)) - 2**50) * two_to(-50))


def tanh(x: float) -> float:
    """The hyperbolic tangent."""
    if x == 0:
        return 0.0
    sign = 1 if x > 0 else -1
    if abs(Fraction(x)) < Fraction(9, 16):
        m, e = significand(x)
        a = floor(m * two_to(e + 8))
        h = -(a * a // 2**30)
        return out(sign * m * rest(polynomial(TANH, h), h) * two_to(e - 53))
    e_ = exp(-2 * min(abs(x), 16.0))
    two_e, one_e = out(2 * Fraction(e_)), out(1 + Fraction(e_))
    return out(sign * (1 - Fraction(out(Fraction(two_e) / Fraction(one_e)))))


def _turns(x: float) -> tuple[int, float, float]:
    """(n, S, C): how often abs x, not 0, holds a quarter turn, and sine and cosine of what is left."""
    m, e = significand(x)
    j = max(e, -2)
    a = m * TWO_OVER_PI[j + 2] % 2**104
    n = (a + 2**101) // 2**102
    r = a - n * 2**102
    s = 102 + j - e
    b = abs(r).bit_length()
    if b < 38:
        raise AssertionError("an angle is closer to a quarter turn than any binary32 can be")
    w = abs(r) >> (b - 31)
    v = floor(w * two_to(b - s))
    u = v * v // 2**30
    sine = out((1 if r > 0 else -1) * w * polynomial(SIN, u) * two_to(b - 61 - s))
    return n % 4, sine, out(rest(polynomial(COS, u), u) * two_to(-30))


def sin(x: float) -> float:
    """The sine of x radians."""
    if x == 0:
        return 0.0
    n, s, c = _turns(x)
    sine = (s, c, -s, -c)[n]
    return sine if x > 0 else -sine


def cos(x: float) -> float:
    """The cosine of x radians."""
    if x == 0:
        return 1.0
    n, s, c = _turns(x)
    return (c, -s, -c, s)[n]
