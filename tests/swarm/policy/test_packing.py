import dataclasses
import random

import pytest
import torch

from swarm.grpo.step import Sample
from swarm.policy.load import load_model
from swarm.policy.packing import completion_log_probs, native_log_probs


@pytest.fixture(scope="module")
def loaded(model_directory):
    torch.set_num_threads(1)
    return load_model(model_directory)


@pytest.fixture(scope="module")
def samples():
    draw = random.Random(2)
    groups = []
    for _ in range(5):
        prompt = tuple(draw.randrange(3, 259) for _ in range(draw.randrange(1, 30)))
        groups += [
            Sample(prompt, tuple(draw.randrange(259) for _ in range(draw.randrange(0, 15))), 1.0) for _ in range(4)
        ]
    return groups


def naive(loaded, sample, temperature=1.0):
    logits = loaded.model(torch.tensor([[*sample.prompt, *sample.tokens]])).logits[0, :, : loaded.vocab_size]
    values = torch.log_softmax(logits / temperature, dim=-1)[len(sample.prompt) - 1 : -1]
    return values.gather(1, torch.tensor(sample.tokens, dtype=torch.long)[:, None])[:, 0]


@pytest.mark.parametrize("log_probs", [completion_log_probs, native_log_probs])
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probs_are_those_of_separate_rows(loaded, samples, plain, temperature, log_probs):
    values = log_probs(dataclasses.replace(loaded, plain_attention=plain), samples, temperature)
    for row, sample in zip(values, samples, strict=True):
        torch.testing.assert_close(row[: len(sample.tokens)], naive(loaded, sample, temperature), atol=2e-5, rtol=1e-5)
        assert not row[len(sample.tokens) :].any()


@pytest.mark.parametrize("log_probs", [completion_log_probs, native_log_probs])
def test_gradients_are_those_of_separate_rows(loaded, samples, log_probs):
    parameters = list(loaded.model.parameters())
    weights = torch.randn(len(samples), generator=torch.Generator().manual_seed(1))
    packed = torch.autograd.grad((log_probs(loaded, samples).sum(1) * weights).sum(), parameters)
    apart = torch.autograd.grad(
        sum(naive(loaded, sample).sum() * weight for sample, weight in zip(samples, weights, strict=True)), parameters
    )
    for one, other in zip(packed, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_a_row_is_cut_when_it_grows_too_long(loaded, samples, monkeypatch):
    expected = completion_log_probs(loaded, samples)
    monkeypatch.setattr("swarm.policy.packing._ROW_TOKENS", 20)
    torch.testing.assert_close(completion_log_probs(loaded, samples), expected, atol=2e-5, rtol=1e-5)
