"""Why this module exists: machines differ in which vendor kernels reach the exact integer fast, never in the integer.

Three routes compute the sums of products of significands: ``tiles`` (one fused kernel of ours for AVX512-VNNI),
``int8`` (byte slices, ``torch._int_mm``, int32 accumulators) and ``fp64`` (whole significands as doubles, one ``mm``).
int8 is taken on x86 where it proved exact: without VNNI or AMX, oneDNN's int8 kernels saturate pairs at 16 bits,
silently. Elsewhere ``torch._int_mm`` may be a plain loop.

Shapes: as in ``kernels/epilogue``; blocks keep the int32 sums in the processor's caches and bound the memory.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np
import torch

from verde.numerics import tiling
from verde.numerics.kernels import epilogue, few
from verde.numerics.kernels.rows import whole_rows_kernel
from verde.numerics.kernels.significands import significands_kernel, significands_of_columns_kernel
from verde.numerics.slices import Quantised, powers_of_two, refuse_bad
from verde.numerics.threads import run_rows, run_torch

# Bytes lie in -128 … 127 (the high ones in -127 … 127), so twice this many products of a middle term fit 32 bits.
MAX_INT8_LENGTH = 1 << 16

# Up to here a product is bound by reading the right operand, whatever the route.
FEW_ROWS = 16

_BLOCK_ROWS = 2048
_FP64_BLOCK_LENGTH = 1 << 13
_FP64_BLOCK_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Route:
    """Which kernels multiply, and why these."""

    name: str
    reason: str


_forced: ContextVar[str | None] = ContextVar("forced_route", default=None)


def route() -> Route:
    """The route in use here and now; the first call probes the machine (milliseconds)."""
    forced = _forced.get()
    return Route(forced, "asked for by name") if forced else probed_route()


@contextmanager
def use_route(name: str) -> Iterator[None]:
    """Take ``tiles``, ``int8`` or ``fp64`` whatever suits the machine, in this context (for tests)."""
    if name not in ("tiles", "int8", "fp64") or (name == "tiles" and not tiling.tiles_are_native()):
        raise ValueError(f"no route is called {name} on this machine")
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


@cache
def probed_route() -> Route:
    """The route for this machine, chosen once per process."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return Route("fp64", f"int8 products are not known to be fast on {platform.machine()}")
    if tiling.tiles_are_native() and not torch.cpu._is_amx_tile_supported():
        return Route("tiles", "this processor has AVX512-VNNI and no AMX")
    if not int8_is_exact():
        return Route("fp64", "this processor's int8 products saturate")
    return Route("int8", "int8 products proved exact")


def int8_is_exact() -> bool:
    """Whether ``torch._int_mm`` gives the exact integers for the largest values, both orders, small and long sums."""
    for length in (64, 896, 2 * MAX_INT8_LENGTH):
        position = np.arange(length)
        patterns = [
            np.full(length, 127),
            np.full(length, -128),
            np.where(position % 2 == 0, 127, -128),
            np.where(position % 4 < 2, -128, 127),
            (position * 73 + 41) % 255 - 127,
        ]
        # The longest sums are middle products: one side never holds -128.
        right = np.stack(patterns * 4).astype(np.int64)
        left = np.maximum(right, -127) if length > MAX_INT8_LENGTH else right
        expected = left @ right.T
        a, b = torch.from_numpy(left.astype(np.int8)), torch.from_numpy(right.astype(np.int8))
        tall = a.repeat(4, 1)
        found = (
            torch._int_mm(a, b.T),
            torch._int_mm(b, a.T).T,
            torch._int_mm(a.T.contiguous().T, b.T.contiguous()),
            torch._int_mm(tall, b.T)[-len(a) :],
            torch._int_mm(a[:1], b.T).expand(1, -1),
        )
        for result in found:
            if not np.array_equal(result.numpy(), expected[: result.shape[0]]):
                return False
    return True


def prepared(q: Quantised) -> Quantised:
    """``q`` as a right operand of the route in use, without the floats that it was made from."""
    if route().name == "tiles":
        return Quantised.of_packed(q)
    return Quantised(q.planes, q.exponents_R, q.length, q.copies, q.by_rows, q.values_R)


def prefers_floats(rows: int) -> bool:
    """Whether a product of so many rows reads a weight's own floats as fast as bytes that were made of it and kept."""
    return route().name == "fp64" and rows > FEW_ROWS


