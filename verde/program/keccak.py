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


@njit(nogil=True, cache=True)
def _turned(x: int, by: int) -> Any:
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@njit(nogil=True, cache=True)
def _permute(a: Array, rounds: Array) -> None:
    """Keccak-f[1600] of 25 lanes in place. Written out: lane ``axy`` in a register is thrice as fast as in memory."""
    a00, a10, a20, a30, a40 = a[0], a[1], a[2], a[3], a[4]
    a01, a11, a21, a31, a41 = a[5], a[6], a[7], a[8], a[9]
    a02, a12, a22, a32, a42 = a[10], a[11], a[12], a[13], a[14]
    a03, a13, a23, a33, a43 = a[15], a[16], a[17], a[18], a[19]
    a04, a14, a24, a34, a44 = a[20], a[21], a[22], a[23], a[24]
    for r in range(24):
        c0 = a00 ^ a01 ^ a02 ^ a03 ^ a04
        c1 = a10 ^ a11 ^ a12 ^ a13 ^ a14
        c2 = a20 ^ a21 ^ a22 ^ a23 ^ a24
        c3 = a30 ^ a31 ^ a32 ^ a33 ^ a34
        c4 = a40 ^ a41 ^ a42 ^ a43 ^ a44
        d0 = c4 ^ _turned(c1, 1)
        d1 = c0 ^ _turned(c2, 1)
        d2 = c1 ^ _turned(c3, 1)
        d3 = c2 ^ _turned(c4, 1)
        d4 = c3 ^ _turned(c0, 1)
        b00 = a00 ^ d0
        b10 = _turned(a11 ^ d1, 44)
        b20 = _turned(a22 ^ d2, 43)
        b30 = _turned(a33 ^ d3, 21)
        b40 = _turned(a44 ^ d4, 14)
        b01 = _turned(a30 ^ d3, 28)
        b11 = _turned(a41 ^ d4, 20)
        b21 = _turned(a02 ^ d0, 3)
        b31 = _turned(a13 ^ d1, 45)
        b41 = _turned(a24 ^ d2, 61)
        b02 = _turned(a10 ^ d1, 1)
        b12 = _turned(a21 ^ d2, 6)
        b22 = _turned(a32 ^ d3, 25)
        b32 = _turned(a43 ^ d4, 8)
        b42 = _turned(a04 ^ d0, 18)
        b03 = _turned(a40 ^ d4, 27)
        b13 = _turned(a01 ^ d0, 36)
        b23 = _turned(a12 ^ d1, 10)
        b33 = _turned(a23 ^ d2, 15)
        b43 = _turned(a34 ^ d3, 56)
        b04 = _turned(a20 ^ d2, 62)
        b14 = _turned(a31 ^ d3, 55)
        b24 = _turned(a42 ^ d4, 39)
        b34 = _turned(a03 ^ d0, 41)
        b44 = _turned(a14 ^ d1, 2)
        a00 = b00 ^ (~b10 & b20) ^ rounds[r]
        a10 = b10 ^ (~b20 & b30)
        a20 = b20 ^ (~b30 & b40)
        a30 = b30 ^ (~b40 & b00)
        a40 = b40 ^ (~b00 & b10)
        a01 = b01 ^ (~b11 & b21)
        a11 = b11 ^ (~b21 & b31)
        a21 = b21 ^ (~b31 & b41)
        a31 = b31 ^ (~b41 & b01)
        a41 = b41 ^ (~b01 & b11)
        a02 = b02 ^ (~b12 & b22)
        a12 = b12 ^ (~b22 & b32)
        a22 = b22 ^ (~b32 & b42)
        a32 = b32 ^ (~b42 & b02)
        a42 = b42 ^ (~b02 & b12)
        a03 = b03 ^ (~b13 & b23)
        a13 = b13 ^ (~b23 & b33)
        a23 = b23 ^ (~b33 & b43)
        a33 = b33 ^ (~b43 & b03)
        a43 = b43 ^ (~b03 & b13)
        a04 = b04 ^ (~b14 & b24)
        a14 = b14 ^ (~b24 & b34)
        a24 = b24 ^ (~b34 & b44)
        a34 = b34 ^ (~b44 & b04)
        a44 = b44 ^ (~b04 & b14)
    a[0], a[1], a[2], a[3], a[4] = a00, a10, a20, a30, a40
    a[5], a[6], a[7], a[8], a[9] = a01, a11, a21, a31, a41
    a[10], a[11], a[12], a[13], a[14] = a02, a12, a22, a32, a42
    a[15], a[16], a[17], a[18], a[19] = a03, a13, a23, a33, a43
    a[20], a[21], a[22], a[23], a[24] = a04, a14, a24, a34, a44


@njit(nogil=True, cache=True)
def _hash_kernel(start: int, stop: int, blocks_NBL: Array, out_NL: Array, rounds: Array) -> None:
    """Absorb each message's padded blocks; the first four lanes come out."""
    a = np.empty(25, np.uint64)
    for n in range(start, stop):
        a[:] = 0
        for b in range(blocks_NBL.shape[1]):
            for lane in range(blocks_NBL.shape[2]):
                a[lane] ^= blocks_NBL[n, b, lane]
            _permute(a, rounds)
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
    run_rows(_hash_kernel, count, words, out_NL, _ROUNDS, cost=500 * blocks)
    return out_NL.view(np.uint8)
