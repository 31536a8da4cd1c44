"""Why this module exists: work of an engine without exact results is checked by how well a prefill agrees with it.

A rollout's seed fixes one uniform number per position, and its token is the one in whose share of the distribution
that number falls (``swarm.policy.sample``). On another machine the shares are the same but for rounding, so an honest
number misses its token's share by a millionth at most. Another token, seed, temperature or other weights, and the best
of several tries, miss by far more, at some position. Log-probabilities alone would not see the best of several tries.

Shapes: N tokens of a batch, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from swarm.grpo.step import Sample
from swarm.policy.base import Completion, Sampling
from swarm.policy.load import LoadedModel
from swarm.policy.packing import completion_logits
from swarm.policy.sample import uniforms

Ids = tuple[int, ...]

_LOGIT_ELEMENTS = 1 << 22

SURE = 1.0
"""The miss of what nobody can have drawn."""


def misses(
    loaded: LoadedModel,
    prompts: Sequence[Ids],
    seeds: Sequence[int],
    completions: Sequence[Completion],
    sampling: Sampling,
) -> list[float]:
    """See ``swarm.policy.base.Tolerant.misses``."""
    ends = set(loaded.end_ids)
    found = [_implausible(completion, loaded.vocab_size, ends, sampling) for completion in completions]
    rows = [row for row, miss in enumerate(found) if miss == 0 and completions[row].tokens]
    rows.sort(key=lambda row: (prompts[row], row))
    at_once = max(1, _LOGIT_ELEMENTS // (loaded.vocab_size * max(1, sampling.max_new_tokens)))
    with torch.no_grad():
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            samples = [Sample(prompts[row], completions[row].tokens, 0.0) for row in part]
            for row, miss in zip(part, _missed(loaded, samples, [seeds[row] for row in part], sampling), strict=True):
                found[row] = miss
    return found


def _implausible(completion: Completion, vocab_size: int, ends: set[int], sampling: Sampling) -> float:
    """1 for what no drawing gives, whatever the weights: its ids, where it ends, its length, its flag."""
    tokens = completion.tokens
    is_known = all(0 <= token < vocab_size for token in tokens)
    has_ended = bool(tokens) and tokens[-1] in ends
    goes_on = any(token in ends for token in tokens[:-1])
    is_whole = has_ended or len(tokens) == sampling.max_new_tokens
    fits = len(tokens) <= sampling.max_new_tokens
    return 0.0 if is_known and is_whole and fits and not goes_on and completion.ended == has_ended else SURE


def _missed(loaded: LoadedModel, samples: Sequence[Sample], seeds: Sequence[int], sampling: Sampling) -> list[float]:
    logits_NV, sample_N, offset_N = completion_logits(loaded, samples)
    token_N = torch.tensor([token for sample in samples for token in sample.tokens], device=logits_NV.device)
    if sampling.temperature == 0:
        probability_NV = torch.softmax(logits_NV, dim=-1)
        chosen_N = probability_NV.gather(1, token_N[:, None])[:, 0]
        miss_N = probability_NV.max(dim=-1).values - chosen_N
    else:
        miss_N = _distance(logits_NV, token_N, uniforms_of(seeds, sample_N, offset_N).to(logits_NV.device), sampling)
    worst_B = torch.zeros(len(samples), dtype=torch.float64)
    worst_B.scatter_reduce_(0, sample_N.cpu(), miss_N.double().cpu(), "amax")
    return [SURE if value != value else value for value in worst_B.tolist()]  # NaN: nothing was drawn from that


def uniforms_of(seeds: Sequence[int], sample_N: torch.Tensor, offset_N: torch.Tensor) -> torch.Tensor:
    """float64 [N]: the number that each token's seed fixes for its position."""
    longest = int(offset_N.max()) + 1
    return uniforms(seeds, longest)[sample_N.cpu(), offset_N.cpu()]


def _distance(
    logits_NV: torch.Tensor, token_N: torch.Tensor, uniform_N: torch.Tensor, sampling: Sampling
) -> torch.Tensor:
    """float64 [N]: how far the number lies outside of the token's share; 0 inside."""
    scaled_NV = logits_NV / sampling.temperature
    if 0 < sampling.top_k < scaled_NV.shape[1]:
        smallest_N1 = scaled_NV.topk(sampling.top_k, dim=-1).values[:, -1:]
        scaled_NV = scaled_NV.masked_fill(scaled_NV < smallest_N1, -torch.inf)
    cumulative_NV = torch.softmax(scaled_NV, dim=-1).cumsum(dim=-1, dtype=torch.float64)
    cumulative_NV = cumulative_NV / cumulative_NV[:, -1:]
    upper_N = cumulative_NV.gather(1, token_N[:, None])[:, 0]
    before_N1 = (token_N - 1).clamp_(min=0)[:, None]
    lower_N = torch.where(token_N > 0, cumulative_NV.gather(1, before_N1)[:, 0], torch.zeros_like(upper_N))
    return torch.maximum(lower_N - uniform_N, uniform_N - upper_N).clamp_(min=0.0)
