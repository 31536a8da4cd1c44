"""Why this module exists: a trace has millions of chunks to hash, and Python hashes them one call at a time.

Keccak-256 as the EVM has it, over many messages of one length at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from verde.numerics.threads import run_rows

Array = np.ndarray[Any, Any]

_RATE = 136
_LANES = 17

_ROUNDS = np.array(
    [
        *(0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B),
        *(0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088),
        *(0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089),
        *(0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A),
        *(0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008),
    ],
    np.uint64,
)
_TURNS = np.array(
    [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44], np.uint64
)
_PLACES = np.array([10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1], np.int64)


@njit(nogil=True, cache=True)
def _permute(a: Array, c: Array, rounds: Array, turns: Array, places: Array) -> None:
    for r in range(24):
        for x in range(5):
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]
        for x in range(5):
            right = c[(x + 1) % 5]
            d = c[(x + 4) % 5] ^ ((right << np.uint64(1)) | (right >> np.uint64(63)))
            for y in range(0, 25, 5):
                a[x + y] ^= d
        moved = a[1]
        for i in range(24):
            place = places[i]
            kept = a[place]
            a[place] = (moved << turns[i]) | (moved >> (np.uint64(64) - turns[i]))
            moved = kept
        for y in range(0, 25, 5):
            for x in range(5):
                c[x] = a[y + x]
            for x in range(5):
                a[y + x] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5])
        a[0] ^= rounds[r]


@njit(nogil=True, cache=True)
def _hash_kernel(
    start: int, stop: int, blocks_NBL: Array, out_NL: Array, rounds: Array, turns: Array, places: Array
) -> None:
    """Absorb each message's padded blocks; the first four lanes come out."""
    a, c = np.empty(25, np.uint64), np.empty(5, np.uint64)
    for n in range(start, stop):
        a[:] = 0
        for b in range(blocks_NBL.shape[1]):
            for lane in range(blocks_NBL.shape[2]):
                a[lane] ^= blocks_NBL[n, b, lane]
            _permute(a, c, rounds, turns, places)
        for lane in range(4):
            out_NL[n, lane] = a[lane]


def keccak_rows(rows_NB: Array) -> Array:
    """uint8 [N, 32]: the Keccak-256 of each row of a uint8 matrix [N, B]."""
    count, size = rows_NB.shape
    blocks = size // _RATE + 1
    padded = np.zeros((count, blocks * _RATE), np.uint8)
    padded[:, :size] = rows_NB
    padded[:, size] = 1
    padded[:, -1] |= 0x80
    out_NL = np.empty((count, 4), "<u8")
    words = padded.view("<u8").reshape(count, blocks, _LANES)
    run_rows(_hash_kernel, count, words, out_NL, _ROUNDS, _TURNS, _PLACES, cost=1500 * blocks)
    return out_NL.view(np.uint8)
