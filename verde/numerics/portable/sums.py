"""Why this module exists: sums of values that meet at one place (docs/exact-1.md section 3, scatter) on a device.

Integers are added where they meet, in whatever order the device likes. Shapes: N values, K columns, V places.
"""

from __future__ import annotations

import torch

from verde.numerics.portable.rows import WIDTH, are_numbers, exponent, rounded, terms

Tensor = torch.Tensor


def sum_at(index_N: Tensor, values_NK: Tensor, num_places: int) -> Tensor:
    """[V, K]: each place's SUM of the rows with its index; 0 where nothing is added, NaN where a term is no number."""
    width = values_NK.shape[1]
    if values_NK.numel() == 0:
        return values_NK.new_zeros((num_places, width))
    places_V, place_N = torch.unique(index_N, return_inverse=True)
    at = place_N[:, None].expand(-1, width)
    bits = values_NK.contiguous().view(torch.int32) & 0x7FFFFFFF
    largest = torch.zeros((len(places_V), width), dtype=torch.int32, device=values_NK.device)
    largest = largest.scatter_reduce(0, at, bits, "amax", include_self=True)
    e = exponent(largest)
    total = torch.zeros_like(e).scatter_add_(0, at, terms(values_NK, e[place_N]))
    sums = torch.where(are_numbers(largest), rounded(total, e - WIDTH), float("nan"))
    out_VK = values_NK.new_zeros((num_places, width))
    out_VK[places_V] = sums
    return out_VK
