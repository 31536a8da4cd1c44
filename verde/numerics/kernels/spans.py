"""Why this module exists: where a mask lets each query see few keys, matrix products would mostly multiply by zero.

Training rows hold a prompt and many completions side by side, each of which sees the prompt and itself. Here a query's
keys are spans of columns, and only those are computed: attention and its gradient of docs/exact-1.md section 5, whose
sums are integers, so that the bits are those of whole products.

Shapes: B batch, N key-value heads, P = B·N pairs, G query heads that share a key, Q queries, R = G·Q rows of a pair,
L keys, D width of a key, E width of a value, S spans of a query at most. Weights lie flat: of batch b from
N·G·offset[b, 0] on, head by head, each query's allowed keys in order; ``offset_N`` int64 [B·Q + 1] counts those keys.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.attention import _quantised, _scaled_weights, _softmax
from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.exponent import (
    INFINITY_BITS,
    NOT_FINITE,
    exponent_of_bits,
    magnitude_bits,
    power_of_two_64,
    raised_exponent_of_bits,
    rounded,
    settled,
)
from verde.numerics.kernels.reduce import SHIFTER_BITS, WIDTH, term_bits
from verde.numerics.kernels.scalar import mul, sub

_BITS = 15

# 1.5 · 2^52: adding it to a double below 2^51 and taking it off again rounds to the nearest integer, ties to even.
_TO_INTEGER = 6755399441055744.0


@kernel
def find_spans_kernel(start, stop, mask_NL, span_NS2, count_N):
    """The spans of columns that rows ``start … stop`` of a mask allow, and how many; a row with more than S says so."""
    most = span_NS2.shape[1]
    for r in range(start, stop):
        row_L = mask_NL[r]
        found, is_inside = 0, False
        for j in range(len(row_L)):
            if (row_L[j] != 0) != is_inside:
                if found < most:
                    span_NS2[r, found, 1 if is_inside else 0] = j
                found += is_inside
                is_inside = not is_inside
        if is_inside:
            if found < most:
                span_NS2[r, found, 1] = len(row_L)
            found += 1
        count_N[r] = found


@njit(nogil=True, error_model="numpy")
def _quantised_rows(x_LD, whole_LD, exponent_L):
    """Each row's significands as int32, and its exponent. False: not finite."""
    good = True
    for j in range(x_LD.shape[0]):
        exponent_L[j] = _quantised(x_LD[j], whole_LD[j])
        good &= exponent_L[j] != NOT_FINITE
    return good


@njit(nogil=True, error_model="numpy")
def _quantised_columns(x_LD, whole_LD, exponent_D):
    """Each column's significands as doubles, and its exponent. False: not finite."""
    length, width = x_LD.shape
    largest_D = np.zeros(width, np.int32)
    scale_D = np.zeros(width, np.float64)
    for j in range(length):
        row_D = x_LD[j]
        for d in range(width):
            largest_D[d] = max(largest_D[d], magnitude_bits(row_D[d]))
    good = _exponents(largest_D, exponent_D, scale_D)
    for j in range(length):
        row_D, out_D = x_LD[j], whole_LD[j]
        for d in range(width):
            out_D[d] = (np.float64(settled(row_D[d])) * scale_D[d] + _TO_INTEGER) - _TO_INTEGER
    return good


@njit(nogil=True, error_model="numpy")
def _exponents(largest_D, exponent_D, scale_D):
    """Exponents of columns and what to multiply them by, from their largest magnitudes' bits. False: not finite."""
    good = True
    for d in range(len(largest_D)):
        exponent = raised_exponent_of_bits(largest_D[d])
        exponent_D[d] = exponent
        good &= exponent != NOT_FINITE
        scale_D[d] = 0.0 if exponent == NOT_FINITE else power_of_two_64(np.int64(_BITS) - exponent)
    return good


@njit(nogil=True, error_model="numpy")
def _dots(left_D, left_exponent, right_LD, exponent_L, span_S2, count, out_N):
    """DOT of a row with each row that its spans allow; how many."""
    n = 0
    for s in range(count):
        for j in range(span_S2[s, 0], span_S2[s, 1]):
            row_D = right_LD[j]
            total = np.int64(0)
            for d in range(len(left_D)):
                total += np.int64(left_D[d]) * np.int64(row_D[d])
            out_N[n] = rounded(total, np.int64(left_exponent) + np.int64(exponent_L[j]) - 2 * _BITS)
            n += 1
    return n


@njit(nogil=True, error_model="numpy")
def _combined(weight_N, right_LD, span_S2, count, total_D):
    """The sum of the allowed rows, each times its weight (whole numbers in doubles, so exact)."""
    total_D[:] = 0.0
    n = 0
    for s in range(count):
        for j in range(span_S2[s, 0], span_S2[s, 1]):
            weight, row_D = weight_N[n], right_LD[j]
            n += 1
            if weight != 0.0:
                for d in range(len(total_D)):
                    total_D[d] += weight * row_D[d]


