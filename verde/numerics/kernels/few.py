"""Why this module exists: with a handful of left rows a product only reads its weights, so it should read bytes, once.

For machines without the tile kernel. A left significand times a right byte is at most 32639 · 128, so 512 products fit
an int32 whatever their signs; LLVM makes multiply-add instructions of such sums on every processor.

Shapes: R left rows, C right rows, K positions. Right planes are by rows, [C, >= 2·K].
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import add_bias, holds_no_number
from verde.numerics.kernels.exponent import LEAST_NORMAL

_PIECE = 512


@kernel
def _dot(a_k, b_k):
    """A sum of products of int16 that fits an int32. One sum per loop: LLVM knows no instruction for two."""
    total = np.int32(0)
    for k in range(a_k.shape[0]):
        total = np.int32(total + np.int32(np.int32(a_k[k]) * np.int32(b_k[k])))
    return np.int64(total)


@kernel
def few_rows_kernel(start, stop, q_RK, planes, scale_R, scale_C, out_RC):
    """Columns ``start … stop`` of the result; ``q_RK`` int16 significands, scales as in ``kernels/epilogue``."""
    rows, length = q_RK.shape
    total_R = np.empty(rows, np.int64)
    high_k, low_k = np.empty(_PIECE, np.int16), np.empty(_PIECE, np.int16)
    for j in range(start, stop):
        high_K, low_K = planes[j, :length], planes[j, length : 2 * length]
        total_R[:] = 0
        for first in range(0, length, _PIECE):
            from_high_k, from_low_k = high_K[first : first + _PIECE], low_K[first : first + _PIECE]
            width = from_high_k.shape[0]
            for k in range(width):
                high_k[k] = from_high_k[k]
                low_k[k] = from_low_k[k]
            for i in range(rows):
                q_k = q_RK[i, first : first + width]
                total_R[i] += _dot(q_k, high_k[:width]) * 256 + _dot(q_k, low_k[:width])
        for i in range(rows):
            value = np.float32(np.float64(total_R[i]) * (scale_R[i] * scale_C[j]))
            out_RC[i, j] = value if abs(value) >= LEAST_NORMAL else np.float32(0.0)


@kernel
def settle_rows_kernel(start, stop, bias_C, out_RC, bad_R):
    """The bias, and whether a row holds an infinity or NaN."""
    for i in range(start, stop):
        if bias_C.shape[0]:
            add_bias(bias_C, 0, out_RC[i])
        bad_R[i] |= holds_no_number(out_RC[i])
