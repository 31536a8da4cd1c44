import dataclasses
import random

import pytest
import torch

from swarm.policy.base import Sampling
from swarm.policy.generate import Limits, generate
from swarm.policy.load import load_model

LIMITS = Limits()


@pytest.fixture(scope="module")
def loaded(model_directory):
    torch.set_num_threads(1)
    return load_model(model_directory)


@pytest.fixture(scope="module")
def prompts():
    draw = random.Random(1)
    return [tuple(draw.randrange(3, 259) for _ in range(draw.randrange(1, 40))) for _ in range(12)]


def pairs(prompts, num_samples):
    rows = [(prompt, 100 * number + sample) for number, prompt in enumerate(prompts) for sample in range(num_samples)]
    return [prompt for prompt, _ in rows], [seed for _, seed in rows]


def naive(loaded, prompt, seed, sampling):
    """One completion without cache, padding, batch or any of our code but the draw."""
    from swarm.policy.sample import draw, uniforms

    ids, points = list(prompt), uniforms([seed], sampling.max_new_tokens)
    for step in range(sampling.max_new_tokens):
        with torch.no_grad():
            logits = loaded.model(torch.tensor([ids])).logits[:, -1, : loaded.vocab_size]
        ids.append(int(draw(logits, points[:, step], sampling)))
        if ids[-1] in loaded.end_ids:
            break
    return tuple(ids[len(prompt) :])


@pytest.mark.parametrize("sampling", [Sampling(12), Sampling(12, 0.7, 5), Sampling(12, 0.0)])
def test_a_batch_draws_what_each_rollout_alone_would_draw(loaded, prompts, sampling):
    rows, seeds = pairs(prompts, 4)
    drawn = generate(loaded, rows, seeds, sampling, LIMITS)
    expected = [naive(loaded, prompt, seed, sampling) for prompt, seed in zip(rows, seeds, strict=True)]
    assert [completion.tokens for completion in drawn] == expected


def test_models_without_a_plain_mask_draw_the_same(loaded, prompts):
    generic = dataclasses.replace(loaded, plain_attention=False)
    rows, seeds = pairs(prompts, 3)
    assert generate(generic, rows, seeds, Sampling(10), LIMITS) == generate(loaded, rows, seeds, Sampling(10), LIMITS)


def test_order_and_cutting_into_batches_change_nothing(loaded, prompts):
    rows, seeds = pairs(prompts, 5)
    expected = dict(
        zip(zip(rows, seeds, strict=True), generate(loaded, rows, seeds, Sampling(10), LIMITS), strict=True)
    )
    shuffled = list(expected)
    random.Random(3).shuffle(shuffled)
    for limits in (Limits(max_rows=7), Limits(max_prompt_tokens=50), Limits(max_cache_bytes=100_000)):
        drawn = generate(loaded, [p for p, _ in shuffled], [s for _, s in shuffled], Sampling(10), limits)
        assert drawn == [expected[key] for key in shuffled]


def test_completions_stop_at_an_end_token_or_at_the_limit(loaded, prompts):
    eager = dataclasses.replace(loaded, end_ids=tuple(range(3, 60)))
    rows, seeds = pairs(prompts, 8)
    drawn = generate(eager, rows, seeds, Sampling(9), LIMITS)
    assert {len(completion.tokens) for completion in drawn} >= {1, 2, 3, 9}
    for completion in drawn:
        assert completion.ended == (completion.tokens[-1] in eager.end_ids)
        assert completion.ended or len(completion.tokens) == 9
        assert not set(completion.tokens[:-1]) & set(eager.end_ids)
    alone = [naive(eager, prompt, seed, Sampling(9)) for prompt, seed in zip(rows, seeds, strict=True)]
    assert [completion.tokens for completion in drawn] == alone


def test_ids_beyond_the_tokenizer_are_never_drawn(loaded, prompts):
    narrow = dataclasses.replace(loaded, vocab_size=40)
    rows, seeds = pairs(prompts, 8)
    drawn = generate(narrow, rows, seeds, Sampling(8), LIMITS)
    assert max(token for completion in drawn for token in completion.tokens) < 40


def test_each_distinct_prompt_is_computed_once(loaded, prompts, monkeypatch):
    shapes = []
    forward = loaded.model.forward

    def counting(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(loaded.model, "forward", counting)
    rows, seeds = pairs(prompts, 6)
    generate(loaded, rows, seeds, Sampling(2), LIMITS)
    assert shapes[0][0] == len(prompts)
    assert shapes[1][1] == 1
    assert len(shapes) == 2


def test_nothing_asked_nothing_drawn(loaded):
    assert generate(loaded, [], [], Sampling(4), LIMITS) == []
