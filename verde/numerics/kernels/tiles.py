"""Why this module exists: one fused kernel multiplies, adds, scales and rounds where vendor kernels leave int32 sums.

For x86 processors with AVX512-VNNI. A tile is 6 rows of the left and 32 rows of the right operand. Three products of
vectors give each sum C of 256 positions exactly, where bytes alone would take four: T, the sum of the products of whole
significands modulo 2^32, and hh, the sum of those of their high bytes. With q = 256·h + l and l from -128 to 127,
C - 65536·hh = SUM(q · l') + 256 · SUM(l · h'), whose magnitude is at most 256 · 128 · (32639 + 256 · 127) < 2^31. So
that difference is T - 65536·hh, taken as a signed number of 32 bits. Pieces of 256 positions are added as two int32:
C = 65536·high + low, where only the last 16 bits of each piece enter low.

The right high bytes read as h' + 128: ``bias`` begins each sum of them with what takes that off again.

Shapes: R rows, C columns of the result, K positions; T tiles, P pieces, K4 groups (``kernels/packing``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import add_bias, holds_no_number
from verde.numerics.kernels.exponent import LEAST_NORMAL, NOT_FINITE, power_of_two_64
from verde.numerics.kernels.packing import (
    HIGH_AT,
    LEFT_LANES,
    PIECE,
    PIECE_GROUPS,
    RECORD,
    RIGHT_LANES,
    STRIDE_GROUPS,
    high_bytes,
    left_columns,
    left_rows,
)

# numba does without; ``_sum_piece`` writes out an instruction.
binding.initialize_native_asmparser()

_VECTORS = 2

# Bytes of a tile's sums: row, vector, (high, low), lane.
_SUMS = LEFT_LANES * _VECTORS * 2 * 16 * 4

# Pieces whose high parts, of at most 256 · 127^2 + 2^16 each, are added as int32.
MAX_PIECES = 512

_I32, _I64, _F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()
_WORDS, _DOUBLES, _FLOATS = (ir.VectorType(kind, 16) for kind in (_I32, _F64, ir.FloatType()))


def _number(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _at(builder: Any, address: Any, offset: int) -> Any:
    return builder.add(address, _number(offset)) if offset else address


def _load(builder: Any, address: Any, kind: Any, align: int) -> Any:
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
    loaded.align = align
    return loaded


def _store(builder: Any, value: Any, address: Any, align: int) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = align


def _prefetch(builder: Any, address: Any) -> None:
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    fetch = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), kind)
    builder.call(fetch, [builder.inttoptr(address, pointer), *(ir.Constant(_I32, x) for x in (0, 3, 1))])


def _spread(builder: Any, value: Any, kind: Any) -> Any:
    """One number in all 16 places of a vector."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, 16), [0] * 16))


def _all(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [value] * 16)


