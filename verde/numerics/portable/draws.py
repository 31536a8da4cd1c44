"""Why this module exists: random words, Gumbel noise and drawn tokens (docs/exact-1.md section 7) on a device.

Shapes: R rows of logits, V tokens, N draws.
"""

from __future__ import annotations

import torch

from verde.numerics.place import require_numbers
from verde.numerics.portable import route
from verde.numerics.portable.scalar import add, div, gumbel

Tensor = torch.Tensor

_M0, _M1, _W0, _W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF


def words(seed_N: Tensor, position_N: Tensor, size: int) -> Tensor:
    """int64 [N, V], each 0 … 2^32 - 1: the random word of each token at a position, for 64-bit seeds."""
    k0, k1 = (seed_N & _LOW)[:, None], ((seed_N >> 32) & _LOW)[:, None]
    block = torch.arange(-(-size // 4), device=seed_N.device)[None, :]
    c0, c1 = block.expand(len(seed_N), -1), position_N[:, None]
    c2 = c3 = torch.zeros_like(block)
    for _ in range(10):
        low0, high0 = _wide(_M0, c0)
        low1, high1 = _wide(_M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    parts = torch.broadcast_tensors(c0, c1, c2, c3)
    return torch.stack(parts, -1).flatten(1)[:, :size]


def _wide(constant: int, c: Tensor) -> tuple[Tensor, Tensor]:
    """Low and high halves of the 64-bit product of two unsigned 32-bit numbers."""
    product = c * constant  # modulo 2^64, whose bits are those of the unsigned product
    return product & _LOW, (product >> 32) & _LOW


def draw(
    logits_RV: Tensor, seed_N: Tensor, position_N: Tensor, temperature: float, top_k: int, row_N: Tensor
) -> Tensor:
    """As ``sampling.draw``, without claims."""
    size = logits_RV.shape[1]
    z_RV = logits_RV if temperature in (0.0, 1.0) else div(logits_RV, temperature)
    require_numbers("sampling", f"logits of shape {list(logits_RV.shape)}", z_RV)
    if temperature == 0:
        return first_largest(z_RV)[row_N]
    fused = route.kernels(z_RV.device)
    if fused is not None and not 0 < top_k < size:
        return fused.draw(z_RV.contiguous(), seed_N, position_N, row_N)  # type: ignore[no-any-return]
    z_NV = z_RV[row_N]
    value_NV = add(z_NV, gumbel(words(seed_N, position_N, size)))
    if 0 < top_k < size:
        limit_N1 = z_NV.topk(top_k, -1).values[:, -1:]
        above, ties = z_NV > limit_N1, z_NV == limit_N1
        room_N1 = top_k - above.sum(-1, keepdim=True)
        value_NV = torch.where(above | (ties & (ties.cumsum(-1) <= room_N1)), value_NV, -torch.inf)
    return first_largest(value_NV)


def first_largest(z_RV: Tensor) -> Tensor:
    """int64 [R]: the least index of each row's largest value."""
    size = z_RV.shape[-1]
    number_V = torch.arange(size, device=z_RV.device)
    return torch.where(z_RV == z_RV.amax(-1, keepdim=True), number_V, size).amin(-1)
