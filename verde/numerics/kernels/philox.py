"""Why this module exists: Philox4x32-10 on one counter, to be inlined into compiled loops."""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.scalar import device

PHILOX_M0, PHILOX_M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
PHILOX_W0, PHILOX_W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW_32, SHIFT_32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@device
def philox(k0, k1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """Philox4x32-10: four words (uint64 below 2^32) of a key of two words and a counter of four (all uint64)."""
    for _ in range(10):
        p0, p1 = PHILOX_M0 * c0, PHILOX_M1 * c2
        c0, c1, c2, c3 = (p1 >> SHIFT_32) ^ c1 ^ k0, p1 & LOW_32, (p0 >> SHIFT_32) ^ c3 ^ k1, p0 & LOW_32
        k0, k1 = (k0 + PHILOX_W0) & LOW_32, (k1 + PHILOX_W1) & LOW_32
    return c0, c1, c2, c3
