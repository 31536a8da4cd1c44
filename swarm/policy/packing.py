"""Why this module exists: in training, a group's prompt is computed once for all of its completions.

Samples with the same prompt share one row: the prompt, then every completion side by side. A mask lets each completion
see the prompt and itself only, and position ids restart after the prompt, so the numbers are those of separate rows at
a fraction of the work. Models whose layers cannot take such a mask get one padded row per sample instead.

Shapes: R rows, B samples, L columns, P columns of (left-padded) prompt, T completion positions, N completion tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from swarm.grpo.step import Sample
from swarm.policy.load import LoadedModel

_ROW_TOKENS = 768
"""Completion tokens side by side in one row; attention within a row is quadratic in them."""

_PADDING = -1


def completion_log_probs(loaded: LoadedModel, samples: Sequence[Sample], temperature: float = 1.0) -> torch.Tensor:
    """Teacher-forced log-probabilities float32 [B, T] of the samples' tokens; 0 beyond a sample's length.

    Differentiable. ``temperature`` is that of the policy whose log-probabilities are wanted (logits are divided by it).
    """
    layout = lay_out(samples, share_prompts=loaded.plain_attention)
    logits_RKV = _logits(loaded, layout)
    if temperature != 1.0:
        logits_RKV = logits_RKV / temperature
    device = loaded.device
    row_N, source_N = layout.row_N.to(device), layout.source_N.to(device)
    chosen_N = logits_RKV[row_N, source_N, layout.token_N.to(device)]
    chosen_N = chosen_N - torch.logsumexp(logits_RKV, dim=-1)[row_N, source_N]
    return by_sample(samples, layout, chosen_N)


def native_log_probs(loaded: LoadedModel, samples: Sequence[Sample], temperature: float = 1.0) -> torch.Tensor:
    """``completion_log_probs`` but for rounding, for torch's own arithmetic: padding has no exponentials, and torch's
    loss keeps one tensor of logits for the way back instead of several. (The order of exact arithmetic is fixed.)"""
    layout = lay_out(samples, share_prompts=loaded.plain_attention)
    logits_RKV = _logits(loaded, layout)
    row_N, source_N = layout.row_N.to(loaded.device), layout.source_N.to(loaded.device)
    logits_NV = logits_RKV.flatten(0, 1).index_select(0, row_N * logits_RKV.shape[1] + source_N)
    if temperature != 1.0:
        logits_NV = logits_NV / temperature
    chosen_N = -torch.nn.functional.cross_entropy(logits_NV, layout.token_N.to(loaded.device), reduction="none")
    return by_sample(samples, layout, chosen_N)


def completion_logits(
    loaded: LoadedModel, samples: Sequence[Sample]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Teacher-forced logits float32 [N, V] that predict the samples' tokens, sample by sample, and for each of the N
    tokens its sample and its position."""
    layout = lay_out(samples, share_prompts=loaded.plain_attention)
    logits_RKV = _logits(loaded, layout)
    row_N, source_N = layout.row_N.to(loaded.device), layout.source_N.to(loaded.device)
    return logits_RKV[row_N, source_N], layout.sample_N, layout.offset_N


def by_sample(samples: Sequence[Sample], layout: Layout, chosen_N: torch.Tensor) -> torch.Tensor:
    """[B, T] of what there is per token; 0 elsewhere."""
    length = max(len(sample.tokens) for sample in samples)
    blank_BT: torch.Tensor = chosen_N.new_zeros((len(samples), length))
    place = (layout.sample_N.to(chosen_N.device), layout.offset_N.to(chosen_N.device))
    return blank_BT.index_put(place, chosen_N)


def _logits(loaded: LoadedModel, layout: Layout) -> torch.Tensor:
    """[R, K, V] from the last prompt column on."""
    num_kept = layout.num_kept
    logits_RKV: torch.Tensor = loaded.model(**model_inputs(loaded, layout), logits_to_keep=num_kept).logits
    return logits_RKV[:, -num_kept:, : loaded.vocab_size].float()


def model_inputs(loaded: LoadedModel, layout: Layout) -> dict[str, Any]:
    """What the model, or its decoder, is called with."""
    device = loaded.device
    inputs: dict[str, Any] = {"input_ids": layout.ids_RL.to(device), "use_cache": False}
    if not loaded.plain_attention:
        return {**inputs, "attention_mask": (layout.segment_RL != _PADDING).long().to(device)}
    mask = _mask(layout.segment_RL.to(device))
    return {**inputs, "attention_mask": mask, "position_ids": layout.position_RL.to(device)}


