"""Why this module exists: sampling takes most of a peer's time, so it has its own loop around the model's forward.

Requests are sorted by prompt length and cut into batches that fit a memory budget. In a batch every distinct prompt is
computed once for all of its samples; then one token per row and pass, with finished rows taken out.

Shapes: P prompts, B rows, L padded prompt length, T new tokens, V vocabulary. Prompts are padded on the left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from swarm.policy.base import Sampling
from swarm.policy.cache import RepeatedPromptCache, SharedPromptCache
from swarm.policy.load import LoadedModel
from swarm.policy.sample import draw, uniforms

Ids = tuple[int, ...]

_MASK_IN_CACHE = torch.ones((1, 1, 1, 1), dtype=torch.bool)
"""Four dimensions tell the model not to build a mask: while decoding, the shared cache knows what each row reads."""

_LEAST_CACHE_BYTES = 128 << 10
"""Where drawing does not fit with so little, it does not fit at all."""

_COMPACT_BELOW = 0.75
"""Rows are copied to leave finished ones behind when at most this share of them is still alive."""


@dataclass(frozen=True)
class Limits:
    """What a batch may hold while drawing (rows, prompt tokens computed at once, bytes of key-value cache), and roughly
    what one forward and backward pass of training may keep where that is more than ``plan.tokens_per_pass`` gives (of
    the native engine; the exact engine's drawing keeps to it, too). The defaults let a peer with a small model stay
    below 700 MB; a GPU wants larger ones. ``max_pass_bytes`` decides the native engine's micro-batches, so it is part
    of its step's arithmetic.
    """

    max_rows: int = 256
    max_prompt_tokens: int = 8192
    max_cache_bytes: int = 64 << 20
    max_pass_bytes: int = 32 << 20

    def halved(self) -> Limits | None:
        """Half as much at once, for drawing only (``max_pass_bytes`` stays); ``None`` when that is hardly anything."""
        if self.max_cache_bytes <= _LEAST_CACHE_BYTES:
            return None
        return dataclasses.replace(
            self,
            max_rows=max(1, self.max_rows // 2),
            max_prompt_tokens=max(1, self.max_prompt_tokens // 2),
            max_cache_bytes=self.max_cache_bytes // 2,
        )


@dataclass(frozen=True)
class Drawn:
    """Token ids of one completion; ``ended`` when the last one is an end token. ``digest``: of the logits before each
    token, where the arithmetic is exact."""

    tokens: Ids
    ended: bool
    digest: bytes = b""


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
    tokens_that_fit = limits.max_cache_bytes // cache_bytes_per_token(loaded.model.config)
    batch: list[int] = []
    num_distinct, longest = 0, 0
    for row in order:
        is_new = not batch or prompts[row] != prompts[batch[-1]]
        longest = longest or len(prompts[row])  # sorted: the first prompt of a batch is its longest
        num_prompts = num_distinct + is_new if loaded.plain_attention else len(batch) + 1
        num_tokens = num_prompts * longest + (len(batch) + 1) * sampling.max_new_tokens
        too_many_prompts = (num_distinct + is_new) * longest > limits.max_prompt_tokens
        if batch and (len(batch) >= limits.max_rows or too_many_prompts or num_tokens > tokens_that_fit):
            yield batch
            batch, num_distinct, longest, is_new = [], 0, len(prompts[row]), True
        batch.append(row)
        num_distinct += is_new
    if batch:
        yield batch


class _Batch:
    """One batch while it is drawn. Its rows come sorted by prompt."""

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
        config = loaded.model.config
        self._cache = (
            SharedPromptCache(config.get_text_config(decoder=True).num_hidden_layers)
            if loaded.plain_attention
            else RepeatedPromptCache(config=config)
        )

    def run(self) -> list[Drawn]:
        """Draw every row to its end. Rows of the tensors below are the completions that are still computed."""
        num_rows, num_new = self._uniforms_BT.shape
        logits_BV, real_PL = self._prefill()
        logits_BV = logits_BV.index_select(0, self._prompt_of_row)
        self._cache.start(self._prompt_of_row, real_PL, num_new)
        device = logits_BV.device
        out_BT = torch.zeros((num_rows, num_new), dtype=torch.long, device=device)
        length_B = torch.zeros(num_rows, dtype=torch.long, device=device)
        row_B = torch.arange(num_rows, device=device)
        alive_B = torch.ones(num_rows, dtype=torch.bool, device=device)
        with self._cache.decoding():
            for step in range(num_new):
                token_B = draw(logits_BV, self._uniforms_BT[row_B, step], self._sampling)
                out_BT[row_B, step] = token_B
                length_B[row_B] += alive_B
                alive_B = alive_B & ~torch.isin(token_B, self._ends)
                num_alive = int(alive_B.sum())
                if num_alive == 0 or step == num_new - 1:
                    break
                if num_alive <= _COMPACT_BELOW * len(alive_B):
                    kept = alive_B.nonzero()[:, 0]
                    self._cache.keep(kept)
                    row_B, token_B, alive_B = row_B[kept], token_B[kept], alive_B[kept]
                prompt_B = self._prompt_of_row[row_B]
                mask = self._decode_mask(real_PL, prompt_B, step + 1)
                logits_BV = self._forward(token_B[:, None], self._prompt_length[prompt_B, None] + step, mask)
        return self._collect(out_BT, length_B)

    def _prefill(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [P, V] of the first new token of each distinct prompt, and where its columns [P, L] are no padding."""
        ids_PL = torch.zeros((len(self._distinct), self._width), dtype=torch.long)
        for row, prompt in enumerate(self._distinct):
            ids_PL[row, self._width - len(prompt) :] = torch.tensor(prompt)
        column_L = torch.arange(self._width, device=self._loaded.device)
        start_P1 = self._width - self._prompt_length[:, None]
        real_PL = column_L >= start_P1
        position_PL = (column_L - start_P1).clamp_(min=0)
        mask = real_PL.long()
        if self._loaded.plain_attention:
            before_LL = column_L[:, None] >= column_L[None, :]
            itself_LL = column_L[:, None] == column_L[None, :]  # padding must attend to something
            mask = ((before_LL & real_PL[:, None, :]) | itself_LL)[:, None]
        return self._forward(ids_PL.to(self._loaded.device), position_PL, mask), real_PL

    def _decode_mask(self, real_PL: torch.Tensor, prompt_B: torch.Tensor, num_new: int) -> torch.Tensor:
        """Which columns each row reads: its prompt without padding, and its new tokens."""
        if self._loaded.plain_attention:
            return _MASK_IN_CACHE.to(real_PL.device)
        return torch.nn.functional.pad(real_PL[prompt_B].long(), (0, num_new), value=1)

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
