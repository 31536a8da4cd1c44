"""Why this module exists: the loops that turn Philox counters into words, Gumbel noise and first weights.

``start`` and ``stop`` count blocks of four words, so a split never cuts a counter in two.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.philox import LOW_32, SHIFT_32, philox
from verde.numerics.kernels.scalar import add, gumbel, mul

ONE_64, SIXTEEN, LOW_16 = np.uint64(1), np.uint64(16), np.uint64(0xFFFF)


@kernel
def words_kernel(start, stop, key, position, out_V):  # type: ignore[no-untyped-def]
    """The random words of tokens at one position, as uint32."""
    low, high, zero = key & LOW_32, key >> SHIFT_32, np.uint64(0)
    for block in range(start, stop):
        words = philox(low, high, np.uint64(block), position, zero, zero)
        for lane in range(min(4, out_V.shape[0] - 4 * block)):
            out_V[4 * block + lane] = np.uint32(words[lane])


@kernel
def gumbel_kernel(start, stop, key, position, out_V):  # type: ignore[no-untyped-def]
    """The Gumbel noise of tokens at one position."""
    low, high, zero = key & LOW_32, key >> SHIFT_32, np.uint64(0)
    for block in range(start, stop):
        words = philox(low, high, np.uint64(block), position, zero, zero)
        for lane in range(min(4, out_V.shape[0] - 4 * block)):
            out_V[4 * block + lane] = gumbel(words[lane])


@kernel
def initial_kernel(start, stop, key, scale, mean, out_N):  # type: ignore[no-untyped-def]
    """First weights of one tensor: two elements of each counter, each the scaled sum of four 16-bit fields."""
    low, high, zero = key & LOW_32, key >> SHIFT_32, np.uint64(0)
    for block in range(start, stop):
        number = np.uint64(block)
        words = philox(low, high, number & LOW_32, number >> SHIFT_32, zero, ONE_64)
        for half in range(min(2, out_N.shape[0] - 2 * block)):
            a, b = words[2 * half], words[2 * half + 1]
            fields = (a & LOW_16) + (a >> SIXTEEN) + (b & LOW_16) + (b >> SIXTEEN)
            out_N[2 * block + half] = add(mean, mul(scale, np.float32(np.int64(fields) - 131070)))
