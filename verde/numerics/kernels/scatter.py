"""Why this module exists: what a gradient adds to the same place is one SUM, whichever order it arrives in.

Shapes: N values, K columns of a value, S places that receive at least one value.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import (
    INFINITY_BITS,
    exponent_of_bits,
    magnitude_bits,
    power_of_two_64,
    rounded,
    settled,
)

_WIDTH = 36


@kernel
def sum_segments_kernel(start, stop, values_NK, order_N, bounds_S1, out_SK, bad_S):
    """Row s of the result is the SUM, column by column, of the rows ``order_N[bounds[s] : bounds[s + 1]]``.

    ``bad_S`` marks results that are no numbers. A place with one value gets that value.
    """
    width = values_NK.shape[1]
    largest_K = np.empty(width, np.int32)
    scale_K = np.empty(width, np.float64)
    total_K = np.empty(width, np.int64)
    for s in range(start, stop):
        first, last = bounds_S1[s], bounds_S1[s + 1]
        bad = np.int32(0)
        if last - first == 1:
            row = order_N[first]
            for k in range(width):
                value = settled(values_NK[row, k])
                out_SK[s, k] = value
                bad = max(bad, magnitude_bits(value))
            bad_S[s] = bad >= INFINITY_BITS
            continue
        largest_K[:] = 0
        for n in range(first, last):
            row = order_N[n]
            for k in range(width):
                largest_K[k] = max(largest_K[k], magnitude_bits(values_NK[row, k]))
        for k in range(width):
            bad = max(bad, largest_K[k])
            total_K[k] = 0
        if bad >= INFINITY_BITS:
            bad_S[s] = True
            continue
        for k in range(width):
            scale_K[k] = power_of_two_64(np.int64(_WIDTH) - exponent_of_bits(largest_K[k]))
        for n in range(first, last):
            row = order_N[n]
            for k in range(width):
                total_K[k] += np.int64(np.rint(np.float64(settled(values_NK[row, k])) * scale_K[k]))
        for k in range(width):
            value = rounded(total_K[k], np.int64(exponent_of_bits(largest_K[k])) - _WIDTH)
            out_SK[s, k] = value
            bad = max(bad, magnitude_bits(value))
        bad_S[s] = bad >= INFINITY_BITS
