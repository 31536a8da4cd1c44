"""Why this module exists: sums whose result cannot depend on the order of their terms.

SUM of section 3: every term becomes an integer relative to the largest (36 bits), the integers are added, and the total
is rounded once. A term t + 1.5·2^52 holds the integer in its low bits, so whole bit patterns are added (modulo 2^64)
and the constant is taken off at the end; |total| < 2^62, so nothing is lost.

Shapes: R rows, K columns, B blocks of ``BLOCK`` rows. All arrays are C-contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import (
    LEAST_NORMAL_BITS,
    NOT_FINITE,
    exponent_of_bits,
    magnitude_bits,
    power_of_two_64,
    rounded,
)

WIDTH = 36
BLOCK = 64
BITS_PIECE = 1 << 16

_SHIFTER = np.float64(6755399441055744.0)
SHIFTER_BITS = np.float64(6755399441055744.0).view(np.int64)

# Up to this exponent a subnormal term, which reads as zero, would not vanish by itself.
_TINY = -90


@njit(inline="always")
def term_bits(value: np.float32, scale: np.float64) -> np.int64:
    """The bits of rne(value · scale) + 1.5·2^52."""
    return np.float64(np.float64(value) * scale + _SHIFTER).view(np.int64)


@njit(inline="always")
def _read(value: np.float32) -> np.float32:
    return value if magnitude_bits(value) >= LEAST_NORMAL_BITS else np.float32(0.0)


@kernel
def largest_bits(x_N):
    """The largest magnitude bits of a vector."""
    largest = np.int32(0)
    for i in range(x_N.shape[0]):
        largest = max(largest, magnitude_bits(x_N[i]))
    return largest


@kernel
def integer_sum(x_N, exponent):
    """The exact sum of rne(x · 2^(36 - exponent)) as int64."""
    scale = power_of_two_64(np.int64(WIDTH - exponent))
    total = np.int64(0)
    if exponent <= _TINY:
        for i in range(x_N.shape[0]):
            total += term_bits(_read(x_N[i]), scale)
    else:
        for i in range(x_N.shape[0]):
            total += term_bits(x_N[i], scale)
    return total - np.int64(x_N.shape[0]) * SHIFTER_BITS


@kernel
def row_sum(x_N):
    """SUM of one row, NaN where a term is no number."""
    exponent = exponent_of_bits(largest_bits(x_N))
    if exponent == NOT_FINITE:
        return np.float32(np.nan)
    return rounded(integer_sum(x_N, exponent), np.int64(exponent - WIDTH))


@kernel
def sum_rows_kernel(start, stop, x_RK, out_R):
    """SUM of each row."""
    for i in range(start, stop):
        out_R[i] = row_sum(x_RK[i])


@kernel
def largest_of_pieces_kernel(start, stop, x_N, piece, out_P):
    """The largest magnitude bits of each piece of ``piece`` values."""
    for p in range(start, stop):
        out_P[p] = largest_bits(x_N[p * piece : (p + 1) * piece])


@kernel
def integer_sums_of_pieces_kernel(start, stop, x_N, piece, exponent, out_P):
    """The integer sum of each piece, all relative to one exponent."""
    for p in range(start, stop):
        out_P[p] = integer_sum(x_N[p * piece : (p + 1) * piece], exponent)


@kernel
def exponents_of_columns_kernel(start, stop, largest_BK, exponents_K):
    """Each column's plain exponent from its blocks' largest magnitudes."""
    for k in range(start, stop):
        largest = np.int32(0)
        for block in range(largest_BK.shape[0]):
            largest = max(largest, largest_BK[block, k])
        exponents_K[k] = exponent_of_bits(largest)


@kernel
def integer_sums_of_columns_kernel(start, stop, x_RK, exponents_K, partial_BK):
    """Per block of 64 rows, each column's integer sum. ``start`` and ``stop`` count blocks."""
    rows, width = x_RK.shape
    scale_K = np.empty(width, np.float64)
    tiny = False
    for k in range(width):
        tiny |= exponents_K[k] <= _TINY
        scale_K[k] = power_of_two_64(np.int64(WIDTH - exponents_K[k]))
    for block in range(start, stop):
        first, last = block * BLOCK, min(rows, (block + 1) * BLOCK)
        partial_K = partial_BK[block]
        partial_K[:] = -(last - first) * SHIFTER_BITS
        for i in range(first, last):
            if tiny:
                for k in range(width):
                    partial_K[k] += term_bits(_read(x_RK[i, k]), scale_K[k])
            else:
                for k in range(width):
                    partial_K[k] += term_bits(x_RK[i, k], scale_K[k])


@kernel
def integer_sums_of_row(x_K, exponents_K, total_K):
    """Add one row's integers, each relative to its column's exponent, to the columns' totals."""
    for k in range(x_K.shape[0]):
        scale = power_of_two_64(np.int64(WIDTH - exponents_K[k]))
        total_K[k] += term_bits(x_K[k], scale) - SHIFTER_BITS


@kernel
def sum_of_squares(x_K):
    """SUM of ``mul(x, x)``; not finite where a square is not."""
    largest = np.int32(largest_bits(x_K)).view(np.float32)
    exponent = exponent_of_bits(magnitude_bits(np.float32(largest * largest)))
    if exponent == NOT_FINITE:
        return np.float32(np.nan)
    scale = power_of_two_64(np.int64(WIDTH - exponent))
    total = np.int64(0)
    for k in range(x_K.shape[0]):
        total += term_bits(_read(np.float32(x_K[k] * x_K[k])), scale)
    return rounded(total - np.int64(x_K.shape[0]) * SHIFTER_BITS, np.int64(exponent - WIDTH))


@kernel
def totals_of_columns_kernel(start, stop, partial_BK, exponents_K, out_K):
    """Round each column's total."""
    for k in range(start, stop):
        total = np.int64(0)
        for block in range(partial_BK.shape[0]):
            total += partial_BK[block, k]
        out_K[k] = rounded(total, np.int64(exponents_K[k] - WIDTH))


@kernel
def sum_of_squares_kernel(start, stop, x_N, piece, out_P):
    """SUM of ``mul(x, x)`` over each piece of ``piece`` values; infinite or NaN where a square is no number."""
    for p in range(start, stop):
        x_n = x_N[p * piece : (p + 1) * piece]
        squares = np.empty(x_n.shape[0], np.float32)
        for i in range(x_n.shape[0]):
            square = np.float32(x_n[i] * x_n[i])
            squares[i] = square if magnitude_bits(square) >= LEAST_NORMAL_BITS else np.float32(0.0)
        out_P[p] = row_sum(squares)


@kernel
def bit_sums_kernel(start, stop, words_N, out_P):
    """The sum of each piece of ``BITS_PIECE`` int32 words, as int64 (it wraps around)."""
    for p in range(start, stop):
        words_n = words_N[p * BITS_PIECE : (p + 1) * BITS_PIECE]
        total = np.int64(0)
        for i in range(words_n.shape[0]):
            total += np.int64(words_n[i])
        out_P[p] = total
