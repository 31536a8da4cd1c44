"""Why this module exists: attention's softmax and gradient are one launch each between products of doubles.

Shapes as in ``portable/attention``; a program computes one row of L keys, or quantises one row or column.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from verde.numerics import place
from verde.numerics.gpu import scalar as s
from verde.numerics.gpu.layers import row_block
from verde.numerics.gpu.scalar import UNFUSED

_LOOSE = ["length", "num_heads", "num_queries", "rows_per_pair", "stride_b", "stride_h", "stride_q", "stride_l"]


@triton.jit(do_not_specialize=_LOOSE)
def weights_kernel(
    scores_ptr, mask_ptr, exponent_ptr, uq_ptr, uq_exponent_ptr, mark_ptr, scale,
    length, num_heads, num_queries, rows_per_pair, stride_b, stride_h, stride_q, stride_l,
    IS_MASKED: tl.constexpr, IS_CAUSAL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Scores become weights in place, 0 where masked; with uq = quantise(w · 2^E) as float64 and its exponent."""
    row, j = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    query, head = row % num_queries, (row // num_queries) % num_heads
    batch, pair = row // (num_queries * num_heads), row // rows_per_pair
    inside = j < length
    seen = inside
    if IS_MASKED:
        at = mask_ptr + batch * stride_b + head * stride_h + query * stride_q + j * stride_l
        seen = inside & (tl.load(at, mask=inside, other=0) != 0)
    if IS_CAUSAL:
        seen = inside & (j <= query)
    score = s.mul(tl.load(scores_ptr + row * length + j, mask=inside, other=0.0), scale)
    bad = tl.max(tl.where(seen, s.not_finite(score), 0), 0)
    most = tl.max(tl.where(seen, score, float("-inf")), 0)
    has_any = tl.max(seen.to(tl.int32), 0) != 0
    power = tl.where(seen, s.exp(s.sub(tl.where(seen, score, most), most)), 0.0)
    power = tl.where(has_any & (bad == 0), power, 0.0)
    total = s.rounded(tl.sum(s.term(power, 34359738368.0), 0), tl.full((), -35, tl.int64))
    weight = s.div(power, tl.where(total == 0.0, 1.0, total))
    tl.store(scores_ptr + row * length + j, weight, mask=inside)
    tl.store(mark_ptr, 1, mask=bad != 0)
    exponent = tl.load(exponent_ptr + pair * length + j, mask=inside, other=0)
    u = weight.to(tl.float64) * s.power_of_two(exponent)
    largest = tl.max(u.to(tl.int64, bitcast=True), 0)
    e = tl.where(largest == 0, 0, (largest >> 52) - 1022)
    q = s.term_of_double(largest.to(tl.float64, bitcast=True), s.power_of_two(15 - e))
    e = tl.where(q > 32639, e + 1, e)
    half = (15 - e) >> 1
    scaled = u * s.power_of_two(half) * s.power_of_two(15 - e - half)
    tl.store(uq_ptr + row * length + j, (scaled + 6755399441055744.0) - 6755399441055744.0, mask=inside)
    tl.store(uq_exponent_ptr + row, e)


@triton.jit(do_not_specialize=["length"])
def gradient_kernel(weights_ptr, gradient_ptr, mark_ptr, scale, length, BLOCK: tl.constexpr):
    """The gradient of the weights becomes that of the scaled products, in place."""
    at = tl.program_id(0).to(tl.int64) * length + tl.arange(0, BLOCK)
    inside = tl.arange(0, BLOCK) < length
    weight = tl.load(weights_ptr + at, mask=inside, other=0.0)
    gradient = tl.load(gradient_ptr + at, mask=inside, other=0.0)
    total = s.row_sum(s.mul(weight, gradient))
    result = s.mul(s.mul(weight, s.sub(gradient, total)), scale)
    tl.store(gradient_ptr + at, result, mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(tl.where(inside, s.not_finite(result), 0), 0) != 0)


@triton.jit(do_not_specialize=["rows", "width"])
def whole_rows_kernel(x_ptr, out_ptr, exponent_ptr, mark_ptr, rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Significands of some rows as float64."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, BLOCK)
    at = row[:, None] * width + k[None, :]
    inside = (row[:, None] < rows) & (k[None, :] < width)
    x = tl.load(x_ptr + at, mask=inside, other=0.0)
    bits = tl.max(s.magnitude_bits(x), 1)
    e = s.raised_exponent_of(bits)
    q = s.flush(x).to(tl.float64) * s.power_of_two(15 - e)[:, None]
    tl.store(out_ptr + at, (q + 6755399441055744.0) - 6755399441055744.0, mask=inside)
    tl.store(exponent_ptr + row, e, mask=row < rows)
    tl.store(mark_ptr, 1, mask=tl.max(bits, 0) >= 0x7F800000)


@triton.jit(do_not_specialize=["height", "width"])
def whole_columns_kernel(
    x_ptr, out_ptr, exponent_ptr, mark_ptr, height, width, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """Significands of some columns of one matrix of a batch as float64."""
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    base = tl.program_id(0).to(tl.int64) * height * width
    largest = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, height, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row[:, None] < height) & (k[None, :] < width)
        x = tl.load(x_ptr + base + row[:, None] * width + k[None, :], mask=inside, other=0.0)
        largest = tl.maximum(largest, tl.max(s.magnitude_bits(x), 0))
    e = s.raised_exponent_of(largest)
    scale = s.power_of_two(15 - e)
    for start in range(0, height, ROWS):
        row = start + tl.arange(0, ROWS)
        inside = (row[:, None] < height) & (k[None, :] < width)
        at = base + row[:, None] * width + k[None, :]
        q = s.flush(tl.load(x_ptr + at, mask=inside, other=0.0)).to(tl.float64) * scale[None, :]
        tl.store(out_ptr + at, (q + 6755399441055744.0) - 6755399441055744.0, mask=inside)
    tl.store(exponent_ptr + tl.program_id(0) * width + k, e, mask=k < width)
    tl.store(mark_ptr, 1, mask=tl.max(largest, 0) >= 0x7F800000)


@triton.jit(do_not_specialize=["rows", "columns"])
def round_products_kernel(
    total_ptr, ea_ptr, eb_ptr, out_ptr, mark_ptr, rows, columns, HAS_EB: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = c < columns
    e = tl.load(ea_ptr + row) - 30 + tl.zeros((BLOCK,), tl.int64)
    if HAS_EB:
        e += tl.load(eb_ptr + (row // rows) * columns + c, mask=inside, other=0)
    total = tl.load(total_ptr + row * columns + c, mask=inside, other=0.0)
    value = s.flush((total * s.power_of_two(e)).to(tl.float32))
    tl.store(out_ptr + row * columns + c, value, mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(tl.where(inside, s.not_finite(value), 0), 0) != 0)


def attention_weights(
    scores: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    is_causal: bool,
    sizes: tuple[int, int],
    token_exponents: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [P, rows, L] become weights in place; (uq float64, exponents int64 [P, rows, 1]).

    ``mask`` boolean [B or 1, H or 1, Q or 1, L]; ``sizes`` = (H, Q); ``token_exponents`` int64 [P, 1, L] or [P, L, 1].
    """
    pairs, rows, length = scores.shape
    num_heads, num_queries = sizes
    uq = torch.empty(scores.shape, dtype=torch.float64, device=scores.device)
    exponents = torch.empty((pairs, rows, 1), dtype=torch.int64, device=scores.device)
    strides = (0, 0, 0, 0)
    if mask is not None:
        strides = tuple(0 if size == 1 else step for size, step in zip(mask.shape, mask.stride(), strict=True))
        mask = mask.view(torch.uint8)
    with place.marking(scores.device, "attention", f"scores {list(scores.shape)}") as mark_1:
        weights_kernel[(pairs * rows,)](
            scores, scores if mask is None else mask, token_exponents.contiguous(), uq, exponents, mark_1, scale,
            length, num_heads, num_queries, rows, *strides,
            IS_MASKED=mask is not None, IS_CAUSAL=is_causal, **row_block(length), **UNFUSED,
        )  # fmt: skip
    return uq, exponents


def attention_gradient(weights: torch.Tensor, gradient: torch.Tensor, scale: float) -> torch.Tensor:
    """Turns ``gradient`` [P, rows, L] of the weights into that of the scaled products, in place."""
    pairs, rows, length = weights.shape
    with place.marking(weights.device, "attention", f"gradients of shape {list(weights.shape)}") as mark_1:
        gradient_kernel[(pairs * rows,)](weights, gradient, mark_1, scale, length, **row_block(length), **UNFUSED)
    return gradient


def quantised_pairs(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``portable.products.quantised_pairs``, for contiguous [P, R, K] and dim 1 or 2."""
    pairs, height, width = x.shape
    out = torch.empty(x.shape, dtype=torch.float64, device=x.device)
    shape = (pairs, height, 1) if dim == 2 else (pairs, 1, width)
    exponents = torch.empty(shape, dtype=torch.int64, device=x.device)
    with place.marking(x.device, "matrix product", f"operands of shape {list(x.shape)}") as mark_1:
        if dim == 2:
            block = triton.next_power_of_2(max(width, 16))
            rows = max(1, 2048 // block)
            whole_rows_kernel[(triton.cdiv(pairs * height, rows),)](
                x, out, exponents, mark_1, pairs * height, width, ROWS=rows, BLOCK=block, **UNFUSED
            )
        else:
            whole_columns_kernel[(pairs, triton.cdiv(width, 32))](
                x, out, exponents, mark_1, height, width, ROWS=64, BLOCK=32, **UNFUSED
            )
    return out, exponents


def rounded_pairs(total: torch.Tensor, ea: torch.Tensor, eb: torch.Tensor | None) -> torch.Tensor:
    """out(total · 2^(ea + eb - 30)) of [P, R, C], exponents [P, R, 1] and [P, 1, C]."""
    pairs, rows, columns = total.shape
    out = torch.empty(total.shape, device=total.device)
    block = min(1024, triton.next_power_of_2(max(columns, 16)))
    with place.marking(total.device, "matrix product", f"a result of shape {list(total.shape)}") as mark_1:
        round_products_kernel[(pairs * rows, triton.cdiv(columns, block))](
            total, ea, ea if eb is None else eb, out, mark_1, rows, columns,
            HAS_EB=eb is not None, BLOCK=block, **UNFUSED,
        )  # fmt: skip
    return out
