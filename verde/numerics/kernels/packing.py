"""Why this module exists: the tile kernel (``kernels/tiles``) reads bytes in an order that no float matrix has.

A packed operand is words [T, K4, 2, L] int32: T tiles of L rows (lanes), K4 groups of four neighbours in a row; plane 0
holds the high bytes h, plane 1 the low bytes l of q = 256·h + l; a word is the four bytes of one lane, the first
position lowest. Left operands (L = 4) are zero outside of the matrix. Right operands (L = 32) have every sign bit
flipped (``flip`` is 0x80808080), so that a byte reads as h + 128 without a sign; what they hold outside does not
matter, as it meets zeros.

``start`` and ``stop`` count tiles, ``words`` begins with tile ``start``, and so do the exponents and the sums of the q
of each row (float64) that are given per lane. Operands by rows are floats [R, K] or planes [R, >= 2·K]; by columns
[K, R] or planes [>= 2·K, R] (``kernels/quantise``); ``from_planes`` says which of both is read.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import NOT_FINITE, magnitude_bits, power_of_two_32, raised_exponent_of_bits
from verde.numerics.kernels.quantise import TINY, integer_bits, tiny_bits

# The bits of 1.5 · 2^23, which ``integer_bits`` leaves around its integer.
_AROUND = np.int32(0x4B400000)

# The same four times, modulo 2^32.
_AROUND_4 = np.int32(0x2D000000)

# Partial sums of so many significands fit 32 bits.
_PARTIAL = 1 << 15

# Groups whose words are put in place together.
_PIECE = 32

# Columns handled together: their scales and words stay in the first-level cache.
_CHUNK = 512


@kernel
def _quantise_piece(x_k, scale, high_k, low_k):
    """Both bytes of at most ``_PARTIAL`` significands, and their sum."""
    partial = np.int32(0)
    for k in range(len(x_k)):
        bits = integer_bits(x_k[k] * scale)
        high_k[k] = np.int8(np.int32(bits + np.int32(128)) >> 8)
        low_k[k] = np.int8(bits)
        partial = np.int32(partial + np.int32(bits - _AROUND))
    return np.float64(partial)


@kernel
def _quantise_row(x_K, bytes_2K):
    """Both bytes of a row's significands; returns the exponent and the sum of the significands."""
    length = x_K.shape[0]
    largest = np.int32(0)
    for k in range(length):
        largest = max(largest, magnitude_bits(x_K[k]))
    exponent = raised_exponent_of_bits(largest)
    total = np.float64(0.0)
    if exponent == NOT_FINITE:
        return exponent, total
    scale = power_of_two_32(np.int32(15 - max(exponent, np.int32(TINY))))
    high_K, low_K = bytes_2K[0], bytes_2K[1]
    if length <= _PARTIAL and exponent >= TINY:
        return exponent, _quantise_piece(x_K, scale, high_K, low_K)
    for first in range(0, length, _PARTIAL):
        # Slices, not offsets: an index that counts from 0 needs no check for negative ones, and the loop is vectorised.
        x_k = x_K[first : first + _PARTIAL]
        high_k, low_k = high_K[first : first + len(x_k)], low_K[first : first + len(x_k)]
        if exponent >= TINY:
            total += _quantise_piece(x_k, scale, high_k, low_k)
            continue
        partial = np.int32(0)
        for k in range(len(x_k)):
            bits = tiny_bits(x_k[k], exponent)
            high_k[k] = np.int8((bits + 128) >> 8)
            low_k[k] = np.int8(bits)
            partial = np.int32(partial + np.int32(bits - _AROUND))
        total += np.float64(partial)
    return exponent, total


