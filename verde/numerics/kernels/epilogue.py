"""Why this module exists: what vendor kernels return as integers becomes a float32 with one rounding, in one pass.

The exact sum C = 65536·hh + 256·mid + ll is below 2^53 for every allowed length, so it is exact as a double; scaling by
a power of two is exact too; the conversion to float32 is the only rounding, on IEEE's own grid, and the flush follows.

Shapes: R rows and C columns of the whole result, r and c of the block at (row, column) that is written here. Scales are
float64 powers of two: 2^(ea-30) per row, 2^eb per column. ``bias`` has C values or none; it is added after rounding.
``bad`` [R] is set where a row holds an infinity or NaN. ``start`` and ``stop`` count rows of the block.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import INFINITY_BITS, LEAST_NORMAL, magnitude_bits, settled


@njit(inline="always")
def _exact(hh: np.int32, mid: np.int32, ll: np.int32) -> np.float64:
    return (np.float64(hh) * 65536.0 + np.float64(mid) * 256.0) + np.float64(ll)


@kernel
def add_bias(bias_C, column, out_c):
    for j in range(out_c.shape[0]):
        out_c[j] = settled(np.float32(out_c[j] + settled(bias_C[column + j])))


@kernel
def holds_no_number(out_c):
    largest = np.int32(0)
    for j in range(out_c.shape[0]):
        largest = max(largest, magnitude_bits(out_c[j]))
    return largest >= INFINITY_BITS


@kernel
def combine_kernel(start, stop, hh_rc, mid_rc, ll_rc, scale_R, scale_C, bias_C, row, column, out_RC, bad_R):
    """out = ``out(C · scale)`` of three blocks of int32 sums, then the bias."""
    width = hh_rc.shape[1]
    for i in range(start, stop):
        scale = scale_R[row + i]
        out_c = out_RC[row + i, column : column + width]
        for j in range(width):
            total = _exact(hh_rc[i, j], mid_rc[i, j], ll_rc[i, j])
            value = np.float32(total * (scale * scale_C[column + j]))
            out_c[j] = value if abs(value) >= LEAST_NORMAL else np.float32(0.0)
        if bias_C.shape[0]:
            add_bias(bias_C, column, out_c)
        bad_R[row + i] |= holds_no_number(out_c)


@kernel
def accumulate_kernel(start, stop, hh_rc, mid_rc, ll_rc, first, total_rc):
    """Add the exact sums of one piece of a long contraction to float64 totals (all below 2^53, so exact)."""
    for i in range(start, stop):
        for j in range(hh_rc.shape[1]):
            piece = _exact(hh_rc[i, j], mid_rc[i, j], ll_rc[i, j])
            total_rc[i, j] = piece if first else total_rc[i, j] + piece


@kernel
def finish_kernel(start, stop, total_rc, scale_R, scale_C, bias_C, row, column, out_RC, bad_R):
    """As ``combine_kernel``, from one block of float64 totals."""
    width = total_rc.shape[1]
    for i in range(start, stop):
        scale = scale_R[row + i]
        out_c = out_RC[row + i, column : column + width]
        for j in range(width):
            value = np.float32(total_rc[i, j] * (scale * scale_C[column + j]))
            out_c[j] = value if abs(value) >= LEAST_NORMAL else np.float32(0.0)
        if bias_C.shape[0]:
            add_bias(bias_C, column, out_c)
        bad_R[row + i] |= holds_no_number(out_c)


@kernel
def outer_kernel(start, stop, left_R, right_C, bias_C, out_RC, bad_R):
    """A contraction of length one: ``mul`` of the values themselves, which are not quantised."""
    for i in range(start, stop):
        out_C = out_RC[i]
        for j in range(out_C.shape[0]):
            out_C[j] = settled(np.float32(settled(left_R[i]) * settled(right_C[j])))
        if bias_C.shape[0]:
            add_bias(bias_C, 0, out_C)
        bad_R[i] |= holds_no_number(out_C)
