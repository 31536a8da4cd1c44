"""Why this module exists: whether a tensor holds only numbers, and only normal ones, asked at the speed of memory."""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import LEAST_NORMAL, LEAST_NORMAL_BITS, magnitude_bits

CHUNK = 1 << 14


@kernel
def largest_magnitudes_kernel(start, stop, x_N, largest_C):
    """The largest magnitude bits of each chunk of ``CHUNK`` elements."""
    for c in range(start, stop):
        largest = np.int32(0)
        for n in range(c * CHUNK, min(len(x_N), (c + 1) * CHUNK)):
            largest = max(largest, magnitude_bits(x_N[n]))
        largest_C[c] = largest


@kernel
def count_subnormals_kernel(start, stop, x_N, count_C):
    """Per chunk, how many elements are read as another number: subnormals (-0 computes like +0)."""
    for c in range(start, stop):
        count = np.int32(0)
        for n in range(c * CHUNK, min(len(x_N), (c + 1) * CHUNK)):
            bits = magnitude_bits(x_N[n])
            count += np.int32(bits != 0) & np.int32(bits < LEAST_NORMAL_BITS)
        count_C[c] = count


@kernel
def flush_kernel(start, stop, x_N):
    """Subnormals and -0 become +0, in place, per chunk."""
    for c in range(start, stop):
        for n in range(c * CHUNK, min(len(x_N), (c + 1) * CHUNK)):
            if abs(x_N[n]) < LEAST_NORMAL:
                x_N[n] = np.float32(0.0)
