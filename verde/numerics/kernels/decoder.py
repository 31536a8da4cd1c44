"""Why this module exists: a decoder layer between its four matrix products is three loops over rows, each run once.

Section 5 of docs/exact-1.md on whole rows. A cached key or value stays quantised as it was first written.

Shapes: N tokens of this pass, H query heads, J key-value heads, D width of a head, C slots of the cache, L keys of one
query, K width of a row. ``bad_N`` marks rows in which a value is no number. Empty arrays stand for parts that a model
does not have.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import (
    INFINITY_BITS,
    LEAST_NORMAL_BITS,
    NOT_FINITE,
    SIGNLESS,
    magnitude_bits,
    power_of_two_32,
    power_of_two_64,
    raised_exponent_of_bits,
    rounded,
)
from verde.numerics.kernels.reduce import row_sum
from verde.numerics.kernels.scalar import add, div, exp, flush, gelu_tanh, mul, rsqrt, silu, sub

SILU, GELU_TANH = 0, 1

_TO_INTEGER = np.float32(12582912.0)
_INTEGER_BITS = np.int32(0x4B400000)
_TINY = -108
_MOST = 32639.0
_SUM_SCALE = 2.0**35
_DOUBLE_MAGIC = np.float64(6755399441055744.0)
_DOUBLE_MAGIC_BITS = np.float64(6755399441055744.0).view(np.int64)


@kernel
def _largest(x_K):
    largest = np.int32(0)
    for k in range(x_K.shape[0]):
        largest = max(largest, magnitude_bits(x_K[k]))
    return largest


@kernel
def _significands(x_K, out_K):
    """Significands of a row into an integer array, and its exponent (``NOT_FINITE`` for a bad row)."""
    exponent = raised_exponent_of_bits(_largest(x_K))
    if exponent == NOT_FINITE:
        return exponent
    if exponent >= _TINY:
        scale = power_of_two_32(np.int32(15 - exponent))
        for k in range(x_K.shape[0]):
            out_K[k] = np.int32(np.float32(x_K[k] * scale + _TO_INTEGER).view(np.int32) - _INTEGER_BITS)
    else:
        wide = power_of_two_64(np.int64(15 - exponent))
        for k in range(x_K.shape[0]):
            is_zero = magnitude_bits(x_K[k]) < LEAST_NORMAL_BITS
            out_K[k] = np.int32(0) if is_zero else np.int32(np.rint(np.float64(x_K[k]) * wide))
    return exponent


@kernel
def _rms_norm(x_K, weight_K, eps, squares_K, out_K):
    for k in range(x_K.shape[0]):
        squares_K[k] = mul(x_K[k], x_K[k])
    factor = rsqrt(add(div(row_sum(squares_K), np.float32(x_K.shape[0])), eps))
    for k in range(x_K.shape[0]):
        out_K[k] = mul(weight_K[k], mul(x_K[k], factor))


@kernel
def norm_kernel(start, stop, x_NK, delta_NK, delta_weight_K, weight_K, eps, out_NK):
    """x += delta (normed first where it has a weight), then the norm of x. ``delta_NK`` may have no rows."""
    width = x_NK.shape[1]
    squares_K, normed_K = np.empty(width, np.float32), np.empty(width, np.float32)
    for n in range(start, stop):
        x_K = x_NK[n]
        if delta_NK.shape[0]:
            delta_K = delta_NK[n]
            if delta_weight_K.shape[0]:
                _rms_norm(delta_K, delta_weight_K, eps, squares_K, normed_K)
                delta_K = normed_K
            for k in range(width):
                x_K[k] = add(x_K[k], delta_K[k])
        _rms_norm(x_K, weight_K, eps, squares_K, out_NK[n])


@kernel
def _rotate(x_D, cos_D, sin_D, out_D):
    half = x_D.shape[0] // 2
    for d in range(half):
        out_D[d] = sub(mul(x_D[d], cos_D[d]), mul(x_D[half + d], sin_D[d]))
        out_D[half + d] = add(mul(x_D[half + d], cos_D[d]), mul(x_D[d], sin_D[d]))


@kernel
def heads_kernel(
    start, stop, qkv_NK, norms, eps, rotary, position_N, slot_N, query_NHD, query_exponent_NH, cache, bad_N
):
    """Norm (where there is one), rotate and quantise queries and keys; quantise values; keys and values to the cache.

    ``norms`` = (weight [D] for queries, for keys), ``rotary`` = (cosines, sines) [positions, D / 2], ``cache`` = (keys
    [C, J, D] int16, their exponents [J, C] int32, values, their exponents).
    """
    query_norm_D, key_norm_D = norms
    cos_TD, sin_TD = rotary
    key_CJD, key_exponent_JC, value_CJD, value_exponent_JC = cache
    num_heads, width = query_NHD.shape[1:]
    num_kv_heads = key_CJD.shape[1]
    normed_D, turned_D, squares_D = (
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
    )
    for n in range(start, stop):
        cos_D, sin_D, slot = cos_TD[position_N[n]], sin_TD[position_N[n]], slot_N[n]
        bad = False
        for h in range(num_heads + num_kv_heads):
            x_D = qkv_NK[n, h * width : (h + 1) * width]
            norm_D = query_norm_D if h < num_heads else key_norm_D
            if norm_D.shape[0]:
                _rms_norm(x_D, norm_D, eps, squares_D, normed_D)
                x_D = normed_D
            _rotate(x_D, cos_D, sin_D, turned_D)
            if h < num_heads:
                exponent = _significands(turned_D, query_NHD[n, h])
                query_exponent_NH[n, h] = exponent
            else:
                exponent = _significands(turned_D, key_CJD[slot, h - num_heads])
                key_exponent_JC[h - num_heads, slot] = exponent
            bad |= exponent == NOT_FINITE
        for j in range(num_kv_heads):
            first = (num_heads + num_kv_heads + j) * width
            exponent = _significands(qkv_NK[n, first : first + width], value_CJD[slot, j])
            value_exponent_JC[j, slot] = exponent
            bad |= exponent == NOT_FINITE
        bad_N[n] = bad


@kernel
def _scores(query_D, exponent, key_CJD, key_exponent_C, j, first, last, scale, total_L, out_L):
    """mul(DOT(q, k), scale) for the keys in slots ``first … last``."""
    for i in range(last - first):
        total = np.int64(0)
        for d in range(query_D.shape[0]):
            total += np.int64(np.int32(np.int32(query_D[d]) * np.int32(key_CJD[first + i, j, d])))
        total_L[i] = total
    for i in range(last - first):
        factor = power_of_two_64(np.int64(exponent + key_exponent_C[first + i] - 30))
        out_L[i] = mul(flush(np.float32(np.float64(total_L[i]) * factor)), scale)


@kernel
def _softmax(scores_L):
    """Scores to weights in place; false where one is no number."""
    largest = np.int32(-SIGNLESS)
    magnitude = np.int32(0)
    for i in range(scores_L.shape[0]):
        bits = np.float32(scores_L[i]).view(np.int32)
        # As integers, floats are in order once the negative ones are turned around.
        largest = max(largest, np.int32(bits ^ (np.int32(bits >> np.int32(31)) & SIGNLESS)))
        magnitude = max(magnitude, np.int32(bits & SIGNLESS))
    if magnitude >= INFINITY_BITS:
        return False
    most = np.int32(largest ^ (np.int32(largest >> np.int32(31)) & SIGNLESS)).view(np.float32)
    total = np.int64(0)
    for i in range(scores_L.shape[0]):
        power = exp(sub(scores_L[i], most))
        scores_L[i] = power
        total += np.float64(np.float64(power) * _SUM_SCALE + _DOUBLE_MAGIC).view(np.int64) - _DOUBLE_MAGIC_BITS
    whole = rounded(total, np.int64(-35))
    for i in range(scores_L.shape[0]):
        scores_L[i] = div(scores_L[i], whole)
    return True


@kernel
def _scale_weights(weights_L, exponent_L, out_L):
    """w · 2^E as doubles; the bits of the largest."""
    largest = np.int64(0)
    for i in range(weights_L.shape[0]):
        value = np.float64(weights_L[i]) * power_of_two_64(np.int64(exponent_L[i]))
        out_L[i] = value
        largest = max(largest, np.float64(value).view(np.int64))
    return largest


@kernel
def _significand_exponent(bits):
    """The raised exponent of a non-negative double from its bits; 0 for 0."""
    if bits == 0:
        return np.int64(0)
    exponent = (bits >> 52) - 1022
    if np.rint(np.int64(bits).view(np.float64) * power_of_two_64(15 - exponent)) > _MOST:
        exponent += 1
    return exponent


@kernel
def _gather(weights_L, value_CJD, j, first, total_D):
    """Adds weight · value of the slots from ``first`` on; weights are at most 32639, so two products fit 32 bits."""
    length = weights_L.shape[0]
    for i in range(0, length - 3, 4):
        a, b = np.int32(weights_L[i]), np.int32(weights_L[i + 1])
        c, e = np.int32(weights_L[i + 2]), np.int32(weights_L[i + 3])
        if a | b | c | e == 0:
            continue
        va_D, vb_D = value_CJD[first + i, j], value_CJD[first + i + 1, j]
        vc_D, ve_D = value_CJD[first + i + 2, j], value_CJD[first + i + 3, j]
        for d in range(total_D.shape[0]):
            left = np.int32(np.int32(a * np.int32(va_D[d])) + np.int32(b * np.int32(vb_D[d])))
            right = np.int32(np.int32(c * np.int32(vc_D[d])) + np.int32(e * np.int32(ve_D[d])))
            total_D[d] += np.int64(left) + np.int64(right)
    for i in range(length - length % 4, length):
        weight, value_D = np.int32(weights_L[i]), value_CJD[first + i, j]
        for d in range(total_D.shape[0]):
            total_D[d] += np.int64(np.int32(weight * np.int32(value_D[d])))


@kernel
def attend_kernel(start, stop, query_NHD, query_exponent_NH, cache, range_N4, scale, out_NK, bad_N):
    """Attention of each token over two ranges of slots: of its prompt, and of its own tokens.

    ``range_N4`` int64: first and end of the prompt's slots, first and end of the own ones; together at least one.
    """
    key_CJD, key_exponent_JC, value_CJD, value_exponent_JC = cache
    num_heads, width = query_NHD.shape[1:]
    group = num_heads // key_CJD.shape[1]
    longest = 0
    for n in range(start, stop):
        longest = max(longest, range_N4[n, 1] - range_N4[n, 0] + range_N4[n, 3] - range_N4[n, 2])
    scores, doubles, wholes = np.empty(longest, np.float32), np.empty(longest, np.float64), np.empty(longest, np.int32)
    total_L, total_D = np.empty(longest, np.int64), np.empty(width, np.int64)
    for n in range(start, stop):
        first, last, own_first, own_last = range_N4[n, 0], range_N4[n, 1], range_N4[n, 2], range_N4[n, 3]
        shared, own = last - first, own_last - own_first
        scores_L, doubles_L, whole_L = scores[: shared + own], doubles[: shared + own], wholes[: shared + own]
        good = True
        for h in range(num_heads):
            j, exponent, query_D = h // group, np.int64(query_exponent_NH[n, h]), query_NHD[n, h]
            exponent_C = key_exponent_JC[j]
            _scores(query_D, exponent, key_CJD, exponent_C, j, first, last, scale, total_L, scores_L)
            _scores(query_D, exponent, key_CJD, exponent_C, j, own_first, own_last, scale, total_L, scores_L[shared:])
            good &= _softmax(scores_L)
            exponent_C = value_exponent_JC[j]
            bits = max(
                _scale_weights(scores_L[:shared], exponent_C[first:last], doubles_L[:shared]),
                _scale_weights(scores_L[shared:], exponent_C[own_first:own_last], doubles_L[shared:]),
            )
            exponent = _significand_exponent(bits)
            factor = power_of_two_64(15 - exponent)
            for i in range(shared + own):
                whole_L[i] = np.int32(np.rint(doubles_L[i] * factor))
            total_D[:] = 0
            _gather(whole_L[:shared], value_CJD, j, first, total_D)
            _gather(whole_L[shared:], value_CJD, j, own_first, total_D)
            factor = power_of_two_64(exponent - 30)
            for d in range(width):
                out_NK[n, h * width + d] = flush(np.float32(np.float64(total_D[d]) * factor))
        bad_N[n] = not good


@kernel
def gate_kernel(start, stop, gate_up_NK, kind, out_NK):
    """mul(activation(gate), up); a row holds the gate's values, then the other ones."""
    width = out_NK.shape[1]
    for n in range(start, stop):
        gate_K, up_K, out_K = gate_up_NK[n, :width], gate_up_NK[n, width:], out_NK[n]
        if kind == SILU:
            for k in range(width):
                out_K[k] = mul(silu(gate_K[k]), up_K[k])
        else:
            for k in range(width):
                out_K[k] = mul(gelu_tanh(gate_K[k]), up_K[k])
