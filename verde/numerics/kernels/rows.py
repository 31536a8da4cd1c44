"""Why this module exists: many small products at once are cheapest as one batched product of doubles.

Significands are whole numbers of at most 32639, so sums of up to 2^22 products are exact doubles whatever their order.

Shapes: P pairs (products), R rows of a matrix, K its columns.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.exponent import (
    NOT_FINITE,
    magnitude_bits,
    power_of_two_64,
    raised_exponent_of_bits,
    settled,
)

_BITS = 15

# 1.5 · 2^52: adding it to a double below 2^51 and taking it off again rounds to the nearest integer, ties to even.
_TO_INTEGER = 6755399441055744.0


@kernel
def whole_rows_kernel(start, stop, x_RK, whole_RK, exponent_R):
    """``quantise`` each row: significands as doubles, and exponents (``NOT_FINITE`` marks a row with no number)."""
    width = x_RK.shape[1]
    for r in range(start, stop):
        largest = np.int32(0)
        for k in range(width):
            largest = max(largest, magnitude_bits(x_RK[r, k]))
        exponent = raised_exponent_of_bits(largest)
        exponent_R[r] = exponent
        if exponent != NOT_FINITE:
            scale = power_of_two_64(np.int64(_BITS) - exponent)
            for k in range(width):
                whole_RK[r, k] = (np.float64(settled(x_RK[r, k])) * scale + _TO_INTEGER) - _TO_INTEGER


@kernel
def whole_columns_kernel(start, stop, x_PRK, whole_PRK, exponent_PK):
    """``quantise`` each column of each matrix; ``start`` and ``stop`` count matrices."""
    rows, width = x_PRK.shape[1:]
    largest_K = np.empty(width, np.int32)
    scale_K = np.empty(width, np.float64)
    for p in range(start, stop):
        largest_K[:] = 0
        for r in range(rows):
            for k in range(width):
                largest_K[k] = max(largest_K[k], magnitude_bits(x_PRK[p, r, k]))
        for k in range(width):
            exponent = raised_exponent_of_bits(largest_K[k])
            exponent_PK[p, k] = exponent
            scale_K[k] = 0.0 if exponent == NOT_FINITE else power_of_two_64(np.int64(_BITS) - exponent)
        for r in range(rows):
            for k in range(width):
                scaled = np.float64(settled(x_PRK[p, r, k])) * scale_K[k]
                whole_PRK[p, r, k] = (scaled + _TO_INTEGER) - _TO_INTEGER


@kernel
def round_products_kernel(start, stop, total_PRK, exponent_PR, exponent_PK, out_PRK, bad_P):
    """``out(C · 2^(ea + eb - 30))``, C the exact totals; ``bad_P`` marks matrices with a result that is no number."""
    rows, width = total_PRK.shape[1:]
    scale_K = np.empty(width, np.float64)
    for p in range(start, stop):
        for k in range(width):
            scale_K[k] = power_of_two_64(np.int64(exponent_PK[p, k]))
        bad = False
        for r in range(rows):
            scale = power_of_two_64(np.int64(exponent_PR[p, r]) - 2 * _BITS)
            out_K = out_PRK[p, r]
            for k in range(width):
                out_K[k] = settled(np.float32(total_PRK[p, r, k] * (scale * scale_K[k])))
            bad |= holds_no_number(out_K)
        bad_P[p] = bad
