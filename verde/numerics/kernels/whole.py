"""Why this module exists: significands as whole numbers in doubles, for loops that pick rows by number.

Sums of up to 2^22 of their products are below 2^53: so they are exact, may be taken in any order, and a product and a
sum may be one instruction. Everything else here rounds as docs/exact-1.md says and is compiled without such liberties.

Shapes: L rows, D columns; w: some rows by number, each with a weight.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.exponent import (
    NOT_FINITE,
    magnitude_bits,
    power_of_two_64,
    raised_exponent_of_bits,
    settled,
)

BITS = 15

# 1.5 · 2^52: adding it to a double below 2^51 and taking it off again rounds to the nearest integer, ties to even.
TO_INTEGER = 6755399441055744.0

plain = njit(nogil=True, error_model="numpy")
whole_numbers = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})


@plain
def quantise_row(x_D, whole_D):
    """A row's significands as doubles, and its exponent."""
    largest = np.int32(0)
    for d in range(len(x_D)):
        largest = max(largest, magnitude_bits(x_D[d]))
    exponent = raised_exponent_of_bits(largest)
    if exponent != NOT_FINITE:
        scale = power_of_two_64(np.int64(BITS) - exponent)
        for d in range(len(x_D)):
            whole_D[d] = (np.float64(settled(x_D[d])) * scale + TO_INTEGER) - TO_INTEGER
    return exponent


@plain
def quantise_rows(x_LD, whole_LD, scale_L):
    """Each row's significands as doubles, and 2^exponent. False: not finite."""
    good = True
    for j in range(x_LD.shape[0]):
        exponent = quantise_row(x_LD[j], whole_LD[j])
        good &= exponent != NOT_FINITE
        scale_L[j] = power_of_two_64(np.int64(exponent)) if exponent != NOT_FINITE else 0.0
    return good


@plain
def exponents(largest_D, exponent_D, scale_D):
    """Exponents of columns and what to multiply them by, from their largest magnitudes' bits. False: not finite."""
    good = True
    for d in range(len(largest_D)):
        exponent = raised_exponent_of_bits(largest_D[d])
        exponent_D[d] = exponent
        good &= exponent != NOT_FINITE
        scale_D[d] = 0.0 if exponent == NOT_FINITE else power_of_two_64(np.int64(BITS) - exponent)
    return good


@plain
def quantise_columns(x_LD, whole_LD, exponent_D):
    """Each column's significands as doubles, and its exponent. False: not finite."""
    length, width = x_LD.shape
    largest_D = np.zeros(width, np.int32)
    scale_D = np.zeros(width, np.float64)
    for j in range(length):
        row_D = x_LD[j]
        for d in range(width):
            largest_D[d] = max(largest_D[d], magnitude_bits(row_D[d]))
    good = exponents(largest_D, exponent_D, scale_D)
    for j in range(length):
        row_D, out_D = x_LD[j], whole_LD[j]
        for d in range(width):
            out_D[d] = (np.float64(settled(row_D[d])) * scale_D[d] + TO_INTEGER) - TO_INTEGER
    return good


@whole_numbers
def dots(left_D, scale, right_LD, column_w, out_w):
    """A row times each of some rows, scaled by a power of two."""
    for k in range(len(column_w)):
        row_D = right_LD[column_w[k]]
        total = 0.0
        for d in range(len(left_D)):
            total += left_D[d] * row_D[d]
        out_w[k] = total * scale


@whole_numbers
def combined(weight_w, right_LD, column_w, total_D):
    """The sum of some rows, each times its weight."""
    total_D[:] = 0.0
    for k in range(len(column_w)):
        weight, row_D = weight_w[k], right_LD[column_w[k]]
        if weight != 0.0:
            for d in range(len(total_D)):
                total_D[d] += weight * row_D[d]


@whole_numbers
def spread(weight_w, left_D, column_w, total_LD):
    """Add a row, times its weight for each, to some rows."""
    for k in range(len(column_w)):
        weight, row_D = weight_w[k], total_LD[column_w[k]]
        if weight != 0.0:
            for d in range(len(left_D)):
                row_D[d] += weight * left_D[d]


@plain
def whole(value_W, scale_L, column_W, out_W):
    """Significands of values whose columns have the scales."""
    for k in range(len(out_W)):
        out_W[k] = (np.float64(value_W[k]) * scale_L[column_W[k]] + TO_INTEGER) - TO_INTEGER


@plain
def rounded_row(total_D, exponent, scale_D, out_D):
    """``out(C · 2^(exponent - 30) · scale)`` of each element. False: not finite."""
    scale = power_of_two_64(np.int64(exponent) - 2 * BITS)
    for d in range(len(total_D)):
        out_D[d] = settled(np.float32(total_D[d] * (scale * scale_D[d])))
    return not holds_no_number(out_D)


@plain
def powers(exponent_D):
    scale_D = np.empty(len(exponent_D), np.float64)
    for d in range(len(exponent_D)):
        scale_D[d] = power_of_two_64(np.int64(exponent_D[d]))
    return scale_D
