"""Why this module exists: the tile kernel (``kernels/tiles``) reads significands in an order that no float matrix has.

A packed right operand is words [T, K4, 2, 32] int32: T tiles of 32 rows (lanes), K4 groups of four neighbours in a row;
a word holds two significands of one lane as 16 bits each, the first position lower, plane 0 the first two of a group.
What it holds outside of the matrix does not matter, as it meets zeros.

A packed left operand is records [P, T] of 6 rows (lanes) and a piece of 256 positions: 256 significands of 16 bits per
row, then their 256 high bytes h per row, q = 256·h + l. It is zero outside of the matrix.

Operands by rows are floats [R, K] or planes [R, >= 2·K]; by columns [K, R] or planes [>= 2·K, R]
(``kernels/quantise``); ``from_planes`` says which of both is read.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import NOT_FINITE, magnitude_bits, power_of_two_32, raised_exponent_of_bits
from verde.numerics.kernels.quantise import TINY, integer_bits, tiny_bits

LEFT_LANES = 6
RIGHT_LANES = 32
PIECE = 256
PIECE_GROUPS = PIECE // 4

# The tile kernel takes so many groups at a time: K4 is a multiple of it, left operands are zero beyond the last one.
STRIDE_GROUPS = 2

# Bytes of a record, and where its high bytes begin.
HIGH_AT = 2 * PIECE * LEFT_LANES
RECORD = HIGH_AT + PIECE * LEFT_LANES

# The bits of 1.5 · 2^23, which ``integer_bits`` leaves around its integer.
_AROUND = np.int32(0x4B400000)

# Groups whose words are put in place together.
_TOGETHER = 32

# Columns handled together: what is written for them stays in the first-level cache. A multiple of both lanes.
_CHUNK_LEFT, _CHUNK_RIGHT = 40 * LEFT_LANES, 512

_8, _16, _24, _128 = np.int32(8), np.int32(16), np.int32(24), np.int32(128)

# What a right high byte is read with, times the weight of its sum.
_BIAS = np.int32(-128)


@kernel
def largest_of_row(x_K):
    """The largest magnitude bits."""
    largest = np.int32(0)
    for k in range(x_K.shape[0]):
        largest = max(largest, magnitude_bits(x_K[k]))
    return largest


@kernel
def exponents_of_rows_kernel(start, stop, x_RK, exponents_R):
    """Each row's raised exponent; ``NOT_FINITE`` for a bad one."""
    for i in range(start, stop):
        exponents_R[i] = raised_exponent_of_bits(largest_of_row(x_RK[i]))


@kernel
def _scale(exponent):
    return power_of_two_32(np.int32(15 - max(exponent, np.int32(TINY))))


@kernel
def _quantise(x_k, exponent, q_k):
    """Significands of finite values as int16."""
    if exponent >= TINY:
        scale = _scale(exponent)
        for k in range(x_k.shape[0]):
            q_k[k] = np.int16(integer_bits(x_k[k] * scale))
    else:
        for k in range(x_k.shape[0]):
            q_k[k] = np.int16(tiny_bits(x_k[k], exponent))


@kernel
def _join(high_k, low_k, q_k):
    for k in range(q_k.shape[0]):
        q_k[k] = np.int16(np.int32(np.int32(high_k[k]) * np.int32(256)) + np.int32(low_k[k]))


@kernel
def _high(q_k, high_k):
    """High bytes, and the sum of them."""
    total = np.int32(0)
    for k in range(q_k.shape[0]):
        high = np.int32(np.int32(np.int32(q_k[k]) + np.int32(128)) >> np.int32(8))
        high_k[k] = np.int8(high)
        total = np.int32(total + high)
    return total


