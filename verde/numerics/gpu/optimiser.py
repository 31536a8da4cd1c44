"""Why this module exists: an update of AdamW touches four numbers per weight once each; a norm reads them twice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl

from verde.numerics import place
from verde.numerics.gpu import scalar as s
from verde.numerics.gpu.scalar import UNFUSED

_BLOCK = 1024


@triton.jit(do_not_specialize=["size"])
def update_kernel(
    weight_ptr, first_ptr, second_ptr, gradient_ptr, mark_ptr, size, clip,
    beta1, beta2, rest1, rest2, root, epsilon, decay, rate, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    gradient = s.mul(tl.load(gradient_ptr + at, mask=inside, other=0.0), clip)
    first = s.mul(tl.load(first_ptr + at, mask=inside, other=0.0), beta1)
    first = s.add(first, s.mul(gradient, rest1))
    second = s.mul(tl.load(second_ptr + at, mask=inside, other=0.0), beta2)
    second = s.add(second, s.mul(s.mul(gradient, gradient), rest2))
    denominator = s.add(s.div(s.sqrt(second), root), epsilon)
    weight = s.mul(tl.load(weight_ptr + at, mask=inside, other=0.0), decay)
    weight = s.sub(weight, s.mul(s.div(first, denominator), rate))
    tl.store(weight_ptr + at, weight, mask=inside)
    tl.store(first_ptr + at, first, mask=inside)
    tl.store(second_ptr + at, second, mask=inside)
    bad = s.not_finite(weight) | s.not_finite(first) | s.not_finite(second)
    tl.store(mark_ptr, 1, mask=tl.max(tl.where(inside, bad, 0), 0) != 0)


@triton.jit(do_not_specialize=["size", "piece"])
def largest_of_pieces_kernel(x_ptr, largest_ptr, size, piece, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = start + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < size, other=0.0)
    tl.atomic_max(largest_ptr + start // piece, tl.max(s.magnitude_bits(x), 0))


@triton.jit
def _exponent_of_squares(bits):
    largest = bits.to(tl.float32, bitcast=True)
    square = s.magnitude_bits(largest * largest)
    return square, s.exponent_of(square)


@triton.jit(do_not_specialize=["size", "piece"])
def squares_of_pieces_kernel(x_ptr, largest_ptr, total_ptr, size, piece, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = start + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < size, other=0.0)
    _, e = _exponent_of_squares(tl.load(largest_ptr + start // piece))
    total = tl.sum(s.term(s.mul(x, x), s.power_of_two(36 - e)), 0)
    tl.atomic_add(total_ptr + start // piece, total)


@triton.jit(do_not_specialize=["pieces"])
def rounded_squares_kernel(largest_ptr, total_ptr, out_ptr, pieces, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    square, e = _exponent_of_squares(tl.load(largest_ptr + at, mask=at < pieces, other=0))
    y = s.rounded(tl.load(total_ptr + at, mask=at < pieces, other=0), e - 36)
    tl.store(out_ptr + at, tl.where(square >= 0x7F800000, float("nan"), y), mask=at < pieces)


def update(
    weight: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    gradient: torch.Tensor,
    clip: float,
    constants: Sequence[float],
    what: str,
) -> None:
    """One tensor's step in place; ``constants`` as in ``kernels/adamw``."""
    size = weight.numel()
    if size:
        with place.marking(weight.device, "AdamW", what) as mark_1:
            update_kernel[(triton.cdiv(size, _BLOCK),)](
                weight, first, second, gradient, mark_1, size, clip, *constants, BLOCK=_BLOCK, **UNFUSED
            )


def sums_of_squares(x_N: torch.Tensor, piece: int) -> torch.Tensor:
    """SUM of ``mul(x, x)`` over each piece (a multiple of 1024) of a vector; NaN where a square is no number."""
    size = x_N.numel()
    pieces = triton.cdiv(size, piece)
    largest = torch.zeros(pieces, dtype=torch.int32, device=x_N.device)
    total = torch.zeros(pieces, dtype=torch.int64, device=x_N.device)
    out = torch.empty(pieces, device=x_N.device)
    if size:
        grid = (triton.cdiv(size, _BLOCK),)
        largest_of_pieces_kernel[grid](x_N, largest, size, piece, BLOCK=_BLOCK, **UNFUSED)
        squares_of_pieces_kernel[grid](x_N, largest, total, size, piece, BLOCK=_BLOCK, **UNFUSED)
        rounded_squares_kernel[(triton.cdiv(pieces, 128),)](largest, total, out, pieces, BLOCK=128, **UNFUSED)
    return out
