"""Why this module exists: a product of significands, rounded, in one launch on the tensor cores' bytes.

Four products of bytes share three accumulators of 32 bits; they become a float32 in registers, so the integer sums
never reach memory. Long contractions, and small results of long ones, are cut along K: their parts are exact doubles
that add up exactly.

Shapes: M rows by N columns of a result, K positions (a multiple of ``BLOCK_K``).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from verde.numerics import place
from verde.numerics.gpu import scalar as s
from verde.numerics.gpu.scalar import UNFUSED

_LONGEST = 1 << 16
"""Twice this many products of two bytes fit 32 bits."""

_GROUP = 8
_PROGRAMS = 132


@triton.jit(do_not_specialize=["num_m"])
def multiply_kernel(
    a_ptr, b_ptr, ea_ptr, eb_ptr, bias_ptr, out_ptr, total_ptr, mark_ptr, num_m, num_n, num_k, piece,
    HAS_BIAS: tl.constexpr, IS_WHOLE: tl.constexpr, GROUP: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = ``out(C · 2^(ea+eb-30))`` (+ bias), or, unless ``IS_WHOLE``, C of one piece of K as float64."""
    number = tl.program_id(0)
    across, down = tl.cdiv(num_n, BLOCK_N), tl.cdiv(num_m, BLOCK_M)
    group = number // (GROUP * across)
    height = tl.minimum(down - group * GROUP, GROUP)
    row = group * GROUP + (number % (GROUP * across)) % height
    column = (number % (GROUP * across)) // height
    m = row * BLOCK_M + tl.arange(0, BLOCK_M)
    n = column * BLOCK_N + tl.arange(0, BLOCK_N)
    begin = tl.program_id(1) * piece
    k = begin + tl.arange(0, BLOCK_K)
    # Rows beyond the end are read again from the beginning: their results are not written.
    a = a_ptr + (m % num_m)[:, None].to(tl.int64) * 2 * num_k + k[None, :]
    b = b_ptr + (n % num_n)[None, :].to(tl.int64) * 2 * num_k + k[:, None]
    hh = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    mid = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    ll = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    for _ in range(begin, tl.minimum(begin + piece, num_k), BLOCK_K):
        ah, al = tl.load(a), tl.load(a + num_k)
        bh, bl = tl.load(b), tl.load(b + num_k)
        hh = tl.dot(ah, bh, hh, out_dtype=tl.int32)
        mid = tl.dot(ah, bl, mid, out_dtype=tl.int32)
        mid = tl.dot(al, bh, mid, out_dtype=tl.int32)
        ll = tl.dot(al, bl, ll, out_dtype=tl.int32)
        a += BLOCK_K
        b += BLOCK_K
    # 256 · hh + mid is below 2^48: whole integers are cheaper here than three doubles.
    total = (((hh.to(tl.int64) << 8) + mid.to(tl.int64)) << 8) + ll.to(tl.int64)
    total = total.to(tl.float64)
    inside = (m[:, None] < num_m) & (n[None, :] < num_n)
    at = m[:, None].to(tl.int64) * num_n + n[None, :]
    if IS_WHOLE:
        ea = tl.load(ea_ptr + m, mask=m < num_m, other=0)
        eb = tl.load(eb_ptr + n, mask=n < num_n, other=0)
        scaled = (total * s.power_of_two(ea - 30)[:, None]) * s.power_of_two(eb)[None, :]
        value = s.flush(scaled.to(tl.float32))
        if HAS_BIAS:
            bias = s.flush(tl.load(bias_ptr + n, mask=n < num_n, other=0.0))
            value = s.add(value, bias[None, :])
        tl.store(out_ptr + at, value, mask=inside)
        bad = tl.where(inside, s.not_finite(value), 0)
        tl.store(mark_ptr, 1, mask=tl.max(tl.max(bad, 1), 0) != 0)
    else:
        tl.store(total_ptr + tl.program_id(1).to(tl.int64) * num_m * num_n + at, total, mask=inside)


@triton.jit(do_not_specialize=["num_m", "num_n", "pieces"])
def finish_kernel(
    total_ptr, ea_ptr, eb_ptr, bias_ptr, out_ptr, mark_ptr, num_m, num_n, pieces,
    HAS_BIAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The sum of the pieces' doubles, rounded."""
    m = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = n < num_n
    total = tl.zeros((BLOCK,), tl.float64)
    for piece in range(pieces):
        total += tl.load(total_ptr + (piece * num_m + m) * num_n + n, mask=inside, other=0.0)
    e = tl.load(ea_ptr + m) + tl.load(eb_ptr + n, mask=inside, other=0)
    value = s.flush((total * s.power_of_two(e - 30)).to(tl.float32))
    if HAS_BIAS:
        value = s.add(value, s.flush(tl.load(bias_ptr + n, mask=inside, other=0.0)))
    tl.store(out_ptr + m * num_n + n, value, mask=inside)
    bad = tl.where(inside, s.not_finite(value), 0)
    tl.store(mark_ptr, 1, mask=tl.max(bad, 0) != 0)


def shape_for(rows: int, columns: int) -> dict[str, int]:
    """Tile sizes and warps for a result of this shape."""
    if rows <= 16:
        return {"BLOCK_M": 16, "BLOCK_N": 32, "BLOCK_K": 128, "num_warps": 4, "num_stages": 4}
    if rows <= 64 or columns <= 64:
        return {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 128, "num_warps": 4, "num_stages": 3}
    return {"BLOCK_M": 128, "BLOCK_N": 64, "BLOCK_K": 128, "num_warps": 8, "num_stages": 3}


def contract(a: Any, b: Any, bias_C: torch.Tensor | None, what: str, out: torch.Tensor | None) -> torch.Tensor:
    """As ``portable.route.contract``, for two ``DeviceQuantised``."""
    left, right, ea, eb = a.planes, b.planes, a.exponents_R, b.exponents_R
    rows, columns, length = a.rows, b.rows, left.shape[2]
    result = torch.empty((rows, columns), dtype=torch.float32, device=left.device) if out is None else out
    shape = shape_for(rows, columns)
    tiles = triton.cdiv(rows, shape["BLOCK_M"]) * triton.cdiv(columns, shape["BLOCK_N"])
    # Pieces long enough to be worth their own launch, and enough programs for every multiprocessor.
    pieces = max(triton.cdiv(length, _LONGEST), min(_PROGRAMS // tiles, length // 1024, 16))
    piece = triton.cdiv(triton.cdiv(length, max(1, pieces)), 128) * 128
    pieces = triton.cdiv(length, piece)
    bias = ea if bias_C is None else bias_C.detach().contiguous()
    whole = pieces == 1
    total = result if whole else torch.empty((pieces, rows, columns), dtype=torch.float64, device=left.device)
    with place.marking(left.device, "matrix product", what) as mark_1:
        multiply_kernel[(tiles, pieces)](
            left, right, ea, eb, bias, result, total, mark_1, rows, columns, length, piece,
            HAS_BIAS=bias_C is not None, IS_WHOLE=whole, GROUP=_GROUP, **shape, **UNFUSED,
        )  # fmt: skip
        if not whole:
            finish_kernel[(rows, triton.cdiv(columns, 1024))](
                total, ea, eb, bias, result, mark_1, rows, columns, pieces,
                HAS_BIAS=bias_C is not None, BLOCK=1024, **UNFUSED,
            )  # fmt: skip
    return result
