"""Why this module exists: a matrix becomes rows of bytes for the tensor cores in one or two passes over its memory.

Shapes: R rows of significands, K positions of a row, padded with zeros to a multiple of what products read at once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from verde.numerics import place
from verde.numerics.gpu import scalar as s
from verde.numerics.gpu.scalar import UNFUSED

_TILE = 64


@triton.jit
def _scales(exponent):
    """Two powers of two whose product is 2^(15 - exponent): one alone may lie beyond float32."""
    e = exponent.to(tl.int32)
    first = tl.where(e < -108, 227, 142 - e)
    second = tl.where(e < -108, 42 - e, 127)
    return (first << 23).to(tl.float32, bitcast=True), (second << 23).to(tl.float32, bitcast=True)


@triton.jit
def _significand(x, first, second):
    """rne(x · first · second) as int32: 1.5 · 2^23 leaves the integer in the low bits."""
    scaled = s.flush(x) * first * second + 12582912.0
    return scaled.to(tl.int32, bitcast=True) - 0x4B400000


@triton.jit(do_not_specialize=["length"])
def rows_kernel(x_ptr, planes_ptr, exponent_ptr, mark_ptr, length, padded, BLOCK: tl.constexpr):
    """One row per program."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    largest = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, length, BLOCK):
        x = tl.load(x_ptr + row * length + start + lane, mask=start + lane < length, other=0.0)
        largest = tl.maximum(largest, s.magnitude_bits(x))
    bits = tl.max(largest, 0)
    exponent = s.raised_exponent_of(bits)
    tl.store(exponent_ptr + row, exponent.to(tl.int32))
    tl.store(mark_ptr, 1, mask=bits >= 0x7F800000)
    first, second = _scales(exponent)
    for start in range(0, padded, BLOCK):
        at = start + lane
        x = tl.load(x_ptr + row * length + at, mask=at < length, other=0.0)
        q = _significand(x, first, second)
        high = (q + 128) >> 8
        out = planes_ptr + row * 2 * padded + at
        tl.store(out, high.to(tl.int8), mask=at < padded)
        tl.store(out + padded, (q - (high << 8)).to(tl.int8), mask=at < padded)


@triton.jit(do_not_specialize=["length", "rows", "per_program"])
def largest_of_columns_kernel(x_ptr, largest_ptr, length, rows, per_program, TILE: tl.constexpr):
    """Magnitude bits of [K, R], the largest of each column, over some positions."""
    column = tl.program_id(0) * TILE + tl.arange(0, TILE)
    begin = tl.program_id(1) * per_program
    largest = tl.zeros((TILE,), tl.int32)
    for start in range(begin, tl.minimum(begin + per_program, length), TILE):
        k = start + tl.arange(0, TILE)
        inside = (k[:, None] < length) & (column[None, :] < rows)
        x = tl.load(x_ptr + k[:, None].to(tl.int64) * rows + column[None, :], mask=inside, other=0.0)
        largest = tl.maximum(largest, tl.max(s.magnitude_bits(x), 0))
    tl.atomic_max(largest_ptr + column, largest, mask=column < rows)


@triton.jit(do_not_specialize=["length", "rows"])
def columns_kernel(x_ptr, largest_ptr, planes_ptr, exponent_ptr, mark_ptr, length, rows, padded, TILE: tl.constexpr):
    """A tile [K, R] is quantised down its columns and written the other way round."""
    column = tl.program_id(0) * TILE + tl.arange(0, TILE)
    k = tl.program_id(1) * TILE + tl.arange(0, TILE)
    bits = tl.load(largest_ptr + column, mask=column < rows, other=0)
    exponent = s.raised_exponent_of(bits)
    if tl.program_id(1) == 0:
        tl.store(exponent_ptr + column, exponent.to(tl.int32), mask=column < rows)
        tl.store(mark_ptr, 1, mask=tl.max(bits, 0) >= 0x7F800000)
    first, second = _scales(exponent)
    inside = (k[:, None] < length) & (column[None, :] < rows)
    x = tl.load(x_ptr + k[:, None].to(tl.int64) * rows + column[None, :], mask=inside, other=0.0)
    q = tl.trans(_significand(x, first[None, :], second[None, :]))
    high = (q + 128) >> 8
    out = planes_ptr + column[:, None].to(tl.int64) * 2 * padded + k[None, :]
    kept = (column[:, None] < rows) & (k[None, :] < padded)
    tl.store(out, high.to(tl.int8), mask=kept)
    tl.store(out + padded, (q - (high << 8)).to(tl.int8), mask=kept)


def planes_of(x: torch.Tensor, is_transposed: bool, alignment: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``portable.products.planes_of``."""
    if not x.is_contiguous() and x.T.is_contiguous():
        # Its rows lie in memory as the other operand's do.
        x, is_transposed = x.T, not is_transposed
    x = x.contiguous()
    length, rows = tuple(x.shape) if is_transposed else tuple(reversed(x.shape))
    padded = -(-length // alignment) * alignment
    planes = torch.empty((rows, 2, padded), dtype=torch.int8, device=x.device)
    exponents = torch.empty(rows, dtype=torch.int32, device=x.device)
    if planes.numel() == 0:
        return planes, exponents.zero_()
    with place.marking(x.device, "matrix product", f"an operand of shape {list(x.shape)}") as mark_1:
        if not is_transposed:
            block = min(4096, max(128, triton.next_power_of_2(length)))
            rows_kernel[(rows,)](x, planes, exponents, mark_1, length, padded, BLOCK=block, **UNFUSED)
            return planes, exponents
        largest = torch.zeros(rows, dtype=torch.int32, device=x.device)
        columns = triton.cdiv(rows, _TILE)
        parts = max(1, min(triton.cdiv(length, _TILE), 1024 // columns))
        per_program = triton.cdiv(triton.cdiv(length, parts), _TILE) * _TILE
        grid = (columns, triton.cdiv(length, per_program))
        largest_of_columns_kernel[grid](x, largest, length, rows, per_program, TILE=_TILE, **UNFUSED)
        columns_kernel[(columns, triton.cdiv(padded, _TILE))](
            x, largest, planes, exponents, mark_1, length, rows, padded, TILE=_TILE, **UNFUSED
        )
    return planes, exponents
