"""Large models learn through thin matrices beside their own: small states, equal bits everywhere, a base untouched."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest
import torch

from protocol.errors import ConfigError
from protocol.run import LearnRules
from swarm.policy.base import FULL_TRAINING_CAP, ChatMessage, Completion, SampleRequest, Sampling, TrainSample
from swarm.policy.engine import genesis
from swarm.policy.exact import ExactEngine
from swarm.policy.lora import open_model
from swarm.policy.native import NativeEngine
from tests.swarm.policy.test_architectures import make_family

RANK = 4
RULES = LearnRules(0, 2, 10**6, 200_000_000, 280_000_000, 4 * 10**9, 0, 0, 10**9, lora_rank=RANK)
PROMPTS = [(ChatMessage("user", f"{number} + 1 ="),) for number in range(3)]
REQUESTS = [SampleRequest(PROMPTS[number % 3], seed) for seed, number in enumerate(range(6))]
SAMPLING = Sampling(max_new_tokens=9)


@pytest.fixture
def engine(model_directory) -> ExactEngine:
    return ExactEngine.open(model_directory, RULES)


def learn(engine, *, advantages=(1.0, -1.0)):
    drawn = engine.generate(REQUESTS, SAMPLING)
    samples = [
        TrainSample(request.prompt, completion.tokens, advantages[number % 2])
        for number, (request, completion) in enumerate(zip(REQUESTS, drawn, strict=True))
    ]
    return engine.step(samples, seed=5)


def test_the_state_is_small_and_the_first_one_computes_what_the_model_computes(engine, model_directory):
    full = ExactEngine.open(model_directory, _rules(lora_rank=0))
    assert engine.num_parameters < full.num_parameters / 3
    assert all("lora_" in name for name in engine._state.names)
    assert engine.generate(REQUESTS, SAMPLING) == full.generate(REQUESTS, SAMPLING)


def test_a_step_changes_the_adapters_and_nothing_else(engine):
    frozen = {n: p.clone() for n, p in engine._loaded.model.named_parameters() if not p.requires_grad}
    before, text = engine.state_hash(), engine.generate(REQUESTS, SAMPLING)
    for _ in range(3):
        learn(engine)
    assert engine.state_hash() != before
    assert all(torch.equal(p, frozen[n]) for n, p in engine._loaded.model.named_parameters() if n in frozen)
    assert len(frozen) > 10
    assert engine.generate(REQUESTS, SAMPLING) != text


def test_two_machines_learn_the_same_bits(engine, model_directory):
    other = ExactEngine.open(model_directory, RULES)
    learn(engine)
    learn(other)
    assert engine.state_hash() == other.state_hash()


def test_the_fused_decoder_draws_what_the_unmodified_model_draws(engine, monkeypatch):
    learn(engine)
    fused = engine.generate(REQUESTS, SAMPLING)
    assert engine._decoder is not None
    assert any(layer.heads.adapters for layer in engine._decoder._plan.layers)
    monkeypatch.setattr("swarm.policy.exact.decoder_of", lambda *_: None)
    engine._decoder_version = ()
    assert engine.generate(REQUESTS, SAMPLING) == fused


def test_a_prefill_checks_a_rollout_and_finds_a_changed_token(engine):
    learn(engine)
    drawn = engine.generate(REQUESTS, SAMPLING)
    assert engine.first_differences(REQUESTS, SAMPLING, drawn) == [None] * len(drawn)
    tokens = (drawn[0].tokens[0], (drawn[0].tokens[1] + 1) % 40, *drawn[0].tokens[2:])
    drawn[0] = Completion(tokens, "", drawn[0].ended)
    assert engine.first_differences(REQUESTS, SAMPLING, drawn)[0] == 1


def test_an_auditor_repeats_the_step_from_the_shipped_state_and_shares_the_base(engine):
    learn(engine)
    parts = engine.parts()
    replica = engine.replica(parts)
    assert replica.state_hash() == engine.state_hash()
    shared = dict(engine._loaded.model.named_parameters())
    theirs = dict(replica._loaded.model.named_parameters())
    assert all((theirs[name] is p) != p.requires_grad for name, p in shared.items())
    before = engine.state_hash()
    learn(replica)
    assert engine.state_hash() == before
    learn(engine)
    assert replica.state_hash() == engine.state_hash()


def test_a_state_survives_saving_and_belongs_to_one_base_and_rank(engine, model_directory, tmp_path):
    learn(engine)
    engine.save(tmp_path / "state")
    again = ExactEngine.open(model_directory, RULES)
    again.load(tmp_path / "state")
    assert again.state_hash() == engine.state_hash()
    other = shutil.copytree(model_directory, tmp_path / "other")
    _change_a_weight(other)
    for stranger in (ExactEngine.open(other, RULES), ExactEngine.open(model_directory, _rules(lora_rank=8))):
        with pytest.raises(ConfigError):
            stranger.load(tmp_path / "state")


def _rules(**changed):
    return msgspec.structs.replace(RULES, **changed)


def _change_a_weight(directory):
    from safetensors.torch import load_file, save_file

    (file,) = directory.glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if "q_proj" in name)
    tensors[name][0, 0] += 1
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("family", ["qwen3", "gemma3_text", "gpt2", "mistral"])
def test_every_family_learns_so_with_or_without_a_fused_decoder(family, tmp_path, monkeypatch):
    engine = ExactEngine.open(make_family(family, tmp_path), RULES)
    assert engine.num_parameters > 0
    learn(engine)
    auditor = engine.replica(engine.parts())
    drawn = engine.generate(REQUESTS, SAMPLING)
    assert auditor.first_differences(REQUESTS, SAMPLING, drawn) == [None] * len(drawn)
    monkeypatch.setattr("swarm.policy.exact.decoder_of", lambda *_: None)
    auditor._decoder_version = ()
    assert auditor.generate(REQUESTS, SAMPLING) == drawn
    for one in (engine, auditor):
        learn(one)
    assert auditor.state_hash() == engine.state_hash()


def test_a_run_is_named_after_base_and_rank(model_directory, tmp_path):
    first = genesis(model_directory, RANK)
    assert first == genesis(model_directory, RANK)
    assert first.state == ExactEngine.open(model_directory, RULES).state_hash()
    assert first.state == NativeEngine.open(model_directory, RULES).state_hash()
    assert first.lora_rank == RANK
    other = shutil.copytree(model_directory, tmp_path / "other")
    _change_a_weight(other)
    names = {first.state, genesis(model_directory, 8).state, genesis(model_directory).state, genesis(other, RANK).state}
    assert len(names) == 4


def test_small_models_are_trained_whole_unless_somebody_chose(model_directory, monkeypatch):
    assert open_model(model_directory, lora_rank=None)[1] == 0
    monkeypatch.setattr("swarm.policy.lora.FULL_TRAINING_CAP", 1000)
    assert open_model(model_directory, lora_rank=None)[1] == 8
    assert FULL_TRAINING_CAP == 50_000_000


def test_a_model_without_linear_maps_is_refused(model_directory, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("No modules were targeted")

    monkeypatch.setattr("peft.inject_adapter_in_model", refuse)
    with pytest.raises(ConfigError, match=r"learn\.lora_rank 0"):
        open_model(model_directory, lora_rank=4)


def test_the_native_engine_learns_through_adapters_too(model_directory):
    engine = NativeEngine.open(model_directory, RULES)
    before = engine.state_hash()
    learn(engine)
    assert engine.state_hash() != before
    assert json.dumps(engine._state.names).count("lora_A") * 2 == len(engine._state.names)
