"""Why this module exists: the elementwise operators of exact/1 on one number, to be inlined into compiled loops.

Every function takes and gives binary32 (``np.float32``) unless it says otherwise, assumes ``in()`` of docs/exact-1.md
(no subnormal, no -0) and ends with ``out()``. A result that does not exist (overflow, root of a negative) is an
infinity or NaN, and a non-finite argument gives a non-finite result: the caller looks for them and raises. The text
of section 6 is the specification; the shape of the code (32-bit factors, negated polynomials) is there so that LLVM
can vectorise it: a product of two sign-extended 32-bit numbers is one instruction.

Kernels in other files are cached by numba without regard to this file: they must be keyed by its text.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from verde.numerics.constants import (
    EXP2,
    EXPM1,
    LN2_42,
    LOG,
    LOG2E_HI,
    LOG2E_LO,
    LOG_SPLIT,
    SQRT_2_OVER_PI,
    TANH,
)

TINY = np.float32(2.0**-126)
ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
GELU_C, GELU_K, GELU_3K = np.float32(SQRT_2_OVER_PI), np.float32(0.044715), np.float32(0.134145)
MINUS_ONE = np.float32(-1.0)
NAN_BITS, INF_BITS = np.int32(0x7FC00000), np.int32(0x7F800000)
ROUND = 1 << 31
ONE_62 = (1 << 62) + ROUND
LN2_HI, LN2_LO = LN2_42 >> 21, LN2_42 & ((1 << 21) - 1)
DOUBLE_MAGIC, DOUBLE_MAGIC_BITS = 1.5 * 2.0**52, 0x4338000000000000

device = njit(forceinline=True, error_model="numpy")


@device
def flush(y):  # type: ignore[no-untyped-def]
    """A rounded value as ``out`` leaves it: below 2^-126 in magnitude is +0."""
    return ZERO if abs(y) < TINY else y


@device
def add(a, b):  # type: ignore[no-untyped-def]
    """a + b."""
    return flush(np.float32(np.float32(a) + np.float32(b)))


@device
def sub(a, b):  # type: ignore[no-untyped-def]
    """a - b."""
    return flush(np.float32(np.float32(a) - np.float32(b)))


@device
def mul(a, b):  # type: ignore[no-untyped-def]
    """a · b."""
    return flush(np.float32(np.float32(a) * np.float32(b)))


@device
def div(a, b):  # type: ignore[no-untyped-def]
    """a / b; an infinity or NaN where b is 0."""
    return flush(np.float32(np.float32(a) / np.float32(b)))


@device
def sqrt(x):  # type: ignore[no-untyped-def]
    """The root of x, correctly rounded; NaN for a negative."""
    return flush(np.float32(math.sqrt(np.float32(x))))


@device
def rsqrt(x):  # type: ignore[no-untyped-def]
    """1 / sqrt(x): two roundings; infinity for 0."""
    return div(ONE, sqrt(x))


@device
def bits_of(x):  # type: ignore[no-untyped-def]
    """The int32 that shares x's bits."""
    return np.float32(x).view(np.int32)


@device
def of_bits(bits):  # type: ignore[no-untyped-def]
    """The binary32 that shares an int32's bits."""
    return np.int32(bits).view(np.float32)


@device
def not_finite(x):  # type: ignore[no-untyped-def]
    """1 for NaN and the infinities, else 0 (int32, for ORing in a loop)."""
    return np.int32((np.float32(x).view(np.int32) & INF_BITS) == INF_BITS)


@device
def expo(x):  # type: ignore[no-untyped-def]
    """The least e with abs x < 2^e (int32); 0 for 0 and for subnormals."""
    field = (np.float32(x).view(np.int32) >> 23) & 255
    return np.int32(field - 126) if field != 0 else np.int32(0)


@device
def power_of_two(e):  # type: ignore[no-untyped-def]
    """2^e in binary64 for -1022 <= e <= 1023, made of bits."""
    return np.int64((np.int64(e) + 1023) << 52).view(np.float64)


@device
def from_fixed(t, e):  # type: ignore[no-untyped-def]
    """``out(t · 2^e)`` for an int64 abs t < 2^51: exact in binary64, so rounded once."""
    exact = np.int64(np.int64(t) + DOUBLE_MAGIC_BITS).view(np.float64) - DOUBLE_MAGIC
    return flush(np.float32(exact * power_of_two(e)))


@device
def sticky(t, shift):  # type: ignore[no-untyped-def]
    """t >> shift with the lost bits ORed into the last: rounds like t while at least 26 bits are left."""
    return (t >> shift) | np.int64((t & ((np.int64(1) << shift) - 1)) != 0)


