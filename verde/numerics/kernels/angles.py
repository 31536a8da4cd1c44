"""Why this module exists: sine and cosine of one binary32 of any size, to be inlined into compiled loops.

The conventions are those of kernels/scalar.py, the specification is docs/exact-1.md section 6: the angle is reduced to
quarter turns in integers of 104 bits, so that a large angle is as exact as a small one.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.constants import COS, SIN, TWO_OVER_PI
from verde.numerics.kernels.scalar import NAN_BITS, ONE, ONE_62, ZERO, device, from_fixed, of_bits, step, sticky

PHASE_HI = np.array([t >> 40 for t in TWO_OVER_PI], dtype=np.uint64)
PHASE_LO = np.array([t & ((1 << 40) - 1) for t in TWO_OVER_PI], dtype=np.uint64)


@device
def bit_length(t):  # type: ignore[no-untyped-def]
    """Number of bits of an int64 2^10 <= t < 2^63, read from the exponent of a binary64 that holds its upper bits."""
    return (np.float64(t & ~np.int64(1023)).view(np.int64) >> 52) - 1022


@device
def quarter_turns(x):  # type: ignore[no-untyped-def]
    """(n, w, e): abs x is n + s·w·2^e quarter turns, n from 0 to 3, 2^30 <= w < 2^31 (or w = 0), s the sign of w."""
    b = np.float32(x).view(np.int32)
    m = np.uint64((b & 0x7FFFFF) | 0x800000)
    exponent = np.int64((b >> 23) & 255) - 127
    row = min(max(exponent, np.int64(-2)), np.int64(127))
    low = m * PHASE_LO[row + 2]
    high = m * PHASE_HI[row + 2] + (low >> np.uint64(40))
    low = low & np.uint64((1 << 40) - 1)
    n = np.int64((high + np.uint64(1 << 61)) >> np.uint64(62))
    a = np.int64(high - (np.uint64(n) << np.uint64(62)))
    rest = np.int64(low)
    negative = a < 0
    if negative:
        a = ~a if rest != 0 else -a
        rest = (1 << 40) - rest if rest != 0 else np.int64(0)
    scale = exponent - row - 102
    if a < (1 << 30):
        t, scale = (a << 33) | (rest >> 7), scale + 7
    else:
        t, scale = a, scale + 40
    shift = bit_length(t) - 31
    w = t >> shift if shift >= 0 else t << -shift
    return n, (-w if negative else w), scale + shift


@device
def sin_of_turns(w, e):  # type: ignore[no-untyped-def]
    """The sine of w·2^e quarter turns, at most half of one."""
    u = turns_squared(w, e)
    q = step(np.int32(SIN[4]), u, SIN[3])
    q = step(q, u, SIN[2])
    q = step(q, u, SIN[1])
    q = step(q, u, SIN[0])
    return from_fixed(sticky(w * np.int64(q), np.int64(12)), e - 18)


@device
def cos_of_turns(w, e):  # type: ignore[no-untyped-def]
    """The cosine of w·2^e quarter turns, at most half of one."""
    u = turns_squared(w, e)
    q = step(np.int32(COS[4]), u, COS[3])
    q = step(q, u, COS[2])
    q = step(q, u, COS[1])
    q = step(q, u, COS[0])
    return from_fixed((ONE_62 - np.int64(q) * np.int64(u)) >> 32, -30)


@device
def turns_squared(w, e):  # type: ignore[no-untyped-def]
    """The square of w·2^e with 32 bits after the point (int32)."""
    r = abs(w) >> min(-31 - e, np.int64(63))
    return np.int32((r * r) >> 30)


@device
def sin(x):  # type: ignore[no-untyped-def]
    """The sine of x radians."""
    b = np.float32(x).view(np.int32)
    n, w, e = quarter_turns(x)
    s = cos_of_turns(w, e) if n & 1 else sin_of_turns(w, e)
    if ((n & 2) != 0) != (b < 0):
        s = -s
    field = (b >> 23) & 255
    if field == 0:
        s = ZERO
    return of_bits(NAN_BITS) if field == 255 else s


@device
def cos(x):  # type: ignore[no-untyped-def]
    """The cosine of x radians."""
    field = (np.float32(x).view(np.int32) >> 23) & 255
    n, w, e = quarter_turns(x)
    s = sin_of_turns(w, e) if n & 1 else cos_of_turns(w, e)
    if n == 1 or n == 2:
        s = -s
    if field == 0:
        s = ONE
    return of_bits(NAN_BITS) if field == 255 else s
