"""Why this module exists: powers of two are made and read as exponent bits, never by ``log2``, ``ldexp`` or ``pow``.

Those go through the machine's mathematics library and differ. Everything here is inlined into the kernels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SIGNLESS = np.int32(0x7FFFFFFF)
INFINITY_BITS = np.int32(0x7F800000)
LEAST_NORMAL_BITS = np.int32(0x00800000)
LEAST_NORMAL = np.float32(2.0**-126)

# The exponent of a row that holds NaN or an infinity: the caller turns it into an error.
NOT_FINITE = np.int32(1 << 20)

# 32639.5 / 2^15 in units of the significand: from here on a rounded value would exceed 32639, and the row's exponent is
# raised by one. Adding the rest up to the next power of two carries exactly those rows over.
_RAISE = np.int32(0x00800000 - 0x007EFF00)


@njit(inline="always")
def magnitude_bits(value: np.float32) -> np.int32:
    """The bits of |value|: they order as integers the way magnitudes do, infinities and NaN last."""
    # numba widens integers at every operation; narrowed at once, loops use 32-bit lanes.
    return np.int32(np.float32(value).view(np.int32) & SIGNLESS)


@njit(inline="always")
def exponent_of_bits(bits: np.int32) -> np.int32:
    """The least e with magnitude < 2^e; 0 for zero and subnormals (read as zero); NOT_FINITE for the rest."""
    if bits >= INFINITY_BITS:
        return NOT_FINITE
    if bits < LEAST_NORMAL_BITS:
        return np.int32(0)
    return np.int32((bits >> 23) - 126)


@njit(inline="always")
def raised_exponent_of_bits(bits: np.int32) -> np.int32:
    """As ``exponent_of_bits``, one more where the value would round to more than 32639 at 15 bits."""
    if bits >= INFINITY_BITS:
        return NOT_FINITE
    if bits < LEAST_NORMAL_BITS:
        return np.int32(0)
    return np.int32(((bits + _RAISE) >> 23) - 126)


@njit(inline="always")
def power_of_two_32(exponent: np.int32) -> np.float32:
    """2^exponent for -126 <= exponent <= 127."""
    return np.int32((exponent + 127) << 23).view(np.float32)


@njit(inline="always")
def power_of_two_64(exponent: np.int64) -> np.float64:
    """2^exponent for -1022 <= exponent <= 1023."""
    return np.int64((np.int64(exponent) + 1023) << 52).view(np.float64)


@njit(inline="always")
def settled(value: np.float32) -> np.float32:
    """A rounded value as operators return it: below 2^-126, and for -0, it is +0."""
    if abs(value) < LEAST_NORMAL:
        return np.float32(0.0)
    return value


@njit(inline="always")
def rounded(total: np.int64, exponent: np.int64) -> np.float32:
    """``out(total · 2^exponent)`` with one rounding, for |total| < 2^63 and -170 <= exponent <= 200."""
    if abs(total) < (np.int64(1) << 53):
        return settled(np.float32(np.float64(total) * power_of_two_64(exponent)))
    # Too wide for a double: the first rounding is the only one, the scaled value being far above 2^-126.
    return np.float32(np.float64(np.float32(total)) * power_of_two_64(exponent))
