"""Why this module exists: aten's softmax family in terms of section 5 of docs/exact-1.md, one pass per row.

Shapes: R rows, V elements of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import elementwise, memory
from verde.numerics.aten_sums import axes_of, sum_over
from verde.numerics.aten_table import implements, only_float32, operand
from verde.numerics.kernels import softmax as kernels
from verde.numerics.place import on_host
from verde.numerics.portable import layers
from verde.numerics.threads import run_rows

aten = torch.ops.aten

MAX_LENGTH = 1 << 26

# An exponential costs about as much as so many plain elements.
_COST = 10


_ON_A_DEVICE: dict[Callable[..., Any], Callable[..., torch.Tensor]] = {
    kernels.softmax_kernel: layers.softmax,
    kernels.softmax_backward_kernel: layers.softmax_backward,
    kernels.log_softmax_kernel: layers.log_softmax,
    kernels.log_softmax_backward_kernel: layers.log_softmax_backward,
}


def _by_rows(kernel: Callable[..., Any], dim: int, *tensors: torch.Tensor) -> torch.Tensor:
    """Run a kernel over the rows along ``dim`` of tensors of one shape."""
    shape = tensors[0].shape
    if tensors[0].dim() == 0 or tensors[0].numel() == 0:
        raise NotReproducible("softmax of a tensor without axes or elements")
    if shape[dim] > MAX_LENGTH:
        raise NotReproducible("softmax", f"{shape[dim]} terms exceed 2^26")
    moved = [operand(tensor).detach().movedim(dim, -1).contiguous() for tensor in tensors]
    if not on_host(*moved):
        result: torch.Tensor = _ON_A_DEVICE[kernel](*moved)
        return result.movedim(-1, dim)
    rows = [tensor.view(-1, shape[dim]).numpy() for tensor in moved]
    out = memory.empty(*moved[0].shape)
    bad_R = np.zeros(len(rows[0]), np.bool_)
    run_rows(kernel, len(bad_R), *rows, out.view(-1, shape[dim]).numpy(), bad_R, cost=_COST * shape[dim])
    if bad_R.any():
        raise NumericsError("softmax", f"a tensor of shape {tuple(shape)}")
    return out.movedim(-1, dim)


@implements(aten._softmax.default)
def softmax(x: torch.Tensor, dim: int, half_to_float: bool) -> torch.Tensor:
    return _by_rows(kernels.softmax_kernel, dim, x)


@implements(aten._softmax_backward_data.default)
def softmax_backward(gradient: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype) -> torch.Tensor:
    only_float32("aten._softmax_backward_data", input_dtype)
    return _by_rows(kernels.softmax_backward_kernel, dim, gradient, output)


@implements(aten._log_softmax.default)
def log_softmax(x: torch.Tensor, dim: int, half_to_float: bool) -> torch.Tensor:
    return _by_rows(kernels.log_softmax_kernel, dim, x)


@implements(aten._log_softmax_backward_data.default)
def log_softmax_backward(
    gradient: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype
) -> torch.Tensor:
    only_float32("aten._log_softmax_backward_data", input_dtype)
    return _by_rows(kernels.log_softmax_backward_kernel, dim, gradient, output)


@implements(aten.logsumexp.default)
def logsumexp(x: torch.Tensor, dim: Sequence[int], keepdim: bool = False) -> torch.Tensor:
    axes = axes_of(x, dim)
    largest = x.amax(axes, keepdim=True)
    total = sum_over(elementwise.exp(elementwise.sub(x, largest)), axes, keepdim=True)
    result = elementwise.add(largest, elementwise.log(total))
    return result if keepdim else result.reshape([size for axis, size in enumerate(x.shape) if axis not in axes])
