"""Why this module exists: sine and cosine of any float32 in torch's integers, by docs/exact-1.md section 6.

The angle is reduced to quarter turns in two limbs of 64 and 40 bits, as in ``kernels/angles``; what overflows 64 bits
there is meant to (turns are counted modulo four).
"""

from __future__ import annotations

from functools import cache

import torch

from verde.numerics.constants import COS, SIN, TWO_OVER_PI
from verde.numerics.portable.scalar import NAN, field_and_significand, from_fixed, polynomial, rest, sticky

Tensor = torch.Tensor

_LOW = (1 << 40) - 1


@cache
def _phases(device: torch.device) -> tuple[Tensor, Tensor]:
    """The table as int64 limbs: bits 40 … 103 (the highest one as a sign) and 0 … 39."""
    high = [(t >> 40) - ((t >> 103) << 64) for t in TWO_OVER_PI]
    return torch.tensor(high, device=device), torch.tensor([t & _LOW for t in TWO_OVER_PI], device=device)


def _bit_length(t: Tensor) -> Tensor:
    """Number of bits of an int64 2^10 <= t < 2^63, from the exponent of a double that holds its upper bits."""
    return ((t & ~1023).double().view(torch.int64) >> 52) - 1022


def _quarter_turns(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, w, e): abs x is n + s·w·2^e quarter turns, n from 0 to 3, 2^30 <= abs w < 2^31 (or w = 0)."""
    _, field, m = field_and_significand(x)
    exponent = field - 127
    row = exponent.clamp(-2, 127)
    phase_hi, phase_lo = (table[row + 2] for table in _phases(x.device))
    low = m * phase_lo
    high = m * phase_hi + ((low >> 40) & ((1 << 24) - 1))
    low = low & _LOW
    n = ((high + (1 << 61)) >> 62) & 3
    # n is modulo 4, and so is what 64 bits keep of n quarter turns.
    a = high - (n << 62)
    negative = a < 0
    has_rest = low != 0
    rest_bits = torch.where(negative & has_rest, (1 << 40) - low, low)
    a = torch.where(negative, torch.where(has_rest, ~a, -a), a)
    is_short = a < (1 << 30)
    t = torch.where(is_short, (a << 33) | (rest_bits >> 7), a)
    scale = exponent - row - 102 + torch.where(is_short, 7, 40)
    shift = _bit_length(t) - 31
    w = torch.where(shift >= 0, t >> shift.clamp(0, 63), t << (-shift).clamp(0, 63))
    return n, torch.where(negative, -w, w), scale + shift


def _squared(w: Tensor, e: Tensor) -> Tensor:
    """The square of w·2^e with 32 bits after the point."""
    r = w.abs() >> (-31 - e).clamp(0, 63)
    return (r * r) >> 30


def _sin_of_turns(w: Tensor, e: Tensor) -> Tensor:
    return from_fixed(sticky(w * polynomial(SIN, _squared(w, e)), 12), (e - 18).clamp(min=-1000))


def _cos_of_turns(w: Tensor, e: Tensor) -> Tensor:
    u = _squared(w, e)
    return from_fixed(rest(polynomial(COS, u), u), -30)


def sin(x: Tensor) -> Tensor:
    """The sine of x radians, of any size."""
    _, field, _ = field_and_significand(x)
    n, w, e = _quarter_turns(x)
    s = torch.where((n & 1) != 0, _cos_of_turns(w, e), _sin_of_turns(w, e))
    s = torch.where(((n & 2) != 0) != (x < 0), -s, s)
    return torch.where(field == 255, NAN, torch.where(field == 0, 0.0, s))


def cos(x: Tensor) -> Tensor:
    """The cosine of x radians, of any size."""
    _, field, _ = field_and_significand(x)
    n, w, e = _quarter_turns(x)
    s = torch.where((n & 1) != 0, _sin_of_turns(w, e), _cos_of_turns(w, e))
    s = torch.where((n == 1) | (n == 2), -s, s)
    return torch.where(field == 255, NAN, torch.where(field == 0, 1.0, s))