@kernel
def _copy_row(planes_P, length, bytes_2K):
    """Both bytes of a row of planes; returns the sum of the significands."""
    total = np.float64(0.0)
    high_K, low_K = bytes_2K[0], bytes_2K[1]
    for first in range(0, length, _PARTIAL):
        last = min(length, first + _PARTIAL)
        from_high_k, from_low_k = planes_P[first:last], planes_P[length + first : length + last]
        high_k, low_k = high_K[first:last], low_K[first:last]
        partial = np.int32(0)
        for k in range(last - first):
            high, low = from_high_k[k], from_low_k[k]
            high_k[k] = high
            low_k[k] = low
            partial = np.int32(partial + np.int32(np.int32(high) * np.int32(256) + np.int32(low)))
        total += np.float64(partial)
    return total


@kernel
def pack_rows_kernel(start, stop, x_RK, planes_RP, from_planes, length, flip, words, exponents_R, sums_R):
    """Pack rows. Exponents are written for float rows (``NOT_FINITE`` for a bad one) and left alone for planes."""
    groups, lanes = words.shape[1], words.shape[3]
    rows = planes_RP.shape[0] if from_planes else x_RK.shape[0]
    bytes_L2K = np.zeros((lanes, 2, 4 * groups), np.int8)
    words_L24 = bytes_L2K.view(np.int32)
    for tile in range(start, stop):
        words_42L = words[tile - start]
        for lane in range(lanes):
            row = tile * lanes + lane
            if row >= rows:
                bytes_L2K[lane] = 0
                continue
            at = row - start * lanes
            if from_planes:
                sums_R[at] = _copy_row(planes_RP[row], length, bytes_L2K[lane])
            else:
                exponents_R[at], sums_R[at] = _quantise_row(x_RK[row], bytes_L2K[lane])
        # Piece by piece, so that the lines written to stay in the first-level cache until they are full.
        for first in range(0, groups, _PIECE):
            for lane in range(lanes):
                for plane in range(2):
                    words_4 = words_L24[lane, plane]
                    for group in range(first, min(groups, first + _PIECE)):
                        words_42L[group, plane, lane] = words_4[group] ^ flip


