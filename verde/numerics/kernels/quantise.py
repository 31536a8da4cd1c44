"""Why this module exists: float32 rows become 16-bit integers in as few passes over memory as possible.

A significand q of -32639 … 32639 is kept as two signed bytes, q = 256·h + l, in planes. Rows that are contracted along
their own axis hold [h | l | h] side by side; a matrix that is contracted down its columns keeps its layout and holds
[h ; l ; h] on top of each other, so nothing is ever transposed. The third plane (only where ``copies`` is 3) lets the
two middle products of (h+l)·(h'+l') run as one product of twice the length.

Shapes: R rows, K columns, P = copies, B blocks of 64 rows. All arrays are C-contiguous.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import (
    LEAST_NORMAL_BITS,
    NOT_FINITE,
    magnitude_bits,
    power_of_two_32,
    raised_exponent_of_bits,
)

BLOCK = 64

# 1.5 · 2^23: added to |y| < 2^22 it leaves rne(y) in the low bits, for every default-rounded IEEE adder.
_TO_INTEGER = np.float32(12582912.0)

# Below this exponent the scale 2^(15-e) is no binary32, or a subnormal element would be told apart from zero.
TINY = -108


@njit(inline="always")
def integer_bits(scaled: np.float32) -> np.int32:
    return np.float32(scaled + _TO_INTEGER).view(np.int32)


@njit(inline="always")
def tiny_bits(value: np.float32, exponent: np.int32) -> np.int32:
    """As ``integer_bits`` of value · 2^(15 - exponent), for exponents whose scale needs two steps."""
    if magnitude_bits(value) < LEAST_NORMAL_BITS:
        value = np.float32(0.0)
    return integer_bits(value * power_of_two_32(np.int32(100)) * power_of_two_32(np.int32(-85 - exponent)))


@kernel
def quantise_rows_kernel(start, stop, x_RK, copies, planes_RP, exponents_R):
    """Quantise each row along itself: planes [R, copies·K] int8, exponents [R] int32 (``NOT_FINITE`` for bad rows)."""
    width = x_RK.shape[1]
    for i in range(start, stop):
        largest = np.int32(0)
        for k in range(width):
            largest = max(largest, magnitude_bits(x_RK[i, k]))
        exponent = raised_exponent_of_bits(largest)
        exponents_R[i] = exponent
        if exponent == NOT_FINITE:
            continue
        high = planes_RP[i, :width]
        low = planes_RP[i, width : 2 * width]
        if exponent < TINY:
            for k in range(width):
                bits = tiny_bits(x_RK[i, k], exponent)
                high[k] = np.int8((bits + 128) >> 8)
                low[k] = np.int8(bits)
        else:
            scale = power_of_two_32(np.int32(15 - exponent))
            for k in range(width):
                bits = integer_bits(x_RK[i, k] * scale)
                high[k] = np.int8((bits + 128) >> 8)
                low[k] = np.int8(bits)
        if copies == 3:
            planes_RP[i, 2 * width :] = high


@kernel
def largest_of_columns_kernel(start, stop, x_RK, largest_BK):
    """Per block of 64 rows, the largest magnitude bits of each column. ``start`` and ``stop`` count blocks."""
    rows, width = x_RK.shape
    for block in range(start, stop):
        largest = largest_BK[block]
        largest[:] = 0
        for i in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            for k in range(width):
                largest[k] = max(largest[k], magnitude_bits(x_RK[i, k]))


@kernel
def exponents_of_columns_kernel(start, stop, largest_BK, exponents_K):
    """Each column's exponent from its blocks' largest magnitudes."""
    for k in range(start, stop):
        largest = np.int32(0)
        for block in range(largest_BK.shape[0]):
            largest = max(largest, largest_BK[block, k])
        exponents_K[k] = raised_exponent_of_bits(largest)


@kernel
def quantise_columns_kernel(start, stop, x_RK, exponents_K, copies, planes_PK):
    """Quantise with one exponent per column: planes [copies·R, K] int8, plane by plane."""
    rows, width = x_RK.shape
    scale_K = np.empty(width, np.float32)
    tiny = False
    for k in range(width):
        tiny |= exponents_K[k] < TINY
        scale_K[k] = power_of_two_32(np.int32(15 - max(exponents_K[k], np.int32(TINY))))
    for i in range(start, stop):
        high = planes_PK[i]
        low = planes_PK[rows + i]
        if tiny:
            for k in range(width):
                if exponents_K[k] < TINY:
                    bits = tiny_bits(x_RK[i, k], exponents_K[k])
                else:
                    bits = integer_bits(x_RK[i, k] * scale_K[k])
                high[k] = np.int8((bits + 128) >> 8)
                low[k] = np.int8(bits)
        else:
            for k in range(width):
                bits = integer_bits(x_RK[i, k] * scale_K[k])
                high[k] = np.int8((bits + 128) >> 8)
                low[k] = np.int8(bits)
        if copies == 3:
            planes_PK[2 * rows + i] = high


@kernel
def quantise_rows_of_blocks_kernel(start, stop, x_RK, copies, planes_RP, exponents_R, largest_BK):
    """Rows as ``quantise_rows_kernel`` and columns' magnitudes as ``largest_of_columns_kernel``, in one pass."""
    rows = x_RK.shape[0]
    for block in range(start, stop):
        first, last = block * BLOCK, min(rows, (block + 1) * BLOCK)
        for i in range(first, last):
            quantise_rows_kernel(i, i + 1, x_RK, copies, planes_RP, exponents_R)
        largest_of_columns_kernel(block, block + 1, x_RK, largest_BK)
