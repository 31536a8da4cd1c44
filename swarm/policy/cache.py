"""Why this module exists: appending one token must not copy the whole key-value cache.

The library's growing cache concatenates keys and values of every layer at every token. Here each layer owns a buffer
for the final length, new columns are written in place, and attention reads a view of the filled part.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from swarm.policy.load import LoadedModel


class _BufferedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values [B, heads, filled, width] as views of buffers that hold up to ``capacity`` columns."""

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._capacity = capacity
        self._filled = 0
        self._key_buffer = self._value_buffer = torch.empty(0)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_buffer, self._value_buffer = self._buffer_for(key_states), self._buffer_for(value_states)
        start, self._filled = self._filled, self._filled + key_states.shape[2]
        self._key_buffer[:, :, start : self._filled] = key_states
        self._value_buffer[:, :, start : self._filled] = value_states
        self.keys = self._key_buffer[:, :, : self._filled]
        self.values = self._value_buffer[:, :, : self._filled]
        return self.keys, self.values

    def _buffer_for(self, states: torch.Tensor, num_rows: int | None = None) -> torch.Tensor:
        rows, heads, _, width = states.shape
        return states.new_empty((rows if num_rows is None else num_rows, heads, self._capacity, width))

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keep, drop or repeat rows: row i becomes the old row ``beam_idx[i]``."""
        for name in ("keys", "values"):
            states = getattr(self, name)
            buffer = self._buffer_for(states, beam_idx.shape[0])
            buffer[:, :, : self._filled] = states.index_select(0, beam_idx)
            setattr(self, f"_{name[:-1]}_buffer", buffer)
            setattr(self, name, buffer[:, :, : self._filled])


def new_cache(loaded: LoadedModel, capacity: int) -> Any:
    """An empty cache for up to ``capacity`` tokens per row. Rows are selected with ``reorder_cache``.

    Models with sliding-window or recurrent layers get the library's own cache, which knows their shapes.
    """
    if not loaded.plain_attention:
        return DynamicCache(config=loaded.model.config)
    num_layers = loaded.model.config.get_text_config(decoder=True).num_hidden_layers
    return Cache(layers=[_BufferedLayer(capacity) for _ in range(num_layers)])
