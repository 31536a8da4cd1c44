"""Why this module exists: the elementwise operators of exact/1 inside Triton kernels, as ``kernels/scalar`` has them.

Every function takes and gives float32 blocks unless it says otherwise. Kernels that inline them are launched without
contraction of products and sums (``UNFUSED``); division and root are the correctly rounded ones; the section numbers of
docs/exact-1.md and the reasons are in ``kernels/scalar``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from verde.numerics import constants

UNFUSED = {"enable_fp_fusion": False}
"""What every launch passes: a product and a sum are two roundings."""

TINY = tl.constexpr(2.0**-126)
ROUND = tl.constexpr(1 << 31)
ONE_62 = tl.constexpr((1 << 62) + (1 << 31))
INF_BITS = tl.constexpr(0x7F800000)
LOG2E_HI, LOG2E_LO = tl.constexpr(constants.LOG2E_HI), tl.constexpr(constants.LOG2E_LO)
LOG_SPLIT = tl.constexpr(constants.LOG_SPLIT)
LN2_HI, LN2_LO = tl.constexpr(constants.LN2_42 >> 21), tl.constexpr(constants.LN2_42 & ((1 << 21) - 1))
E0, E1, E2, E3, E4, E5, E6 = (tl.constexpr(c) for c in constants.EXP2)
L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11, L12 = (tl.constexpr(c) for c in constants.LOG)
T0, T1, T2, T3, T4, T5, T6 = (tl.constexpr(c) for c in constants.TANH)
GELU_C, GELU_K, GELU_3K = (tl.constexpr(c) for c in (constants.SQRT_2_OVER_PI, 0.044715, 0.134145))


@triton.jit
def flush(y):
    """A rounded value as ``out`` leaves it."""
    return tl.where(tl.abs(y) < TINY, 0.0, y)


@triton.jit
def add(a, b):
    return flush(a + b)


@triton.jit
def sub(a, b):
    return flush(a - b)


@triton.jit
def mul(a, b):
    return flush(a * b)


@triton.jit
def div(a, b):
    return flush(tl.div_rn(a, b))


@triton.jit
def sqrt(x):
    return flush(tl.sqrt_rn(x))


@triton.jit
def magnitude_bits(x):
    """The bits of abs x as int32, which order like magnitudes."""
    return x.to(tl.int32, bitcast=True) & 0x7FFFFFFF


@triton.jit
def not_finite(x):
    """1 for NaN and the infinities, else 0."""
    return (magnitude_bits(x) >= INF_BITS).to(tl.int32)


@triton.jit
def power_of_two(e):
    """2^e as float64, made of bits."""
    return ((e.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def from_fixed(t, e):
    """``out(t · 2^e)`` for int64 abs t < 2^53."""
    return flush((t.to(tl.float64) * power_of_two(e)).to(tl.float32))


@triton.jit
def sticky(t, shift: tl.constexpr):
    return (t >> shift) | ((t & ((1 << shift) - 1)) != 0).to(tl.int64)


@triton.jit
def step(q, x, c: tl.constexpr):
    """One Horner step on int64."""
    return (q * x + ((c << 32) + ROUND)) >> 32


@triton.jit
def _shift(x):
    """A count for a shift to the right of int64: 0 … 63."""
    return tl.where(x < 0, 0, tl.where(x > 63, 63, x)).to(tl.int64)


@triton.jit
def exp(x):
    """e^x; infinity from 88.73 on, 0 below -87.34, NaN for what is no number."""
    b = x.to(tl.int32, bitcast=True)
    field = (b >> 23) & 255
    m = ((b & 0x7FFFFF) | 0x800000).to(tl.int64)
    down = _shift(133 - field)
    y = (m * LOG2E_HI + ((m * LOG2E_LO) >> 31)) >> down
    y = tl.where(b < 0, -y, y)
    k = (y + (1 << 46)) >> 47
    f = (y >> 15) - (k << 32)
    q = step(f * 0 + E6, f, E5)
    q = step(q, f, E4)
    q = step(q, f, E3)
    q = step(q, f, E2)
    q = step(q, f, E1)
    q = step(q, f, E0)
    p = ((-(q * f) + ONE_62) >> 32).to(tl.int32)
    bits = p.to(tl.float32).to(tl.int32, bitcast=True).to(tl.int64) + ((k - 30) << 23)
    bits = tl.where(bits > 0x7F800000, 0x7F800000, bits)
    result = tl.where(bits >= 0x800000, bits, 0).to(tl.int32)
    result = tl.where(field > 133, tl.where(b < 0, 0, 0x7F800000), result)
    result = tl.where(field == 255, 0x7FC00000, result)
    return result.to(tl.float32, bitcast=True)


@triton.jit
def log_sum(h, k):
    """``out`` of log(1 - h) + k · ln 2, both int64; h with 32 bits after the point."""
    q = step(h * 0 + L12, h, L11)
    q = step(q, h, L10)
    q = step(q, h, L9)
    q = step(q, h, L8)
    q = step(q, h, L7)
    q = step(q, h, L6)
    q = step(q, h, L5)
    q = step(q, h, L4)
    q = step(q, h, L3)
    q = step(q, h, L2)
    q = step(q, h, L1)
    q = step(q, h, L0)
    t = q * h
    far = (t >> 20) + ((k * LN2_HI) << 21) + k * LN2_LO
    is_small = tl.abs(t) < (1 << 50)
    near = tl.where(is_small, t, sticky(t, 10))
    scale = tl.where(k == 0, tl.where(is_small, -62, -52), -42)
    return from_fixed(tl.where(k == 0, near, far), scale)


@triton.jit
def log(x):
    """The natural logarithm of a positive x; minus infinity for 0, NaN for negatives and what is no number."""
    b = x.to(tl.int32, bitcast=True)
    m = ((b & 0x7FFFFF) | 0x800000).to(tl.int64)
    upper = m > LOG_SPLIT
    k = ((b >> 23) & 255).to(tl.int64) - tl.where(upper, 126, 127)
    h = tl.where(upper, ((1 << 24) - m) << 8, ((1 << 23) - m) << 9)
    result = log_sum(h, k)
    result = tl.where(b < 0x800000, tl.where(b < 0, float("nan"), float("-inf")), result)
    return tl.where(b >= INF_BITS, float("nan"), result)


@triton.jit
def gumbel(r):
    """Gumbel noise of 32-bit words, given as int64 that are not negative."""
    u = (r | 1).to(tl.float64).to(tl.int64, bitcast=True)
    m = (u & ((1 << 52) - 1)) | (1 << 52)
    upper = m > (LOG_SPLIT << 29)
    k = (u >> 52) - tl.where(upper, 1022, 1023) - 32
    h = tl.where(upper, ((1 << 53) - m) >> 21, ((1 << 52) - m) >> 20)
    return flush(-log(-log_sum(h, k)))


@triton.jit
def tanh(x):
    """The hyperbolic tangent."""
    b = x.to(tl.int32, bitcast=True)
    field = (b >> 23) & 255
    m = ((b & 0x7FFFFF) | 0x800000).to(tl.int64)
    a31 = (m << 8) >> _shift(127 - field)
    h = -((a31 * a31) >> 30)
    q = step(h * 0 + T6, h, T5)
    q = step(q, h, T4)
    q = step(q, h, T3)
    q = step(q, h, T2)
    q = step(q, h, T1)
    q = step(q, h, T0)
    p = (-(q * h) + ONE_62) >> 32
    small = from_fixed(sticky(m * p, 4), field.to(tl.int64) - 176)
    a = tl.where(tl.abs(x) < 16.0, tl.abs(x), 16.0)
    e = exp(-(a + a))
    magnitude = tl.where(a < 0.5625, small, sub(1.0, div(add(e, e), add(e, 1.0))))
    magnitude = tl.where(field == 0, 0.0, magnitude)
    magnitude = tl.where(field == 255, float("nan"), magnitude)
    return tl.where((b < 0) & (field != 0), -magnitude, magnitude)


@triton.jit
def sigmoid(x):
    e = exp(-tl.abs(x))
    return div(tl.where(x >= 0.0, 1.0, e), add(e, 1.0))


@triton.jit
def silu(x):
    return mul(x, sigmoid(x))


@triton.jit
def silu_backward(g, x):
    s = sigmoid(x)
    return mul(g, mul(s, add(mul(x, sub(1.0, s)), 1.0)))


@triton.jit
def gelu_argument(x):
    return mul(add(x, mul(mul(mul(x, x), x), GELU_K)), GELU_C)


@triton.jit
def gelu_tanh(x):
    return mul(mul(x, 0.5), add(tanh(gelu_argument(x)), 1.0))


@triton.jit
def gelu_tanh_backward(g, x):
    t = tanh(gelu_argument(x))
    du = mul(add(mul(mul(x, x), GELU_3K), 1.0), GELU_C)
    through = mul(mul(mul(x, 0.5), sub(1.0, mul(t, t))), du)
    return mul(g, add(mul(add(t, 1.0), 0.5), through))


@triton.jit
def exponent_of(bits):
    """``expo`` of magnitude bits, as int64."""
    return tl.where(bits < 0x800000, 0, (bits >> 23) - 126).to(tl.int64)


@triton.jit
def raised_exponent_of(bits):
    """As ``exponent_of``, one more where the value would round to more than 32639 at 15 bits."""
    bits = tl.where(bits > 0x7F800000, 0x7F800000, bits)
    return tl.where(bits < 0x800000, 0, ((bits + 0x10100) >> 23) - 126).to(tl.int64)


@triton.jit
def term(x, scale):
    """rne(x · scale) as int64, for a power of two in float64 and a result below 2^51."""
    shifted = x.to(tl.float64) * scale + 6755399441055744.0
    return shifted.to(tl.int64, bitcast=True) - 0x4338000000000000


@triton.jit
def term_of_double(x, scale):
    """As ``term``, of float64."""
    return (x * scale + 6755399441055744.0).to(tl.int64, bitcast=True) - 0x4338000000000000


@triton.jit
def rounded(total, e):
    """``out(total · 2^e)`` with one rounding, for int64 abs total < 2^63."""
    is_wide = tl.abs(total) >= (1 << 53)
    narrow = sticky(total, 12).to(tl.float64) * 4096.0
    exact = tl.where(is_wide, narrow, total.to(tl.float64))
    return flush((exact * power_of_two(e)).to(tl.float32))


@triton.jit
def row_sum(x):
    """SUM of a whole block of one row, lanes beyond it being 0; NaN where a term is no number. At most 2^17 terms."""
    bits = tl.max(magnitude_bits(x), 0)
    e = exponent_of(bits)
    total = tl.sum(term(flush(x), power_of_two(36 - e)), 0)
    return tl.where(bits >= INF_BITS, float("nan"), rounded(total, e - 36))
