"""Why this module exists: models without a fused decoder are drawn and checked through their own forward pass.

Under ``verde.numerics.mode.exact`` that is slower than a fused decoder, with the bits that the arithmetic defines.
Prompts of one batch are equally long, so that nothing is padded on the left and models count their positions alike.

Shapes: P prompts, B rows, L columns, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache

from swarm.policy.base import Sampling
from swarm.policy.exact_draw import Vocabulary
from swarm.policy.generate import Drawn, Ids, cache_bytes_per_token
from swarm.policy.load import LoadedModel
from swarm.policy.sums import digest_of, row_sums
from verde.numerics.sampling import NO_CLAIM, draw, seed_words

_MAX_ROWS = 64
_LOGIT_ELEMENTS = 1 << 24


def draw_rows(
    loaded: LoadedModel,
    vocabulary: Vocabulary,
    prompts: Sequence[Ids],
    seeds: Sequence[int],
    sampling: Sampling,
    max_cache_bytes: int,
) -> list[Drawn]:
    """As ``exact_draw.draw_rows``; called inside ``exact(model)``."""
    drawn: list[Drawn | None] = [None] * len(prompts)
    with torch.no_grad():
        for rows in _batches(loaded, prompts, sampling.max_new_tokens, max_cache_bytes):
            found = _draw_batch(
                loaded, vocabulary, [prompts[row] for row in rows], [seeds[row] for row in rows], sampling
            )
            for row, completion in zip(rows, found, strict=True):
                drawn[row] = completion
    return [completion for completion in drawn if completion is not None]


def redraw_rows(
    loaded: LoadedModel,
    vocabulary: Vocabulary,
    prompts: Sequence[Ids],
    seeds: Sequence[int],
    claimed: Sequence[Ids],
    sampling: Sampling,
    max_cache_bytes: int,
) -> list[Drawn]:
    """As ``exact_draw.redraw_rows``; called inside ``exact(model)``."""
    redrawn: list[Drawn | None] = [None] * len(prompts)
    longest = max((len(tokens) for tokens in claimed), default=0)
    with torch.no_grad():
        for rows in _batches(loaded, prompts, longest, max_cache_bytes):
            part = [[*prompts[row], *claimed[row]] for row in rows]
            ids_BL = torch.zeros((len(rows), max(map(len, part))), dtype=torch.long)
            for number, ids in enumerate(part):
                ids_BL[number, : len(ids)] = torch.tensor(ids)
            start = len(prompts[rows[0]]) - 1
            kept = ids_BL.shape[1] - start
            logits_BLV = loaded.model(input_ids=ids_BL.to(loaded.device), use_cache=False, logits_to_keep=kept).logits
            for number, row in enumerate(rows):
                wanted = min(len(claimed[row]) + 1, sampling.max_new_tokens)
                claim = [*claimed[row], NO_CLAIM][:wanted]
                logits = logits_BLV[number, -kept:][:wanted, : vocabulary.size].contiguous()
                sums = row_sums(logits)[: len(claimed[row])].tolist()
                found = draw(
                    logits,
                    seed_words([seeds[row]] * wanted),
                    torch.arange(wanted),
                    temperature=sampling.temperature,
                    top_k=sampling.top_k,
                    claim_N=torch.tensor(claim, dtype=torch.int64),
                )
                redrawn[row] = Drawn(tuple(found.tolist()), False, digest_of(sums))
    return [found for found in redrawn if found is not None]


def _batches(loaded: LoadedModel, prompts: Sequence[Ids], extra: int, max_cache_bytes: int) -> Iterator[list[int]]:
    """Row numbers of equally long prompts that fit the cache and the logits."""
    fits = max_cache_bytes // cache_bytes_per_token(loaded.model.config)
    by_length: dict[int, list[int]] = {}
    for row in sorted(range(len(prompts)), key=lambda row: (prompts[row], row)):
        by_length.setdefault(len(prompts[row]), []).append(row)
    for length, rows in sorted(by_length.items()):
        size = min(_MAX_ROWS, fits // (length + extra), _LOGIT_ELEMENTS // (loaded.vocab_size * (extra + 1)))
        for start in range(0, len(rows), max(1, size)):
            yield rows[start : start + max(1, size)]


def _draw_batch(
    loaded: LoadedModel, vocabulary: Vocabulary, prompts: Sequence[Ids], seeds: Sequence[int], sampling: Sampling
) -> list[Drawn]:
    cache = DynamicCache(config=loaded.model.config)
    distinct = list(dict.fromkeys(prompts))
    prompt_of_row = torch.tensor([distinct.index(prompt) for prompt in prompts])
    prompt_of_row = prompt_of_row.to(loaded.device)
    logits_BV = _forward(loaded, vocabulary, torch.tensor(distinct, device=loaded.device), cache)[prompt_of_row]
    cache.reorder_cache(prompt_of_row)  # type: ignore[arg-type]
    seed_B, rows = seed_words(seeds), torch.arange(len(prompts))
    tokens: list[list[int]] = [[] for _ in prompts]
    sums: list[list[int]] = [[] for _ in prompts]
    for step in range(sampling.max_new_tokens):
        total_B = row_sums(logits_BV)
        token_B = draw(
            logits_BV.contiguous(),
            seed_B[rows],
            torch.full((len(rows),), step),
            temperature=sampling.temperature,
            top_k=sampling.top_k,
        ).cpu()
        for row, token, total in zip(rows.tolist(), token_B.tolist(), total_B.tolist(), strict=True):
            tokens[row].append(token)
            sums[row].append(total)
        kept = (~torch.isin(token_B, torch.tensor(vocabulary.end_ids, dtype=torch.long))).nonzero()[:, 0]
        if len(kept) == 0 or step == sampling.max_new_tokens - 1:
            break
        if len(kept) < len(rows):
            cache.reorder_cache(kept.to(loaded.device))  # type: ignore[arg-type]
            rows, token_B = rows[kept], token_B[kept]
        logits_BV = _forward(loaded, vocabulary, token_B[:, None].to(loaded.device), cache)
    ends = set(vocabulary.end_ids)
    return [
        Drawn(tuple(row), bool(row) and row[-1] in ends, digest_of(total))
        for row, total in zip(tokens, sums, strict=True)
    ]


def _forward(loaded: LoadedModel, vocabulary: Vocabulary, ids_BL: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
    output = loaded.model(input_ids=ids_BL, past_key_values=cache, use_cache=True, logits_to_keep=1)
    logits_B1V: torch.Tensor = output.logits
    return logits_B1V[:, -1, : vocabulary.size]
