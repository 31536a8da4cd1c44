"""Why this module exists: a float32 matrix, once quantised, serves every product that contracts it along the same axis.

``Quantised`` stands for R rows of K signed 16-bit significands, each two bytes, with one exponent per row. Whether the
rows were rows or columns of the float32 matrix is a matter of strides only: nothing is transposed. What a route needs
(planes of bytes, or words for the tile kernel) is made from the floats when it is first asked for.
"""

from __future__ import annotations

import numpy as np
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics.kernels import quantise as kernels
from verde.numerics.kernels.exponent import NOT_FINITE
from verde.numerics.kernels.packing import RIGHT_LANES, STRIDE_GROUPS, pack_columns_kernel, pack_rows_kernel
from verde.numerics.place import on_host
from verde.numerics.portable.products import DeviceQuantised
from verde.numerics.threads import run_rows

MAX_LENGTH = 1 << 22

_NO_FLOATS = np.empty((0, 0), np.float32)
_NO_PLANES = np.empty((0, 0), np.int8)


class Quantised:
    """R rows of K significands q = 256·h + l, value q · 2^(exponent - 15).

    ``planes`` int8: [R, copies·K] when ``by_rows``, else [copies·K, R]: planes h, l and, with three copies, h again.
    ``exponents_R`` int32. ``values_R`` float32 (a copy) only where K is 1: such rows are multiplied as they are.
    Kernels that write planes themselves construct it directly; from floats use the functions of this module.
    """

    __slots__ = ("_exponents", "_packed", "_planes", "_version", "by_rows", "copies", "floats", "length", "values_R")

    def __init__(
        self,
        planes: torch.Tensor | None,
        exponents_R: torch.Tensor | None,
        length: int,
        copies: int,
        by_rows: bool,
        values_R: torch.Tensor | None = None,
        floats: torch.Tensor | None = None,
    ) -> None:
        self._planes, self._exponents = planes, exponents_R
        self.length, self.copies, self.by_rows, self.values_R = length, copies, by_rows, values_R
        self.floats = floats
        self._version = _version(floats)
        self._packed: Packed | None = None

    @classmethod
    def of_packed(cls, q: Quantised) -> Quantised:
        """``q`` as nothing but a right operand of the tile kernel, without what it was made from."""
        only = cls(None, None, q.length, q.copies, q.by_rows, q.values_R)
        only._packed = q.packed
        return only

    @property
    def rows(self) -> int:
        if self._packed is not None:
            return self._packed.rows
        matrix = self._planes if self.floats is None else self.floats
        assert matrix is not None
        return matrix.shape[0 if self.by_rows else 1]

    @property
    def planes(self) -> torch.Tensor:
        """The bytes; made now if nobody has asked before. Raises ``NumericsError`` for NaN or infinity."""
        if self._planes is None:
            x = self.unchanged_floats()
            if self.by_rows:
                self._planes, self._exponents = _planes_by_rows(x, self.copies)
            else:
                self._planes = _planes_by_columns(x, self.exponents_R, self.copies)
        return self._planes

    @property
    def exponents_R(self) -> torch.Tensor:
        """One exponent per row; made now if nobody has asked before. Raises ``NumericsError`` for NaN or infinity."""
        if self._exponents is None:
            if self.by_rows:
                _ = self.planes
            else:
                self._exponents = _exponents_of_columns(self.unchanged_floats())
        assert self._exponents is not None
        return self._exponents

    @property
    def planes_are_made(self) -> bool:
        return self._planes is not None

    @property
    def packed(self) -> Packed:
        """The right operand of the tile kernel; made at first use."""
        if self._packed is None:
            self._packed = Packed(self)
        return self._packed

    def unchanged_floats(self) -> torch.Tensor:
        """The matrix that this stands for. Raises ``RuntimeError`` when it was written to in between."""
        if self.floats is None:
            raise RuntimeError("a matrix that was packed for one route cannot be multiplied by another")
        if _version(self.floats) != self._version:
            raise RuntimeError("a matrix was changed after it was quantised and before it was multiplied")
        return self.floats

    def arrays(self) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
        """((floats, planes), whether the planes are the ones to read) for kernels."""
        if self.floats is None or self.planes_are_made:
            return (_NO_FLOATS, self.planes.numpy()), True
        return (self.unchanged_floats().numpy(), _NO_PLANES), False

    def part(self, rows: slice, start: int, stop: int) -> torch.Tensor:
        """Positions ``start … stop`` of the planes laid end to end: an int8 view [rows, stop - start]."""
        return self.planes[rows, start:stop] if self.by_rows else self.planes[start:stop, rows].T

    def scales(self, shift: int) -> np.ndarray:
        """2^(exponent + shift) as float64 [R]."""
        return powers_of_two(self.exponents_R.numpy(), shift)


