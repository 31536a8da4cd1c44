"""Why this module exists: samples of one prompt should read that prompt's keys and values once, not once each.

While tokens are drawn, most of attention's time goes into reading the prompt. Here the prompts' keys and values exist
once; each row adds only its own new tokens. A pass multiplies all of a prompt's rows with its keys in one product, and
one softmax runs over prompt and new tokens together, so the result is that of separate rows.

Shapes: P prompts, L padded prompt columns, B rows, S rows per prompt at most, H query heads, K key-value heads,
G = H / K, D head width, N new tokens so far.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION_NAME = "shared_prompt"
"""What ``model.set_attn_implementation`` takes. Outside of ``SharedPromptCache.decoding`` it is plain SDPA."""

_active = threading.local()


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """First the prompts' keys and values; once ``grow`` was called, those of new tokens, in place in a buffer."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prompt_keys = self.prompt_values = torch.empty(0)
        self._buffers: list[torch.Tensor] = []
        self._filled = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self._buffers:
            self.prompt_keys, self.prompt_values = key_states.contiguous(), value_states.contiguous()
            return key_states, value_states
        start, self._filled = self._filled, self._filled + key_states.shape[2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start : self._filled] = states
        keys, values = (buffer[:, :, : self._filled] for buffer in self._buffers)
        return keys, values

    def grow(self, num_rows: int, num_new: int) -> None:
        self._buffers = [
            states.new_empty((num_rows, states.shape[1], num_new, states.shape[3]))
            for states in (self.prompt_keys, self.prompt_values)
        ]

    def keep(self, rows: torch.Tensor, prompts: torch.Tensor | None) -> None:
        self._buffers = [buffer.index_select(0, rows) for buffer in self._buffers]
        if prompts is not None:
            self.prompt_keys = self.prompt_keys.index_select(0, prompts)
            self.prompt_values = self.prompt_values.index_select(0, prompts)


class SharedPromptCache(Cache):
    """Compute the prompts with it, then ``start``; then pass one token per row inside ``decoding``."""

    def __init__(self, num_layers: int) -> None:
        self._own_layers = [_Layer() for _ in range(num_layers)]
        super().__init__(layers=list(self._own_layers))

    def start(self, prompt_of_row: torch.Tensor, real_PL: torch.Tensor, num_new: int) -> None:
        """Rows [B] name their prompts, in ascending order. ``real_PL`` is false at padding. Up to N = ``num_new``."""
        bias_PL = torch.zeros(real_PL.shape, device=real_PL.device).masked_fill_(~real_PL, -torch.inf)
        self._bias_PL = None if bool(real_PL.all()) else bias_PL
        self._num_prompts = real_PL.shape[0]
        for layer in self._own_layers:
            layer.grow(len(prompt_of_row), num_new)
        self._place(prompt_of_row)

    def keep(self, rows: torch.Tensor) -> None:
        """Only ``rows`` (indices, ascending) go on; prompts without rows are dropped."""
        prompts, prompt_of_row = torch.unique(self._prompt_of_row[rows], return_inverse=True)
        dropped = len(prompts) < self._num_prompts
        for layer in self._own_layers:
            layer.keep(rows, prompts if dropped else None)
        if dropped:
            self._bias_PL = None if self._bias_PL is None else self._bias_PL[prompts]
            self._num_prompts = len(prompts)
        self._place(prompt_of_row)

    def _place(self, prompt_of_row: torch.Tensor) -> None:
        """Give each row a slot: prompt * S + its number among the prompt's rows."""
        counts = torch.bincount(prompt_of_row, minlength=self._num_prompts)
        number = torch.arange(len(prompt_of_row), device=counts.device) - (counts.cumsum(0) - counts)[prompt_of_row]
        self._prompt_of_row = prompt_of_row
        self._num_slots = int(counts.max())
        self._is_full = self._num_slots * self._num_prompts == len(prompt_of_row)
        self._slot_of_row = prompt_of_row * self._num_slots + number

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Within this context the model's attention (on this thread) is ``attend`` of this cache."""
        _active.cache = self
        try:
            yield
        finally:
            _active.cache = None

    def attend(
        self, layer_idx: int, query_BH1D: torch.Tensor, key_BKND: torch.Tensor, value_BKND: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention output [B, 1, H, D] of one new token per row over its prompt and its own new tokens."""
        layer = self._own_layers[layer_idx]
        num_rows, num_heads, _, width = query_BH1D.shape
        num_kv_heads, num_columns = layer.prompt_keys.shape[1:3]
        query_BKGD = (query_BH1D * scale).view(num_rows, num_kv_heads, num_heads // num_kv_heads, width)
        new_scores = self._by_prompt(torch.matmul(query_BKGD, key_BKND.transpose(2, 3)))
        prompt_scores = torch.bmm(self._by_prompt(query_BKGD), layer.prompt_keys.flatten(0, 1).transpose(1, 2))
        if self._bias_PL is not None:
            prompt_scores.view(self._num_prompts, -1, num_columns).add_(self._bias_PL[:, None])
        weights = torch.softmax(torch.cat([prompt_scores, new_scores], dim=-1), dim=-1)
        from_prompt = torch.bmm(weights[..., :num_columns], layer.prompt_values.flatten(0, 1))
        output_BKGD = torch.matmul(self._by_row(weights[..., num_columns:], num_kv_heads), value_BKND)
        output_BKGD += self._by_row(from_prompt, num_kv_heads)
        return output_BKGD.view(num_rows, 1, num_heads, width)

    def _by_prompt(self, rows_BKGX: torch.Tensor) -> torch.Tensor:
        """[B, K, G, X] to [P * K, S * G, X]; slots without a row hold zeros."""
        _, num_kv_heads, num_grouped, size = rows_BKGX.shape
        if not self._is_full:
            slots = rows_BKGX.new_zeros((self._num_prompts * self._num_slots, num_kv_heads, num_grouped, size))
            rows_BKGX = slots.index_copy_(0, self._slot_of_row, rows_BKGX)
        split = rows_BKGX.view(self._num_prompts, self._num_slots, num_kv_heads, num_grouped, size)
        return split.transpose(1, 2).reshape(self._num_prompts * num_kv_heads, self._num_slots * num_grouped, size)

    def _by_row(self, slots: torch.Tensor, num_kv_heads: int) -> torch.Tensor:
        """[P * K, S * G, X] to [B, K, G, X]: the inverse of ``_by_prompt``."""
        size = slots.shape[-1]
        split = slots.reshape(self._num_prompts, num_kv_heads, self._num_slots, -1, size).transpose(1, 2)
        rows = split.reshape(self._num_prompts * self._num_slots, num_kv_heads, -1, size)
        return rows if self._is_full else rows.index_select(0, self._slot_of_row)


class RepeatedPromptCache(DynamicCache):
    """For models with other than plain attention layers: the library's own cache, the prompt copied for each row."""

    def start(self, prompt_of_row: torch.Tensor, real_PL: torch.Tensor, num_new: int) -> None:
        self.keep(prompt_of_row)

    def keep(self, rows: torch.Tensor) -> None:
        self.reorder_cache(rows)  # type: ignore[arg-type]

    @contextmanager
    def decoding(self) -> Iterator[None]:
        yield


def _attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    cache: SharedPromptCache | None = getattr(_active, "cache", None)
    if cache is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
    return cache.attend(module.layer_idx, query, key, value, scale), None


AttentionInterface.register(ATTENTION_NAME, _attention)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
