"""Why this module exists: the noise of every token of a vocabulary is drawn and compared without reaching memory.

Shapes: N draws, V tokens.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from verde.numerics.gpu import scalar as s
from verde.numerics.gpu.scalar import UNFUSED
from verde.numerics.portable.draws import first_largest

_BLOCK = 1024


@triton.jit
def _low(x):
    return x & 0xFFFFFFFF


@triton.jit
def _high(x):
    return (x >> 32) & 0xFFFFFFFF


@triton.jit
def word(key, position, token):
    """The random word of a token (int64, not negative): Philox4x32-10."""
    k0, k1 = _low(key), _high(key)
    c0, c1 = token >> 2, position
    c2, c3 = token * 0, token * 0
    for _ in tl.static_range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = _high(p1) ^ c1 ^ k0, _low(p1), _high(p0) ^ c3 ^ k1, _low(p0)
        k0, k1 = _low(k0 + 0x9E3779B9), _low(k1 + 0xBB67AE85)
    lane = token & 3
    return tl.where(lane == 0, c0, tl.where(lane == 1, c1, tl.where(lane == 2, c2, c3)))


@triton.jit(do_not_specialize=["size"])
def draw_kernel(z_ptr, seed_ptr, position_ptr, row_ptr, value_ptr, token_ptr, size, BLOCK: tl.constexpr):
    """The largest z + noise of a block of tokens, and the least token that has it."""
    n, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = token < size
    z = tl.load(z_ptr + tl.load(row_ptr + n) * size + token, mask=inside, other=0.0)
    noise = s.gumbel(word(tl.load(seed_ptr + n), tl.load(position_ptr + n), token))
    value = tl.where(inside, s.add(z, noise), float("-inf"))
    largest = tl.max(value, 0)
    at = n * tl.num_programs(1) + block
    tl.store(value_ptr + at, largest)
    tl.store(token_ptr + at, tl.min(tl.where(value == largest, token, size), 0))


def draw(z_RV: torch.Tensor, seed_N: torch.Tensor, position_N: torch.Tensor, row_N: torch.Tensor) -> torch.Tensor:
    """int64 [N]: the least token with the largest z + noise."""
    size, draws = z_RV.shape[1], len(seed_N)
    blocks = triton.cdiv(size, _BLOCK)
    value = torch.empty((draws, blocks), device=z_RV.device)
    token = torch.empty((draws, blocks), dtype=torch.int64, device=z_RV.device)
    if draws:
        tensors = (seed_N.contiguous(), position_N.contiguous(), row_N.contiguous())
        draw_kernel[(draws, blocks)](z_RV, *tensors, value, token, size, BLOCK=_BLOCK, **UNFUSED)
    return token.gather(1, first_largest(value)[:, None])[:, 0] if draws else token[:, 0]
