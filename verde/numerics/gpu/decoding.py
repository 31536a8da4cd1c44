"""Why this module exists: a decoder layer between its four matrix products is four launches.

``kernels/decoder`` is four loops likewise; a cached key or value stays quantised as it was first written.

Shapes: N tokens of a pass, H query heads, J key-value heads, D width of a head, C slots of the cache, L keys of one.
"""

from __future__ import annotations

import triton
import triton.language as tl

from verde.numerics.gpu import scalar as s


@triton.jit
def _root_of(x, count, epsilon):
    """rsqrt(mean of squares + epsilon) of a block that is one row."""
    return s.div(1.0, s.sqrt(s.add(s.div(s.row_sum(s.mul(x, x)), count), epsilon)))


@triton.jit
def add_norm_kernel(
    x_ptr, delta_ptr, delta_weight_ptr, weight_ptr, out_ptr, mark_ptr, width, count, epsilon,
    HAS_DELTA: tl.constexpr, HAS_DELTA_NORM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """x += delta in place (normed first where it has a weight), then the norm of x."""
    row, k = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    inside, at = k < width, row * width + k
    x = tl.load(x_ptr + at, mask=inside, other=0.0)
    if HAS_DELTA:
        delta = tl.load(delta_ptr + at, mask=inside, other=0.0)
        if HAS_DELTA_NORM:
            own = tl.load(delta_weight_ptr + k, mask=inside, other=0.0)
            delta = s.mul(own, s.mul(delta, _root_of(delta, count, epsilon)))
        x = s.add(x, delta)
        tl.store(x_ptr + at, x, mask=inside)
    weight = tl.load(weight_ptr + k, mask=inside, other=0.0)
    y = s.mul(weight, s.mul(x, _root_of(x, count, epsilon)))
    tl.store(out_ptr + at, y, mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(s.not_finite(y), 0) != 0)


@triton.jit(do_not_specialize=["slots"])
def heads_kernel(
    qkv_ptr, query_norm_ptr, key_norm_ptr, cos_ptr, sin_ptr, position_ptr, slot_ptr,
    query_ptr, query_exponent_ptr, key_ptr, key_exponent_ptr, value_ptr, value_exponent_ptr, mark_ptr,
    slots, half, count, epsilon, H: tl.constexpr, J: tl.constexpr, HAS_NORM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One head of one token: norm (where there is one), rotate and quantise queries and keys; quantise values."""
    n, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    d = tl.arange(0, BLOCK)
    inside = d < half
    base = (n * (H + 2 * J) + h) * 2 * half
    a = tl.load(qkv_ptr + base + d, mask=inside, other=0.0)
    b = tl.load(qkv_ptr + base + half + d, mask=inside, other=0.0)
    slot, position = tl.load(slot_ptr + n), tl.load(position_ptr + n)
    x, y = a, b
    if HAS_NORM:
        squares_a, squares_b = s.mul(a, a), s.mul(b, b)
        bits = tl.max(tl.maximum(s.magnitude_bits(squares_a), s.magnitude_bits(squares_b)), 0)
        e = s.exponent_of(bits)
        scale = s.power_of_two(36 - e)
        total = s.rounded(tl.sum(s.term(squares_a, scale) + s.term(squares_b, scale), 0), e - 36)
        total = tl.where(bits >= 0x7F800000, float("nan"), total)
        root = s.div(1.0, s.sqrt(s.add(s.div(total, count), epsilon)))
        norm = tl.where(h < H, query_norm_ptr, key_norm_ptr)
        x = s.mul(tl.load(norm + d, mask=inside, other=0.0), s.mul(a, root))
        y = s.mul(tl.load(norm + half + d, mask=inside, other=0.0), s.mul(b, root))
    cos = tl.load(cos_ptr + position * half + d, mask=inside, other=0.0)
    sin = tl.load(sin_ptr + position * half + d, mask=inside, other=0.0)
    turned_x = s.sub(s.mul(x, cos), s.mul(y, sin))
    turned_y = s.add(s.mul(y, cos), s.mul(x, sin))
    is_value = h >= H + J
    x, y = tl.where(is_value, a, turned_x), tl.where(is_value, b, turned_y)
    bits = tl.max(tl.maximum(s.magnitude_bits(x), s.magnitude_bits(y)), 0)
    e = s.raised_exponent_of(bits)
    scale = s.power_of_two(15 - e)
    x_q, y_q = s.term(s.flush(x), scale).to(tl.int16), s.term(s.flush(y), scale).to(tl.int16)
    is_query = h < H
    is_key = (h >= H) & (h < H + J)
    query = query_ptr + (n * H + h) * 2 * half
    tl.store(query + d, x_q, mask=inside & is_query)
    tl.store(query + half + d, y_q, mask=inside & is_query)
    tl.store(query_exponent_ptr + n * H + h, e.to(tl.int32), mask=is_query)
    key = key_ptr + (slot * J + h - H) * 2 * half
    tl.store(key + d, x_q, mask=inside & is_key)
    tl.store(key + half + d, y_q, mask=inside & is_key)
    tl.store(key_exponent_ptr + (h - H) * slots + slot, e.to(tl.int32), mask=is_key)
    value = value_ptr + (slot * J + h - H - J) * 2 * half
    tl.store(value + d, x_q, mask=inside & is_value)
    tl.store(value + half + d, y_q, mask=inside & is_value)
    tl.store(value_exponent_ptr + (h - H - J) * slots + slot, e.to(tl.int32), mask=is_value)
    tl.store(mark_ptr, 1, mask=bits >= 0x7F800000)


@triton.jit(do_not_specialize=["longest", "slots"])
def attend_kernel(
    query_ptr, query_exponent_ptr, key_ptr, key_exponent_ptr, value_ptr, value_exponent_ptr, range_ptr, scratch_ptr,
    out_ptr, mark_ptr, scale, longest, slots, width,
    H: tl.constexpr, J: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One query head of one token over its prompt's slots and its own (``range_ptr`` int64 [N, 4]).

    ``scratch_ptr`` has room for scores and for their powers, apart: each warp of a program holds the same lanes of
    them, and one that is late must still find the score where another has the power already.
    """
    n, h = tl.program_id(0).to(tl.int64), tl.program_id(1)
    j = h // (H // J)
    first, shared = tl.load(range_ptr + 4 * n), tl.load(range_ptr + 4 * n + 1) - tl.load(range_ptr + 4 * n)
    own = tl.load(range_ptr + 4 * n + 2)
    length = shared + tl.load(range_ptr + 4 * n + 3) - own
    lane, d = tl.arange(0, BLOCK_L), tl.arange(0, BLOCK_D)
    query = tl.load(query_ptr + (n * H + h) * width + d, mask=d < width, other=0).to(tl.int32)
    query_exponent = tl.load(query_exponent_ptr + n * H + h)
    scores = scratch_ptr + (n * H + h) * 2 * longest
    powers = scores + longest
    most = tl.full((BLOCK_L,), float("-inf"), tl.float32)
    worst = tl.zeros((BLOCK_L,), tl.int32)
    for start in range(0, longest, BLOCK_L):
        i = start + lane
        inside = i < length
        slot = tl.where(i < shared, first + i, own + i - shared)
        at = (slot[:, None] * J + j) * width + d[None, :]
        key = tl.load(key_ptr + at, mask=inside[:, None] & (d[None, :] < width), other=0).to(tl.int32)
        total = tl.sum((key * query[None, :]).to(tl.int64), 1)
        e = tl.load(key_exponent_ptr + j * slots + slot, mask=inside, other=0) + query_exponent - 30
        score = s.mul(s.from_fixed(total, e), scale)
        tl.store(scores + i, score, mask=inside)
        most = tl.maximum(most, tl.where(inside, score, float("-inf")))
        worst = tl.maximum(worst, tl.where(inside, s.magnitude_bits(score), 0))
    largest = tl.max(most, 0)
    bad = tl.max(worst, 0) >= 0x7F800000
    tl.store(mark_ptr, 1, mask=bad)
    tl.debug_barrier()
    sums = tl.zeros((BLOCK_L,), tl.int64)
    for start in range(0, longest, BLOCK_L):
        inside = start + lane < length
        score = tl.load(scores + start + lane, mask=inside, other=0.0)
        power = s.exp(tl.where(inside & (bad == 0), s.sub(score, largest), -200.0))
        sums += s.term(power, 34359738368.0)
        tl.store(powers + start + lane, power, mask=inside)
    whole = s.rounded(tl.sum(sums, 0), tl.full((), -35, tl.int64))
    whole = tl.where(whole == 0.0, 1.0, whole)
    tl.debug_barrier()
    most_u = tl.zeros((BLOCK_L,), tl.int64)
    for start in range(0, longest, BLOCK_L):
        i = start + lane
        inside = i < length
        slot = tl.where(i < shared, first + i, own + i - shared)
        weight = s.div(tl.load(powers + i, mask=inside, other=0.0), whole)
        e = tl.load(value_exponent_ptr + j * slots + slot, mask=inside, other=0)
        u = weight.to(tl.float64) * s.power_of_two(e)
        most_u = tl.maximum(most_u, tl.where(inside, u.to(tl.int64, bitcast=True), 0))
    bits = tl.max(most_u, 0)
    e_out = tl.where(bits == 0, 0, (bits >> 52) - 1022)
    raised = s.term_of_double(bits.to(tl.float64, bitcast=True), s.power_of_two(15 - e_out)) > 32639
    e_out = tl.where(raised, e_out + 1, e_out)
    half = (15 - e_out) >> 1
    factor, rest = s.power_of_two(half), s.power_of_two(15 - e_out - half)
    sums_d = tl.zeros((BLOCK_D,), tl.int64)
    for start in range(0, longest, BLOCK_L):
        i = start + lane
        inside = i < length
        slot = tl.where(i < shared, first + i, own + i - shared)
        weight = s.div(tl.load(powers + i, mask=inside, other=0.0), whole)
        e = tl.load(value_exponent_ptr + j * slots + slot, mask=inside, other=0)
        u = weight.to(tl.float64) * s.power_of_two(e) * factor
        q = s.term_of_double(tl.where(inside, u, 0.0), rest).to(tl.int32)
        at = (slot[:, None] * J + j) * width + d[None, :]
        value = tl.load(value_ptr + at, mask=inside[:, None] & (d[None, :] < width), other=0).to(tl.int32)
        sums_d += tl.sum((value * q[:, None]).to(tl.int64), 0)
    tl.store(out_ptr + (n * H + h) * width + d, s.from_fixed(sums_d, e_out - 30), mask=d < width)


@triton.jit
def gate_kernel(gate_up_ptr, out_ptr, mark_ptr, width, IS_SILU: tl.constexpr, BLOCK: tl.constexpr):
    """mul(activation(gate), up); a row holds the gate's values, then the other ones."""
    n = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < width
    gate = tl.load(gate_up_ptr + n * 2 * width + k, mask=inside, other=0.0)
    up = tl.load(gate_up_ptr + n * 2 * width + width + k, mask=inside, other=0.0)
    y = s.mul(s.silu(gate) if IS_SILU else s.gelu_tanh(gate), up)
    tl.store(out_ptr + n * width + k, y, mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(s.not_finite(y), 0) != 0)