@kernel
def left_rows(x_RK, planes_RP, from_planes, length, first, count, first_piece, is_whole, block, bias, exponents):
    """Pack ``count`` rows from row ``first`` on, pieces from ``first_piece`` on as many as fit ``block`` [P, T, bytes].

    Exponents are written for float rows that are packed whole (``NOT_FINITE`` for a bad one), else read. ``bias``
    [P, T, 6] receives -128 · SUM(h).
    """
    tiles, pieces = -(-count // LEFT_LANES), block.shape[0]
    for at in range(tiles * LEFT_LANES):
        tile, lane = at // LEFT_LANES, at % LEFT_LANES
        row = first + at
        if at < count and is_whole and not from_planes:
            exponents[at] = raised_exponent_of_bits(largest_of_row(x_RK[row]))
        is_void = at >= count or exponents[at] == NOT_FINITE
        for piece in range(pieces):
            begin = (first_piece + piece) * PIECE
            if begin >= length:
                break
            q_K = block[piece, tile, 2 * PIECE * lane : 2 * PIECE * (lane + 1)].view(np.int16)
            high_K = block[piece, tile, HIGH_AT + PIECE * lane : HIGH_AT + PIECE * (lane + 1)]
            if is_void:
                q_K[:] = 0
                high_K[:] = 0
                bias[piece, tile, lane] = 0
                continue
            width = min(PIECE, length - begin)
            q_k = q_K[:width]
            if from_planes:
                planes_P = planes_RP[row, begin:]
                _join(planes_P[:width], planes_P[length : length + width], q_k)
            else:
                _quantise(x_RK[row, begin : begin + width], exponents[at], q_k)
            bias[piece, tile, lane] = _BIAS * _high(q_k, high_K[:width])
            if width % (4 * STRIDE_GROUPS):
                q_K[width : width + 4 * STRIDE_GROUPS] = 0
                high_K[width : width + 4 * STRIDE_GROUPS] = 0


@kernel
def pack_rows_kernel(start, stop, x_RK, planes_RP, from_planes, length, words, exponents_R):
    """Right tiles of rows. Exponents are written for float rows (``NOT_FINITE`` for a bad one) and else left alone."""
    groups, lanes = words.shape[1], words.shape[3]
    rows = planes_RP.shape[0] if from_planes else x_RK.shape[0]
    q_LK = np.zeros((lanes, 4 * groups), np.int16)
    pairs_L = q_LK.view(np.int32)
    for tile in range(start, stop):
        words_42L = words[tile]
        for lane in range(lanes):
            row = tile * lanes + lane
            if row >= rows:
                q_LK[lane] = 0
                continue
            q_K = q_LK[lane, :length]
            if from_planes:
                _join(planes_RP[row, :length], planes_RP[row, length : 2 * length], q_K)
                continue
            exponents_R[row] = raised_exponent_of_bits(largest_of_row(x_RK[row]))
            if exponents_R[row] != NOT_FINITE:
                _quantise(x_RK[row], exponents_R[row], q_K)
        # Piece by piece, so that the lines written to stay in the first-level cache until they are full.
        for first in range(0, groups, _TOGETHER):
            for lane in range(lanes):
                pairs = pairs_L[lane]
                for group in range(first, min(groups, first + _TOGETHER)):
                    words_42L[group, 0, lane] = pairs[2 * group]
                    words_42L[group, 1, lane] = pairs[2 * group + 1]


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


@njit(inline="always")
def _pair(b0, b1):
    return np.int32((b0 & np.int32(0xFFFF)) | np.int32(b1 << np.int32(16)))


@njit(inline="always")
def _high_byte(b):
    return np.int32(np.int32(np.int32(b + np.int32(128)) >> np.int32(8)) & np.int32(255))


@kernel
def _scales(exponents_c, scale_c):
    """Fill in the scales; whether one of them is not enough for its column."""
    tiny = False
    for c in range(scale_c.shape[0]):
        tiny |= exponents_c[c] < TINY
        scale_c[c] = _scale(exponents_c[c])
    return tiny


@kernel
def _left_words(bits_4c, words_3c, total_c, width):
    """Two words of significands and one of high bytes per column; the high bytes are added to the totals."""
    b0_c, b1_c, b2_c, b3_c = bits_4c[0, :width], bits_4c[1, :width], bits_4c[2, :width], bits_4c[3, :width]
    first_c, second_c, high_c = words_3c[0], words_3c[1], words_3c[2]
    for c in range(width):
        b0, b1, b2, b3 = b0_c[c], b1_c[c], b2_c[c], b3_c[c]
        first_c[c] = _pair(b0, b1)
        second_c[c] = _pair(b2, b3)
        h0, h1, h2, h3 = _high_byte(b0), _high_byte(b1), _high_byte(b2), _high_byte(b3)
        high_c[c] = np.int32(np.int32(h0 | np.int32(h1 << _8)) | np.int32(np.int32(h2 << _16) | np.int32(h3 << _24)))
        # Bytes are added without their sign; where it is set, 256 is taken off.
        whole = np.int32(np.int32(h0 + h1) + np.int32(h2 + h3))
        signs = np.int32(np.int32((h0 & _128) + (h1 & _128)) + np.int32((h2 & _128) + (h3 & _128)))
        total_c[c] = np.int32(total_c[c] + np.int32(whole - np.int32(signs << np.int32(1))))


@kernel
def _scatter(words_3c, place_2c, group, words, width):
    first_c, second_c, high_c = words_3c[0], words_3c[1], words_3c[2]
    whole_c, byte_c = place_2c[0], place_2c[1]
    for c in range(width):
        place = whole_c[c] + np.uint64(2 * group)
        words[place] = first_c[c]
        words[place + np.uint64(1)] = second_c[c]
        words[byte_c[c] + np.uint64(group)] = high_c[c]


@kernel
def left_columns(x_KR, planes_PR, from_planes, length, first, count, first_piece, block, bias, exponents):
    """As ``left_rows``, of columns; exponents are read, and none may be ``NOT_FINITE``."""
    pieces = min(block.shape[0], -(-length // PIECE) - first_piece)
    tiles = -(-count // LEFT_LANES)
    if count % LEFT_LANES:
        block[:, tiles - 1] = 0
    words = block.reshape(-1).view(np.int32)
    bits_4c, scale_c = np.empty((4, _CHUNK_LEFT), np.int32), np.empty(_CHUNK_LEFT, np.float32)
    words_3c, total_c = np.empty((3, _CHUNK_LEFT), np.int32), np.empty(_CHUNK_LEFT, np.int32)
    # Where each column's significands and its high bytes go.
    place_2c = np.empty((2, _CHUNK_LEFT), np.uint64)
    groups = -(-length // (4 * STRIDE_GROUPS)) * STRIDE_GROUPS
    for at in range(0, count, _CHUNK_LEFT):
        width = min(_CHUNK_LEFT, count - at)
        exponents_c = exponents[at : at + width]
        tiny = _scales(exponents_c, scale_c[:width])
        for piece in range(pieces):
            total_c[:] = 0
            for c in range(width):
                record = (piece * block.shape[1] + (at + c) // LEFT_LANES) * (RECORD // 4)
                lane = (at + c) % LEFT_LANES
                place_2c[0, c] = record + 2 * PIECE_GROUPS * lane
                place_2c[1, c] = record + HIGH_AT // 4 + PIECE_GROUPS * lane
            begin = (first_piece + piece) * PIECE_GROUPS
            for group in range(min(PIECE_GROUPS, groups - begin)):
                position = 4 * (begin + group)
                if from_planes:
                    _copy_group(planes_PR, length, position, first + at, width, bits_4c)
                else:
                    _quantise_group(x_KR, position, first + at, exponents_c, scale_c[:width], tiny, bits_4c)
                _left_words(bits_4c, words_3c, total_c, width)
                _scatter(words_3c, place_2c, group, words, width)
            for c in range(width):
                bias[piece, (at + c) // LEFT_LANES, (at + c) % LEFT_LANES] = _BIAS * total_c[c]


@kernel
def pack_columns_kernel(start, stop, x_KR, planes_PR, from_planes, length, words, exponents_R):
    """Right tiles of columns. Exponents are read; none may be ``NOT_FINITE``."""
    groups, lanes = words.shape[1], words.shape[3]
    end = min(planes_PR.shape[1] if from_planes else x_KR.shape[1], stop * lanes)
    bits_4c, scales_c = np.empty((4, _CHUNK_RIGHT), np.int32), np.empty(_CHUNK_RIGHT, np.float32)
    # Whole tiles, so that lanes beyond the matrix are zeros.
    pairs_2c = np.zeros((2, _CHUNK_RIGHT), np.int32)
    for column in range(start * lanes, end, _CHUNK_RIGHT):
        width = min(_CHUNK_RIGHT, end - column)
        exponents_c, scale_c = exponents_R[column : column + width], scales_c[:width]
        tiny = _scales(exponents_c, scale_c)
        pairs_2c[:] = 0
        for group in range(groups):
            if from_planes:
                _copy_group(planes_PR, length, 4 * group, column, width, bits_4c)
            else:
                _quantise_group(x_KR, 4 * group, column, exponents_c, scale_c, tiny, bits_4c)
            first_c, second_c = pairs_2c[0], pairs_2c[1]
            for c in range(width):
                first_c[c] = _pair(bits_4c[0, c], bits_4c[1, c])
                second_c[c] = _pair(bits_4c[2, c], bits_4c[3, c])
            for tile in range(-(-width // lanes)):
                words_2L = words[column // lanes + tile, group]
                for lane in range(lanes):
                    words_2L[0, lane] = first_c[tile * lanes + lane]
                    words_2L[1, lane] = second_c[tile * lanes + lane]


@kernel
def high_bytes(words_42L, high_4L):
    """The four high bytes of each lane of a right tile as one word, each read as h + 128."""
    for group in range(words_42L.shape[0]):
        first_L, second_L, high_L = words_42L[group, 0], words_42L[group, 1], high_4L[group]
        for lane in range(RIGHT_LANES):
            a, b = first_L[lane], second_L[lane]
            # Of the pair a = (q0, q1): the high byte of q + 128, to which no carry may come from the other.
            h0 = np.int32(np.int32(a + np.int32(128)) >> np.int32(8)) & np.int32(0xFF)
            h1 = np.int32(np.int32(np.int32(a >> np.int32(16)) + np.int32(128)) >> np.int32(8)) & np.int32(0xFF)
            h2 = np.int32(np.int32(b + np.int32(128)) >> np.int32(8)) & np.int32(0xFF)
            h3 = np.int32(np.int32(np.int32(b >> np.int32(16)) + np.int32(128)) >> np.int32(8))
            word = np.int32(h0 | np.int32(h1 << 8) | np.int32(h2 << 16) | np.int32(h3 << 24))
            high_L[lane] = np.int32(word ^ np.int32(-0x7F7F7F80))
