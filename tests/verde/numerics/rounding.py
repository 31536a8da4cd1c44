"""Why this module exists: products and sums are judged by one definition of rounding, apart from the oracle's."""

from __future__ import annotations

from fractions import Fraction


def rounded_and_flushed(value: Fraction) -> float:
    """``out`` of the specification, from the definition of binary32."""
    if value == 0:
        return 0.0
    exponent = max(len(bin(abs(value.numerator))) - len(bin(value.denominator)) - 2, -126)
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    step = Fraction(2) ** (exponent - 23)
    result = round(value / step) * step
    return float(result) if abs(result) >= Fraction(2) ** -126 else 0.0