@kernel
def attend_spans_kernel(start, stop, inputs, spans, sizes, scale, weight_W, out_PRE, bad_P):
    """Attention of pairs ``start … stop``. ``inputs`` = queries [P, R, D], keys [P, L, D], values [P, L, E];
    ``spans`` = (int32 [B·Q, S, 2], how many int32 [B·Q], ``offset_N``); ``sizes`` = (N, G, Q). ``bad_P`` marks pairs
    with numbers that are none."""
    query_PRD, key_PLD, value_PLE = inputs
    span_NS2, count_N, offset_N = spans
    num_kv_heads, num_grouped, num_queries = sizes
    length, width = key_PLD.shape[1:]
    value_width = value_PLE.shape[2]
    key_LD, value_LE = np.empty((length, width), np.int32), np.empty((length, value_width), np.int32)
    whole_LE = np.empty((length, value_width), np.float64)
    key_exponent_L, value_exponent_L = np.empty(length, np.int32), np.empty(length, np.int32)
    query_D, total_E = np.empty(width, np.int32), np.empty(value_width, np.float64)
    seen_exponent_L, whole_L, ones_L = np.empty(length, np.int32), np.empty(length, np.float64), np.ones(length, np.uint8)
    for p in range(start, stop):
        b, n = p // num_kv_heads, p % num_kv_heads
        good = _quantised_rows(key_PLD[p], key_LD, key_exponent_L)
        good &= _quantised_rows(value_PLE[p], value_LE, value_exponent_L)
        for j in range(length):
            for d in range(value_width):
                whole_LE[j, d] = np.float64(value_LE[j, d])
        base = offset_N[b * num_queries]
        seen = offset_N[(b + 1) * num_queries] - base
        for r in range(num_grouped * num_queries):
            g, at = r // num_queries, b * num_queries + r % num_queries
            exponent = _quantised(query_PRD[p, r], query_D)
            good &= exponent != NOT_FINITE
            if not good:
                break
            first = num_kv_heads * num_grouped * base + (n * num_grouped + g) * seen + offset_N[at] - base
            row_N = weight_W[first : first + offset_N[at + 1] - offset_N[at]]
            _dots(query_D, exponent, key_LD, key_exponent_L, span_NS2[at], count_N[at], row_N)
            for k in range(len(row_N)):
                row_N[k] = mul(row_N[k], scale)
            good &= _softmax(row_N, ones_L, len(row_N))
            k = 0
            for s in range(count_N[at]):
                for j in range(span_NS2[at, s, 0], span_NS2[at, s, 1]):
                    seen_exponent_L[k] = value_exponent_L[j]
                    k += 1
            of_weights = _scaled_weights(row_N, seen_exponent_L, whole_L)
            _combined(whole_L, whole_LE, span_NS2[at], count_N[at], total_E)
            out_E, factor = out_PRE[p, r], power_of_two_64(np.int64(of_weights) - 2 * _BITS)
            for d in range(value_width):
                out_E[d] = settled(np.float32(total_E[d] * factor))
            good &= not holds_no_number(out_E)
        bad_P[p] = not good


@njit(nogil=True, error_model="numpy")
def _of_scores(weight_N, gradient_N, scale):
    """The gradient of weights becomes that of scaled products, in place. False: not finite."""
    largest, worst = np.int32(0), np.int32(0)
    for k in range(len(weight_N)):
        worst = max(worst, magnitude_bits(gradient_N[k]))
        largest = max(largest, magnitude_bits(mul(weight_N[k], gradient_N[k])))
    if worst >= INFINITY_BITS or largest >= INFINITY_BITS:
        return False
    exponent = np.int64(exponent_of_bits(largest))
    factor = power_of_two_64(WIDTH - exponent)
    whole = np.int64(0)
    for k in range(len(weight_N)):
        whole += term_bits(mul(weight_N[k], gradient_N[k]), factor)
    total = rounded(whole - len(weight_N) * SHIFTER_BITS, exponent - WIDTH)
    for k in range(len(weight_N)):
        gradient_N[k] = mul(mul(weight_N[k], sub(gradient_N[k], total)), scale)
    return True


@njit(nogil=True, error_model="numpy")
def _rounded_rows(total_LD, exponent_L, exponent_D, out_LD):
    """``out(C · 2^(ea + eb - 30))`` of each element. False: not finite."""
    scale_D = np.empty(len(exponent_D), np.float64)
    for d in range(len(exponent_D)):
        scale_D[d] = power_of_two_64(np.int64(exponent_D[d]))
    good = True
    for j in range(total_LD.shape[0]):
        scale = power_of_two_64(np.int64(exponent_L[j]) - 2 * _BITS)
        row_D, out_D = total_LD[j], out_LD[j]
        for d in range(len(row_D)):
            out_D[d] = settled(np.float32(row_D[d] * (scale * scale_D[d])))
        good &= not holds_no_number(out_D)
    return good


