"""Why this module exists: sums, and the gradient's norm, whose bits depend on no order and no number of threads.

Section 3 of docs/exact-1.md. Kernels and the reasoning about widths are in ``kernels/reduce``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics.kernels import reduce as kernels
from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.exponent import NOT_FINITE, exponent_of_bits, rounded
from verde.numerics.kernels.quantise import largest_of_columns_kernel
from verde.numerics.place import on_host, require_numbers
from verde.numerics.portable import layers, optimiser, rows, scalar
from verde.numerics.threads import run_rows

MAX_TERMS = 1 << 26

# The gradient's norm is defined over pieces of this many values.
NORM_PIECE = 1 << 20

_PIECE = 1 << 16


def sum_rows(x_RK: torch.Tensor) -> torch.Tensor:
    """SUM of each row of a float32 matrix: [R]. No terms give 0.

    Raises ``NumericsError`` for NaN, infinity or an overflow, ``NotReproducible`` beyond 2^26 terms.
    """
    x_RK = _plain(x_RK, 2, x_RK.shape[-1])
    if not on_host(x_RK):
        return _sound(rows.sum_along(x_RK, 1))
    out_R = torch.empty(x_RK.shape[0])
    run_rows(kernels.sum_rows_kernel, x_RK.shape[0], x_RK.numpy(), out_R.numpy(), cost=2 * x_RK.shape[1])
    return _numbers(out_R)


def sum_columns(x_RK: torch.Tensor) -> torch.Tensor:
    """SUM of each column of a float32 matrix: [K]. Otherwise as ``sum_rows``."""
    x_RK = _plain(x_RK, 2, x_RK.shape[0])
    if not on_host(x_RK):
        return _sound(layers.sum_columns(x_RK))
    height, width = x_RK.shape
    blocks = -(-height // kernels.BLOCK)
    largest, exponents = np.empty((blocks, width), np.int32), np.empty(width, np.int32)
    partial, out_K = np.empty((blocks, width), np.int64), torch.empty(width)
    cost = kernels.BLOCK * width
    run_rows(largest_of_columns_kernel, blocks, x_RK.numpy(), largest, cost=cost)
    kernels.exponents_of_columns_kernel(0, width, largest, exponents)
    if width and exponents.max() == NOT_FINITE:
        raise NumericsError("sum", f"an operand of shape {list(x_RK.shape)}")
    run_rows(kernels.integer_sums_of_columns_kernel, blocks, x_RK.numpy(), exponents, partial, cost=2 * cost)
    kernels.totals_of_columns_kernel(0, width, partial, exponents, out_K.numpy())
    return _numbers(out_K)


def sum_all(x: torch.Tensor) -> torch.Tensor:
    """SUM of all elements of a float32 tensor of any shape, as a tensor without dimensions. Errors as ``sum_rows``."""
    x = _plain(x, None, x.numel())
    if not on_host(x):
        return _sound(rows.sum_along(x.reshape(1, -1), 1)[0])
    x_N = x.reshape(-1).numpy()
    pieces = -(-len(x_N) // _PIECE)
    largest, totals = np.zeros(pieces, np.int32), np.zeros(pieces, np.int64)
    run_rows(kernels.largest_of_pieces_kernel, pieces, x_N, _PIECE, largest, cost=_PIECE)
    exponent = exponent_of_bits(np.int32(largest.max(initial=0)))
    if exponent == NOT_FINITE:
        raise NumericsError("sum", f"an operand of shape {list(x.shape)}")
    run_rows(kernels.integer_sums_of_pieces_kernel, pieces, x_N, _PIECE, exponent, totals, cost=2 * _PIECE)
    return _numbers(torch.tensor(_rounded(int(totals.sum()), int(exponent) - kernels.WIDTH)))


def model_norm(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """The norm of all gradients together (section 3), as a tensor without dimensions; 0 without any.

    The order of the tensors does not matter; their borders do, since pieces of 2^20 values end there.
    Raises ``NumericsError`` where a square or a sum is no number.
    """
    tensors = [_plain(x, None, min(x.numel(), NORM_PIECE)).reshape(-1) for x in tensors]
    if not on_host(*tensors):
        squares = torch.cat([optimiser.sums_of_squares(x_N, NORM_PIECE) for x_N in tensors])
        return scalar.sqrt(sum_all(_sound(squares)))
    sums = []
    for x in tensors:
        x_N = x.numpy()
        pieces = -(-len(x_N) // NORM_PIECE)
        out_P = np.empty(pieces, np.float32)
        run_rows(kernels.sum_of_squares_kernel, pieces, x_N, NORM_PIECE, out_P, cost=4 * NORM_PIECE)
        sums.append(out_P)
    total = sum_all(torch.from_numpy(np.concatenate([*sums, np.zeros(0, np.float32)])))
    # The root of a binary32, taken as a double and rounded again, is correctly rounded.
    return torch.tensor(math.sqrt(total.item()), dtype=torch.float32)


def bit_sum(x: torch.Tensor) -> int:
    """The sum of a float32 tensor's bits as signed integers of 32 bits, modulo 2^64 (a signed one). On the host."""
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        words_N = x.detach().contiguous().view(-1).numpy().view(np.int32)
    part_P = np.zeros(-(-len(words_N) // kernels.BITS_PIECE), np.int64)
    run_rows(kernels.bit_sums_kernel, len(part_P), words_N, part_P, cost=kernels.BITS_PIECE)
    return int(part_P.sum())


@kernel
def _rounded(total, exponent):
    return rounded(total, exponent)


def _plain(x: torch.Tensor, dimensions: int | None, terms: int) -> torch.Tensor:
    if x.dtype != torch.float32 or (dimensions is not None and x.dim() != dimensions):
        raise NotReproducible("sum", f"it takes float32 of {dimensions} dimensions, not {x.dtype} {list(x.shape)}")
    if terms > MAX_TERMS:
        raise NotReproducible("sum", f"{terms} terms exceed 2^26")
    return x.detach().contiguous()


def _sound(out: torch.Tensor) -> torch.Tensor:
    """``_numbers`` on a device."""
    require_numbers("sum", f"a result of shape {list(out.shape)}", out)
    return out


def _numbers(out: torch.Tensor) -> torch.Tensor:
    if not np.isfinite(out.numpy()).all():
        raise NumericsError("sum", f"a result of shape {list(out.shape)}")
    return out
