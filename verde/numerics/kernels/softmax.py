"""Why this module exists: a softmax over a vocabulary should read each row as few times as can be.

Section 5 of docs/exact-1.md. The largest exponential is exp(0) = 1, so the width of the sum is known beforehand.

Shapes: R rows, V elements of a row.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.exponent import INFINITY_BITS, power_of_two_64, rounded
from verde.numerics.kernels.loss import largest_value, sum_of_powers
from verde.numerics.kernels.reduce import SHIFTER_BITS, WIDTH, largest_bits, row_sum, term_bits
from verde.numerics.kernels.scalar import div, exp, log, mul, sub


@kernel
def softmax_kernel(start, stop, x_RV, out_RV, bad_R):
    """out = ``div(e, SUM(e))``, e = ``exp(sub(x, max))``."""
    width = x_RV.shape[1]
    for r in range(start, stop):
        x_V, out_V = x_RV[r], out_RV[r]
        bad_R[r] = largest_bits(x_V) >= INFINITY_BITS
        if bad_R[r]:
            continue
        most, total = largest_value(x_V), np.int64(0)
        scale = power_of_two_64(np.int64(WIDTH - 1))
        for v in range(width):
            power = exp(sub(x_V[v], most))
            out_V[v] = power
            total += term_bits(power, scale)
        whole = rounded(total - width * SHIFTER_BITS, np.int64(1 - WIDTH))
        for v in range(width):
            out_V[v] = div(out_V[v], whole)


@kernel
def log_softmax_kernel(start, stop, x_RV, out_RV, bad_R):
    """out = ``sub(sub(x, max), log(SUM(exp(sub(x, max)))))``."""
    width = x_RV.shape[1]
    for r in range(start, stop):
        x_V, out_V = x_RV[r], out_RV[r]
        bad_R[r] = largest_bits(x_V) >= INFINITY_BITS
        if bad_R[r]:
            continue
        most = largest_value(x_V)
        logarithm = log(sum_of_powers(x_V, most))
        for v in range(width):
            out_V[v] = sub(sub(x_V[v], most), logarithm)
        bad_R[r] = holds_no_number(out_V)


@kernel
def softmax_backward_kernel(start, stop, g_RV, y_RV, out_RV, bad_R):
    """out = ``mul(y, sub(g, SUM(mul(g, y))))``."""
    width = g_RV.shape[1]
    product_V = np.empty(width, np.float32)
    for r in range(start, stop):
        g_V, y_V, out_V = g_RV[r], y_RV[r], out_RV[r]
        for v in range(width):
            product_V[v] = mul(g_V[v], y_V[v])
        bad_R[r] = holds_no_number(product_V)
        if bad_R[r]:
            continue
        total = row_sum(product_V)
        for v in range(width):
            out_V[v] = mul(y_V[v], sub(g_V[v], total))
        bad_R[r] = holds_no_number(out_V)


@kernel
def log_softmax_backward_kernel(start, stop, g_RV, y_RV, out_RV, bad_R):
    """out = ``sub(g, mul(exp(y), SUM(g)))``."""
    width = g_RV.shape[1]
    for r in range(start, stop):
        g_V, y_V, out_V = g_RV[r], y_RV[r], out_RV[r]
        bad_R[r] = holds_no_number(g_V)
        if bad_R[r]:
            continue
        total = row_sum(g_V)
        for v in range(width):
            out_V[v] = sub(g_V[v], mul(exp(y_V[v]), total))
        bad_R[r] = holds_no_number(out_V)
