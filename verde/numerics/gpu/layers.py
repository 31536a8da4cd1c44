"""Why this module exists: norms, gates, column sums and a vocabulary's softmax as one or two launches each.

Shapes: R rows, K elements of a row, V words of the vocabulary.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from verde.numerics import place
from verde.numerics.gpu import scalar as s
from verde.numerics.gpu.scalar import UNFUSED

_BLOCK = 1024
_WIDEST_ROW = 1 << 14


@triton.jit
def rms_norm_kernel(x_ptr, weight_ptr, out_ptr, root_ptr, mark_ptr, width, count, epsilon, BLOCK: tl.constexpr):
    row, k = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    inside = k < width
    x = tl.load(x_ptr + row * width + k, mask=inside, other=0.0)
    weight = tl.load(weight_ptr + k, mask=inside, other=0.0)
    mean = s.div(s.row_sum(s.mul(x, x)), count)
    root = s.div(1.0, s.sqrt(s.add(mean, epsilon)))
    y = s.mul(weight, s.mul(x, root))
    tl.store(out_ptr + row * width + k, y, mask=inside)
    tl.store(root_ptr + row, root)
    tl.store(mark_ptr, 1, mask=tl.max(s.not_finite(y), 0) + s.not_finite(root) != 0)


@triton.jit
def rms_norm_backward_kernel(
    g_ptr, x_ptr, weight_ptr, root_ptr, direct_ptr, through_ptr, each_ptr, mark_ptr, width, count, BLOCK: tl.constexpr
):
    row, k = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    inside = k < width
    at = row * width + k
    g = tl.load(g_ptr + at, mask=inside, other=0.0)
    x = tl.load(x_ptr + at, mask=inside, other=0.0)
    weighted = s.mul(g, tl.load(weight_ptr + k, mask=inside, other=0.0))
    root = tl.load(root_ptr + row)
    cube = s.mul(s.mul(root, root), root)
    by_square = s.div(s.mul(s.mul(s.row_sum(s.mul(weighted, x)), -0.5), cube), count)
    direct, through = s.mul(weighted, root), s.mul(by_square, s.mul(x, 2.0))
    tl.store(direct_ptr + at, direct, mask=inside)
    tl.store(through_ptr + at, through, mask=inside)
    tl.store(each_ptr + at, s.mul(g, s.mul(x, root)), mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(s.not_finite(direct) | s.not_finite(through), 0) != 0)


@triton.jit(do_not_specialize=["rows"])
def largest_of_columns_kernel(x_ptr, largest_ptr, rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    largest = tl.zeros((BLOCK,), tl.int32)
    begin = tl.program_id(1) * ROWS
    x_ptr += begin.to(tl.int64) * width + k
    for _ in range(begin, tl.minimum(begin + ROWS, rows)):
        x = tl.load(x_ptr, mask=k < width, other=0.0)
        x_ptr += width
        largest = tl.maximum(largest, s.magnitude_bits(x))
    tl.atomic_max(largest_ptr + k, largest, mask=k < width)


@triton.jit(do_not_specialize=["rows"])
def totals_of_columns_kernel(x_ptr, largest_ptr, total_ptr, rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    bits = tl.load(largest_ptr + k, mask=k < width, other=0)
    scale = s.power_of_two(36 - s.exponent_of(bits))
    total = tl.zeros((BLOCK,), tl.int64)
    begin = tl.program_id(1) * ROWS
    x_ptr += begin.to(tl.int64) * width + k
    for _ in range(begin, tl.minimum(begin + ROWS, rows)):
        x = tl.load(x_ptr, mask=k < width, other=0.0)
        x_ptr += width
        total += s.term(s.flush(x), scale)
    tl.atomic_add(total_ptr + k, total, mask=k < width)


@triton.jit(do_not_specialize=["width"])
def rounded_totals_kernel(largest_ptr, total_ptr, out_ptr, width, BLOCK: tl.constexpr):
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    bits = tl.load(largest_ptr + k, mask=k < width, other=0)
    total = tl.load(total_ptr + k, mask=k < width, other=0)
    y = s.rounded(total, s.exponent_of(bits) - 36)
    tl.store(out_ptr + k, tl.where(bits >= 0x7F800000, float("nan"), y), mask=k < width)


@triton.jit(do_not_specialize=["size"])
def gated_kernel(gate_ptr, up_ptr, out_ptr, mark_ptr, size, IS_SILU: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    gate = tl.load(gate_ptr + at, mask=inside, other=0.0)
    up = tl.load(up_ptr + at, mask=inside, other=0.0)
    y = s.mul(s.silu(gate) if IS_SILU else s.gelu_tanh(gate), up)
    tl.store(out_ptr + at, y, mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(s.not_finite(y), 0) != 0)


@triton.jit(do_not_specialize=["size"])
def gated_backward_kernel(
    g_ptr, gate_ptr, up_ptr, dgate_ptr, dup_ptr, mark_ptr, size, IS_SILU: tl.constexpr, BLOCK: tl.constexpr
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    g = tl.load(g_ptr + at, mask=inside, other=0.0)
    gate = tl.load(gate_ptr + at, mask=inside, other=0.0)
    through = s.mul(g, tl.load(up_ptr + at, mask=inside, other=0.0))
    if IS_SILU:
        dgate, dup = s.silu_backward(through, gate), s.mul(g, s.silu(gate))
    else:
        dgate, dup = s.gelu_tanh_backward(through, gate), s.mul(g, s.gelu_tanh(gate))
    tl.store(dgate_ptr + at, dgate, mask=inside)
    tl.store(dup_ptr + at, dup, mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(s.not_finite(dgate) | s.not_finite(dup), 0) != 0)


@triton.jit
def row_norms_kernel(z_ptr, most_ptr, logarithm_ptr, stride, words, BLOCK: tl.constexpr):
    """The largest value of each row and the logarithm of its SUM of exponentials, whose largest term is exp(0)."""
    row, lane = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    most = tl.full((BLOCK,), float("-inf"), tl.float32)
    worst = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, words, BLOCK):
        inside = start + lane < words
        z = tl.load(z_ptr + row * stride + start + lane, mask=inside, other=0.0)
        most = tl.maximum(most, tl.where(inside, z, float("-inf")))
        worst = tl.maximum(worst, s.magnitude_bits(z))
    largest = tl.max(most, 0)
    total = tl.zeros((BLOCK,), tl.int64)
    for start in range(0, words, BLOCK):
        inside = start + lane < words
        z = tl.load(z_ptr + row * stride + start + lane, mask=inside, other=0.0)
        power = s.exp(tl.where(inside, s.sub(z, largest), -200.0))
        total += s.term(power, 34359738368.0)
    logarithm = s.log(s.rounded(tl.sum(total, 0), tl.full((), -35, tl.int64)))
    bad = tl.max(worst, 0) >= 0x7F800000
    tl.store(most_ptr + row, tl.where(bad, float("nan"), largest))
    tl.store(logarithm_ptr + row, tl.where(bad, float("nan"), logarithm))


@triton.jit
def scaled_powers_kernel(
    z_ptr, first_ptr, second_ptr, factor_ptr, out_ptr, mark_ptr, words, IS_TWICE: tl.constexpr, BLOCK: tl.constexpr
):
    """mul(factor, exp(sub(sub(z, first), second))), the second subtraction only where there is one."""
    row = tl.program_id(0).to(tl.int64)
    v = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    z = tl.load(z_ptr + row * words + v, mask=v < words, other=0.0)
    shifted = s.sub(z, tl.load(first_ptr + row))
    if IS_TWICE:
        shifted = s.sub(shifted, tl.load(second_ptr + row))
    y = s.mul(s.exp(shifted), tl.load(factor_ptr + row))
    tl.store(out_ptr + row * words + v, y, mask=v < words)
    bad = tl.where(v < words, s.not_finite(y), 0)
    tl.store(mark_ptr, 1, mask=tl.max(bad, 0) != 0)


def row_block(width: int) -> dict[str, int]:
    """Block size and warps of a program that computes one row."""
    block = triton.next_power_of_2(max(width, 16))
    return {"BLOCK": block, "num_warps": min(16, max(1, block // 256))}


def takes_rows(width: int) -> bool:
    """Whether a row fits one program."""
    return 0 < width <= _WIDEST_ROW


def rms_norm(x_RK: torch.Tensor, weight_K: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    rows, width = x_RK.shape
    out, root = torch.empty_like(x_RK), torch.empty(rows, device=x_RK.device)
    with place.marking(x_RK.device, "RMS norm", f"rows of shape {[rows, width]}") as mark_1:
        rms_norm_kernel[(rows,)](
            x_RK, weight_K, out, root, mark_1, width, float(width), epsilon, **row_block(width), **UNFUSED
        )
    return out, root


def rms_norm_backward(
    g_RK: torch.Tensor, x_RK: torch.Tensor, weight_K: torch.Tensor, root_R: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(direct part, part through the root, what the weight's gradient sums), each [R, K]."""
    rows, width = x_RK.shape
    direct, through, each = (torch.empty_like(x_RK) for _ in range(3))
    with place.marking(x_RK.device, "RMS norm", f"rows of shape {[rows, width]}") as mark_1:
        rms_norm_backward_kernel[(rows,)](
            g_RK,
            x_RK,
            weight_K,
            root_R,
            direct,
            through,
            each,
            mark_1,
            width,
            float(width),
            **row_block(width),
            **UNFUSED,
        )
    return direct, through, each


