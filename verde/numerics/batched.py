"""Why this module exists: attention over short sequences is many small products; a call for each would cost more.

All pairs (batch, key-value head) are quantised, multiplied and rounded by one call each: the products of section 4 of
docs/exact-1.md, as batched products of doubles. Longer contractions of fewer pairs belong to ``verde.numerics.gemm``.

Shapes: P pairs, R rows, K contracted, C columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics import memory
from verde.numerics.kernels.exponent import NOT_FINITE
from verde.numerics.kernels.rows import round_products_kernel, whole_columns_kernel, whole_rows_kernel
from verde.numerics.threads import run_rows, run_torch


@dataclass(frozen=True)
class Whole:
    """Significands as float64 [P, R, K], exponents int32 [P, R] of rows, or [P, K] of columns."""

    values: torch.Tensor
    exponents: torch.Tensor


def rows(x_PRK: torch.Tensor) -> Whole:
    """Every row of every matrix quantised along itself. Raises ``NumericsError`` for NaN or infinity."""
    x_PRK = x_PRK.contiguous()
    pairs, height, width = x_PRK.shape
    found = Whole(torch.empty(x_PRK.shape, dtype=torch.float64), torch.empty(pairs, height, dtype=torch.int32))
    flat = (x_PRK.view(-1, width).numpy(), found.values.view(-1, width).numpy(), found.exponents.view(-1).numpy())
    run_rows(whole_rows_kernel, pairs * height, *flat, cost=3 * width)
    return _checked(found)


def columns(x_PRK: torch.Tensor) -> Whole:
    """Every column of every matrix quantised along itself. Raises ``NumericsError`` for NaN or infinity."""
    x_PRK = x_PRK.contiguous()
    pairs, height, width = x_PRK.shape
    found = Whole(torch.empty(x_PRK.shape, dtype=torch.float64), torch.empty(pairs, width, dtype=torch.int32))
    arrays = (x_PRK.numpy(), found.values.numpy(), found.exponents.numpy())
    run_rows(whole_columns_kernel, pairs, *arrays, cost=3 * height * width)
    return _checked(found)


def _checked(found: Whole) -> Whole:
    if found.exponents.numel() and int(found.exponents.max()) == NOT_FINITE:
        raise NumericsError("matrix product", f"operands of shape {list(found.values.shape)}")
    return found


def product(
    left_PRK: torch.Tensor, right_PKC: torch.Tensor, left_exponents: torch.Tensor, right_exponents: torch.Tensor
) -> torch.Tensor:
    """float32 [P, R, C]: significands [P, R, K] by [P, K, C] (any strides), rounded with exponents [P, R] and [P, C].

    K must be at least 2: shorter contractions are not quantised. Raises ``NumericsError`` where a result overflows.
    """
    height, width = left_PRK.shape[1], right_PKC.shape[2]
    total = torch.empty(len(left_PRK), height, width, dtype=torch.float64)
    run_torch(_multiply, len(total), left_PRK, right_PKC, total, cost=height * width * left_PRK.shape[2] // 8)
    out, bad = memory.empty(*total.shape), np.zeros(len(total), np.bool_)
    arrays = (total.numpy(), left_exponents.numpy(), right_exponents.numpy(), out.numpy(), bad)
    run_rows(round_products_kernel, len(total), *arrays, cost=2 * height * width)
    if bad.any():
        raise NumericsError("matrix product", f"a result of shape {list(out.shape)}")
    return out


def _multiply(start: int, stop: int, left_PRK: torch.Tensor, right_PKC: torch.Tensor, total_PRC: torch.Tensor) -> None:
    torch.bmm(left_PRK[start:stop], right_PKC[start:stop], out=total_PRC[start:stop])
