"""Why this module exists: the elementwise operators of exact/1 (docs/exact-1.md sections 2 and 6) in torch's integers.

Every function takes and gives float32 tensors of any shape, on one device. Conventions are those of ``kernels/scalar``:
inputs are ``out`` of something, a result that does not exist is an infinity or NaN, and the caller looks for them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from verde.numerics.constants import EXP2, EXPM1, LN2_42, LOG, LOG2E_HI, LOG2E_LO, LOG_SPLIT, SQRT_2_OVER_PI, TANH

Tensor = torch.Tensor

TINY = 2.0**-126
ROUND = 1 << 31
ONE_62 = (1 << 62) + ROUND
LN2_HI, LN2_LO = LN2_42 >> 21, LN2_42 & ((1 << 21) - 1)
GELU_C, GELU_K, GELU_3K = (float(np.float32(value)) for value in (SQRT_2_OVER_PI, 0.044715, 0.134145))
NAN, INFINITY = float("nan"), float("inf")


def flush(y: Tensor) -> Tensor:
    """A rounded value as ``out`` leaves it: below 2^-126 in magnitude is +0."""
    return torch.where(y.abs() < TINY, 0.0, y)


def add(a: Tensor | float, b: Tensor | float) -> Tensor:
    """a + b."""
    return flush(torch.add(a, b))  # type: ignore[arg-type]


def sub(a: Tensor | float, b: Tensor | float) -> Tensor:
    """a - b."""
    return flush(torch.sub(a, b) if isinstance(a, Tensor) else torch.add(torch.neg(b), a))  # type: ignore[arg-type]


def mul(a: Tensor | float, b: Tensor | float) -> Tensor:
    """a · b."""
    return flush(torch.mul(a, b))  # type: ignore[arg-type]


def div(a: Tensor | float, b: Tensor | float) -> Tensor:
    """a / b. Both become tensors of the device: by a number of the host, torch would multiply with its reciprocal."""
    device = (a if isinstance(a, Tensor) else b).device  # type: ignore[union-attr]
    a, b = (x if isinstance(x, Tensor) else torch.full((), x, device=device) for x in (a, b))
    return flush(torch.div(a, b))


def sqrt(x: Tensor) -> Tensor:
    """The root, correctly rounded: a double's root, rounded again, is."""
    return flush(x.double().sqrt().float())


def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x): two roundings."""
    return div(1.0, sqrt(x))


def bits_of(x: Tensor) -> Tensor:
    """The bits of float32 values as int64, sign-extended."""
    return x.view(torch.int32).to(torch.int64)


def power_of_two(e: Tensor) -> Tensor:
    """2^e as float64 for -1022 <= e <= 1023, made of bits."""
    return ((e.to(torch.int64) + 1023) << 52).view(torch.float64)


def from_fixed(t: Tensor, e: Tensor | int) -> Tensor:
    """``out(t · 2^e)`` for an int64 abs t < 2^53: exact in binary64, so rounded once."""
    scale = 2.0**e if isinstance(e, int) else power_of_two(e)
    return flush((t.double() * scale).float())


def sticky(t: Tensor, shift: int) -> Tensor:
    """t >> shift with the lost bits ORed into the last: rounds like t while at least 26 bits are left."""
    return (t >> shift) | ((t & ((1 << shift) - 1)) != 0).to(torch.int64)


def step(q: Tensor | int, x: Tensor, c: int) -> Tensor:
    """One Horner step: floor((q·x + c·2^32 + 2^31) / 2^32)."""
    return (q * x + ((c << 32) + ROUND)) >> 32


def polynomial(coefficients: Sequence[int], x: Tensor) -> Tensor:
    """POLY of section 6: x with 32 bits after the point, coefficients and result with 30."""
    q: Tensor | int = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        q = step(q, x, c)
    return q  # type: ignore[return-value]


def rest(q: Tensor, x: Tensor) -> Tensor:
    """1 - q·x with 30 bits after the point."""
    return (ONE_62 - q * x) >> 32


def field_and_significand(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(bits, exponent field, significand with its leading 1) as int64."""
    b = bits_of(x)
    return b, (b >> 23) & 255, (b & 0x7FFFFF) | 0x800000


def exp_parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """(p, k): e^x is p · 2^(k-30), for abs x < 128."""
    b, field, m = field_and_significand(x)
    down = (133 - field).clamp(0, 63)
    y = (m * LOG2E_HI + ((m * LOG2E_LO) >> 31)) >> down
    y = torch.where(b < 0, -y, y)
    k = (y + (1 << 46)) >> 47
    f = (y >> 15) - (k << 32)
    return rest(polynomial(EXP2, f), f), k


def exp(x: Tensor) -> Tensor:
    """e^x; infinity from 88.73 on, 0 below -87.34."""
    p, k = exp_parts(x)
    result = torch.where(x.abs() < 128.0, from_fixed(p, k - 30), torch.where(x < 0, 0.0, INFINITY))
    return torch.where(torch.isfinite(x), result, NAN)


