"""Why this module exists: of a large model only adapters are trained, and logits of its vocabulary must not be what
decides how long a training pass may be.

Where the output matrix is frozen, its gradient is not wanted, and each row of logits is a matter of its own: a block of
rows at a time becomes log-probabilities, so that a pass is as long as a group of answers for any vocabulary.

Shapes: M rows of a pass that have logits, N completion tokens, H hidden, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from swarm.grpo.step import Sample
from swarm.policy.load import LoadedModel
from swarm.policy.packing import (
    Layout,
    by_sample,
    completion_log_probs,
    lay_out,
    model_inputs,
    native_log_probs,
    pass_bytes_per_token,
)
from swarm.policy.plan import HEADS_APART, NATIVE_LOGIT_WORDS, tokens_per_pass
from verde.numerics.head import Head, chosen_log_probs


def has_frozen_head(loaded: LoadedModel) -> bool:
    """Whether the model's logits are its hidden rows times a matrix that is not trained, and nothing else."""
    config, head = loaded.model.config, loaded.model.get_output_embeddings()
    return (
        config.model_type in HEADS_APART
        and type(head) is torch.nn.Linear
        and head.bias is None
        and not head.weight.requires_grad
        and getattr(config, "final_logit_softcapping", None) is None
    )


def longest_pass(loaded: LoadedModel) -> int:
    """Tokens of a pass of this model's training step (``plan.tokens_per_pass``)."""
    per_token = pass_bytes_per_token(loaded)
    return tokens_per_pass(per_token, loaded.vocab_size, is_head_frozen=has_frozen_head(loaded))


def exact_log_probs(loaded: LoadedModel, samples: Sequence[Sample], temperature: float = 1.0) -> torch.Tensor:
    """``packing.completion_log_probs`` inside ``exact(model)``, with the same bits and gradients, without a tensor of
    all logits where the head is frozen."""
    if not has_frozen_head(loaded):
        return completion_log_probs(loaded, samples, temperature)
    layout = lay_out(samples, share_prompts=loaded.plain_attention)
    head = Head(loaded.model.get_output_embeddings().weight, loaded.vocab_size, temperature)
    hidden_MH, row_N, token_N = _hidden(loaded, layout)
    return by_sample(samples, layout, chosen_log_probs(hidden_MH, head, row_N, token_N))


def plain_log_probs(loaded: LoadedModel, samples: Sequence[Sample], temperature: float = 1.0) -> torch.Tensor:
    """``packing.native_log_probs`` but for rounding, likewise."""
    if not has_frozen_head(loaded):
        return native_log_probs(loaded, samples, temperature)
    layout = lay_out(samples, share_prompts=loaded.plain_attention)
    weight_VH = loaded.model.get_output_embeddings().weight[: loaded.vocab_size]
    hidden_MH, row_N, token_N = _hidden(loaded, layout)
    chosen_N = _Chosen.apply(hidden_MH.index_select(0, row_N), weight_VH, token_N, temperature)  # type: ignore[no-untyped-call]
    return by_sample(samples, layout, chosen_N)


def _hidden(loaded: LoadedModel, layout: Layout) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(what the head would be given [M, H], for each completion token the row that predicts it, its id)."""
    num_kept = layout.num_kept
    hidden_RKH = loaded.model.base_model(**model_inputs(loaded, layout)).last_hidden_state[:, -num_kept:]
    row_N = layout.row_N * num_kept + layout.source_N
    return hidden_RKH.flatten(0, 1), row_N.to(loaded.device), layout.token_N.to(loaded.device)


class _Chosen(torch.autograd.Function):
    """Log-probabilities [N] of tokens by hidden rows [N, H]. Their gradients by the rows are computed along with them,
    so that no logits are computed twice: rounded at another place than autograd rounds."""

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: torch.Tensor, weight_VH: torch.Tensor, token_N: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        chosen_N = hidden_NH.new_empty(len(hidden_NH))
        slopes_NH = torch.empty_like(hidden_NH) if ctx.needs_input_grad[0] else None
        size = max(1, NATIVE_LOGIT_WORDS // len(weight_VH))
        for start in range(0, len(hidden_NH), size):
            rows = slice(start, start + size)
            z_BV = torch.nn.functional.linear(hidden_NH[rows], weight_VH)
            if temperature != 1.0:
                z_BV /= temperature
            z_BV -= torch.logsumexp(z_BV, dim=-1, keepdim=True)
            token_B1 = token_N[rows, None]
            chosen_N[rows] = z_BV.gather(1, token_B1)[:, 0]
            if slopes_NH is not None:
                share_BV = z_BV.exp_().neg_()
                share_BV.scatter_add_(1, token_B1, torch.ones_like(token_B1, dtype=share_BV.dtype))
                torch.mm(share_BV, weight_VH, out=slopes_NH[rows])
        if slopes_NH is not None:
            ctx.save_for_backward(slopes_NH if temperature == 1.0 else slopes_NH.div_(temperature))
        return chosen_N

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        (slopes_NH,) = ctx.saved_tensors
        return gradient[:, None] * slopes_NH, None, None, None