@intrinsic
def _sum_piece(_: Any, left: Any, right: Any, right_high: Any, groups: Any, bias: Any, before: Any, after: Any) -> Any:
    """Add a piece of an even number of groups to the sums at ``before``, written to ``after``; all are addresses."""

    def generate(context: Any, builder: Any, __: Any, args: Any) -> Any:
        left, right, right_high, groups, bias, before, after = args
        kind = ir.FunctionType(_WORDS, [_WORDS] * 3)
        # Written out: LLVM would split what is one instruction into a product and a sum to shorten a chain.
        whole_dot = ir.InlineAsm(kind, "vpdpwssd $2, $1, $0", "=v,v,v,0")
        byte_dot = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kind)
        biases = [_load(builder, _at(builder, bias, 4 * r), _I32, 4) for r in range(LEFT_LANES)]
        begun = [_spread(builder, one, _WORDS) for one in biases]
        left_high, next_left = _at(builder, left, HIGH_AT), _at(builder, left, RECORD)
        entry, loop, done = builder.block, builder.append_basic_block("group"), builder.append_basic_block("summed")
        builder.branch(loop)
        builder.position_at_end(loop)
        counter, at_whole, at_high, at_right, at_right_high, at_next, at_sums = (builder.phi(_I64) for _ in range(7))
        old_whole, old_high = (
            [[builder.phi(_WORDS) for _ in range(_VECTORS)] for _ in range(LEFT_LANES)] for _ in range(2)
        )
        whole, high = [list(row) for row in old_whole], [list(row) for row in old_high]
        for group in range(STRIDE_GROUPS):
            for plane in range(2):
                first = 8 * RIGHT_LANES * group + 4 * RIGHT_LANES * plane
                words = [_load(builder, _at(builder, at_right, first + 64 * v), _WORDS, 4) for v in range(_VECTORS)]
                for r in range(LEFT_LANES):
                    place = _at(builder, at_whole, 2 * PIECE * r + 8 * group + 4 * plane)
                    pair = _spread(builder, _load(builder, place, _I32, 4), _WORDS)
                    whole[r] = [builder.call(whole_dot, [words[v], pair, whole[r][v]]) for v in range(_VECTORS)]
            first = 4 * RIGHT_LANES * group
            words = [_load(builder, _at(builder, at_right_high, first + 64 * v), _WORDS, 4) for v in range(_VECTORS)]
            for r in range(LEFT_LANES):
                place = _at(builder, at_high, PIECE * r + 4 * group)
                four = _spread(builder, _load(builder, place, _I32, 4), _WORDS)
                high[r] = [builder.call(byte_dot, [high[r][v], words[v], four]) for v in range(_VECTORS)]
        for line in range(3):
            _prefetch(builder, _at(builder, at_next, 64 * line))
        _prefetch(builder, at_sums)
        following = builder.add(counter, _number(STRIDE_GROUPS))
        steps = (
            (counter, _number(0), following),
            (at_whole, left, _at(builder, at_whole, 8 * STRIDE_GROUPS)),
            (at_high, left_high, _at(builder, at_high, 4 * STRIDE_GROUPS)),
            (at_right, right, _at(builder, at_right, 8 * RIGHT_LANES * STRIDE_GROUPS)),
            (at_next, next_left, _at(builder, at_next, RECORD * STRIDE_GROUPS // PIECE_GROUPS)),
            (at_sums, after, _at(builder, at_sums, 64)),
            (at_right_high, right_high, _at(builder, at_right_high, 4 * RIGHT_LANES * STRIDE_GROUPS)),
        )
        builder.cbranch(builder.icmp_signed("<", following, groups), loop, done)
        for phi, first, later in steps:
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)
        for r in range(LEFT_LANES):
            for v in range(_VECTORS):
                old_whole[r][v].add_incoming(ir.Constant(_WORDS, None), entry)
                old_whole[r][v].add_incoming(whole[r][v], loop)
                old_high[r][v].add_incoming(begun[r], entry)
                old_high[r][v].add_incoming(high[r][v], loop)
        builder.position_at_end(done)
        for r in range(LEFT_LANES):
            for v in range(_VECTORS):
                place = 128 * (_VECTORS * r + v)
                rest = builder.sub(whole[r][v], builder.shl(high[r][v], _all(16)))
                carried = builder.add(high[r][v], builder.ashr(rest, _all(16)))
                sums = (carried, whole[r][v])
                for offset, value in zip((place, place + 64), sums, strict=True):
                    total = builder.add(value, _load(builder, _at(builder, before, offset), _WORDS, 4))
                    _store(builder, total, _at(builder, after, offset), 4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


@intrinsic
def _round_tile(_: Any, sums: Any, scale_R: Any, scale_C: Any, out: Any, step: Any) -> Any:
    """C · scale_R · scale_C of a tile as float32 at ``out``, whose rows are ``step`` bytes apart."""

    def generate(context: Any, builder: Any, __: Any, args: Any) -> Any:
        sums, scale_R, scale_C, out, step = args
        # Every step is exact, so a fused multiply-add gives what two roundings would.
        fused = builder.module.declare_intrinsic("llvm.fma.v16f64", (), ir.FunctionType(_DOUBLES, [_DOUBLES] * 3))
        for r in range(LEFT_LANES):
            scale = _spread(builder, _load(builder, _at(builder, scale_R, 8 * r), _F64, 8), _DOUBLES)
            begin = builder.add(out, builder.mul(step, _number(r)))
            for v in range(_VECTORS):
                place = _at(builder, sums, 128 * (_VECTORS * r + v))
                high, low = (_load(builder, _at(builder, place, offset), _WORDS, 4) for offset in (0, 64))
                rest = builder.sub(low, builder.shl(high, _all(16)))
                whole, part = (builder.sitofp(x, _DOUBLES) for x in (high, rest))
                total = builder.call(fused, [whole, ir.Constant(_DOUBLES, [65536.0] * 16), part])
                factor = builder.fmul(scale, _load(builder, _at(builder, scale_C, 128 * v), _DOUBLES, 8))
                value = builder.fptrunc(builder.fmul(total, factor), _FLOATS)
                _store(builder, value, _at(builder, begin, 64 * v), 4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@kernel
def _careful_tile(sums_42, scale_R, scale_C, row, column, total_rc, is_first, is_last, out_RC):
    """One tile at the border of the matrix, of many positions, or whose results may overflow or vanish."""
    for i in range(min(LEFT_LANES, out_RC.shape[0] - row)):
        width = min(RIGHT_LANES, out_RC.shape[1] - column)
        for j in range(width):
            high, low = sums_42[i, j // 16, 0, j % 16], sums_42[i, j // 16, 1, j % 16]
            total = np.float64(high) * 65536.0 + np.float64(np.int32(low - np.int32(high << 16)))
            if not is_first:
                total += total_rc[i, j]
            if is_last:
                value = np.float32(total * (scale_R[i] * scale_C[j]))
                out_RC[row + i, column + j] = value if abs(value) >= LEAST_NORMAL else np.float32(0.0)
            else:
                total_rc[i, j] = total


@kernel
def multiply_kernel(
    start,
    stop,
    panels,
    height,
    slab,
    left,
    from_planes,
    by_rows,
    length,
    exponents_R,
    words,
    scale_C,
    span,
    bias_C,
    out,
    bad_R,
):
    """Write the tiles of tasks; a task is ``height`` left rows (a multiple of 6) and ``panels`` right tiles.

    ``left``: (floats, planes); ``exponents_R`` are read except for float rows of one slab. ``slab``: how many pieces
    are packed at a time. ``words`` is the packed right operand, ``scale_C`` 2^eb padded to whole tiles, ``span`` its
    least and largest exponent. ``bad_R`` marks rows that are no numbers, before or after.
    """
    x, planes = left
    rows, columns = out.shape
    tiles, groups = words.shape[0], words.shape[1]
    across = -(-tiles // panels)
    row_tiles, pieces = height // LEFT_LANES, -(-groups // PIECE_GROUPS)
    slab = min(slab, pieces)
    # The sums of a run of slabs fit their int32.
    run = MAX_PIECES // slab * slab
    is_one, is_one_run = slab == pieces, pieces <= run
    block = np.empty((slab, row_tiles, RECORD), np.int8)
    bias = np.zeros((slab, row_tiles, LEFT_LANES), np.int32)
    high = np.empty((PIECE_GROUPS, RIGHT_LANES), np.int32)
    sums = np.empty((1 if is_one else panels, row_tiles, LEFT_LANES, _VECTORS, 2, 16), np.int32)
    totals = np.empty((1 if is_one_run else panels, row_tiles, LEFT_LANES, RIGHT_LANES), np.float64)
    none = np.zeros(LEFT_LANES * _VECTORS * 2 * 16, np.int32)
    scale_R, exponents = np.empty(height, np.float64), np.empty(height, np.int32)
    # numba frees an array after its last use by name: all of these are named again in the loop.
    at_block, at_bias, at_sums = block.ctypes.data, bias.ctypes.data, sums.ctypes.data
    at_words, at_high, at_scale_R, at_out = words.ctypes.data, high.ctypes.data, scale_R.ctypes.data, out.ctypes.data
    at_scale_C = scale_C.ctypes.data
    packed, packed_slab, plain = -1, -1, False
    for task in range(start, stop):
        first = task // across * height
        count = min(height, rows - first)
        first_tile = task % across * panels
        for first_piece in range(0, pieces, slab):
            num_pieces = min(slab, pieces - first_piece)
            is_last = first_piece + num_pieces == pieces
            begins, ends = first_piece % run == 0, is_last or (first_piece + slab) % run == 0
            if packed != first or packed_slab != first_piece:
                if packed != first and (from_planes or not by_rows or not is_one):
                    exponents[:count] = exponents_R[first : first + count]
                if by_rows:
                    left_rows(x, planes, from_planes, length, first, count, first_piece, is_one, block, bias, exponents)
                else:
                    left_columns(x, planes, from_planes, length, first, count, first_piece, block, bias, exponents)
                if packed != first:
                    least, most = exponents[0], exponents[0]
                    for i in range(count):
                        if exponents[i] == NOT_FINITE:
                            bad_R[first + i] = True
                            exponents[i] = 0
                        least, most = min(least, exponents[i]), max(most, exponents[i])
                        scale_R[i] = power_of_two_64(np.int64(exponents[i]) - 30)
                    # A total is 0 or at least 1 in magnitude, and at most 2^(30 + 22).
                    plain = is_one_run and least + span[0] - 30 >= -126 and most + span[1] + 22 <= 127
                packed, packed_slab = first, first_piece
            for tile in range(first_tile, min(tiles, first_tile + panels)):
                column = tile * RIGHT_LANES
                whole = plain and column + RIGHT_LANES <= columns
                kept = 0 if is_one else tile - first_tile
                at_kept = at_sums + kept * row_tiles * _SUMS
                for piece in range(num_pieces):
                    begin = (first_piece + piece) * PIECE_GROUPS
                    num_groups = min(groups - begin, PIECE_GROUPS)
                    high_bytes(words[tile, begin : begin + num_groups], high)
                    right = at_words + 8 * RIGHT_LANES * (tile * groups + begin)
                    for t in range(-(-count // LEFT_LANES)):
                        at_tile = at_kept + t * _SUMS
                        record = piece * row_tiles + t
                        _sum_piece(
                            np.int64(at_block + record * RECORD),
                            np.int64(right),
                            np.int64(at_high),
                            np.int64(num_groups),
                            np.int64(at_bias + 4 * LEFT_LANES * record),
                            np.int64(none.ctypes.data if piece == 0 and begins else at_tile),
                            np.int64(at_tile),
                        )
                        if not ends or piece + 1 < num_pieces:
                            continue
                        i = t * LEFT_LANES
                        if whole and i + LEFT_LANES <= count:
                            _round_tile(
                                np.int64(at_tile),
                                np.int64(at_scale_R + 8 * i),
                                np.int64(at_scale_C + 8 * column),
                                np.int64(at_out + 4 * ((first + i) * columns + column)),
                                np.int64(4 * columns),
                            )
                        else:
                            total_rc = totals[0 if is_one_run else kept, t]
                            scale_c = scale_C[column : column + RIGHT_LANES]
                            _careful_tile(
                                *(sums[kept, t], scale_R[i:], scale_c, first + i, column, total_rc),
                                *(first_piece < run, is_last, out),
                            )
                if is_last and (bias_C.shape[0] or not plain):
                    for i in range(count):
                        out_c = out[first + i, column : min(columns, column + RIGHT_LANES)]
                        if bias_C.shape[0]:
                            add_bias(bias_C, column, out_c)
                        bad_R[first + i] |= holds_no_number(out_c)
