"""Why this module exists: sampling takes most of a peer's time, so it has its own loop around the model's forward.

Requests are sorted by prompt length and cut into batches that fit a memory budget. In a batch every distinct prompt is
computed once and its cache repeated for its samples; then one token per row and pass, with finished rows taken out.

Shapes: P prompts, B rows, L padded prompt length, T new tokens, V vocabulary. Prompts are padded on the left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from swarm.policy.base import Sampling
from swarm.policy.cache import new_cache
from swarm.policy.load import LoadedModel
from swarm.policy.sample import draw, uniforms

Ids = tuple[int, ...]

_COMPACT_BELOW = 0.75
"""Rows are copied to leave finished ones behind when at most this share of them is still alive."""


@dataclass(frozen=True)
class Limits:
    """What one batch may hold: rows, prompt tokens computed at once, and bytes of key-value cache."""

    max_rows: int = 512
    max_prompt_tokens: int = 16_384
    max_cache_bytes: int = 128 << 20


@dataclass(frozen=True)
class Drawn:
    """Token ids of one completion; ``ended`` when the last one is an end token."""

    tokens: Ids
    ended: bool


def generate(
    loaded: LoadedModel, prompts: Sequence[Ids], seeds: Sequence[int], sampling: Sampling, limits: Limits
) -> list[Drawn]:
    """One completion per (prompt, seed) pair, in order. Prompts are token ids; equal ones share their work."""
    drawn: list[Drawn | None] = [None] * len(prompts)
    with torch.inference_mode():
        for rows in _batches(loaded, prompts, sampling, limits):
            batch = _Batch(loaded, [prompts[row] for row in rows], [seeds[row] for row in rows], sampling)
            for row, completion in zip(rows, batch.run(), strict=True):
                drawn[row] = completion
    return [completion for completion in drawn if completion is not None]


def cache_bytes_per_token(config: Any) -> int:
    """Bytes of float32 keys and values that one token adds over all layers."""
    text = config.get_text_config(decoder=True)
    num_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(2 * 4 * text.num_hidden_layers * num_heads * width)


def _batches(loaded: LoadedModel, prompts: Sequence[Ids], sampling: Sampling, limits: Limits) -> Iterator[list[int]]:
    """Row numbers of each batch: sorted by prompt length, so little is padded; equal prompts stay together."""
    order = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row]), prompts[row], row))
    bytes_per_token = cache_bytes_per_token(loaded.model.config)
    batch: list[int] = []
    distinct: set[Ids] = set()
    longest = 0
    for row in order:
        prompt = prompts[row]
        longest = longest or len(prompt)  # sorted: the first prompt of a batch is its longest
        rows_that_fit = limits.max_cache_bytes // (bytes_per_token * (longest + sampling.max_new_tokens))
        too_many_rows = len(batch) >= max(1, min(limits.max_rows, rows_that_fit))
        too_many_tokens = prompt not in distinct and (len(distinct) + 1) * longest > limits.max_prompt_tokens
        if batch and (too_many_rows or too_many_tokens):
            yield batch
            batch, distinct, longest = [], set(), len(prompt)
        batch.append(row)
        distinct.add(prompt)
    if batch:
        yield batch


class _Batch:
    """The state of one batch while it is drawn. Rows of the tensors are the completions that are still computed."""

    def __init__(self, loaded: LoadedModel, prompts: list[Ids], seeds: list[int], sampling: Sampling) -> None:
        self._loaded, self._sampling = loaded, sampling
        self._distinct = list(dict.fromkeys(prompts))
        index = {prompt: number for number, prompt in enumerate(self._distinct)}
        device = loaded.device
        self._prompt_of_row = torch.tensor([index[prompt] for prompt in prompts], device=device)
        self._prompt_length = torch.tensor([len(prompt) for prompt in self._distinct], device=device)
        self._uniforms_BT = uniforms(seeds, sampling.max_new_tokens).to(device)
        self._ends = torch.tensor(loaded.end_ids, device=device, dtype=torch.long)
        self._width = max(len(prompt) for prompt in self._distinct)
        self._cache = new_cache(loaded, self._width + sampling.max_new_tokens)

    def run(self) -> list[Drawn]:
        num_rows, num_new = self._uniforms_BT.shape
        logits_BV = self._prefill().index_select(0, self._prompt_of_row)
        self._cache.reorder_cache(self._prompt_of_row)
        out_BT = torch.zeros((num_rows, num_new), dtype=torch.long, device=logits_BV.device)
        length_B = torch.zeros(num_rows, dtype=torch.long, device=logits_BV.device)
        row_B = torch.arange(num_rows, device=logits_BV.device)
        position_B1 = self._prompt_length.index_select(0, self._prompt_of_row)[:, None]
        self._mask = self._decode_mask()
        uniforms_BT = self._uniforms_BT
        alive_B = torch.ones(num_rows, dtype=torch.bool, device=logits_BV.device)
        for step in range(num_new):
            token_B = draw(logits_BV, uniforms_BT[:, step], self._sampling)
            out_BT[row_B, step] = token_B
            length_B[row_B] += alive_B
            alive_B = alive_B & ~torch.isin(token_B, self._ends)
            num_alive = int(alive_B.sum())
            if num_alive == 0 or step == num_new - 1:
                break
            if num_alive <= _COMPACT_BELOW * len(alive_B):
                kept = alive_B.nonzero()[:, 0]
                self._cache.reorder_cache(kept)
                self._mask = self._mask.index_select(0, kept)
                row_B, token_B, position_B1 = row_B[kept], token_B[kept], position_B1[kept]
                uniforms_BT, alive_B = uniforms_BT[kept], alive_B[kept]
            logits_BV = self._forward(token_B[:, None], position_B1 + step, self._mask_until(self._width + step + 1))
        return self._collect(out_BT, length_B)

    def _prefill(self) -> torch.Tensor:
        """Logits [P, V] of the first new token of each distinct prompt."""
        ids_PL = torch.zeros((len(self._distinct), self._width), dtype=torch.long)
        for row, prompt in enumerate(self._distinct):
            ids_PL[row, self._width - len(prompt) :] = torch.tensor(prompt)
        column_L = torch.arange(self._width, device=self._loaded.device)
        start_P1 = self._width - self._prompt_length[:, None]
        self._real_PL = column_L >= start_P1
        position_PL = (column_L - start_P1).clamp_(min=0)
        mask = self._real_PL.long()
        if self._loaded.plain_attention:
            before_LL = column_L[:, None] >= column_L[None, :]
            itself_LL = column_L[:, None] == column_L[None, :]  # padding must attend to something
            mask = ((before_LL & self._real_PL[:, None, :]) | itself_LL)[:, None]
        return self._forward(ids_PL.to(self._loaded.device), position_PL, mask)

    def _decode_mask(self) -> torch.Tensor:
        """Which columns of the cache each row reads: its prompt without padding, and every new token."""
        real_BL = self._real_PL.index_select(0, self._prompt_of_row)
        return torch.nn.functional.pad(real_BL, (0, self._sampling.max_new_tokens), value=True)

    def _mask_until(self, num_columns: int) -> torch.Tensor:
        mask = self._mask[:, :num_columns]
        return mask[:, None, None] if self._loaded.plain_attention else mask.long()

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        output = self._loaded.model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **({"position_ids": positions} if self._loaded.plain_attention else {}),
        )
        logits: torch.Tensor = output.logits
        return logits[:, -1, : self._loaded.vocab_size]

    def _collect(self, out_BT: torch.Tensor, length_B: torch.Tensor) -> list[Drawn]:
        ends = set(self._loaded.end_ids)
        completions = []
        for tokens, length in zip(out_BT.tolist(), length_B.tolist(), strict=True):
            row = tuple(tokens[:length])
            completions.append(Drawn(row, bool(row) and row[-1] in ends))
        return completions
