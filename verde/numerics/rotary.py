"""Why this module exists: the rotary embedding of queries and keys, and its gradient, in one pass each.

Shapes: B batch, H heads, L positions, D width of a head (even).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics import memory
from verde.numerics.kernels import rotary as kernels
from verde.numerics.place import on_host
from verde.numerics.portable import layers
from verde.numerics.threads import run_rows


def rotate(x_BHLD: torch.Tensor, cos_BLD: torch.Tensor, sin_BLD: torch.Tensor) -> torch.Tensor:
    """``add(mul(x, cos), mul(rotate_half(x), sin))`` [B, H, L, D], where rotate_half(a, b) = (-b, a) of the halves.

    ``cos_BLD`` and ``sin_BLD`` [B or 1, L, D] are exact tables. The result lies in memory as [B, L, H, D], as a
    projection's output does. Raises ``NumericsError`` for NaN or infinity.
    """
    return _rotated(kernels.rotate_kernel, x_BHLD, cos_BLD, sin_BLD)


def rotate_backward(g_BHLD: torch.Tensor, cos_BLD: torch.Tensor, sin_BLD: torch.Tensor) -> torch.Tensor:
    """The gradient of x in ``rotate``, for the gradient ``g`` of its result; laid out alike."""
    return _rotated(kernels.rotate_backward_kernel, g_BHLD, cos_BLD, sin_BLD)


def _rotated(kernel: Any, x_BHLD: torch.Tensor, cos_BLD: torch.Tensor, sin_BLD: torch.Tensor) -> torch.Tensor:
    if not on_host(x_BHLD):
        is_backward = kernel is kernels.rotate_backward_kernel
        return layers.rotate(x_BHLD.detach(), cos_BLD.detach(), sin_BLD.detach(), backward=is_backward)
    batch, heads, length, width = x_BHLD.shape
    rows = batch * length
    x_RHD = x_BHLD.detach().transpose(1, 2).contiguous().view(rows, heads, width)
    cos_RD, sin_RD = (
        table.detach().expand(batch, length, width).reshape(rows, width).contiguous() for table in (cos_BLD, sin_BLD)
    )
    out_RHD, bad_R = memory.empty(rows, heads, width), np.zeros(rows, np.bool_)
    task = (x_RHD.numpy(), cos_RD.numpy(), sin_RD.numpy(), out_RHD.numpy(), bad_R)
    run_rows(kernel, rows, *task, cost=4 * heads * width)
    if bad_R.any():
        raise NumericsError("rotary embedding", f"heads of shape {list(x_BHLD.shape)}")
    return out_RHD.view(batch, length, heads, width).transpose(1, 2)
