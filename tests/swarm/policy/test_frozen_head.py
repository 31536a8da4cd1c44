"""Adapters learn the same bits whether logits are all there at once or come and go, and their passes are long."""

from __future__ import annotations

import random

import pytest
import torch

from swarm.grpo.step import Sample
from swarm.policy import plan
from swarm.policy.engine import trainable
from swarm.policy.exact import ExactEngine
from swarm.policy.frozen_head import exact_log_probs, has_frozen_head, longest_pass, plain_log_probs
from swarm.policy.generate import Limits
from swarm.policy.load import LoadedModel, load_model
from swarm.policy.lora import open_model
from swarm.policy.native import NativeEngine
from swarm.policy.packing import completion_log_probs, native_log_probs, pass_bytes_per_token
from swarm.policy.plan import FROZEN_HEAD_TOKENS, HEADS_APART, tokens_per_pass
from swarm.policy.recompute import layers_of
from tests.swarm.policy.test_architectures import make_family, make_random_model
from tests.swarm.policy.test_lora import RULES, learn
from tests.swarm.policy.test_lora import _rules as rules_with
from verde.numerics import exact, head

SIZES = {
    "vocab_size": 264,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


@pytest.fixture(scope="module", params=sorted(HEADS_APART))
def loaded(request, tmp_path_factory) -> LoadedModel:
    """Adapters whose second matrices are not zero: else the first ones' gradients would all be."""
    loaded, _ = open_model(make_random_model(request.param, tmp_path_factory.mktemp("families"), **SIZES), lora_rank=2)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in trainable(loaded)[1]:
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / 8)
    return loaded


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    draw = random.Random(2)
    return [
        Sample(prompt, tuple(draw.randrange(3, 20) for _ in range(draw.randrange(0, 7))), 1.0)
        for prompt in [tuple(draw.randrange(3, 259) for _ in range(length)) for length in (4, 9)]
        for _ in range(3)
    ]


def passed(log_probs, loaded, samples, temperature=1.0) -> list[torch.Tensor]:
    """Log-probabilities, and what is learned from them."""
    values = log_probs(loaded, samples, temperature)
    draw = random.Random(5)
    weight = torch.tensor([[draw.gauss(0, 1) for _ in row] for row in values])
    parameters = trainable(loaded)[1]
    return [values.detach(), *torch.autograd.grad((values * weight).sum(), parameters)]


@pytest.mark.parametrize(("rows", "temperature"), [(1, 1.0), (5, 1.0), (5, 0.7), (1000, 0.7)])
def test_a_pass_by_blocks_has_the_bits_of_all_logits_at_once(loaded, samples, rows, temperature, monkeypatch):
    monkeypatch.setattr("verde.numerics.head.BLOCK_ROWS", rows)
    monkeypatch.setattr("verde.numerics.head.BLOCK_WORDS", 0)
    assert has_frozen_head(loaded)
    with exact(loaded.model):
        mine = passed(exact_log_probs, loaded, samples, temperature)
        whole = passed(completion_log_probs, loaded, samples, temperature)
    assert all(gradient.any() for gradient in mine)
    for one, other in zip(mine, whole, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_native_log_probs_and_gradients_agree_but_for_rounding(loaded, samples, temperature, monkeypatch):
    monkeypatch.setattr("swarm.policy.frozen_head.NATIVE_LOGIT_WORDS", 5 * SIZES["vocab_size"])
    mine = passed(plain_log_probs, loaded, samples, temperature)
    whole = passed(native_log_probs, loaded, samples, temperature)
    torch.testing.assert_close(mine[0], whole[0], atol=2e-5, rtol=1e-5)
    for one, other in zip(mine[1:], whole[1:], strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm()


def test_the_native_engine_has_long_passes_and_computes_layers_twice_where_its_passes_would_be_short(
    model_directory, monkeypatch
):
    monkeypatch.setattr("swarm.policy.plan.PASS_BYTES", 1)
    usual = NativeEngine.open(model_directory, RULES, limits=Limits(max_pass_bytes=1))
    report = learn(usual)
    monkeypatch.setattr("swarm.policy.plan.GROUP_LOGIT_WORDS", 1)
    long = NativeEngine.open(model_directory, RULES, limits=Limits(max_pass_bytes=1))
    layer_type = type(layers_of(long._loaded.model)[0])
    calls, forward = [], layer_type.forward
    monkeypatch.setattr(layer_type, "forward", lambda self, *a, **k: (calls.append(1), forward(self, *a, **k))[1])
    full = NativeEngine.open(model_directory, rules_with(lora_rank=0), limits=Limits(max_pass_bytes=1))
    found = learn(long)
    assert (usual._tokens_per_pass, long._tokens_per_pass, full._tokens_per_pass) == (512, FROZEN_HEAD_TOKENS, 128)
    assert (found.loss, found.grad_norm) == pytest.approx((report.loss, report.grad_norm), rel=1e-4, abs=1e-5)
    assert calls


@pytest.mark.parametrize("engine_type", [ExactEngine, NativeEngine])
def test_an_engine_learns_the_same_by_blocks(model_directory, monkeypatch, engine_type):
    by_blocks = engine_type.open(model_directory, RULES)
    report = learn(by_blocks)
    calls: list[int] = []
    for function in ("completion_log_probs", "native_log_probs"):
        own = globals()[function]
        monkeypatch.setattr(
            f"swarm.policy.frozen_head.{function}", lambda *given, own=own: (calls.append(1), own(*given))[1]
        )
    whole = engine_type.open(model_directory, RULES)
    monkeypatch.setattr("swarm.policy.frozen_head.has_frozen_head", lambda loaded: False)
    assert by_blocks._tokens_per_pass == whole._tokens_per_pass
    whole_report = learn(whole)
    assert calls
    if engine_type is ExactEngine:
        assert (by_blocks.state_hash(), report) == (whole.state_hash(), whole_report)
    assert whole_report.loss == pytest.approx(report.loss, abs=1e-5)
    assert whole_report.grad_norm == pytest.approx(report.grad_norm, rel=1e-3)


def test_only_a_frozen_matrix_is_apart_and_only_its_passes_are_longer(model_directory, monkeypatch):
    full, adapters = load_model(model_directory), open_model(model_directory, lora_rank=2)[0]
    assert (has_frozen_head(full), has_frozen_head(adapters)) == (False, True)
    monkeypatch.setattr("swarm.policy.plan.PASS_BYTES", 1)
    monkeypatch.setattr("swarm.policy.plan.GROUP_LOGIT_WORDS", 300 * full.vocab_size)
    assert (longest_pass(full), longest_pass(adapters)) == (300, FROZEN_HEAD_TOKENS)
    assert longest_pass(full) == tokens_per_pass(pass_bytes_per_token(full), full.vocab_size)


def test_the_plan_counts_the_blocks_that_are_computed():
    assert (head.BLOCK_ROWS, head.BLOCK_WORDS) == (plan.LOGIT_BLOCK_ROWS, plan.LOGIT_BLOCK_WORDS)


def test_a_model_that_does_more_to_its_logits_keeps_them(tmp_path):
    assert not has_frozen_head(open_model(make_family("gpt2", tmp_path), lora_rank=2)[0])
    softcapped, _ = open_model(make_random_model("gemma3_text", tmp_path, **SIZES), lora_rank=2)
    softcapped.model.config.final_logit_softcapping = 30.0
    assert not has_frozen_head(softcapped)
