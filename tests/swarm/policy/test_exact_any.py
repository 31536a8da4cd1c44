"""Models without a fused decoder draw, check and learn through their own forward pass, with the same guarantees."""

import random

import msgspec
import pytest

from swarm.policy.base import SampleRequest, Sampling
from swarm.policy.exact import ExactEngine
from swarm.policy.load import load_model
from tests.swarm.policy.test_architectures import make_family
from tests.swarm.policy.test_exact import PROMPTS, REQUESTS, RULES, rollouts

SAMPLING = Sampling(8)


@pytest.fixture(params=["gpt2", "mistral"])
def engine(request, tmp_path):
    return ExactEngine(load_model(make_family(request.param, tmp_path)), RULES)


def test_honest_completions_pass_and_changed_ones_do_not(engine):
    assert engine._current_decoder() is None
    completions = engine.generate(REQUESTS, SAMPLING)
    assert engine.first_differences(REQUESTS, SAMPLING, completions) == [None] * len(REQUESTS)
    changed = [msgspec.structs.replace(c, tokens=(*c.tokens[:-1], (c.tokens[-1] + 1) % 259)) for c in completions]
    assert engine.first_differences(REQUESTS, SAMPLING, changed) == [len(c.tokens) - 1 for c in completions]


def test_neither_batch_nor_order_change_a_rollout(engine):
    requests = [SampleRequest(prompt, 50 + k) for prompt in PROMPTS for k in range(3)]
    expected = dict(zip(requests, engine.generate(requests, SAMPLING), strict=True))
    order = random.Random(1).sample(requests, 12)
    for start in range(0, 12, 5):
        part = order[start : start + 5]
        assert engine.generate(part, SAMPLING) == [expected[request] for request in part]


def test_a_step_is_repeated_bit_for_bit(engine):
    samples = rollouts(engine)
    auditor = engine.replica(engine.parts())
    for one in (engine, auditor):
        one.step(samples, 5)
    assert auditor.state_hash() == engine.state_hash()


def test_the_slow_path_and_the_fused_decoder_agree(model_directory, monkeypatch):
    engine = ExactEngine(load_model(model_directory), RULES)
    fused = engine.generate(REQUESTS, SAMPLING)
    assert engine._current_decoder() is not None
    monkeypatch.setattr(engine, "_current_decoder", lambda: None)
    assert engine.generate(REQUESTS, SAMPLING) == fused
    assert engine.first_differences(REQUESTS, SAMPLING, fused) == [None] * len(REQUESTS)
    yielded = [completion.digest for completion in fused]
    assert [found.digest for found in engine.redraw(REQUESTS, SAMPLING, fused)] == yielded
    assert [completion.digest for completion in engine.generate(REQUESTS, SAMPLING)] == yielded