def log_sum(h: Tensor, k: Tensor) -> Tensor:
    """``out`` of log(1 - h) + k · ln 2; h with 32 bits after the point, from 1 - sqrt 2 to 1 - sqrt 1/2."""
    t = polynomial(LOG, h) * h
    far = (t >> 20) + ((k * LN2_HI) << 21) + k * LN2_LO
    near_is_small = t.abs() < (1 << 50)
    near = from_fixed(torch.where(near_is_small, t, sticky(t, 10)), torch.where(near_is_small, -62, -52))
    return torch.where(k == 0, near, from_fixed(far, -42))


def log(x: Tensor) -> Tensor:
    """The natural logarithm; minus infinity for 0, NaN for a negative."""
    b, field, m = field_and_significand(x)
    upper = m > LOG_SPLIT
    k = field - torch.where(upper, 126, 127)
    result = log_sum(torch.where(upper, ((1 << 24) - m) << 8, ((1 << 23) - m) << 9), k)
    result = torch.where(b < 0x800000, torch.where(b < 0, NAN, -INFINITY), result)
    return torch.where(b >= 0x7F800000, NAN, result)


def gumbel(r: Tensor) -> Tensor:
    """Gumbel noise of 32-bit words (int64, not negative): -log(-log(u)), u = (r | 1) · 2^-32."""
    u = (r | 1).double().view(torch.int64)
    m = (u & ((1 << 52) - 1)) | (1 << 52)
    upper = m > (LOG_SPLIT << 29)
    k = (u >> 52) - torch.where(upper, 1022, 1023) - 32
    h = torch.where(upper, ((1 << 53) - m) >> 21, ((1 << 52) - m) >> 20)
    return flush(-log(-log_sum(h, k)))


def expm1(x: Tensor) -> Tensor:
    """e^x - 1, accurate near 0; infinity from 88.73 on."""
    b, field, m = field_and_significand(x)
    sign = torch.where(b < 0, -1, 1)
    f = ((m << 9) >> (127 - field).clamp(0, 63)) * sign
    near = from_fixed(sticky(m * sign * polynomial(EXPM1, f), 4), (field - 176).clamp(min=-1000))
    p, k = exp_parts(x)
    below = from_fixed(((p << 20) >> (-k).clamp(0, 63)) - (1 << 50), -50)
    t = (p << k.clamp(0, 32)) - (1 << 30)
    above = torch.where(k > 14, from_fixed(sticky(t, 13), -17), from_fixed(t, -30))
    result = torch.where(k <= 0, below, above)
    result = torch.where((k > 32) | (field > 133), exp(x), result)
    result = torch.where((b < 0) & ((k <= -32) | (field > 133)), -1.0, result)
    result = torch.where((b & 0x7FFFFFFF) <= 0x3EC00000, near, result)
    return torch.where(field == 255, NAN, torch.where(field == 0, 0.0, result))


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    b, field, m = field_and_significand(x)
    a31 = (m << 8) >> (127 - field).clamp(0, 63)
    h = -((a31 * a31) >> 30)
    p = rest(polynomial(TANH, h), h)
    small = from_fixed(sticky(m * p, 4), field - 176)
    a = x.abs().clamp(max=16.0)
    e = exp(-(a + a))
    magnitude = torch.where(a < 0.5625, small, sub(1.0, div(add(e, e), add(e, 1.0))))
    magnitude = torch.where(field == 255, NAN, torch.where(field == 0, 0.0, magnitude))
    return torch.where((b < 0) & (field != 0), -magnitude, magnitude)


def tanh_backward(g: Tensor, t: Tensor) -> Tensor:
    """Gradient of tanh whose result was t, for the gradient g of that result."""
    return mul(g, sub(1.0, mul(t, t)))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    e = exp(-x.abs())
    return div(torch.where(x >= 0, 1.0, e), add(e, 1.0))


def silu(x: Tensor) -> Tensor:
    """x · sigmoid(x)."""
    return mul(x, sigmoid(x))


def silu_backward(g: Tensor, x: Tensor) -> Tensor:
    """Gradient of silu at x, for the gradient g of its result."""
    s = sigmoid(x)
    return mul(g, mul(s, add(mul(x, sub(1.0, s)), 1.0)))


def gelu_argument(x: Tensor) -> Tensor:
    """What gelu_tanh takes the hyperbolic tangent of."""
    return mul(add(x, mul(mul(mul(x, x), x), GELU_K)), GELU_C)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU in its tanh form."""
    return mul(mul(x, 0.5), add(tanh(gelu_argument(x)), 1.0))


def gelu_tanh_backward(g: Tensor, x: Tensor) -> Tensor:
    """Gradient of gelu_tanh at x, for the gradient g of its result."""
    t = tanh(gelu_argument(x))
    du = mul(add(mul(mul(x, x), GELU_3K), 1.0), GELU_C)
    through = mul(mul(mul(x, 0.5), sub(1.0, mul(t, t))), du)
    return mul(g, add(mul(add(t, 1.0), 0.5), through))
