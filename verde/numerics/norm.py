"""Why this module exists: RMS norm, forward and backward: the bits of its operators one by one, a tenth of the work.

Shapes: R rows, K elements of a row.
"""

from __future__ import annotations

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics import elementwise, memory
from verde.numerics.kernels import norm as kernels
from verde.numerics.kernels.reduce import BLOCK, totals_of_columns_kernel
from verde.numerics.place import on_host
from verde.numerics.portable import layers
from verde.numerics.threads import run_rows


def rms_norm(x_RK: torch.Tensor, weight_K: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(y [R, K], root [R]): y = w · (x · root), root = rsqrt(mean(x²) + epsilon), as section 5 orders the operators.

    ``weight_K`` is the factor itself: Gemma's callers give ``elementwise.add(1, w)``. ``epsilon`` is taken as binary32.
    Backward wants ``root``. Raises ``NumericsError`` for NaN or infinity.
    """
    x_RK, weight_K = x_RK.detach().contiguous(), weight_K.detach().contiguous()
    if not on_host(x_RK):
        return layers.rms_norm(x_RK, weight_K, float(np.float32(epsilon)))
    rows, width = x_RK.shape
    out_RK, root_R, bad_R = memory.empty(rows, width), torch.empty(rows), np.zeros(rows, np.bool_)
    task = (x_RK.numpy(), weight_K.numpy(), np.float32(epsilon), out_RK.numpy(), root_R.numpy(), bad_R)
    run_rows(kernels.rms_norm_kernel, rows, *task, cost=4 * width)
    _refuse(bad_R.any() or not np.isfinite(root_R.numpy()).all(), x_RK)
    return out_RK, root_R


def rms_norm_backward(
    g_RK: torch.Tensor, x_RK: torch.Tensor, weight_K: torch.Tensor, root_R: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(dx [R, K], dweight [K]) of a norm whose input is read by nothing else: dx is the sum of both parts."""
    direct_RK, through_RK, dweight_K = rms_norm_backward_parts(g_RK, x_RK, weight_K, root_R)
    return elementwise.add(direct_RK, through_RK), dweight_K


def rms_norm_backward_parts(
    g_RK: torch.Tensor, x_RK: torch.Tensor, weight_K: torch.Tensor, root_R: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(dx directly [R, K], dx through the root [R, K], dweight [K]) as autograd composes them from the operators.

    Where x is read elsewhere too (a residual stream), autograd adds the parts to that gradient one after the other.
    ``weight_K`` and ``root_R`` as in and from ``rms_norm``. Raises ``NumericsError`` for NaN or infinity.
    """
    g_RK, x_RK, weight_K = (tensor.detach().contiguous() for tensor in (g_RK, x_RK, weight_K))
    if not on_host(x_RK):
        direct_RK, through_RK, dweight_K = layers.rms_norm_backward_parts(g_RK, x_RK, weight_K, root_R)
        return direct_RK, through_RK, dweight_K
    rows, width = x_RK.shape
    blocks = -(-rows // BLOCK)
    direct_RK, through_RK = memory.empty(rows, width), memory.empty(rows, width)
    dweight_K, bad_R = torch.empty(width), np.zeros(rows, np.bool_)
    largest, exponents = np.empty((blocks, width), np.int32), np.empty(width, np.int32)
    g, x, root = g_RK.numpy(), x_RK.numpy(), root_R.numpy()
    task = (g, x, weight_K.numpy(), root, (direct_RK.numpy(), through_RK.numpy()), largest, bad_R)
    run_rows(kernels.rms_norm_backward_kernel, blocks, *task, cost=8 * BLOCK * width)
    overflow = kernels.column_exponents_kernel(0, width, largest, exponents)
    _refuse(bad_R.any() or overflow, x_RK)
    partial = np.empty((blocks, width), np.int64)
    run_rows(kernels.rms_norm_weight_kernel, blocks, g, x, root, exponents, partial, cost=4 * BLOCK * width)
    totals_of_columns_kernel(0, width, partial, exponents, dweight_K.numpy())
    _refuse(not np.isfinite(dweight_K.numpy()).all(), x_RK)
    return direct_RK, through_RK, dweight_K


def _refuse(bad: bool, x: torch.Tensor) -> None:
    if bad:
        raise NumericsError("RMS norm", f"rows of shape {list(x.shape)}")