@device
def step(q, x, c):  # type: ignore[no-untyped-def]
    """One Horner step: floor((q·x + c·2^32 + 2^31) / 2^32), int32."""
    return np.int32((np.int64(q) * np.int64(x) + ((np.int64(c) << 32) + ROUND)) >> 32)


@device
def minus_exp2(f):  # type: ignore[no-untyped-def]
    """(1 - 2^f) / f with 30 bits after the point, f with 32. Negative throughout: see the module's text."""
    q = step(np.int32(EXP2[6]), f, EXP2[5])
    q = step(q, f, EXP2[4])
    q = step(q, f, EXP2[3])
    q = step(q, f, EXP2[2])
    q = step(q, f, EXP2[1])
    return step(q, f, EXP2[0])


@device
def exp_parts(x):  # type: ignore[no-untyped-def]
    """(p, k): e^x is p · 2^(k-30), p an int32 near [2^29.5, 2^30.5], for abs x < 128."""
    b = np.float32(x).view(np.int32)
    m = np.int64((b & 0x7FFFFF) | 0x800000)
    down = min(133 - min(np.int64((b >> 23) & 255), np.int64(133)), np.int64(63))
    product = m * np.int64(LOG2E_HI) + ((m * np.int64(LOG2E_LO)) >> 31)
    y = np.int64(np.uint64(product) >> np.uint64(down))
    if b < 0:
        y = -y
    f = np.int32(y >> 15)
    k = np.int32((y + (1 << 46)) >> 47)
    p = np.int32((ONE_62 - np.int64(minus_exp2(f)) * np.int64(f)) >> 32)
    return p, k


@device
def exp(x):  # type: ignore[no-untyped-def]
    """e^x; infinity from 88.73 on, 0 below -87.34."""
    p, k = exp_parts(x)
    b = np.float32(x).view(np.int32)
    field = (b >> 23) & 255
    bits = np.int64(np.float32(p).view(np.int32)) + ((np.int64(k) - 30) << 23)
    result = np.int32(bits) if bits >= 0x800000 else np.int32(0)
    if bits >= 0x7F800000:
        result = INF_BITS
    if field > 133:
        result = np.int32(0) if b < 0 else INF_BITS
    if field == 255:
        result = NAN_BITS
    return of_bits(result)


@device
def log_parts(h):  # type: ignore[no-untyped-def]
    """log(1 - h) with 62 bits after the point (int64); h an int32 with 32 bits, from 1 - sqrt 2 to 1 - sqrt 1/2."""
    q = step(np.int32(LOG[12]), h, LOG[11])
    q = step(q, h, LOG[10])
    q = step(q, h, LOG[9])
    q = step(q, h, LOG[8])
    q = step(q, h, LOG[7])
    q = step(q, h, LOG[6])
    q = step(q, h, LOG[5])
    q = step(q, h, LOG[4])
    q = step(q, h, LOG[3])
    q = step(q, h, LOG[2])
    q = step(q, h, LOG[1])
    q = step(q, h, LOG[0])
    return np.int64(q) * np.int64(h)


@device
def log_sum(t, k):  # type: ignore[no-untyped-def]
    """``out`` of t · 2^-62 + k · ln 2, k a small integer."""
    whole = np.int64(k) * np.int64(LN2_HI)
    far = (t >> 20) + (whole << 21) + np.int64(k) * np.int64(LN2_LO)
    near_is_small = abs(t) < (1 << 50)
    near = t if near_is_small else sticky(t, 10)
    near_scale = -62 if near_is_small else -52
    return from_fixed(near if k == 0 else far, near_scale if k == 0 else -42)


@device
def log(x):  # type: ignore[no-untyped-def]
    """The natural logarithm; minus infinity for 0, NaN for a negative."""
    b = np.float32(x).view(np.int32)
    m = np.int64((b & 0x7FFFFF) | 0x800000)
    upper = m > LOG_SPLIT
    k = ((b >> 23) & 255) - (126 if upper else 127)
    h = np.int32(((1 << 24) - m) << 8) if upper else np.int32(((1 << 23) - m) << 9)
    result = log_sum(log_parts(h), k)
    if b < 0x800000:
        result = of_bits(NAN_BITS) if b < 0 else of_bits(INF_BITS | -0x80000000)
    if b >= INF_BITS:
        result = of_bits(NAN_BITS)
    return result


@device
def gumbel(r):  # type: ignore[no-untyped-def]
    """Gumbel noise of a uint32: -log(-log(u)), u = (r | 1) · 2^-32, both logarithms rounded to binary32."""
    u = np.float64(np.uint32(r) | np.uint32(1)).view(np.int64)
    m = (u & ((1 << 52) - 1)) | (1 << 52)
    upper = m > (LOG_SPLIT << 29)
    k = (u >> 52) - (1022 if upper else 1023) - 32
    h = np.int32(((1 << 53) - m) >> 21) if upper else np.int32(((1 << 52) - m) >> 20)
    return flush(-log(-log_sum(log_parts(h), k)))


