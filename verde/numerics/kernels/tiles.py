"""Why this module exists: one fused kernel multiplies, adds, scales and rounds where vendor kernels leave int32 sums.

For x86 processors with AVX512-VNNI. A tile is 4 rows of the left and 32 rows of the right operand: all four byte
products are accumulated in registers, become doubles (exact, see ``kernels/epilogue``) and are rounded once. The left
block stays in the second-level cache, quantised there by the thread that uses it; the right operand is packed once.

The right bytes read as h + 128, l + 128, which adds 32896 · sum(q) of the left row to the exact total: it is taken off
again. No int32 sum wraps: at most 2^14 positions are added before they become doubles.

Shapes: R rows, C columns of the result, K positions; T tiles, K4 groups (``kernels/packing``).
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import add_bias, holds_no_number
from verde.numerics.kernels.exponent import LEAST_NORMAL, NOT_FINITE, power_of_two_64
from verde.numerics.kernels.packing import bytes_of_rows_kernel, pack_columns_kernel

LEFT_LANES = 4
RIGHT_LANES = 32
_VECTORS = 2
_UNDO_FLIP = 32896.0

# Groups of four positions that are added as int32.
_MAX_GROUPS = 1 << 12

_I32, _I64, _F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()
_WORDS, _DOUBLES, _FLOATS = (ir.VectorType(kind, 16) for kind in (_I32, _F64, ir.FloatType()))

_STRIDES = types.UniTuple(types.int64, 3)


def _number(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _load(builder: Any, address: Any, kind: Any, align: int) -> Any:
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
    loaded.align = align
    return loaded


def _store(builder: Any, value: Any, address: Any, align: int) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = align


def _spread(builder: Any, value: Any, kind: Any) -> Any:
    """One number in all 16 places of a vector."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, 16), [0] * 16))


def _accumulate(builder: Any, left: Any, strides: tuple[Any, ...], right: Any, groups: Any) -> list[list[list[Any]]]:
    """The loop over groups: int32 sums [row][hh, mid, ll][vector]. ``strides`` in bytes: group, plane, row."""
    by_group, by_plane, by_row = strides
    kind = ir.FunctionType(_WORDS, [_WORDS] * 3)
    dot = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kind)
    entry, loop, done = builder.block, builder.append_basic_block("group"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    counter, at_left, at_right = (builder.phi(_I64) for _ in range(3))
    old = [[[builder.phi(_WORDS) for _ in range(_VECTORS)] for _ in range(3)] for _ in range(LEFT_LANES)]
    high, low = (
        [
            _load(builder, builder.add(at_right, _number(64 * (plane * _VECTORS + v))), _WORDS, 4)
            for v in range(_VECTORS)
        ]
        for plane in range(2)
    )
    new = []
    for row in range(LEFT_LANES):
        at_row = builder.add(at_left, builder.mul(by_row, _number(row)))
        of_high, of_low = (
            _spread(builder, _load(builder, address, _I32, 4), _WORDS)
            for address in (at_row, builder.add(at_row, by_plane))
        )
        hh, mid, ll = old[row]
        hh = [builder.call(dot, [hh[v], high[v], of_high]) for v in range(_VECTORS)]
        mid = [builder.call(dot, [mid[v], low[v], of_high]) for v in range(_VECTORS)]
        ll = [builder.call(dot, [ll[v], low[v], of_low]) for v in range(_VECTORS)]
        mid = [builder.call(dot, [mid[v], high[v], of_low]) for v in range(_VECTORS)]
        new.append([hh, mid, ll])
    following = builder.add(counter, _number(1))
    steps = (
        (counter, _number(0), following),
        (at_left, left, builder.add(at_left, by_group)),
        (at_right, right, builder.add(at_right, _number(8 * RIGHT_LANES))),
    )
    for phi, before, after in steps:
        phi.add_incoming(before, entry)
        phi.add_incoming(after, loop)
    for phis, values in zip(old, new, strict=True):
        for phi, value in zip(chain(*phis), chain(*values), strict=True):
            phi.add_incoming(ir.Constant(_WORDS, None), entry)
            phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, groups), loop, done)
    builder.position_at_end(done)
    return new


