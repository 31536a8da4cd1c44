"""Why this module exists: among equals the lowest index comes first, on every machine.

Native kernels promise no order among equal values. These work on tensors of any type.
"""

from __future__ import annotations

import torch

from verde.numerics.aten_table import implements

aten = torch.ops.aten


def _first(matches: torch.Tensor, dim: int, keepdim: bool) -> torch.Tensor:
    """Index of the first true entry along ``dim``."""
    size = matches.shape[dim]
    shape = [-1 if axis == dim % matches.dim() else 1 for axis in range(matches.dim())]
    index = torch.arange(size, device=matches.device).reshape(shape)
    return torch.where(matches, index, size).amin(dim, keepdim)


@implements(aten.argmax.default, any_type=True)
def argmax(x: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> torch.Tensor:
    if dim is None:
        first = _first(x.reshape(-1) == x.max(), 0, False)
        return first.reshape([1] * x.dim()) if keepdim else first
    if x.dim() == 0:
        return torch.zeros((), dtype=torch.long, device=x.device)
    return _first(x == x.amax(dim, keepdim=True), dim, keepdim)


@implements(aten.argmin.default, any_type=True)
def argmin(x: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> torch.Tensor:
    if dim is None:
        first = _first(x.reshape(-1) == x.min(), 0, False)
        return first.reshape([1] * x.dim()) if keepdim else first
    if x.dim() == 0:
        return torch.zeros((), dtype=torch.long, device=x.device)
    return _first(x == x.amin(dim, keepdim=True), dim, keepdim)


@implements(aten.max.dim, any_type=True)
def max_dim(x: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    return x.amax(dim, keepdim=keepdim), argmax(x, dim, keepdim)


@implements(aten.min.dim, any_type=True)
def min_dim(x: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    return x.amin(dim, keepdim=keepdim), argmin(x, dim, keepdim)


@implements(aten.sort.default, any_type=True)
def sort(x: torch.Tensor, dim: int = -1, descending: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    values, indices = torch.sort(x, dim=dim, descending=descending, stable=True)
    return values, indices


@implements(aten.sort.stable, any_type=True)
def sort_stable(
    x: torch.Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    return sort(x, dim, descending)


@implements(aten.argsort.default, any_type=True)
def argsort(x: torch.Tensor, dim: int = -1, descending: bool = False) -> torch.Tensor:
    return sort(x, dim, descending)[1]


@implements(aten.argsort.stable, any_type=True)
def argsort_stable(x: torch.Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> torch.Tensor:
    return sort(x, dim, descending)[1]


@implements(aten.topk.default, any_type=True)
def topk(
    x: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    values, indices = sort(x, dim, descending=largest)
    return values.narrow(dim, 0, k).contiguous(), indices.narrow(dim, 0, k).contiguous()