def pass_bytes_per_token(loaded: LoadedModel) -> int:
    """A high estimate of the bytes that a forward and backward pass keeps per token: 24 hidden and 8 feed-forward
    vectors per layer, and logits with their gradients. Llamas of 1M and 3M parameters were seen to need half to all
    of it; attention masks of very long rows come on top."""
    return layer_bytes_per_token(loaded) + 16 * loaded.vocab_size


def layer_bytes_per_token(loaded: LoadedModel) -> int:
    """The part of it that layers keep."""
    config = loaded.model.config.get_text_config(decoder=True)
    feed_forward = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(4 * config.num_hidden_layers * (24 * config.hidden_size + 8 * feed_forward))


@dataclass(frozen=True)
class Layout:
    """One micro-batch in rows. ``segment_RL``: 0 prompt, k > 0 the row's k-th completion, -1 padding.

    For each completion token: its row, the kept column that predicts it (0 is the last prompt column), its id, and
    where it belongs in [B, T].
    """

    ids_RL: torch.Tensor
    position_RL: torch.Tensor
    segment_RL: torch.Tensor
    num_prompt_columns: int
    row_N: torch.Tensor
    source_N: torch.Tensor
    token_N: torch.Tensor
    sample_N: torch.Tensor
    offset_N: torch.Tensor

    @property
    def num_kept(self) -> int:
        """Columns that have logits."""
        return self.ids_RL.shape[1] - self.num_prompt_columns + 1


def _rows(samples: Sequence[Sample], share_prompts: bool) -> list[list[int]]:
    """Which samples sit in which row: runs of equal prompts, cut at ``_ROW_TOKENS``."""
    rows: list[list[int]] = []
    num_tokens = 0
    for number, sample in enumerate(samples):
        fits = (
            share_prompts
            and number > 0
            and samples[number - 1].prompt == sample.prompt
            and num_tokens + len(sample.tokens) <= _ROW_TOKENS
        )
        if fits:
            rows[-1].append(number)
            num_tokens += len(sample.tokens)
        else:
            rows.append([number])
            num_tokens = len(sample.tokens)
    return rows


def lay_out(samples: Sequence[Sample], share_prompts: bool) -> Layout:
    """Where every token of a micro-batch sits. ``share_prompts=False``: one row per sample."""
    rows = _rows(samples, share_prompts)
    num_prompt = max(len(samples[row[0]].prompt) for row in rows)
    num_columns = num_prompt + max(sum(len(samples[number].tokens) for number in row) for row in rows)
    shape = (len(rows), num_columns)
    # In numpy: under exact arithmetic, every small tensor would pass through the dispatcher.
    ids, positions, segments = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, _PADDING, np.int64)
    places: list[list[int]] = [[], [], [], [], []]
    for number_of_row, row in enumerate(rows):
        prompt = samples[row[0]].prompt
        start = num_prompt - len(prompt)
        ids[number_of_row, start:num_prompt] = prompt
        positions[number_of_row, start:num_prompt] = np.arange(len(prompt))
        segments[number_of_row, start:num_prompt] = 0
        column = num_prompt
        for segment, number in enumerate(row, start=1):
            tokens = samples[number].tokens
            length = len(tokens)
            end = column + length
            ids[number_of_row, column:end] = tokens
            positions[number_of_row, column:end] = np.arange(len(prompt), len(prompt) + length)
            segments[number_of_row, column:end] = segment
            places[0] += [number_of_row] * length
            places[1] += [0, *range(column - num_prompt + 1, end - num_prompt)] if length else []
            places[2] += tokens
            places[3] += [number] * length
            places[4] += range(length)
            column = end
    grid = [torch.from_numpy(x) for x in (ids, positions, segments)]
    return Layout(*grid, num_prompt, *(torch.from_numpy(np.array(place, np.int64)) for place in places))


def _mask(segment_RL: torch.Tensor) -> torch.Tensor:
    """Boolean [R, 1, L, L]: a token sees earlier tokens of its prompt and of its own completion, and itself."""
    column_L = torch.arange(segment_RL.shape[1], device=segment_RL.device)
    before_LL = column_L[:, None] >= column_L[None, :]
    key_R1L, query_RL1 = segment_RL[:, None, :], segment_RL[:, :, None]
    related_RLL = (key_R1L == 0) | (key_R1L == query_RL1)
    itself_LL = column_L[:, None] == column_L[None, :]  # padding must attend to something
    return ((before_LL & related_RLL & (key_R1L != _PADDING)) | itself_LL)[:, None]