def contract(a: Quantised, b: Quantised, bias_C: np.ndarray, out_RC: np.ndarray, bad_R: np.ndarray) -> None:
    """Write a · b^T (+ bias) into ``out_RC`` by the route in use; both have the same length, at least 2."""
    name = route().name
    is_small = a.rows <= FEW_ROWS and _forced.get() is None
    if name == "tiles" or (is_small and tiling.tiles_are_native()):
        tiling.contract(a, b, bias_C, out_RC, bad_R)
        return
    if is_small and a.by_rows and b.by_rows:
        contract_few(a, b, bias_C, out_RC, bad_R)
        return
    compute, elements = (_contract_int8, 1 << 20) if name == "int8" else (_contract_fp64, _FP64_BLOCK_ELEMENTS)
    if name == "fp64" and _is_floats(a) and a.length <= _FP64_BLOCK_LENGTH:
        _contract_floats(a, b, bias_C, out_RC, bad_R)
        return
    scale_R, scale_C = a.scales(-30), b.scales(0)
    for rows in _blocks(a.rows, _BLOCK_ROWS):
        height = rows.stop - rows.start
        for columns in _blocks(b.rows, max(256, elements // height // 64 * 64)):
            tail = (scale_R, scale_C, bias_C, rows.start, columns.start, out_RC, bad_R)
            compute(a, b, rows, columns, tail)


def contract_few(a: Quantised, b: Quantised, bias_C: np.ndarray, out_RC: np.ndarray, bad_R: np.ndarray) -> None:
    """As ``contract``, for few rows of ``a`` on any processor: one pass over the bytes of ``b``. Both are by rows."""
    length = a.length
    planes = a.planes.numpy()
    q_RK = planes[:, :length].astype(np.int16) * np.int16(256) + planes[:, length : 2 * length]
    task = (q_RK, b.planes.numpy(), a.scales(-30), b.scales(0), out_RC)
    run_rows(few.few_rows_kernel, b.rows, *task, cost=a.rows * length // 4)
    few.settle_rows_kernel(0, a.rows, bias_C, out_RC, bad_R)


def _contract_int8(a: Quantised, b: Quantised, rows: slice, columns: slice, tail: tuple[object, ...]) -> None:
    length = a.length
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    hh, mid, ll = (_scratch(name, shape, torch.int32) for name in ("hh", "mid", "ll"))
    if length <= MAX_INT8_LENGTH:
        _products(a, b, rows, columns, slice(0, length), (hh, mid, ll))
        run_rows(epilogue.combine_kernel, shape[0], hh.numpy(), mid.numpy(), ll.numpy(), *tail, cost=4 * shape[1])
        return
    total = _scratch("total", shape, torch.float64)
    for piece in _blocks(length, MAX_INT8_LENGTH):
        _products(a, b, rows, columns, piece, (hh, mid, ll))
        sums = (hh.numpy(), mid.numpy(), ll.numpy(), piece.start == 0, total.numpy())
        run_rows(epilogue.accumulate_kernel, shape[0], *sums, cost=5 * shape[1])
    run_rows(epilogue.finish_kernel, shape[0], total.numpy(), *tail, cost=3 * shape[1])


def _products(
    a: Quantised,
    b: Quantised,
    rows: slice,
    columns: slice,
    piece: slice,
    out: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    hh, mid, ll = out
    start, stop, length = piece.start, piece.stop, a.length
    a_high, b_high = a.part(rows, start, stop), b.part(columns, start, stop)
    a_low, b_low = a.part(rows, length + start, length + stop), b.part(columns, length + start, length + stop)
    _in_ranges(_multiply_bytes, a_high, b_high, hh)
    _in_ranges(_multiply_bytes, a_low, b_low, ll)
    if stop - start == length and a.copies == 3:
        _in_ranges(_multiply_bytes, a.part(rows, length, 3 * length), b.part(columns, 0, 2 * length), mid)
    elif stop - start == length and b.copies == 3:
        _in_ranges(_multiply_bytes, a.part(rows, 0, 2 * length), b.part(columns, length, 3 * length), mid)
    else:
        other = _scratch("other", (hh.shape[0], hh.shape[1]), torch.int32)
        _in_ranges(_multiply_bytes, a_high, b_low, mid)
        _in_ranges(_multiply_bytes, a_low, b_high, other)
        mid += other


def _in_ranges(work: Callable[..., None], left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """Each row of ``left`` by all rows of ``right``, by a vendor's product for each range of the rows."""
    # Some 32 products take as long as moving an element.
    run_torch(work, len(left), left, right.T, out, cost=right.shape[0] * left.shape[1] // 32)


def _multiply_bytes(start: int, stop: int, left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    torch._int_mm(left[start:stop], right, out=out[start:stop])


def _multiply_doubles(start: int, stop: int, left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(left[start:stop], right, out=out[start:stop])


def _add_doubles(start: int, stop: int, left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    out[start:stop].addmm_(left[start:stop], right)


def _contract_fp64(a: Quantised, b: Quantised, rows: slice, columns: slice, tail: tuple[object, ...]) -> None:
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    total = _scratch("total", shape, torch.float64)
    for piece in _blocks(a.length, _FP64_BLOCK_LENGTH):
        left = _significands("left", a, rows, piece)
        right = _significands("right", b, columns, piece)
        _in_ranges(_add_doubles if piece.start else _multiply_doubles, left, right, total)
    run_rows(epilogue.finish_kernel, shape[0], total.numpy(), *tail, cost=3 * shape[1])


def _is_floats(q: Quantised) -> bool:
    """Whether the rows still lie there as floats, without bytes."""
    return q.by_rows and not q.planes_are_made and q.floats is not None


def _right(b: Quantised, columns: slice, exponents_C: np.ndarray) -> torch.Tensor:
    """Whole significands of some rows; where they are made from floats, ``exponents_C`` is filled in."""
    if not _is_floats(b):
        return _significands("right", b, columns, slice(0, b.length))
    out = _scratch("right", (columns.stop - columns.start, b.length), torch.float64)
    floats = b.unchanged_floats()[columns].numpy()
    run_rows(whole_rows_kernel, len(floats), floats, out.numpy(), exponents_C[columns], cost=2 * b.length)
    refuse_bad(exponents_C[columns], b.rows, b.length)
    return out


def _contract_floats(a: Quantised, b: Quantised, bias_C: np.ndarray, out_RC: np.ndarray, bad_R: np.ndarray) -> None:
    """As ``_contract_fp64``, where ``a`` is rows of floats: they become doubles at once, without any bytes between."""
    x_RK, exponents = a.unchanged_floats(), np.empty(a.rows, np.int32)
    exponents_C = np.empty(b.rows, np.int32) if _is_floats(b) else b.exponents_R.numpy()
    for rows in _blocks(a.rows, _BLOCK_ROWS):
        height = rows.stop - rows.start
        left = _scratch("left", (height, a.length), torch.float64)
        of_rows = exponents[rows]
        run_rows(whole_rows_kernel, height, x_RK[rows].numpy(), left.numpy(), of_rows, cost=2 * a.length)
        refuse_bad(of_rows, a.rows, a.length)
        scale_R = powers_of_two(exponents, -30)
        for columns in _blocks(b.rows, max(256, _FP64_BLOCK_ELEMENTS // height // 64 * 64)):
            total = _scratch("total", (height, columns.stop - columns.start), torch.float64)
            _in_ranges(_multiply_doubles, left, _right(b, columns, exponents_C), total)
            tail = (scale_R, powers_of_two(exponents_C, 0), bias_C, rows.start, columns.start, out_RC, bad_R)
            run_rows(epilogue.finish_kernel, height, total.numpy(), *tail, cost=3 * total.shape[1])


def _significands(name: str, q: Quantised, rows: slice, piece: slice) -> torch.Tensor:
    """Whole significands as float64 [rows, piece], in scratch memory."""
    height, width = rows.stop - rows.start, piece.stop - piece.start
    high, low = piece.start, q.length + piece.start
    planes = q.planes.numpy()
    if q.by_rows:
        out = _scratch(name, (height, width), torch.float64)
        run_rows(significands_kernel, height, planes, rows.start, high, low, out.numpy(), cost=width)
        return out
    out = _scratch(name, (width, height), torch.float64)
    run_rows(significands_of_columns_kernel, width, planes, high, low, rows.start, out.numpy(), cost=height)
    return out.T


def _blocks(total: int, size: int) -> list[slice]:
    return [slice(start, min(total, start + size)) for start in range(0, total, size)]


_memory = threading.local()


def _scratch(name: str, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """Memory that each thread keeps between products: fresh pages would cost as much as the product's own traffic."""
    needed = prod(shape)
    kept: torch.Tensor | None = getattr(_memory, name, None)
    if kept is None or kept.numel() < needed:
        kept = torch.empty(needed, dtype=dtype)
        setattr(_memory, name, kept)
    return kept[:needed].view(shape)