@kernel
def span_gradients_kernel(start, stop, inputs, gradient_PRE, spans, sizes, scale, weight_W, outputs, bad_P):
    """Gradients of pairs ``start … stop``: ``outputs`` = those of queries, keys and values, shaped like ``inputs``."""
    query_PRD, key_PLD, value_PLE = inputs
    of_query_PRD, of_key_PLD, of_value_PLE = outputs
    span_NS2, count_N, offset_N = spans
    num_kv_heads, num_grouped, num_queries = sizes
    rows, width = query_PRD.shape[1:]
    length, value_width = value_PLE.shape[1:]
    value_LE, row_E = np.empty((length, value_width), np.int32), np.empty(value_width, np.int32)
    value_exponent_L = np.empty(length, np.int32)
    key_LD, query_RD = np.empty((length, width), np.float64), np.empty((rows, width), np.float64)
    grad_RE = np.empty((rows, value_width), np.float64)
    key_exponent_D, query_exponent_D = np.empty(width, np.int32), np.empty(width, np.int32)
    grad_exponent_E = np.empty(value_width, np.int32)
    whole_L, total_1D = np.empty(length, np.float64), np.empty((1, width), np.float64)
    exponent_1, score_exponent_L, weight_exponent_L = np.empty(1, np.int32), np.empty(length, np.int32), np.empty(length, np.int32)
    score_scale_L, weight_scale_L = np.empty(length, np.float64), np.empty(length, np.float64)
    largest_score_L, largest_weight_L = np.empty(length, np.int32), np.empty(length, np.int32)
    total_LD, total_LE = np.empty((length, width), np.float64), np.empty((length, value_width), np.float64)
    for p in range(start, stop):
        b, n = p // num_kv_heads, p % num_kv_heads
        good = _quantised_rows(value_PLE[p], value_LE, value_exponent_L)
        good &= _quantised_columns(key_PLD[p], key_LD, key_exponent_D)
        good &= _quantised_columns(query_PRD[p], query_RD, query_exponent_D)
        good &= _quantised_columns(gradient_PRE[p], grad_RE, grad_exponent_E)
        base = offset_N[b * num_queries]
        seen = offset_N[(b + 1) * num_queries] - base
        first = num_kv_heads * num_grouped * base + n * num_grouped * seen
        score_W = np.empty(num_grouped * seen, np.float32)
        largest_score_L[:] = 0
        largest_weight_L[:] = 0
        place = 0
        for r in range(rows):
            if not good:
                break
            at = b * num_queries + r % num_queries
            count, span_S2 = count_N[at], span_NS2[at]
            exponent = _quantised(gradient_PRE[p, r], row_E)
            end = place + offset_N[at + 1] - offset_N[at]
            score_N, weight_N = score_W[place:end], weight_W[first + place : first + end]
            place = end
            _dots(row_E, exponent, value_LE, value_exponent_L, span_S2, count, score_N)
            good &= _of_scores(weight_N, score_N, scale)
            largest, k = np.int32(0), 0
            for s in range(count):
                for j in range(span_S2[s, 0], span_S2[s, 1]):
                    bits = magnitude_bits(score_N[k])
                    largest = max(largest, bits)
                    largest_score_L[j] = max(largest_score_L[j], bits)
                    largest_weight_L[j] = max(largest_weight_L[j], magnitude_bits(weight_N[k]))
                    k += 1
            of_row = raised_exponent_of_bits(largest)
            good &= of_row != NOT_FINITE
            factor = 0.0 if of_row == NOT_FINITE else power_of_two_64(np.int64(_BITS) - of_row)
            for k in range(len(score_N)):
                whole_L[k] = (np.float64(score_N[k]) * factor + _TO_INTEGER) - _TO_INTEGER
            _combined(whole_L, key_LD, span_S2, count, total_1D[0])
            exponent_1[0] = of_row if of_row != NOT_FINITE else np.int32(0)
            good &= _rounded_rows(total_1D, exponent_1, key_exponent_D, of_query_PRD[p, r : r + 1])
        good &= _exponents(largest_score_L, score_exponent_L, score_scale_L)
        good &= _exponents(largest_weight_L, weight_exponent_L, weight_scale_L)
        if not good:
            bad_P[p] = True
            continue
        total_LD[:] = 0.0
        total_LE[:] = 0.0
        place = 0
        for r in range(rows):
            at = b * num_queries + r % num_queries
            query_D, grad_E = query_RD[r], grad_RE[r]
            for s in range(count_N[at]):
                for j in range(span_NS2[at, s, 0], span_NS2[at, s, 1]):
                    score = (np.float64(score_W[place]) * score_scale_L[j] + _TO_INTEGER) - _TO_INTEGER
                    weight = np.float64(weight_W[first + place]) * weight_scale_L[j]
                    weight = (weight + _TO_INTEGER) - _TO_INTEGER
                    place += 1
                    row_D, out_E = total_LD[j], total_LE[j]
                    for d in range(width):
                        row_D[d] += score * query_D[d]
                    for d in range(value_width):
                        out_E[d] += weight * grad_E[d]
        good &= _rounded_rows(total_LD, score_exponent_L, query_exponent_D, of_key_PLD[p])
        good &= _rounded_rows(total_LE, weight_exponent_L, grad_exponent_E, of_value_PLE[p])
        bad_P[p] = not good
