"""Why this module exists: who computed something knows all of its bits, and a sum of them is enough to tell.

The numbers are taken as integers, whose sum modulo 2**64 is the same in any order and on any device. It misses none of
them, costs one pass over what is in memory anyway, and nobody comes by it without the numbers themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch

from verde.numerics.place import on_host
from verde.numerics.reduce import bit_sum

DIGEST_BYTES = 32


def row_sums(values_NV: torch.Tensor) -> torch.Tensor:
    """Sums [N] (int64) over the bits of every row of float32 numbers."""
    return values_NV.contiguous().view(torch.int32).sum(-1, dtype=torch.int64)


def whole_sums(tensors: Sequence[torch.Tensor]) -> list[int]:
    """The sum over the bits of each float32 tensor, all brought over at once."""
    if not tensors:
        return []
    if on_host(*tensors):
        return [bit_sum(tensor) for tensor in tensors]
    sums = [tensor.detach().contiguous().view(torch.int32).sum(dtype=torch.int64) for tensor in tensors]
    return [int(number) for number in torch.stack(sums).tolist()]


def digest_of(sums: Iterable[int]) -> bytes:
    """SHA-256 over sums of 64 bits each, in order."""
    return hashlib.sha256(b"".join(number.to_bytes(8, "big", signed=True) for number in sums)).digest()
