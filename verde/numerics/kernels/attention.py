"""Why this module exists: attention's two softmax steps and, for a few queries on a cache, attention as a whole.

Docs/exact-1.md section 5. Products are sums of integers and the sum of the exponentials is one too, so a row may be
computed by matrix products around ``weights_kernel`` or, key by key, by ``attend_kernel``: the bits are the same.

Shapes: B batch, H query heads, N key-value heads, G = H / N, Q queries, L keys, D width of a head, R = B·N·G·Q rows.
Masks are uint8 [B or 1, H or 1, Q, L]; ``kind`` says which keys a query sees: all, up to its own number, or the mask's.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import (
    INFINITY_BITS,
    LEAST_NORMAL_BITS,
    NOT_FINITE,
    SIGNLESS,
    exponent_of_bits,
    magnitude_bits,
    power_of_two_32,
    power_of_two_64,
    raised_exponent_of_bits,
    rounded,
)
from verde.numerics.kernels.reduce import SHIFTER_BITS, WIDTH, term_bits
from verde.numerics.kernels.scalar import div, exp, mul, sub

ALL, CAUSAL, MASKED = 0, 1, 2

_MOST = 32639.0
_LEAST = np.int32(-0x80000000)

# 1.5 · 2^52: adding it to a double below 2^51 and taking it off again rounds to the nearest integer, ties to even.
_TO_INTEGER = 6755399441055744.0


@njit(inline="always")
def raised_exponent_of_double(value: np.float64) -> np.int64:
    """The least e with value < 2^e, one more where it would round to more than 32639; value >= 0, 0 for 0."""
    if value == 0.0:
        return np.int64(0)
    exponent = (np.float64(value).view(np.int64) >> 52) - 1022
    if np.rint(value * power_of_two_64(15 - exponent)) > _MOST:
        return exponent + 1
    return exponent


@njit(nogil=True, error_model="numpy")
def _softmax(scores_L, allowed_L, last):
    """Turn scores into weights in place, for keys before ``last`` that are allowed; 0 elsewhere. False: not finite."""
    most, worst = _LEAST, np.int32(0)
    for j in range(last):
        bits = np.float32(scores_L[j]).view(np.int32)
        # As integers that are ordered like the numbers, so that the loop is vectorised.
        ordered = bits ^ ((bits >> 31) & SIGNLESS)
        most = max(most, ordered if allowed_L[j] else _LEAST)
        worst = max(worst, bits & SIGNLESS if allowed_L[j] else np.int32(0))
    if most == _LEAST or worst >= INFINITY_BITS:
        scores_L[:] = 0.0
        return worst < INFINITY_BITS
    largest = np.int32(most ^ ((most >> 31) & SIGNLESS)).view(np.float32)
    total = np.int64(0)
    # The largest exponential is exp(0) = 1 < 2^1, which fixes the width of the sum.
    scale = power_of_two_64(np.int64(WIDTH - 1))
    for j in range(last):
        power = exp(sub(scores_L[j], largest)) if allowed_L[j] else np.float32(0.0)
        scores_L[j] = power
        total += term_bits(power, scale)
    whole = rounded(total - last * SHIFTER_BITS, np.int64(1 - WIDTH))
    for j in range(last):
        scores_L[j] = div(scores_L[j], whole)
    scores_L[last:] = 0.0
    return True


@njit(nogil=True, error_model="numpy")
def _scaled_weights(weights_L, exponent_L, out_L):
    """uq = quantise(w · 2^E) as whole doubles, and their exponent."""
    largest = 0.0
    for j in range(len(weights_L)):
        value = np.float64(weights_L[j]) * power_of_two_64(np.int64(exponent_L[j]))
        out_L[j] = value
        largest = max(largest, value)
    exponent = raised_exponent_of_double(largest)
    # Two factors: the scale alone may lie beyond the doubles when all values are tiny.
    first = power_of_two_64((15 - exponent) >> 1)
    second = power_of_two_64((15 - exponent) - ((15 - exponent) >> 1))
    for j in range(len(weights_L)):
        out_L[j] = (out_L[j] * first * second + _TO_INTEGER) - _TO_INTEGER
    return exponent


@njit(nogil=True, error_model="numpy")
def _keys_seen(kind, mask_BHQL, b, h, i, ones_L):
    """(which keys, how many at most) of query i of head h in batch b."""
    if kind == MASKED:
        seen = mask_BHQL[b if mask_BHQL.shape[0] > 1 else 0, h if mask_BHQL.shape[1] > 1 else 0, i]
        return seen, len(seen)
    if kind == CAUSAL:
        return ones_L, min(i + 1, len(ones_L))
    return ones_L, len(ones_L)


@kernel
def weights_kernel(start, stop, scores_RL, scale, kind, mask_BHQL, num_heads, num_queries, exponent_BNL, uq, bad_R):
    """Scores become attention weights in place (0 where masked); ``bad_R`` marks rows with scores that are no numbers.

    ``exponent_BNL`` int32 are the value tokens' exponents. ``uq`` = (planes [R, 3·L] int8, the same as whole doubles
    [R, L], exponents [R] int32) receives the quantised weights, where it has rows. Rows are ordered batch, head, query.
    """
    planes_RP, whole_RL, exponent_R = uq
    length = scores_RL.shape[1]
    ones_L = np.ones(length, np.uint8)
    whole_L = np.empty(length, np.float64)
    heads_per_key = num_heads // exponent_BNL.shape[1]
    for r in range(start, stop):
        i, h, b = r % num_queries, (r // num_queries) % num_heads, r // (num_queries * num_heads)
        allowed_L, last = _keys_seen(kind, mask_BHQL, b, h, i, ones_L)
        row_L = scores_RL[r]
        for j in range(last):
            row_L[j] = mul(row_L[j], scale)
        bad_R[r] = not _softmax(row_L, allowed_L, last)
        if whole_RL.shape[0]:
            exponent_R[r] = _scaled_weights(row_L, exponent_BNL[b, h // heads_per_key], whole_RL[r])
        if planes_RP.shape[0] == 0:
            continue
        exponent_R[r] = _scaled_weights(row_L, exponent_BNL[b, h // heads_per_key], whole_L)
        for j in range(length):
            bits = np.int32(whole_L[j])
            high = np.int8((bits + 128) >> 8)
            planes_RP[r, j] = high
            planes_RP[r, length + j] = np.int8(bits)
            planes_RP[r, 2 * length + j] = high


@kernel
def gradient_kernel(start, stop, weights_RL, gradient_RL, scale):
    """The gradient of the weights becomes that of the scaled products, in place: mul(mul(w, sub(dw, t)), scale)."""
    for r in range(start, stop):
        weights_L, gradient_L = weights_RL[r], gradient_RL[r]
        length = len(weights_L)
        largest = np.int32(0)
        for j in range(length):
            largest = max(largest, magnitude_bits(mul(weights_L[j], gradient_L[j])))
        exponent = np.int64(exponent_of_bits(largest))
        factor = power_of_two_64(WIDTH - exponent)
        whole = np.int64(0)
        for j in range(length):
            whole += term_bits(mul(weights_L[j], gradient_L[j]), factor)
        total = rounded(whole - length * SHIFTER_BITS, exponent - WIDTH)
        for j in range(length):
            gradient_L[j] = mul(mul(weights_L[j], sub(gradient_L[j], total)), scale)


@njit(nogil=True, error_model="numpy")
def _quantised(values_D, out_D):
    """Significands of a row as int32, and its exponent."""
    largest = np.int32(0)
    for d in range(len(values_D)):
        largest = max(largest, magnitude_bits(values_D[d]))
    exponent = raised_exponent_of_bits(largest)
    if exponent == NOT_FINITE:
        return exponent
    if exponent >= -108:
        factor = power_of_two_32(np.int32(15 - exponent))
        for d in range(len(values_D)):
            # 1.5 · 2^23 leaves the rounded integer in the low bits.
            bits = np.float32(values_D[d] * factor + np.float32(12582912.0)).view(np.int32)
            out_D[d] = bits - np.int32(0x4B400000)
    else:
        wide = power_of_two_64(np.int64(15 - exponent))
        for d in range(len(values_D)):
            tiny = magnitude_bits(values_D[d]) < LEAST_NORMAL_BITS
            out_D[d] = np.int32(0) if tiny else np.int32(np.rint(np.float64(values_D[d]) * wide))
    return exponent


@kernel
def attend_kernel(start, stop, flats, layouts, shape, scale, kind, mask_BHQL, out_BQHD, bad_P):
    """The whole of attention for (batch, key-value head) pairs ``start … stop``: few queries, every key read twice.

    ``flats`` are the flat memories of queries, keys and values, ``layouts`` int64 [3, 4] their offsets and strides of
    batch, head and position; the last axis is dense. ``shape`` = (N, G, Q, L, D, width of a value).
    ``bad_P`` marks pairs with inputs or scores that are no numbers.
    """
    query, key, value = flats
    num_kv_heads, num_grouped, num_queries, length, width, value_width = shape
    rows = num_grouped * num_queries
    query_RD = np.empty((rows, width), np.int32)
    query_exponent_R = np.empty(rows, np.int64)
    scores_RL = np.empty((rows, length), np.float32)
    whole_RL = np.empty((rows, length), np.float64)
    exponent_R = np.empty(rows, np.int64)
    row_D = np.empty(max(width, value_width), np.int32)
    exponent_L = np.empty(length, np.int32)
    total_RD = np.empty((rows, value_width), np.int64)
    ones_L = np.ones(length, np.uint8)
    for pair in range(start, stop):
        good = True
        b, n = pair // num_kv_heads, pair % num_kv_heads
        for r in range(rows):
            h, i = n * num_grouped + r // num_queries, r % num_queries
            at = layouts[0, 0] + b * layouts[0, 1] + h * layouts[0, 2] + i * layouts[0, 3]
            query_exponent_R[r] = _quantised(query[at : at + width], query_RD[r])
            good &= query_exponent_R[r] != NOT_FINITE
        at = layouts[1, 0] + b * layouts[1, 1] + n * layouts[1, 2]
        for j in range(length):
            place = at + j * layouts[1, 3]
            exponent = np.int64(_quantised(key[place : place + width], row_D))
            good &= exponent != NOT_FINITE
            for r in range(rows):
                total = np.int64(0)
                for d in range(width):
                    total += np.int64(query_RD[r, d]) * np.int64(row_D[d])
                product = rounded(total, query_exponent_R[r] + exponent - 30)
                scores_RL[r, j] = mul(product, scale)
        at = layouts[2, 0] + b * layouts[2, 1] + n * layouts[2, 2]
        for j in range(length):
            place = at + j * layouts[2, 3]
            largest = np.int32(0)
            for d in range(value_width):
                largest = max(largest, magnitude_bits(value[place + d]))
            exponent_L[j] = raised_exponent_of_bits(largest)
            good &= exponent_L[j] != NOT_FINITE
        if not good:
            bad_P[pair] = True
            continue
        for r in range(rows):
            h, i = n * num_grouped + r // num_queries, r % num_queries
            allowed_L, last = _keys_seen(kind, mask_BHQL, b, h, i, ones_L)
            good &= _softmax(scores_RL[r], allowed_L, last)
            exponent_R[r] = _scaled_weights(scores_RL[r], exponent_L, whole_RL[r])
        total_RD[:] = 0
        for j in range(length):
            place = at + j * layouts[2, 3]
            _quantised(value[place : place + value_width], row_D)
            for r in range(rows):
                weight = np.int64(whole_RL[r, j])
                if weight != 0:
                    for d in range(value_width):
                        total_RD[r, d] += weight * np.int64(row_D[d])
        bad_P[pair] = not good
        for r in range(rows):
            h, i = n * num_grouped + r // num_queries, r % num_queries
            for d in range(value_width):
                out_BQHD[b, i, h, d] = rounded(total_RD[r, d], exponent_R[r] - 30)
