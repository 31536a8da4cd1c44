"""Why this module exists: machines without fast exact int8 products multiply the whole significands as doubles."""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel


@kernel
def significands_kernel(start, stop, planes, row, high, low, out_RK):
    """out[i, k] = 256·h + l as float64; h starts at ``planes[row, high]``, l at ``planes[row, low]`` (by rows)."""
    width = out_RK.shape[1]
    for i in range(start, stop):
        high_K = planes[row + i, high : high + width]
        low_K = planes[row + i, low : low + width]
        for k in range(width):
            out_RK[i, k] = np.float64(np.int32(high_K[k]) * 256 + np.int32(low_K[k]))


@kernel
def significands_of_columns_kernel(start, stop, planes, high, low, column, out_KR):
    """The same for planes by columns: h starts at ``planes[high, column]``, l at ``planes[low, column]``."""
    width = out_KR.shape[1]
    for k in range(start, stop):
        high_R = planes[high + k, column : column + width]
        low_R = planes[low + k, column : column + width]
        for i in range(width):
            out_KR[k, i] = np.float64(np.int32(high_R[i]) * 256 + np.int32(low_R[i]))