class Packed:
    """A right operand for ``kernels/tiles``: ``words`` [T, K4, 2, 32], ``scale_C`` 2^exponent, ``span`` of those."""

    __slots__ = ("length", "rows", "scale_C", "span", "words")

    def __init__(self, q: Quantised) -> None:
        self.rows, self.length = q.rows, q.length
        tiles = -(-q.rows // RIGHT_LANES)
        # From torch, whose large blocks are aligned to cache lines.
        groups = -(-q.length // (4 * STRIDE_GROUPS)) * STRIDE_GROUPS
        words = torch.empty(tiles, groups, 2, RIGHT_LANES, dtype=torch.int32)
        self.words = words.numpy()
        arrays, from_planes = q.arrays()
        exponents = np.zeros(tiles * RIGHT_LANES, np.int32)
        if from_planes or not q.by_rows:
            exponents[: q.rows] = q.exponents_R.numpy()
        kernel = pack_rows_kernel if q.by_rows else pack_columns_kernel
        task = (*arrays, from_planes, q.length, self.words, exponents)
        run_rows(kernel, tiles, *task, cost=RIGHT_LANES * q.length)
        refuse_bad(exponents, q.rows, q.length)
        used = exponents[: q.rows]
        self.span = (int(used.min(initial=0)), int(used.max(initial=0)))
        self.scale_C = powers_of_two(exponents, 0)


def powers_of_two(exponents: np.ndarray, shift: int) -> np.ndarray:
    """2^(exponent + shift) as float64, by exponent bits."""
    return ((exponents.astype(np.int64) + (1023 + shift)) << 52).view(np.float64)


Operand = Quantised | DeviceQuantised
"""Rows of significands, wherever they lie."""


def quantise_rows(x_RK: torch.Tensor, *, copies: int = 3) -> Operand:
    """Each row of a float32 matrix [R, K], quantised along itself. It must not change before it is used.

    ``copies``: of the operands of a product on the int8 route one should have three; two take less memory.
    Raises ``NotReproducible`` for K > 2^22; NaN and infinity are found when the bytes are made.
    """
    if not on_host(x_RK):
        return DeviceQuantised(x_RK, False)
    x_RK = _plain(x_RK)
    if not x_RK.is_contiguous() and x_RK.T.is_contiguous():
        return quantise_columns(x_RK.T, copies=copies)
    x_RK = x_RK.contiguous()
    return _of_floats(x_RK, x_RK.shape[1], copies, True)


def quantise_columns(x_KR: torch.Tensor, *, copies: int = 3) -> Operand:
    """``quantise_rows`` of the transpose of a float32 matrix [K, R]: row r of the result is column r."""
    if not on_host(x_KR):
        return DeviceQuantised(x_KR, True)
    x_KR = _plain(x_KR)
    if not x_KR.is_contiguous() and x_KR.T.is_contiguous():
        return quantise_rows(x_KR.T, copies=copies)
    x_KR = x_KR.contiguous()
    return _of_floats(x_KR, x_KR.shape[0], copies, False)


def quantise_both(x_RK: torch.Tensor, *, copies: int = 3) -> tuple[Operand, Operand]:
    """``(quantise_rows(x), quantise_columns(x))`` of one matrix."""
    if not on_host(x_RK):
        return DeviceQuantised(x_RK, False), DeviceQuantised(x_RK, True)
    x_RK = x_RK if x_RK.is_contiguous() or x_RK.T.is_contiguous() else x_RK.contiguous()
    return quantise_rows(x_RK, copies=copies), quantise_columns(x_RK, copies=copies)


def _of_floats(x: torch.Tensor, length: int, copies: int, by_rows: bool) -> Quantised:
    if length > MAX_LENGTH:
        raise NotReproducible("matrix product", f"a contraction of {length} terms exceeds 2^22")
    values = x.reshape(-1).clone() if length == 1 else None
    return Quantised(None, None, length, copies, by_rows, values, x)


def _planes_by_rows(x_RK: torch.Tensor, copies: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows, length = x_RK.shape
    planes = torch.empty(rows, copies * length, dtype=torch.int8)
    exponents = torch.empty(rows, dtype=torch.int32)
    run_rows(kernels.quantise_rows_kernel, rows, x_RK.numpy(), copies, planes.numpy(), exponents.numpy(), cost=length)
    refuse_bad(exponents.numpy(), rows, length)
    return planes, exponents


def _planes_by_columns(x_KR: torch.Tensor, exponents_R: torch.Tensor, copies: int) -> torch.Tensor:
    length, rows = x_KR.shape
    planes = torch.empty(copies * length, rows, dtype=torch.int8)
    task = (x_KR.numpy(), exponents_R.numpy(), copies, planes.numpy())
    run_rows(kernels.quantise_columns_kernel, length, *task, cost=rows)
    return planes


def _exponents_of_columns(x_KR: torch.Tensor) -> torch.Tensor:
    length, rows = x_KR.shape
    largest = np.empty((-(-length // kernels.BLOCK), rows), np.int32)
    run_rows(kernels.largest_of_columns_kernel, largest.shape[0], x_KR.numpy(), largest, cost=kernels.BLOCK * rows)
    exponents = torch.empty(rows, dtype=torch.int32)
    kernels.exponents_of_columns_kernel(0, rows, largest, exponents.numpy())
    refuse_bad(exponents.numpy(), rows, length)
    return exponents


def _plain(x: torch.Tensor) -> torch.Tensor:
    if x.dtype != torch.float32 or x.dim() != 2:
        raise NotReproducible("matrix product", f"operands are float32 matrices, not {x.dtype} {list(x.shape)}")
    return x.detach()


def _version(x: torch.Tensor | None) -> int:
    return 0 if x is None or x.is_inference() else x._version


def refuse_bad(exponents: np.ndarray, rows: int, length: int) -> None:
    """Raises ``NumericsError`` where an exponent says that its row holds NaN or an infinity."""
    if exponents.max(initial=0) == NOT_FINITE:
        raise NumericsError("matrix product", f"an operand of {rows} rows of {length}")
