"""Why this module exists: aten's reductions and what is made of them, in terms of sections 3 and 5 of docs/exact-1.md.

Shapes: R rows, K elements of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from protocol.errors import NotReproducible
from verde.numerics import elementwise, reduce
from verde.numerics.aten_table import implements, number, only_float32, operand

aten = torch.ops.aten

_REDUCE_NONE, _REDUCE_MEAN = 0, 1


def axes_of(x: torch.Tensor, dim: int | Sequence[int] | None) -> list[int]:
    """Axes as aten names them (none: all), ascending and not negative."""
    listed = [dim] if isinstance(dim, int) else list(dim or ())
    return sorted({axis % x.dim() for axis in listed}) if listed and x.dim() else list(range(x.dim()))


def sum_over(x: torch.Tensor, axes: Sequence[int], keepdim: bool = False) -> torch.Tensor:
    """One SUM over all elements along ``axes`` (not negative, ascending); the other axes keep their order."""
    kept = [axis for axis in range(x.dim()) if axis not in axes]
    kept_sizes = [x.shape[axis] for axis in kept]
    num_kept, num_summed = prod(kept_sizes), prod(x.shape[axis] for axis in axes)
    if num_kept == 0 or num_summed == 0:
        sums = x.new_zeros(num_kept)
    elif list(axes) == list(range(len(axes))) and kept:
        sums = reduce.sum_columns(x.reshape(num_summed, num_kept).contiguous())
    elif not kept:
        sums = reduce.sum_rows(x.reshape(1, -1).contiguous())
    else:
        sums = reduce.sum_rows(x.permute(*kept, *axes).reshape(num_kept, num_summed).contiguous())
    if keepdim:
        return sums.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)])
    return sums.reshape(kept_sizes)


@implements(aten.sum.dim_IntList)
def sum_dims(
    x: torch.Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> torch.Tensor:
    only_float32("aten.sum", dtype)
    return sum_over(operand(x), axes_of(x, dim), keepdim)


@implements(aten.sum.default)
def sum_all(x: torch.Tensor, *, dtype: torch.dtype | None = None) -> torch.Tensor:
    return sum_dims(x, dtype=dtype)


@implements(aten.mean.dim)
def mean_dims(
    x: torch.Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> torch.Tensor:
    only_float32("aten.mean", dtype)
    x, axes = operand(x), axes_of(x, dim)
    return elementwise.div(sum_over(x, axes, keepdim), number(prod(x.shape[axis] for axis in axes)))


@implements(aten.mean.default)
def mean_all(x: torch.Tensor, *, dtype: torch.dtype | None = None) -> torch.Tensor:
    return mean_dims(x, dtype=dtype)


def _last_mean(x: torch.Tensor) -> torch.Tensor:
    return mean_dims(x, [-1], keepdim=True)


@implements(aten.nll_loss_forward.default)
def nll_loss(
    log_probs: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, reduction: int, ignore_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Also the number of targets that are not ``ignore_index``, which backward divides by."""
    if weight is not None or log_probs.dim() != 2:
        raise NotReproducible("aten.nll_loss_forward with class weights or without a batch")
    counted = target != ignore_index
    picked = log_probs.gather(1, target.where(counted, 0)[:, None])[:, 0]
    losses = elementwise.flush_(torch.where(counted, -picked, 0.0))
    count = counted.sum().to(torch.float32)
    if reduction == _REDUCE_NONE:
        return losses, losses.new_zeros(())
    total = sum_over(losses, [0])
    return (elementwise.div(total, count) if reduction == _REDUCE_MEAN else total), count


@implements(aten.nll_loss_backward.default)
def nll_loss_backward(
    gradient: torch.Tensor,
    log_probs: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: torch.Tensor,
) -> torch.Tensor:
    counted = target != ignore_index
    each = elementwise.div(gradient, total_weight) if reduction == _REDUCE_MEAN else gradient
    values = elementwise.flush_(torch.where(counted, -each, 0.0))
    return torch.zeros_like(log_probs).scatter_(1, target.where(counted, 0)[:, None], values[:, None])


@implements(aten.native_layer_norm.default)
def layer_norm(
    x: torch.Tensor,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    _require_one_axis(normalized_shape)
    mean = _last_mean(operand(x))
    centred = elementwise.sub(x, mean)
    scale = elementwise.rsqrt(elementwise.add(_last_mean(elementwise.mul(centred, centred)), number(eps)))
    output = elementwise.mul(centred, scale)
    if weight is not None:
        output = elementwise.mul(output, weight)
    if bias is not None:
        output = elementwise.add(output, bias)
    return output, mean, scale


@implements(aten.native_layer_norm_backward.default)
def layer_norm_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    normalized_shape: Sequence[int],
    mean: torch.Tensor,
    scale: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    _require_one_axis(normalized_shape)
    rows = list(range(x.dim() - 1))
    normal = elementwise.mul(elementwise.sub(x, mean), scale)
    weighted = gradient if weight is None else elementwise.mul(gradient, weight)
    along = _last_mean(elementwise.mul(weighted, normal))
    dx = elementwise.mul(
        scale, elementwise.sub(elementwise.sub(weighted, _last_mean(weighted)), elementwise.mul(normal, along))
    )
    dweight = sum_over(elementwise.mul(gradient, normal), rows) if output_mask[1] else None
    dbias = sum_over(gradient, rows) if output_mask[2] else None
    return dx if output_mask[0] else None, dweight, dbias


def _require_one_axis(normalized_shape: Sequence[int]) -> None:
    if len(normalized_shape) != 1:
        raise NotReproducible("aten.native_layer_norm over several axes")


@implements(aten.amax.default)
def amax(x: torch.Tensor, dim: Sequence[int] = (), keepdim: bool = False) -> torch.Tensor:
    return elementwise.flush_(torch.amax(operand(x), dim, keepdim))


@implements(aten.amin.default)
def amin(x: torch.Tensor, dim: Sequence[int] = (), keepdim: bool = False) -> torch.Tensor:
    return elementwise.flush_(torch.amin(operand(x), dim, keepdim))


@implements(aten.max.default)
def max_all(x: torch.Tensor) -> torch.Tensor:
    return amax(x)


@implements(aten.min.default)
def min_all(x: torch.Tensor) -> torch.Tensor:
    return amin(x)
