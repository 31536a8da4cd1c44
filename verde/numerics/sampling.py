"""Why this module exists: a token is a function of logits, seed and position, so one pass can check a whole rollout.

Section 7 of docs/exact-1.md: temperature, top-k, then the arg-max of logits plus counter-based Gumbel noise.

Shapes: R rows of logits, V tokens, N draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics.kernels.sampling import NO_CLAIM, draw_among_kernel, draw_kernel, greedy_kernel, scale_kernel
from verde.numerics.place import computing, on_host
from verde.numerics.portable import draws
from verde.numerics.threads import run_rows

_SEED_MASK = (1 << 64) - 1


def seed_words(seeds: Sequence[int]) -> torch.Tensor:
    """int64 [N] with the bits of the seeds (taken modulo 2^64): what ``draw`` takes."""
    return torch.from_numpy(np.array([seed & _SEED_MASK for seed in seeds], dtype=np.uint64).view(np.int64))


def draw(
    logits_RV: torch.Tensor,
    seed_N: torch.Tensor,
    position_N: torch.Tensor,
    *,
    temperature: float,
    top_k: int = 0,
    row_N: torch.Tensor | None = None,
    claim_N: torch.Tensor | None = None,
) -> torch.Tensor:
    """int64 [N]: the token of each draw. Draw n reads row ``row_N[n]`` of the float32 logits (row n by default).

    ``seed_N`` (see ``seed_words``) and ``position_N`` are int64; positions count a rollout's tokens from 0.
    ``temperature`` 0 takes the largest logit; seeds are then without effect. ``top_k`` 0 is off. ``claim_N`` names the
    tokens that are expected: right guesses save time, wrong or foreign ones change nothing.
    Raises ``NumericsError`` for a logit that is no number.
    """
    num_rows, size = logits_RV.shape
    row_N = torch.arange(len(seed_N), device=seed_N.device) if row_N is None else row_N
    if not on_host(logits_RV):
        with computing():
            tensors = (logits_RV.detach(), *(x.to(logits_RV.device) for x in (seed_N, position_N)))
            factor = float(np.float32(temperature))
            return draws.draw(*tensors, factor, top_k, row_N.to(logits_RV.device))
    token_N = torch.empty(len(seed_N), dtype=torch.int64)
    z_RV, bad_R = torch.empty(num_rows, size), np.empty(num_rows, np.bool_)
    factor = np.float32(temperature or 1.0)
    run_rows(scale_kernel, num_rows, logits_RV.numpy(), factor, z_RV.numpy(), bad_R, cost=size)
    if bad_R.any():
        raise NumericsError("sampling", f"logits of shape {list(logits_RV.shape)}")
    rows, out, cost = row_N.numpy(), token_N.numpy(), 8 * size
    if temperature == 0:
        run_rows(greedy_kernel, len(out), z_RV.numpy(), rows, out, cost=size)
        return token_N
    keys, positions = seed_N.numpy().view(np.uint64), position_N.numpy()
    if 0 < top_k < size:
        limit_R = z_RV.topk(top_k, dim=-1).values[:, -1].contiguous()
        run_rows(
            draw_among_kernel, len(out), z_RV.numpy(), rows, limit_R.numpy(), top_k, keys, positions, out, cost=cost
        )
        return token_N
    claims = torch.full_like(token_N, NO_CLAIM) if claim_N is None else claim_N
    claims = claims.where((claims >= 0) & (claims < size), NO_CLAIM)
    run_rows(draw_kernel, len(out), z_RV.numpy(), rows, keys, positions, claims.numpy(), out, cost=cost)
    return token_N
