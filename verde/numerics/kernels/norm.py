"""Why this module exists: an RMS norm reads its row once; one operator at a time would read it eight times.

Forward and backward are the operators of section 5 of docs/exact-1.md as autograd composes them, on one row at a time.
Shapes: R rows, K elements, B blocks of ``BLOCK`` rows. ``weight_K`` is the factor itself (Gemma's is 1 + w).
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.exponent import NOT_FINITE, exponent_of_bits, magnitude_bits
from verde.numerics.kernels.reduce import BLOCK, integer_sums_of_row, row_sum, sum_of_squares
from verde.numerics.kernels.scalar import add, div, mul, rsqrt

_MINUS_HALF, _TWO = np.float32(-0.5), np.float32(2.0)


@kernel
def rms_norm_kernel(start, stop, x_RK, weight_K, epsilon, out_RK, root_R, bad_R):
    """out = ``mul(w, mul(x, r))`` with r = ``rsqrt(add(mean(mul(x, x)), epsilon))``, kept in ``root_R``."""
    width = x_RK.shape[1]
    for i in range(start, stop):
        x_K, out_K = x_RK[i], out_RK[i]
        root = rsqrt(add(div(sum_of_squares(x_K), np.float32(width)), epsilon))
        root_R[i] = root
        for k in range(width):
            out_K[k] = mul(weight_K[k], mul(x_K[k], root))
        bad_R[i] = holds_no_number(out_K)


@kernel
def rms_norm_backward_kernel(start, stop, g_RK, x_RK, weight_K, root_R, parts, largest_BK, bad_R):
    """dx of each row in two parts, and per block the largest magnitude bits of ``mul(g, mul(x, r))``, summed in dw."""
    rows, width = x_RK.shape
    product_K = np.empty(width, np.float32)
    direct_RK, through_RK = parts
    for block in range(start, stop):
        largest_K = largest_BK[block]
        largest_K[:] = 0
        for i in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            g_K, x_K, root = g_RK[i], x_RK[i], root_R[i]
            direct_K, through_K = direct_RK[i], through_RK[i]
            for k in range(width):
                product_K[k] = mul(mul(g_K[k], weight_K[k]), x_K[k])
                largest_K[k] = max(largest_K[k], magnitude_bits(mul(g_K[k], mul(x_K[k], root))))
            cube = mul(mul(root, root), root)
            by_square = div(mul(mul(_MINUS_HALF, row_sum(product_K)), cube), np.float32(width))
            for k in range(width):
                direct_K[k] = mul(mul(g_K[k], weight_K[k]), root)
                through_K[k] = mul(by_square, mul(_TWO, x_K[k]))
            bad_R[i] = holds_no_number(direct_K) or holds_no_number(through_K)


@kernel
def rms_norm_weight_kernel(start, stop, g_RK, x_RK, root_R, exponents_K, partial_BK):
    """Per block, the integer column sums of ``mul(g, mul(x, r))``."""
    rows, width = x_RK.shape
    product_K = np.empty(width, np.float32)
    for block in range(start, stop):
        partial_BK[block] = 0
        for i in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            g_K, x_K, root = g_RK[i], x_RK[i], root_R[i]
            for k in range(width):
                product_K[k] = mul(g_K[k], mul(x_K[k], root))
            integer_sums_of_row(product_K, exponents_K, partial_BK[block])


@kernel
def column_exponents_kernel(start, stop, largest_BK, exponents_K):
    """Each column's exponent from its blocks' largest magnitudes; returns whether one is no number."""
    for k in range(start, stop):
        largest = np.int32(0)
        for block in range(largest_BK.shape[0]):
            largest = max(largest, largest_BK[block, k])
        exponents_K[k] = exponent_of_bits(largest)
        if exponents_K[k] == NOT_FINITE:
            return True
    return False