@kernel
def bytes_of_rows_kernel(start, stop, x_RK, planes_RP, from_planes, length, words, exponents_R, sums_R):
    """A left operand whose rows keep their order: words [T, 4, 2, K4], zero outside. Otherwise as ``pack_rows_kernel``.

    ``start`` and ``stop`` count rows, and all outputs begin with row ``start``.
    """
    lanes = words.shape[1]
    bytes_T42K = words.view(np.int8)
    for row in range(start, start + words.shape[0] * lanes):
        at = row - start
        bytes_2K = bytes_T42K[at // lanes, at % lanes]
        if row >= stop:
            bytes_2K[:] = 0
            continue
        if length % 4:
            bytes_2K[:, length:] = 0
        if from_planes:
            sums_R[at] = _copy_row(planes_RP[row], length, bytes_2K)
        else:
            exponents_R[at], sums_R[at] = _quantise_row(x_RK[row], bytes_2K)


@njit(inline="always")
def _word(b0, b1, b2, b3):
    return np.int32((b0 & 255) | ((b1 & 255) << 8) | ((b2 & 255) << 16) | (b3 << 24))


@kernel
def _quantise_group(x_KR, first, column, exponents_c, scale_c, tiny, bits_4c):
    """Four rows' significands (as ``integer_bits``) of some columns; rows beyond the matrix are zero."""
    width = scale_c.shape[0]
    for b in range(4):
        bits_c = bits_4c[b]
        if first + b >= x_KR.shape[0]:
            bits_c[:] = _AROUND
            continue
        x_c = x_KR[first + b, column : column + width]
        if tiny:
            for c in range(width):
                if exponents_c[c] < TINY:
                    bits_c[c] = tiny_bits(x_c[c], exponents_c[c])
                else:
                    bits_c[c] = integer_bits(x_c[c] * scale_c[c])
        else:
            for c in range(width):
                bits_c[c] = integer_bits(x_c[c] * scale_c[c])


@kernel
def _copy_group(planes_PR, length, first, column, width, bits_4c):
    for b in range(4):
        bits_c = bits_4c[b]
        if first + b >= length:
            bits_c[:] = _AROUND
            continue
        high_c = planes_PR[first + b, column : column + width]
        low_c = planes_PR[length + first + b, column : column + width]
        for c in range(width):
            bits_c[c] = _AROUND + np.int32(high_c[c]) * 256 + np.int32(low_c[c])


@kernel
def _place_fours(high_t4, low_t4, words_t24):
    """The words of one group into their tiles of four lanes, each of which is one move."""
    for tile in range(high_t4.shape[0]):
        high_4, low_4, words_24 = high_t4[tile], low_t4[tile], words_t24[tile]
        high_words_4, low_words_4 = words_24[0], words_24[1]
        h0, h1, h2, h3 = high_4[0], high_4[1], high_4[2], high_4[3]
        l0, l1, l2, l3 = low_4[0], low_4[1], low_4[2], low_4[3]
        high_words_4[0], high_words_4[1], high_words_4[2], high_words_4[3] = h0, h1, h2, h3
        low_words_4[0], low_words_4[1], low_words_4[2], low_words_4[3] = l0, l1, l2, l3


@kernel
def pack_columns_kernel(start, stop, x_KR, planes_PR, from_planes, length, flip, words, exponents_R, sums_R):
    """Pack columns, which become rows. Exponents are read for float columns; none may be ``NOT_FINITE``."""
    groups, lanes = words.shape[1], words.shape[3]
    end = min(planes_PR.shape[1] if from_planes else x_KR.shape[1], stop * lanes)
    chunk = _CHUNK // lanes * lanes
    for column in range(start * lanes, end, chunk):
        width = min(chunk, end - column)
        at = column - start * lanes
        exponents_c = exponents_R[at : at + width]
        scale_c = np.empty(width, np.float32)
        tiny = False
        for c in range(width):
            tiny |= exponents_c[c] < TINY
            scale_c[c] = power_of_two_32(np.int32(15 - max(exponents_c[c], np.int32(TINY))))
        bits_4c = np.empty((4, width), np.int32)
        # Whole tiles, so that lanes beyond the matrix are zeros (flipped or not).
        words_2c = np.zeros((2, -(-width // lanes) * lanes), np.int32)
        partial_c = np.zeros(width, np.int32)
        sums_c = sums_R[at : at + width]
        sums_c[:] = 0.0
        for group in range(groups):
            if from_planes:
                _copy_group(planes_PR, length, 4 * group, column, width, bits_4c)
            else:
                _quantise_group(x_KR, 4 * group, column, exponents_c, scale_c, tiny, bits_4c)
            high_c, low_c = words_2c[0], words_2c[1]
            for c in range(width):
                b0, b1, b2, b3 = bits_4c[0, c], bits_4c[1, c], bits_4c[2, c], bits_4c[3, c]
                low_c[c] = _word(b0, b1, b2, b3) ^ flip
                high_c[c] = _word((b0 + 128) >> 8, (b1 + 128) >> 8, (b2 + 128) >> 8, (b3 + 128) >> 8) ^ flip
                partial_c[c] = np.int32(partial_c[c] + np.int32(np.int32(b0 + b1) + np.int32(b2 + b3)) - _AROUND_4)
            if (group + 1) % (_PARTIAL // 4) == 0 or group + 1 == groups:
                for c in range(width):
                    sums_c[c] += np.float64(partial_c[c])
                    partial_c[c] = 0
            if lanes == 4:
                _place_fours(high_c.reshape(-1, 4), low_c.reshape(-1, 4), words[at // lanes :, group])
                continue
            for tile in range(words_2c.shape[1] // lanes):
                words_2L = words[at // lanes + tile, group]
                for lane in range(lanes):
                    words_2L[0, lane] = high_c[tile * lanes + lane]
                    words_2L[1, lane] = low_c[tile * lanes + lane]