def _exact_total(builder: Any, sums: list[list[Any]], v: int, off: Any = None) -> Any:
    """65536·hh + 256·mid + ll - off as doubles."""
    hh, mid, ll = (builder.sitofp(kind[v], _DOUBLES) for kind in sums)
    # Every step is exact, so a fused multiply-add gives what two roundings would.
    fused = builder.module.declare_intrinsic("llvm.fma.v16f64", (), ir.FunctionType(_DOUBLES, [_DOUBLES] * 3))
    low = builder.call(fused, [mid, ir.Constant(_DOUBLES, [256.0] * 16), ll if off is None else builder.fsub(ll, off)])
    return builder.call(fused, [hh, ir.Constant(_DOUBLES, [65536.0] * 16), low])


@intrinsic
def tile_totals(_: Any, left: Any, strides: Any, right: Any, groups: Any, out: Any) -> Any:
    """Write the exact totals (flip not undone) of two tiles to float64 [4, 32]; all are addresses."""

    def generate(context: Any, builder: Any, __: Any, args: Any) -> Any:
        strides = tuple(builder.extract_value(args[1], i) for i in range(3))
        for row, sums in enumerate(_accumulate(builder, args[0], strides, *args[2:4])):
            for v in range(_VECTORS):
                place = builder.add(args[4], _number(8 * (RIGHT_LANES * row + 16 * v)))
                _store(builder, _exact_total(builder, sums, v), place, 8)
        return context.get_dummy_value()

    return types.void(types.int64, _STRIDES, *[types.int64] * 3), generate


@intrinsic
def tile_results(
    _: Any, left: Any, strides: Any, right: Any, groups: Any, undo: Any, scale_R: Any, scale_C: Any, out: Any, step: Any
) -> Any:
    """(total - undo) · scale_R · scale_C as float32 at ``out``, whose rows are ``step`` bytes apart."""

    def generate(context: Any, builder: Any, __: Any, args: Any) -> Any:
        undo, scale_R, scale_C, out, step = args[4:]
        strides = tuple(builder.extract_value(args[1], i) for i in range(3))
        for row, sums in enumerate(_accumulate(builder, args[0], strides, *args[2:4])):
            off, scale = (
                _spread(builder, _load(builder, builder.add(base, _number(8 * row)), _F64, 8), _DOUBLES)
                for base in (undo, scale_R)
            )
            begin = builder.add(out, builder.mul(step, _number(row)))
            for v in range(_VECTORS):
                total = _exact_total(builder, sums, v, off)
                factor = builder.fmul(scale, _load(builder, builder.add(scale_C, _number(128 * v)), _DOUBLES, 8))
                value = builder.fptrunc(builder.fmul(total, factor), _FLOATS)
                _store(builder, value, builder.add(begin, _number(64 * v)), 4)
        return context.get_dummy_value()

    return types.void(types.int64, _STRIDES, *[types.int64] * 7), generate


@kernel
def _careful_tile(left, strides, right, groups, undo_R, scale_R, scale_C, row, column, out_RC):
    """One tile at the border of the matrix, of many positions, or whose results may overflow or vanish."""
    total_RC = np.empty((LEFT_LANES, RIGHT_LANES), np.float64)
    piece_RC = np.empty((LEFT_LANES, RIGHT_LANES), np.float64)
    for first in range(0, groups, _MAX_GROUPS):
        count = min(groups - first, _MAX_GROUPS)
        at_left, at_right = left + first * strides[0], right + first * 8 * RIGHT_LANES
        if first == 0:
            tile_totals(np.int64(at_left), strides, np.int64(at_right), np.int64(count), total_RC.ctypes.data)
        else:
            tile_totals(np.int64(at_left), strides, np.int64(at_right), np.int64(count), piece_RC.ctypes.data)
            total_RC += piece_RC
    for i in range(min(LEFT_LANES, out_RC.shape[0] - row)):
        out_c = out_RC[row + i, column : min(out_RC.shape[1], column + RIGHT_LANES)]
        for j in range(out_c.shape[0]):
            value = np.float32((total_RC[i, j] - undo_R[i]) * (scale_R[i] * scale_C[j]))
            out_c[j] = value if abs(value) >= LEAST_NORMAL else np.float32(0.0)


