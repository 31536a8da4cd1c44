"""Why this module exists: where a mask lets each query see few keys, matrix products would mostly multiply by zero.

Training rows hold a prompt and many completions side by side, each of which sees the prompt and itself. Here a query's
keys are spans of columns, and only those are computed: attention and its gradient of docs/exact-1.md section 5, whose
sums are integers, so that the bits are those of whole products.

Shapes: B batch, N key-value heads, P = B·N pairs, G query heads that share a key, Q queries, R = G·Q rows of a pair,
L keys, D width of a key, E width of a value, S spans of a query at most. Weights lie flat: of batch b from
N·G·offset[b, 0] on, head by head, each query's allowed keys in order; ``offset_N`` int64 [B·Q + 1] counts those keys.
W: keys of all queries of a head.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.attention import raised_exponent_of_double
from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.exponent import (
    NOT_FINITE,
    SIGNLESS,
    exponent_of_bits,
    magnitude_bits,
    power_of_two_64,
    raised_exponent_of_bits,
    rounded,
    settled,
)
from verde.numerics.kernels.reduce import SHIFTER_BITS, WIDTH, term_bits
from verde.numerics.kernels.scalar import div, exp, mul, not_finite, sub
from verde.numerics.kernels.whole import (
    BITS,
    TO_INTEGER,
    combined,
    dots,
    exponents,
    plain,
    powers,
    quantise_columns,
    quantise_row,
    quantise_rows,
    rounded_row,
    spread,
    whole,
)


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


@plain
def _columns(span_NS2, count_N, column_W):
    """The keys that queries see, one after the other."""
    k = 0
    for r in range(len(count_N)):
        for s in range(count_N[r]):
            for j in range(span_NS2[r, s, 0], span_NS2[r, s, 1]):
                column_W[k] = j
                k += 1


@plain
def _fill(value, out_w):
    for k in range(len(out_w)):
        out_w[k] = value


@plain
def _to_exponentials(begin_N, score_W):
    """exp(sub(score, the query's largest)) in place."""
    for r in range(len(begin_N) - 1):
        score_w = score_W[begin_N[r] : begin_N[r + 1]]
        most = np.int32(-0x80000000)
        for k in range(len(score_w)):
            bits = np.float32(score_w[k]).view(np.int32)
            most = max(most, bits ^ ((bits >> 31) & SIGNLESS))
        largest = np.int32(most ^ ((most >> 31) & SIGNLESS)).view(np.float32)
        for k in range(len(score_w)):
            score_w[k] = sub(score_w[k], largest)
    for k in range(len(score_W)):
        score_W[k] = exp(score_W[k])


@plain
def _sums_of_exponentials(begin_N, power_W, sum_W):
    """The SUM of each query's exponentials, once per key. The largest is exp(0) = 1 < 2^1, which fixes the width."""
    scale = power_of_two_64(np.int64(WIDTH - 1))
    for r in range(len(begin_N) - 1):
        power_w = power_W[begin_N[r] : begin_N[r + 1]]
        total = np.int64(0)
        for k in range(len(power_w)):
            total += term_bits(power_w[k], scale)
        _fill(rounded(total - len(power_w) * SHIFTER_BITS, np.int64(1 - WIDTH)), sum_W[begin_N[r] : begin_N[r + 1]])


@plain
def _sums(begin_N, value_W, sum_W):
    """The SUM of each query's values, once per key; all are finite."""
    for r in range(len(begin_N) - 1):
        value_w = value_W[begin_N[r] : begin_N[r + 1]]
        largest = np.int32(0)
        for k in range(len(value_w)):
            largest = max(largest, magnitude_bits(value_w[k]))
        exponent = np.int64(exponent_of_bits(largest))
        factor = power_of_two_64(WIDTH - exponent)
        total = np.int64(0)
        for k in range(len(value_w)):
            total += term_bits(value_w[k], factor)
        _fill(rounded(total - len(value_w) * SHIFTER_BITS, exponent - WIDTH), sum_W[begin_N[r] : begin_N[r + 1]])


@plain
def _scaled_scores(total_W, scale_L, column_W, scale, score_W):
    """mul(out(total · 2^exponent of its key), scale). False: not finite."""
    for k in range(len(score_W)):
        score_W[k] = mul(settled(np.float32(total_W[k] * scale_L[column_W[k]])), scale)
    bad = np.int32(0)
    for k in range(len(score_W)):
        bad |= not_finite(score_W[k])
    return bad == 0


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
    key_LD, value_LE = np.empty((length, width), np.float64), np.empty((length, value_width), np.float64)
    key_scale_L, value_scale_L = np.empty(length, np.float64), np.empty(length, np.float64)
    query_D, total_E = np.empty(width, np.float64), np.empty(value_width, np.float64)
    whole_L = np.empty(length, np.float64)
    for p in range(start, stop):
        b, n = p // num_kv_heads, p % num_kv_heads
        queries = slice(b * num_queries, (b + 1) * num_queries)
        begin_N = offset_N[queries.start : queries.stop + 1] - offset_N[queries.start]
        seen = begin_N[num_queries]
        column_W, total_W = np.empty(seen, np.int32), np.empty(seen, np.float64)
        sum_W = np.empty(seen, np.float32)
        _columns(span_NS2[queries], count_N[queries], column_W)
        good = quantise_rows(key_PLD[p], key_LD, key_scale_L)
        good &= quantise_rows(value_PLE[p], value_LE, value_scale_L)
        for g in range(num_grouped):
            if not good:
                break
            first = num_kv_heads * num_grouped * offset_N[queries.start] + (n * num_grouped + g) * seen
            weight_w = weight_W[first : first + seen]
            for i in range(num_queries):
                exponent = quantise_row(query_PRD[p, g * num_queries + i], query_D)
                good &= exponent != NOT_FINITE
                of_query = 0.0 if exponent == NOT_FINITE else power_of_two_64(np.int64(exponent) - 2 * BITS)
                some = slice(begin_N[i], begin_N[i + 1])
                dots(query_D, of_query, key_LD, column_W[some], total_W[some])
            good &= _scaled_scores(total_W, key_scale_L, column_W, scale, weight_w)
            if not good:
                break
            _to_exponentials(begin_N, weight_w)
            _sums_of_exponentials(begin_N, weight_w, sum_W)
            for k in range(seen):
                weight = div(weight_w[k], sum_W[k])
                weight_w[k] = weight
                total_W[k] = np.float64(weight) * value_scale_L[column_W[k]]
            for i in range(num_queries):
                scaled_w, out_E = total_W[begin_N[i] : begin_N[i + 1]], out_PRE[p, g * num_queries + i]
                largest = 0.0
                for k in range(len(scaled_w)):
                    largest = max(largest, scaled_w[k])
                exponent = raised_exponent_of_double(largest)
                # Two factors: the scale alone may lie beyond the doubles when all values are tiny.
                once = power_of_two_64((15 - exponent) >> 1)
                twice = power_of_two_64((15 - exponent) - ((15 - exponent) >> 1))
                for k in range(len(scaled_w)):
                    whole_L[k] = (scaled_w[k] * once * twice + TO_INTEGER) - TO_INTEGER
                combined(whole_L, value_LE, column_W[begin_N[i] : begin_N[i + 1]], total_E)
                factor = power_of_two_64(np.int64(exponent) - 2 * BITS)
                for d in range(value_width):
                    out_E[d] = settled(np.float32(total_E[d] * factor))
                good &= not holds_no_number(out_E)
        bad_P[p] = not good


@kernel
def span_gradients_kernel(start, stop, inputs, gradient_PRE, spans, sizes, scale, weight_W, outputs, bad_P):
    """Gradients of pairs ``start … stop``: ``outputs`` = those of queries, keys and values, shaped like ``inputs``."""
    query_PRD, key_PLD, value_PLE = inputs
    of_query_PRD, of_key_PLD, of_value_PLE = outputs
    span_NS2, count_N, offset_N = spans
    num_kv_heads, num_grouped, num_queries = sizes
    rows, width = query_PRD.shape[1:]
    length, value_width = value_PLE.shape[1:]
    value_LE, value_scale_L = np.empty((length, value_width), np.float64), np.empty(length, np.float64)
    key_LD, query_RD = np.empty((length, width), np.float64), np.empty((rows, width), np.float64)
    grad_RE, grad_E = np.empty((rows, value_width), np.float64), np.empty(value_width, np.float64)
    key_exponent_D, query_exponent_D = np.empty(width, np.int32), np.empty(width, np.int32)
    grad_exponent_E = np.empty(value_width, np.int32)
    whole_L, total_D = np.empty(length, np.float64), np.empty(width, np.float64)
    score_exponent_L, weight_exponent_L = np.empty(length, np.int32), np.empty(length, np.int32)
    score_scale_L, weight_scale_L = np.empty(length, np.float64), np.empty(length, np.float64)
    largest_score_L, largest_weight_L = np.empty(length, np.int32), np.empty(length, np.int32)
    total_LD, total_LE = np.empty((length, width), np.float64), np.empty((length, value_width), np.float64)
    for p in range(start, stop):
        b, n = p // num_kv_heads, p % num_kv_heads
        queries = slice(b * num_queries, (b + 1) * num_queries)
        begin_N = offset_N[queries.start : queries.stop + 1] - offset_N[queries.start]
        seen = begin_N[num_queries]
        column_W, total_W = np.empty(seen, np.int32), np.empty(seen, np.float64)
        sum_W, product_W = np.empty(seen, np.float32), np.empty(seen, np.float32)
        score_GW = np.empty((num_grouped, seen), np.float32)
        _columns(span_NS2[queries], count_N[queries], column_W)
        good = quantise_rows(value_PLE[p], value_LE, value_scale_L)
        good &= quantise_columns(key_PLD[p], key_LD, key_exponent_D)
        good &= quantise_columns(query_PRD[p], query_RD, query_exponent_D)
        good &= quantise_columns(gradient_PRE[p], grad_RE, grad_exponent_E)
        if not good:
            bad_P[p] = True
            continue
        key_scale_D = powers(key_exponent_D)
        first = num_kv_heads * num_grouped * offset_N[queries.start] + n * num_grouped * seen
        largest_score_L[:] = 0
        largest_weight_L[:] = 0
        for g in range(num_grouped):
            weight_w, score_w = weight_W[first + g * seen : first + (g + 1) * seen], score_GW[g]
            for i in range(num_queries):
                exponent = quantise_row(gradient_PRE[p, g * num_queries + i], grad_E)
                of_row = power_of_two_64(np.int64(exponent) - 2 * BITS)
                some = slice(begin_N[i], begin_N[i + 1])
                dots(grad_E, of_row, value_LE, column_W[some], total_W[some])
            for k in range(seen):
                gradient = settled(np.float32(total_W[k] * value_scale_L[column_W[k]]))
                score_w[k], product_W[k] = gradient, mul(weight_w[k], gradient)
            # In a loop of its own: it would keep the one above from using vectors.
            bad = np.int32(0)
            for k in range(seen):
                bad |= not_finite(score_w[k]) | not_finite(product_W[k])
            good &= bad == 0
            if not good:
                break
            _sums(begin_N, product_W, sum_W)
            for k in range(seen):
                score_w[k] = mul(mul(weight_w[k], sub(score_w[k], sum_W[k])), scale)
            for k in range(seen):
                j = column_W[k]
                largest_score_L[j] = max(largest_score_L[j], magnitude_bits(score_w[k]))
                largest_weight_L[j] = max(largest_weight_L[j], magnitude_bits(weight_w[k]))
            for i in range(num_queries):
                some = slice(begin_N[i], begin_N[i + 1])
                row_w, largest = score_w[some], np.int32(0)
                for k in range(len(row_w)):
                    largest = max(largest, magnitude_bits(row_w[k]))
                exponent = raised_exponent_of_bits(largest)
                if exponent == NOT_FINITE:
                    good = False
                    break
                factor = power_of_two_64(np.int64(BITS) - exponent)
                for k in range(len(row_w)):
                    whole_L[k] = (np.float64(row_w[k]) * factor + TO_INTEGER) - TO_INTEGER
                combined(whole_L, key_LD, column_W[some], total_D)
                good &= rounded_row(total_D, exponent, key_scale_D, of_query_PRD[p, g * num_queries + i])
        good &= exponents(largest_score_L, score_exponent_L, score_scale_L)
        good &= exponents(largest_weight_L, weight_exponent_L, weight_scale_L)
        if not good:
            bad_P[p] = True
            continue
        total_LD[:] = 0.0
        total_LE[:] = 0.0
        for g in range(num_grouped):
            whole(score_GW[g], score_scale_L, column_W, total_W)
            for i in range(num_queries):
                some = slice(begin_N[i], begin_N[i + 1])
                spread(total_W[some], query_RD[g * num_queries + i], column_W[some], total_LD)
            whole(weight_W[first + g * seen : first + (g + 1) * seen], weight_scale_L, column_W, total_W)
            for i in range(num_queries):
                some = slice(begin_N[i], begin_N[i + 1])
                spread(total_W[some], grad_RE[g * num_queries + i], column_W[some], total_LE)
        query_scale_D, grad_scale_E = powers(query_exponent_D), powers(grad_exponent_E)
        for j in range(length):
            good &= rounded_row(total_LD[j], score_exponent_L[j], query_scale_D, of_key_PLD[p, j])
            good &= rounded_row(total_LE[j], weight_exponent_L[j], grad_scale_E, of_value_PLE[p, j])
        bad_P[p] = not good
