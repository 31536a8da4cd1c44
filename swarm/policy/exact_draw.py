"""Why this module exists: completions drawn by the fused decoder, and checked by it in one teacher-forced pass.

Both walk over flat lists of tokens without padding. Slots of the cache: first every distinct prompt's tokens, then each
row's own. A rollout is a function of (weights, prompt, seed, sampling), so batches are cut to fit memory only.

Shapes: P prompts, B rows, N tokens of a pass, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from swarm.policy.base import Sampling
from swarm.policy.generate import Drawn, Ids
from swarm.policy.sums import digest_of, row_sums
from verde.numerics.decoder import Cache, Decoder, Tokens
from verde.numerics.sampling import NO_CLAIM, draw, seed_words

Array = np.ndarray[Any, Any]

_LOGIT_ELEMENTS = 1 << 21


@dataclass(frozen=True)
class Room:
    """What a batch may take: bytes of cache, and bytes of what is computed at once. Neither changes a bit."""

    max_cache_bytes: int = 64 << 20
    max_pass_bytes: int = 32 << 20


@dataclass(frozen=True)
class Vocabulary:
    """How many tokens may be drawn, and which of them end a completion."""

    size: int
    end_ids: tuple[int, ...]


def draw_rows(
    decoder: Decoder,
    vocabulary: Vocabulary,
    prompts: Sequence[Ids],
    seeds: Sequence[int],
    sampling: Sampling,
    room: Room,
) -> list[Drawn]:
    """One completion per (prompt, seed) pair, in order. Equal prompts share their work."""
    drawn: list[Drawn | None] = [None] * len(prompts)
    lengths = [sampling.max_new_tokens] * len(prompts)
    for rows in _batches(decoder, prompts, lengths, room):
        batch = _Batch(decoder, [prompts[row] for row in rows], lengths, room)
        completions = _draw_batch(batch, vocabulary, [seeds[row] for row in rows], sampling)
        for row, completion in zip(rows, completions, strict=True):
            drawn[row] = completion
    return [completion for completion in drawn if completion is not None]


def redraw_rows(
    decoder: Decoder,
    vocabulary: Vocabulary,
    prompts: Sequence[Ids],
    seeds: Sequence[int],
    claimed: Sequence[Ids],
    sampling: Sampling,
    room: Room,
) -> list[Drawn]:
    """For each claimed completion the tokens that would have been drawn after its first 0, 1, 2, … tokens.

    One more than claimed, up to ``max_new_tokens``: what comes after the last claimed token, too. Claimed ids lie in
    the vocabulary. The digest is over the logits before the claimed tokens: the one of who drew them.
    """
    redrawn: list[Drawn | None] = [None] * len(prompts)
    lengths = [len(tokens) for tokens in claimed]
    for rows in _batches(decoder, prompts, lengths, room):
        batch = _Batch(decoder, [prompts[row] for row in rows], [lengths[row] for row in rows], room)
        found = _redraw_batch(batch, vocabulary, [seeds[row] for row in rows], [claimed[row] for row in rows], sampling)
        for row, tokens in zip(rows, found, strict=True):
            redrawn[row] = tokens
    return [tokens for tokens in redrawn if tokens is not None]


def _batches(decoder: Decoder, prompts: Sequence[Ids], lengths: Sequence[int], room: Room) -> Iterator[list[int]]:
    """Row numbers of each batch; equal prompts stay together and count once."""
    order = sorted(range(len(prompts)), key=lambda row: (prompts[row], row))
    fits = max(1, room.max_cache_bytes // decoder.slot_bytes)
    batch: list[int] = []
    slots = 0
    for row in order:
        own = lengths[row] + (0 if batch and prompts[row] == prompts[batch[-1]] else len(prompts[row]))
        if batch and slots + own > fits:
            yield batch
            batch, slots, own = [], 0, lengths[row] + len(prompts[row])
        batch.append(row)
        slots += own
    if batch:
        yield batch


class _Batch:
    """A cache with its prompts computed. ``prompt_of_row``, and per prompt: ``first_P``, ``end_P`` (slots)."""

    def __init__(self, decoder: Decoder, prompts: Sequence[Ids], lengths: Sequence[int], room: Room) -> None:
        self.decoder, self.room = decoder, room
        distinct = list(dict.fromkeys(prompts))
        number = {prompt: index for index, prompt in enumerate(distinct)}
        self.prompt_of_row = np.array([number[prompt] for prompt in prompts])
        self.length_P = np.array([len(prompt) for prompt in distinct])
        self.end_P = np.cumsum(self.length_P)
        self.first_P = self.end_P - self.length_P
        self.num_slots = int(self.end_P[-1])
        self.own_first_B = self.num_slots + np.cumsum(lengths[: len(prompts)]) - np.array(lengths[: len(prompts)])
        self.cache: Cache = decoder.new_cache(self.num_slots + sum(lengths[: len(prompts)]))
        self._ids = np.array([token for prompt in distinct for token in prompt], dtype=np.int64)

    def prefill(self, vocab_size: int) -> torch.Tensor:
        """Logits [P, V] after each distinct prompt."""
        slot_N = np.arange(self.num_slots)
        prompt_N = np.repeat(np.arange(len(self.length_P)), self.length_P)
        first_N = self.first_P[prompt_N]
        none_N = np.zeros_like(slot_N)
        tokens = Tokens(self._ids, slot_N - first_N, slot_N, np.stack([first_N, slot_N + 1, none_N, none_N], 1))
        logits_PV = torch.empty(len(self.length_P), vocab_size, device=self.decoder.device)
        for start, stop in self._passes(self.end_P):
            x_NK = self.decoder.forward(part(tokens, start, stop), self.cache)
            inside = (self.end_P > start) & (self.end_P <= stop)
            logits = self.decoder.logits(x_NK, self.end_P[inside] - 1 - start)
            logits_PV[torch.from_numpy(inside).to(logits.device)] = logits
        return logits_PV

    def _passes(self, ends: Array) -> Iterator[tuple[int, int]]:
        """Token ranges that fit a pass: whole sequences (which end at ``ends``), in order."""
        most = max(1, self.room.max_pass_bytes // self.decoder.token_bytes)
        start = stop = 0
        for end in ends.tolist():
            if end - start > most and stop > start:
                yield start, stop
                start = stop
            stop = end
        if stop > start:
            yield start, stop

    def own(self, row_N: Array, offset_N: Array, ids_N: Array) -> Tokens:
        """Tokens number ``offset_N`` of the completions of some rows."""
        prompt_N, own_first_N = self.prompt_of_row[row_N], self.own_first_B[row_N]
        slot_N = own_first_N + offset_N
        ranges = np.stack([self.first_P[prompt_N], self.end_P[prompt_N], own_first_N, slot_N + 1], 1)
        return Tokens(ids_N, self.length_P[prompt_N] + offset_N, slot_N, ranges)


def _draw_batch(batch: _Batch, vocabulary: Vocabulary, seeds: Sequence[int], sampling: Sampling) -> list[Drawn]:
    num_rows = len(seeds)
    seed_B = seed_words(seeds)
    out_BT = np.zeros((num_rows, sampling.max_new_tokens), np.int64)
    sum_BT = np.zeros_like(out_BT)
    length_B = np.zeros(num_rows, np.int64)
    row_N = np.arange(num_rows)
    logits, source_N = batch.prefill(vocabulary.size), torch.from_numpy(batch.prompt_of_row)
    for step in range(sampling.max_new_tokens):
        sum_N = _sums(logits, source_N)
        token_N = draw(
            logits,
            seed_B[torch.from_numpy(row_N)],
            torch.full((len(row_N),), step),
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            row_N=source_N,
        )
        token_N = token_N.cpu().numpy()
        sum_BT[row_N, step] = sum_N.cpu().numpy()
        out_BT[row_N, step] = token_N
        length_B[row_N] = step + 1
        alive_N = ~np.isin(token_N, vocabulary.end_ids)
        row_N = row_N[alive_N]
        if len(row_N) == 0 or step == sampling.max_new_tokens - 1:
            break
        x_NK = batch.decoder.forward(batch.own(row_N, np.full_like(row_N, step), token_N[alive_N]), batch.cache)
        logits, source_N = batch.decoder.logits(x_NK), None
    ends = set(vocabulary.end_ids)
    rows = [tuple(tokens[:length]) for tokens, length in zip(out_BT.tolist(), length_B.tolist(), strict=True)]
    digests = [digest_of(sums[: len(row)]) for sums, row in zip(sum_BT.tolist(), rows, strict=True)]
    return [Drawn(row, bool(row) and row[-1] in ends, digest) for row, digest in zip(rows, digests, strict=True)]


def _redraw_batch(
    batch: _Batch, vocabulary: Vocabulary, seeds: Sequence[int], claimed: Sequence[Ids], sampling: Sampling
) -> list[Drawn]:
    seed_B = seed_words(seeds)
    length_B = np.array([len(tokens) for tokens in claimed])
    wanted_B = np.minimum(length_B + 1, sampling.max_new_tokens)
    found_BT = np.zeros((len(claimed), int(wanted_B.max(initial=0))), np.int64)
    sum_BT = np.zeros_like(found_BT)

    def check(logits: torch.Tensor, source_N: Array | None, row_N: Array, position_N: Array) -> None:
        claim = [(*claimed[row], NO_CLAIM)[place] for row, place in zip(row_N, position_N, strict=True)]
        sources = None if source_N is None else torch.from_numpy(source_N)
        sum_N = _sums(logits, sources)
        drawn = draw(
            logits,
            seed_B[torch.from_numpy(row_N)],
            torch.from_numpy(position_N),
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            row_N=sources,
            claim_N=torch.tensor(claim, dtype=torch.int64),
        )
        found_BT[row_N, position_N] = drawn.cpu().numpy()
        sum_BT[row_N, position_N] = sum_N.cpu().numpy()

    logits_PV = batch.prefill(vocabulary.size)
    first_N = np.flatnonzero(wanted_B > 0)
    check(logits_PV, batch.prompt_of_row[first_N], first_N, np.zeros_like(first_N))
    row_N = np.repeat(np.arange(len(claimed)), length_B)
    end_B = np.cumsum(length_B)
    offset_N = np.arange(len(row_N)) - np.repeat(end_B - length_B, length_B)
    ids_N = np.array([token for tokens in claimed for token in tokens], dtype=np.int64)
    rows_at_once = max(1, _LOGIT_ELEMENTS // vocabulary.size)
    for start, stop in batch._passes(end_B):
        x_NK = batch.decoder.forward(batch.own(row_N[start:stop], offset_N[start:stop], ids_N[start:stop]), batch.cache)
        asked = np.flatnonzero(offset_N[start:stop] + 1 < wanted_B[row_N[start:stop]])
        for at in range(0, len(asked), rows_at_once):
            some = asked[at : at + rows_at_once]
            logits = batch.decoder.logits(x_NK, some)
            check(logits, None, row_N[start:stop][some], offset_N[start:stop][some] + 1)
    digests = [digest_of(sums[: len(claim)]) for sums, claim in zip(sum_BT.tolist(), claimed, strict=True)]
    return [
        Drawn(tuple(tokens[:wanted]), False, digest)
        for tokens, wanted, digest in zip(found_BT.tolist(), wanted_B.tolist(), digests, strict=True)
    ]


def _sums(logits_PV: torch.Tensor, row_N: torch.Tensor | None) -> torch.Tensor:
    """Sums [N] over the bits of the logits before each token: those of row ``row_N``, or every row's own."""
    sum_P = row_sums(logits_PV)
    return sum_P if row_N is None else sum_P[row_N.to(sum_P.device)]


def part(tokens: Tokens, start: int, stop: int) -> Tokens:
    """Tokens ``start … stop`` of a list."""
    at = slice(start, stop)
    return Tokens(tokens.ids_N[at], tokens.position_N[at], tokens.slot_N[at], tokens.range_N4[at])
