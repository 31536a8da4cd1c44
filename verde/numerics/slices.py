"""Why this module exists: a float32 matrix, once quantised, serves every product that contracts it along the same axis.

``Quantised`` holds R rows of K signed 16-bit significands as two planes of bytes, and one exponent per row. Whether the
rows were rows or columns of the float32 matrix is a matter of strides only: nothing is transposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics.kernels import quantise as kernels
from verde.numerics.kernels.exponent import NOT_FINITE
from verde.numerics.threads import run_rows

MAX_LENGTH = 1 << 22


@dataclass(frozen=True, slots=True)
class Quantised:
    """R rows of K significands q = 256·h + l, value q · 2^(exponent - 15), made by the functions of this module.

    ``planes`` int8: [R, copies·K] when ``by_rows``, else [copies·K, R]; planes h, l and, with three copies, h again.
    ``exponents_R`` int32. ``values_R`` float32 (a copy) only where K is 1: such rows are multiplied as they are.
    """

    planes: torch.Tensor
    exponents_R: torch.Tensor
    length: int
    copies: int
    by_rows: bool
    values_R: torch.Tensor | None = None

    @property
    def rows(self) -> int:
        return self.exponents_R.shape[0]

    def part(self, rows: slice, start: int, stop: int) -> torch.Tensor:
        """Positions ``start … stop`` of the planes laid end to end: an int8 view [rows, stop - start]."""
        return self.planes[rows, start:stop] if self.by_rows else self.planes[start:stop, rows].T

    def select(self, rows: slice) -> Quantised:
        """Some of the rows, as a view."""
        planes = self.planes[rows] if self.by_rows else self.planes[:, rows]
        values = None if self.values_R is None else self.values_R[rows]
        return Quantised(planes, self.exponents_R[rows], self.length, self.copies, self.by_rows, values)

    def scales(self, shift: int) -> np.ndarray:
        """2^(exponent + shift) as float64 [R]."""
        return ((self.exponents_R.numpy().astype(np.int64) + (1023 + shift)) << 52).view(np.float64)


def quantise_rows(x_RK: torch.Tensor, *, copies: int = 3) -> Quantised:
    """Quantise each row of a float32 matrix [R, K] along itself.

    Of two operands of a product one should have three ``copies``; two take less memory (weights that are kept).
    Raises ``NumericsError`` for NaN or infinity, ``NotReproducible`` for K > 2^22.
    """
    x_RK = _plain(x_RK)
    if not x_RK.is_contiguous() and x_RK.T.is_contiguous():
        return quantise_columns(x_RK.T, copies=copies)
    rows, length = _checked_shape(x_RK.shape, contracted=1)
    x_RK = x_RK.contiguous()
    planes = torch.empty(rows, copies * length, dtype=torch.int8)
    exponents = torch.empty(rows, dtype=torch.int32)
    run_rows(kernels.quantise_rows_kernel, rows, x_RK.numpy(), copies, planes.numpy(), exponents.numpy(), cost=length)
    _refuse_bad(exponents, x_RK)
    return Quantised(planes, exponents, length, copies, True, x_RK[:, 0].clone() if length == 1 else None)


def quantise_columns(x_KR: torch.Tensor, *, copies: int = 3) -> Quantised:
    """``quantise_rows`` of the transpose of a float32 matrix [K, R]: row r of the result is column r."""
    x_KR = _plain(x_KR)
    if not x_KR.is_contiguous() and x_KR.T.is_contiguous():
        return quantise_rows(x_KR.T, copies=copies)
    length, rows = _checked_shape(x_KR.shape, contracted=0)
    x_KR = x_KR.contiguous()
    largest = np.empty((-(-length // kernels.BLOCK), rows), np.int32)
    run_rows(kernels.largest_of_columns_kernel, largest.shape[0], x_KR.numpy(), largest, cost=kernels.BLOCK * rows)
    return _columns(x_KR, largest, copies)


def quantise_both(x_RK: torch.Tensor, *, copies: int = 3) -> tuple[Quantised, Quantised]:
    """``(quantise_rows(x), quantise_columns(x))`` of one matrix, reading it twice instead of three times."""
    x_RK = _plain(x_RK)
    if not x_RK.is_contiguous() and x_RK.T.is_contiguous():
        columns, rows_ = quantise_both(x_RK.T, copies=copies)
        return rows_, columns
    rows, length = _checked_shape(x_RK.shape, contracted=1)
    _checked_shape(x_RK.shape, contracted=0)
    x_RK = x_RK.contiguous()
    planes = torch.empty(rows, copies * length, dtype=torch.int8)
    exponents = torch.empty(rows, dtype=torch.int32)
    largest = np.empty((-(-rows // kernels.BLOCK), length), np.int32)
    run_rows(
        kernels.quantise_rows_of_blocks_kernel,
        largest.shape[0],
        *(x_RK.numpy(), copies, planes.numpy(), exponents.numpy(), largest),
        cost=kernels.BLOCK * length,
    )
    _refuse_bad(exponents, x_RK)
    by_rows = Quantised(planes, exponents, length, copies, True, x_RK[:, 0].clone() if length == 1 else None)
    return by_rows, _columns(x_RK, largest, copies)


def _columns(x_KR: torch.Tensor, largest: np.ndarray, copies: int) -> Quantised:
    length, rows = x_KR.shape
    planes = torch.empty(copies * length, rows, dtype=torch.int8)
    exponents = torch.empty(rows, dtype=torch.int32)
    kernels.exponents_of_columns_kernel(0, rows, largest, exponents.numpy())
    _refuse_bad(exponents, x_KR)
    run_rows(
        kernels.quantise_columns_kernel,
        length,
        *(x_KR.numpy(), exponents.numpy(), copies, planes.numpy()),
        cost=rows,
    )
    return Quantised(planes, exponents, length, copies, False, x_KR[0].clone() if length == 1 else None)


def _plain(x: torch.Tensor) -> torch.Tensor:
    if x.dtype != torch.float32 or x.dim() != 2:
        raise NotReproducible("matrix product", f"operands are float32 matrices, not {x.dtype} {list(x.shape)}")
    return x.detach()


def _checked_shape(shape: torch.Size, *, contracted: int) -> tuple[int, int]:
    if shape[contracted] > MAX_LENGTH:
        raise NotReproducible("matrix product", f"a contraction of {shape[contracted]} terms exceeds 2^22")
    return shape[0], shape[1]


def _refuse_bad(exponents: torch.Tensor, x: torch.Tensor) -> None:
    if exponents.numel() and int(exponents.numpy().max()) == NOT_FINITE:
        raise NumericsError("matrix product", f"an operand of shape {list(x.shape)}")