def sum_columns(x_RK: torch.Tensor) -> torch.Tensor:
    """SUM of each column, NaN where a term is no number."""
    rows, width = x_RK.shape
    largest = torch.zeros(width, dtype=torch.int32, device=x_RK.device)
    total = torch.zeros(width, dtype=torch.int64, device=x_RK.device)
    out = torch.empty(width, device=x_RK.device)
    if width == 0:
        return out
    grid = (triton.cdiv(width, 128), triton.cdiv(rows, 64))
    if rows:
        largest_of_columns_kernel[grid](x_RK, largest, rows, width, ROWS=64, BLOCK=128, **UNFUSED)
        totals_of_columns_kernel[grid](x_RK, largest, total, rows, width, ROWS=64, BLOCK=128, **UNFUSED)
    rounded_totals_kernel[(triton.cdiv(width, 128),)](largest, total, out, width, BLOCK=128, **UNFUSED)
    return out


def gated(activation: str, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(gate)
    with place.marking(gate.device, "gated activation", f"tensors of shape {list(gate.shape)}") as mark_1:
        gated_kernel[(triton.cdiv(gate.numel(), _BLOCK),)](
            gate, up, out, mark_1, gate.numel(), IS_SILU=activation == "silu", BLOCK=_BLOCK, **UNFUSED
        )
    return out


def gated_backward(
    activation: str, g: torch.Tensor, gate: torch.Tensor, up: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    dgate, dup = torch.empty_like(gate), torch.empty_like(gate)
    with place.marking(gate.device, "gated activation", f"tensors of shape {list(gate.shape)}") as mark_1:
        gated_backward_kernel[(triton.cdiv(gate.numel(), _BLOCK),)](
            g, gate, up, dgate, dup, mark_1, gate.numel(), IS_SILU=activation == "silu", BLOCK=_BLOCK, **UNFUSED
        )
    return dgate, dup


def row_norms(z_RV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(largest [R], log of the SUM of exponentials [R]); NaN where a row holds one."""
    rows, words = z_RV.shape
    z_RV = z_RV if z_RV.stride(1) == 1 else z_RV.contiguous()
    most, logarithm = torch.empty(rows, device=z_RV.device), torch.empty(rows, device=z_RV.device)
    block = min(4096, triton.next_power_of_2(max(words, 16)))
    row_norms_kernel[(rows,)](z_RV, most, logarithm, z_RV.stride(0), words, BLOCK=block, num_warps=8, **UNFUSED)
    return most, logarithm


def scaled_powers(
    z_RV: torch.Tensor, first_R: torch.Tensor, second_R: torch.Tensor | None, factor_R: torch.Tensor
) -> torch.Tensor:
    rows, words = z_RV.shape
    z_RV, factor_R = z_RV.contiguous(), factor_R.contiguous()
    out = torch.empty_like(z_RV)
    with place.marking(z_RV.device, "log-probabilities", f"logits of shape {[rows, words]}") as mark_1:
        scaled_powers_kernel[(rows, triton.cdiv(words, _BLOCK))](
            z_RV, first_R, first_R if second_R is None else second_R, factor_R, out, mark_1, words,
            IS_TWICE=second_R is not None, BLOCK=_BLOCK, **UNFUSED,
        )  # fmt: skip
    return out
