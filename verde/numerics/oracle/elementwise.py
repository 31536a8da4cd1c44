"""Why this module exists: section 2 of docs/exact-1.md on one number at a time."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from verde.numerics.constants import SQRT_2_OVER_PI
from verde.numerics.oracle.rounding import NotANumber, out, rne
from verde.numerics.oracle.transcendental import exp, tanh

GELU_K = rne(Fraction("0.044715"))
GELU_3K = rne(Fraction("0.134145"))


def add(a: float, b: float) -> float:
    """a + b."""
    return out(Fraction(a) + Fraction(b))


def sub(a: float, b: float) -> float:
    """a - b."""
    return out(Fraction(a) - Fraction(b))


def mul(a: float, b: float) -> float:
    """a · b."""
    return out(Fraction(a) * Fraction(b))


def div(a: float, b: float) -> float:
    """a / b."""
    if b == 0:
        raise NotANumber("division by 0")
    return out(Fraction(a) / Fraction(b))


def neg(x: float) -> float:
    """-x."""
    return out(-Fraction(x))


def sqrt(x: float) -> float:
    """The root: of an integer with 64 bits to spare, and what is left over as one more bit."""
    if x < 0:
        raise NotANumber("root of a negative")
    scaled = Fraction(x) * 4**256
    root = isqrt(int(scaled))
    is_exact = root * root == scaled
    return out(Fraction(2 * root + (not is_exact), 2 * 2**256))


def rsqrt(x: float) -> float:
    """1 / sqrt(x)."""
    return div(1.0, sqrt(x))


def square(x: float) -> float:
    """x to the power 2."""
    return mul(x, x)


def cube(x: float) -> float:
    """x to the power 3."""
    return mul(mul(x, x), x)


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x)."""
    e = exp(-abs(x))
    d = add(1.0, e)
    return div(1.0, d) if x >= 0 else div(e, d)


def silu(x: float) -> float:
    """x · sigmoid(x)."""
    return mul(x, sigmoid(x))


def silu_backward(g: float, x: float) -> float:
    """Gradient of silu."""
    s = sigmoid(x)
    return mul(g, mul(s, add(1.0, mul(x, sub(1.0, s)))))


def _gelu_argument(x: float) -> float:
    return mul(SQRT_2_OVER_PI, add(x, mul(GELU_K, cube(x))))


def gelu_tanh(x: float) -> float:
    """GELU in its tanh form."""
    return mul(mul(0.5, x), add(1.0, tanh(_gelu_argument(x))))


def gelu_tanh_backward(g: float, x: float) -> float:
    """Gradient of gelu_tanh."""
    t = tanh(_gelu_argument(x))
    du = mul(SQRT_2_OVER_PI, add(1.0, mul(GELU_3K, mul(x, x))))
    return mul(g, add(mul(0.5, add(1.0, t)), mul(mul(mul(0.5, x), sub(1.0, mul(t, t))), du)))


def tanh_backward(g: float, t: float) -> float:
    """Gradient of tanh whose result was t."""
    return mul(g, sub(1.0, mul(t, t)))