@device
def expm1(x):  # type: ignore[no-untyped-def]
    """e^x - 1, accurate near 0; infinity from 88.73 on."""
    b = np.float32(x).view(np.int32)
    field = (b >> 23) & 255
    m = np.int64((b & 0x7FFFFF) | 0x800000)
    if (b & 0x7FFFFFFF) <= 0x3EC00000:
        f = (m << 9) >> min(127 - np.int64(field), np.int64(63))
        if b < 0:
            f, m = -f, -m
        q = step(np.int32(EXPM1[7]), f, EXPM1[6])
        q = step(q, f, EXPM1[5])
        q = step(q, f, EXPM1[4])
        q = step(q, f, EXPM1[3])
        q = step(q, f, EXPM1[2])
        q = step(q, f, EXPM1[1])
        q = step(q, f, EXPM1[0])
        return from_fixed(sticky(m * np.int64(q), 4), np.int64(field) - 176) if field != 0 else ZERO
    p, k = exp_parts(x)
    if k <= -32:
        return of_bits(NAN_BITS) if field == 255 else MINUS_ONE
    if k > 32 or field > 133:
        if b < 0:
            return of_bits(NAN_BITS) if field == 255 else MINUS_ONE
        return exp(x)
    if k <= 0:
        return from_fixed((np.int64(p) << 20 >> -np.int64(k)) - (1 << 50), -50)
    t = (np.int64(p) << np.int64(k)) - (1 << 30)
    return from_fixed(sticky(t, 13), -17) if k > 14 else from_fixed(t, -30)


@device
def tanh(x):  # type: ignore[no-untyped-def]
    """The hyperbolic tangent."""
    b = np.float32(x).view(np.int32)
    field = (b >> 23) & 255
    m = np.int64((b & 0x7FFFFF) | 0x800000)
    a31 = np.int32((m << 8) >> min(max(127 - np.int64(field), np.int64(0)), np.int64(63)))
    h = np.int32(-((np.int64(a31) * np.int64(a31)) >> 30))
    q = step(np.int32(TANH[6]), h, TANH[5])
    q = step(q, h, TANH[4])
    q = step(q, h, TANH[3])
    q = step(q, h, TANH[2])
    q = step(q, h, TANH[1])
    q = step(q, h, TANH[0])
    p = np.int32((ONE_62 - np.int64(q) * np.int64(h)) >> 32)
    small = from_fixed(sticky(m * np.int64(p), 4), np.int64(field) - 176)
    a = min(abs(np.float32(x)), np.float32(16.0))
    e = exp(-(a + a))
    large = sub(ONE, div(add(e, e), add(ONE, e)))
    magnitude = small if a < np.float32(0.5625) else large
    if field == 0:
        magnitude = ZERO
    if field == 255:
        magnitude = of_bits(NAN_BITS)
    return -magnitude if b < 0 and field != 0 else magnitude


@device
def tanh_backward(g, t):  # type: ignore[no-untyped-def]
    """Gradient of tanh whose result was t, for the gradient g of that result."""
    return mul(g, sub(ONE, mul(t, t)))


@device
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + e^-x)."""
    e = exp(-abs(np.float32(x)))
    return div(ONE if x >= ZERO else e, add(ONE, e))


@device
def silu(x):  # type: ignore[no-untyped-def]
    """x · sigmoid(x)."""
    return mul(x, sigmoid(x))


@device
def silu_backward(g, x):  # type: ignore[no-untyped-def]
    """Gradient of silu at x, for the gradient g of its result."""
    s = sigmoid(x)
    return mul(g, mul(s, add(ONE, mul(x, sub(ONE, s)))))


@device
def gelu_argument(x):  # type: ignore[no-untyped-def]
    """What gelu_tanh takes the hyperbolic tangent of."""
    return mul(GELU_C, add(x, mul(GELU_K, mul(mul(x, x), x))))


@device
def gelu_tanh(x):  # type: ignore[no-untyped-def]
    """GELU in its tanh form."""
    return mul(mul(HALF, x), add(ONE, tanh(gelu_argument(x))))


@device
def gelu_tanh_backward(g, x):  # type: ignore[no-untyped-def]
    """Gradient of gelu_tanh at x, for the gradient g of its result."""
    t = tanh(gelu_argument(x))
    du = mul(GELU_C, add(ONE, mul(GELU_3K, mul(x, x))))
    return mul(g, add(mul(HALF, add(ONE, t)), mul(mul(mul(HALF, x), sub(ONE, mul(t, t))), du)))
