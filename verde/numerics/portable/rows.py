"""Why this module exists: exponents of rows, significands and SUM (docs/exact-1.md sections 1, 3 and 4) in torch.

Shapes: R rows, K elements of a row, or any tensor along one of its axes.
"""

from __future__ import annotations

import torch

from verde.numerics.portable.scalar import TINY, flush, power_of_two

Tensor = torch.Tensor

WIDTH = 36
_INFINITY = 0x7F800000
_LEAST_NORMAL = 0x00800000
_RAISE = 0x00800000 - 0x007EFF00


def largest_bits(x: Tensor, dim: int) -> Tensor:
    """The bits of the largest magnitude along an axis, which stays with size 1; 0 where it is empty."""
    bits = x.view(torch.int32) & 0x7FFFFFFF
    if x.shape[dim] == 0:
        return bits.sum(dim, keepdim=True, dtype=torch.int32)
    return bits.amax(dim, keepdim=True)


def exponent(bits: Tensor) -> Tensor:
    """``expo`` as int64: the least e with magnitude < 2^e, 0 for zero; meaningless for what is no number."""
    return torch.where(bits < _LEAST_NORMAL, 0, (bits >> 23) - 126).to(torch.int64)


def raised_exponent(bits: Tensor) -> Tensor:
    """As ``exponent``, one more where the value would round to more than 32639 at 15 bits."""
    return torch.where(bits < _LEAST_NORMAL, 0, ((bits.clamp(max=_INFINITY) + _RAISE) >> 23) - 126).to(torch.int64)


def are_numbers(bits: Tensor) -> Tensor:
    """Whether magnitudes are those of numbers."""
    return bits < _INFINITY


def quantise(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """(significands float64 like ``x``, exponents int64 with the axis at size 1) along an axis.

    Where a row holds NaN or an infinity, both are meaningless; the caller has looked.
    """
    e = raised_exponent(largest_bits(x, dim))
    return torch.round(flush(x).double() * power_of_two(15 - e)), e


def rounded(total: Tensor, e: Tensor | int) -> Tensor:
    """``out(total · 2^e)`` with one rounding, for int64 abs total < 2^63."""
    scale = 2.0**e if isinstance(e, int) else power_of_two(e)
    is_wide = total.abs() >= (1 << 53)
    # Wide totals lose 12 bits to a last one that says whether there were any: they still round alike.
    narrow = (total >> 12) | ((total & 4095) != 0).to(torch.int64)
    exact = torch.where(is_wide, narrow.double() * 4096.0, total.double())
    return flush((exact * scale).float())


def terms(x: Tensor, e: Tensor) -> Tensor:
    """The integers of SUM as int64: rne(x · 2^(36 - e))."""
    return torch.round(flush(x).double() * power_of_two(WIDTH - e)).to(torch.int64)


def sum_along(x: Tensor, dim: int, *, keepdim: bool = False) -> Tensor:
    """SUM along an axis; NaN where a term is no number."""
    bits = largest_bits(x, dim)
    e = exponent(bits)
    total = terms(x, e).sum(dim, keepdim=True)
    result = torch.where(are_numbers(bits), rounded(total, e - WIDTH), float("nan"))
    return result if keepdim else result.squeeze(dim)


def sum_of_pieces(x_N: Tensor, piece: int) -> Tensor:
    """SUM of each piece of ``piece`` values of a vector (the last may be shorter)."""
    whole = len(x_N) // piece * piece
    sums = [sum_along(x_N[:whole].view(-1, piece), 1)] if whole else []
    if whole < len(x_N):
        sums.append(sum_along(x_N[whole:].view(1, -1), 1))
    return torch.cat(sums) if sums else x_N.new_zeros(0)


def is_tiny(x: Tensor) -> Tensor:
    """Which values read as +0 and are not: subnormals and -0."""
    return (x.abs() < TINY) & (x.view(torch.int32) != 0)
