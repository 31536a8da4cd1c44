"""Why this module exists: a drawn token depends on the distribution and on one number that its rollout's seed fixes.

A rollout owns one uniform per position, computed from its seed by a counter-based generator. The token is the inverse
of the distribution's cumulative sum, in vocabulary order, at that uniform. So a rollout does not notice which others
share its batch, in which row it sits, or when it was computed.

Shapes: B rows, V vocabulary, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from swarm.policy.base import Sampling

Words = np.ndarray[Any, np.dtype[np.uint64]]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_CHUNK_ELEMENTS = 1 << 22


def _mix(state: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _MULTIPLIERS[0]
    state = (state ^ (state >> np.uint64(27))) * _MULTIPLIERS[1]
    return state ^ (state >> np.uint64(31))


def uniforms(seeds: Sequence[int], num_positions: int) -> torch.Tensor:
    """float64 [B, T] in [0, 1): number t of row b is a function of ``seeds[b]`` and t alone (53 bits each).

    Seeds are taken modulo 2**64. Not for secrets: it is a statistical generator.
    """
    rows = np.array([seed & 0xFFFFFFFFFFFFFFFF for seed in seeds], dtype=np.uint64)
    counters = np.arange(1, num_positions + 1, dtype=np.uint64) * _GOLDEN
    bits = _mix(_mix(rows)[:, None] + counters[None, :])
    return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def draw(logits_BV: torch.Tensor, uniforms_B: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """int64 [B]: one token per row. ``uniforms_B`` is float64; without effect at temperature 0 (greedy).

    ``top_k`` keeps the k largest logits and whatever equals the smallest of them. Works through the rows in chunks,
    so that the float64 cumulative sums of a large vocabulary never exist all at once.
    """
    if sampling.temperature == 0:
        return logits_BV.argmax(dim=-1)
    rows_per_chunk = max(1, _CHUNK_ELEMENTS // logits_BV.shape[1])
    chunks = zip(torch.split(logits_BV, rows_per_chunk), torch.split(uniforms_B, rows_per_chunk), strict=True)
    return torch.cat([_draw_chunk(logits, uniform, sampling) for logits, uniform in chunks])


def _draw_chunk(logits_BV: torch.Tensor, uniforms_B: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    logits_BV = logits_BV.float() / sampling.temperature
    if 0 < sampling.top_k < logits_BV.shape[1]:
        smallest_kept = logits_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < smallest_kept, -torch.inf)
    cumulative_BV = torch.softmax(logits_BV, dim=-1).cumsum(dim=-1, dtype=torch.float64)
    # Scaling by the real total keeps the threshold below it; `right` skips tokens of probability 0.
    threshold_B1 = uniforms_B[:, None] * cumulative_BV[:, -1:]
    return torch.searchsorted(cumulative_BV, threshold_B1, right=True)[:, 0].clamp_(max=logits_BV.shape[1] - 1)
