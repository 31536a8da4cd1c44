"""Why this module exists: gradients that meet at one place are added by SUM; writes to one place must not race.

Shapes: N values, K columns of a value, V places.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics.aten_table import implements, operand
from verde.numerics.kernels.scatter import sum_segments_kernel
from verde.numerics.place import on_host, require_numbers
from verde.numerics.portable.sums import sum_at
from verde.numerics.threads import run_rows

aten = torch.ops.aten


def scatter_sum(index_N: torch.Tensor, values_NK: torch.Tensor, num_places: int) -> torch.Tensor:
    """[V, K]: each place's SUM of the rows of ``values_NK`` with its index, 0 where nothing is added.

    ``index_N`` int64 in 0 … V - 1. Raises ``NumericsError`` for NaN and infinities.
    """
    if not on_host(values_NK):
        found_VK = sum_at(index_N, values_NK, num_places)
        require_numbers("scatter", f"values {tuple(values_NK.shape)}", found_VK)
        return found_VK
    out_VK = torch.zeros((num_places, values_NK.shape[1]))
    if values_NK.numel() == 0:
        return out_VK
    sorted_N, order_N = torch.sort(index_N, stable=True)
    place_S, count_S = torch.unique_consecutive(sorted_N, return_counts=True)
    bounds_S1 = torch.zeros(len(place_S) + 1, dtype=torch.long)
    torch.cumsum(count_S, 0, out=bounds_S1[1:])
    sums_SK = torch.empty((len(place_S), values_NK.shape[1]))
    bad_S = torch.zeros(len(place_S), dtype=torch.bool)
    arrays = (values_NK.contiguous(), order_N, bounds_S1, sums_SK, bad_S)
    run_rows(sum_segments_kernel, len(place_S), *(array.numpy() for array in arrays), cost=2 * values_NK.shape[1])
    if bool(bad_S.any()):
        raise NumericsError("scatter", f"values {tuple(values_NK.shape)}")
    out_VK[place_S] = sums_SK
    return out_VK


@implements(aten.embedding_dense_backward.default)
def embedding_backward(
    gradient: torch.Tensor, indices: torch.Tensor, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> torch.Tensor:
    if scale_grad_by_freq:
        raise NotReproducible("aten.embedding_dense_backward scaled by frequency")
    index_N, gradient_NK = indices.reshape(-1), operand(gradient).reshape(indices.numel(), gradient.shape[-1])
    if padding_idx >= 0:
        kept = index_N != padding_idx
        index_N, gradient_NK = index_N[kept], gradient_NK[kept]
    return scatter_sum(index_N, gradient_NK, num_weights)


def _require_zeros(x: torch.Tensor, operator: str) -> None:
    if bool(torch.count_nonzero(x)):
        raise NotReproducible(f"{operator} onto values", "exact/1 adds scattered values into zeros only")


def _added_at(x: torch.Tensor, places: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """SUM of ``values`` at flat ``places`` of a tensor shaped like ``x``."""
    flat = scatter_sum(places.reshape(-1), values.reshape(-1, 1), x.numel())
    return flat.reshape(x.shape)


@implements(aten.scatter_add.default)
def scatter_add(x: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
    _require_zeros(x, "aten.scatter_add")
    source = src[tuple(slice(size) for size in index.shape)]
    return _added_at(x, _gathered_places(x, dim, index), source)


def _gathered_places(x: torch.Tensor, dim: int, index: torch.Tensor) -> torch.Tensor:
    """Flat places in ``x`` that ``gather(dim, index)`` would read."""
    numbers = torch.arange(x.numel(), device=x.device).reshape(x.shape)
    return torch.gather(numbers, dim, index)


@implements(aten.index_add.default)
def index_add(
    x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, alpha: float = 1
) -> torch.Tensor:
    if alpha != 1:
        raise NotReproducible("aten.index_add with alpha")
    _require_zeros(x, "aten.index_add")
    moved = source.movedim(dim, 0)
    sums = scatter_sum(index.reshape(-1), moved.reshape(len(moved), prod(moved.shape[1:])), x.shape[dim])
    return sums.reshape(x.shape[dim], *moved.shape[1:]).movedim(0, dim).contiguous()


@implements(aten.index_put.default, aten._unsafe_index_put.default, any_type=True)
def index_put(
    x: torch.Tensor, indices: Sequence[torch.Tensor | None], values: torch.Tensor, accumulate: bool = False
) -> torch.Tensor:
    numbers = torch.arange(x.numel(), device=x.device).reshape(x.shape)
    places = aten.index.Tensor(numbers, list(indices))
    spread = values.expand(places.shape)
    if accumulate and not x.is_floating_point():
        return aten.index_put.default(x, list(indices), values, True)
    if accumulate:
        _require_zeros(x, "aten.index_put")
        return _added_at(x, places, spread)
    return _written(x, places, spread, "aten.index_put")


@implements(aten.scatter.src, any_type=True)
def scatter(x: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
    source = src[tuple(slice(size) for size in index.shape)]
    return _written(x, _gathered_places(x, dim, index), source, "aten.scatter")


def _written(x: torch.Tensor, places: torch.Tensor, values: torch.Tensor, operator: str) -> torch.Tensor:
    """A copy of ``x`` with ``values`` at flat ``places``. Two different values for one place would race: refused."""
    flat = x.clone(memory_format=torch.contiguous_format).reshape(-1)
    flat[places.reshape(-1)] = values.reshape(-1).to(x.dtype)
    if not torch.equal(flat[places.reshape(-1)], values.reshape(-1).to(x.dtype)):
        raise NotReproducible(f"{operator} of different values to one place", "the last one to arrive would win")
    return flat.reshape(x.shape)


@implements(aten._index_put_impl_.default, any_type=True)
def index_put_impl_(
    x: torch.Tensor,
    indices: Sequence[torch.Tensor | None],
    values: torch.Tensor,
    accumulate: bool = False,
    unsafe: bool = False,
) -> torch.Tensor:
    return x.copy_(index_put(x, indices, values, accumulate))