@kernel
def multiply_kernel(
    start,
    stop,
    panels,
    height,
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
    """Write the tiles of tasks; a task is ``height`` left rows (a multiple of 4) and ``panels`` right tiles.

    ``left``: (floats, planes); ``exponents_R`` are read except for float rows. ``words`` is the packed right operand,
    ``scale_C`` 2^eb padded to whole tiles, ``span`` its least and largest exponent. ``bad_R`` marks rows that are no
    numbers, before or after.
    """
    x, planes = left
    rows, columns = out.shape
    tiles, groups = words.shape[0], words.shape[1]
    across = -(-tiles // panels)
    row_tiles = height // LEFT_LANES
    # Rows keep their order (a tile is [row, plane, group]); columns come as words [group, plane, row].
    block = np.empty((row_tiles, LEFT_LANES, 2, groups) if by_rows else (row_tiles, groups, 2, LEFT_LANES), np.int32)
    strides = (
        (np.int64(4), np.int64(4 * groups), np.int64(8 * groups))
        if by_rows
        else (np.int64(32), np.int64(16), np.int64(4))
    )
    sums, undo, scale_R = np.empty(height, np.float64), np.empty(height, np.float64), np.empty(height, np.float64)
    exponents = np.empty(height, np.int32)
    at_block, at_undo, at_scale_R = block.ctypes.data, undo.ctypes.data, scale_R.ctypes.data
    at_out = out.ctypes.data
    packed = -1
    for task in range(start, stop):
        first = task // across * height
        count = min(height, rows - first)
        if packed != first:
            packed = first
            begin, end = first // LEFT_LANES, (first + count + LEFT_LANES - 1) // LEFT_LANES
            if from_planes or not by_rows:
                exponents[:count] = exponents_R[first : first + count]
            if by_rows:
                bytes_of_rows_kernel(first, first + count, x, planes, from_planes, length, block, exponents, sums)
            else:
                pack_columns_kernel(begin, end, x, planes, from_planes, length, np.int32(0), block, exponents, sums)
            least, most = exponents[0], exponents[0]
            for i in range(count):
                if exponents[i] == NOT_FINITE:
                    bad_R[first + i] = True
                    exponents[i] = 0
                least, most = min(least, exponents[i]), max(most, exponents[i])
                undo[i] = sums[i] * _UNDO_FLIP
                scale_R[i] = power_of_two_64(np.int64(exponents[i]) - 30)
            # A total is 0 or at least 1 in magnitude, and at most 2^(30 + 22).
            plain = groups <= _MAX_GROUPS and least + span[0] - 30 >= -126 and most + span[1] + 22 <= 127
        for tile in range(task % across * panels, min(tiles, (task % across + 1) * panels)):
            column = tile * RIGHT_LANES
            right = words[tile].ctypes.data
            scale_c = scale_C[column : column + RIGHT_LANES]
            at_scale_c = scale_c.ctypes.data
            whole = plain and column + RIGHT_LANES <= columns
            for i in range(0, count, LEFT_LANES):
                at = at_block + 8 * i * groups
                if whole and i + LEFT_LANES <= count:
                    tile_results(
                        at,
                        strides,
                        right,
                        np.int64(groups),
                        at_undo + 8 * i,
                        at_scale_R + 8 * i,
                        at_scale_c,
                        at_out + 4 * ((first + i) * columns + column),
                        np.int64(4 * columns),
                    )
                else:
                    _careful_tile(at, strides, right, groups, undo[i:], scale_R[i:], scale_c, first + i, column, out)
            if bias_C.shape[0] or not plain:
                for i in range(count):
                    out_c = out[first + i, column : min(columns, column + RIGHT_LANES)]
                    if bias_C.shape[0]:
                        add_bias(bias_C, column, out_c)
                    bad_R[first + i] |= holds_no_number(out_c)
