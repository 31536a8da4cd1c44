import subprocess
import sys

import msgspec
import pytest
import torch

from protocol.errors import ConfigError
from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, Engine, SampleRequest, Sampling, TrainSample
from swarm.policy.engine import genesis
from swarm.policy.native import NativeEngine

RULES = LearnRules(
    num_external=0,
    num_updates=2,
    learning_rate_nano=3_000_000,
    epsilon_low_nano=200_000_000,
    epsilon_high_nano=280_000_000,
    delta_nano=4_000_000_000,
    beta_nano=0,
    weight_decay_nano=0,
    max_grad_norm_nano=1_000_000_000,
)
PROMPTS = [(ChatMessage("user", f"What is {number}?"),) for number in range(4)]
REQUESTS = [SampleRequest(prompt, 10 * number + k) for number, prompt in enumerate(PROMPTS) for k in range(4)]


@pytest.fixture
def engine(model_directory):
    return NativeEngine.open(model_directory, RULES)


def rollouts(engine):
    completions = engine.generate(REQUESTS, Sampling(8))
    # A made-up taste: even first tokens are good.
    return [
        TrainSample(request.prompt, completion.tokens, 1.0 if completion.tokens[0] % 2 == 0 else -1.0)
        for request, completion in zip(REQUESTS, completions, strict=True)
    ]


def test_it_is_an_engine_whose_texts_can_be_checked(engine):
    checked: Engine = engine
    for completion in checked.generate(REQUESTS, Sampling(8)):
        assert completion.text == checked.text_of(completion.tokens)
        assert 1 <= len(completion.tokens) <= 8


def test_the_first_state_is_the_genesis_state_of_the_model(engine, model_directory):
    assert engine.state_hash() == genesis(model_directory).state
    assert engine.state_hash() == NativeEngine.open(model_directory, RULES).state_hash()


def test_tied_weights_are_one_parameter(engine):
    assert engine.num_parameters == sum(p.numel() for p in engine._loaded.model.parameters())
    assert "lm_head.weight" not in engine._state.names


def test_log_probs_are_those_of_the_tokens_drawn(engine):
    samples = rollouts(engine)
    rows = engine.log_probs(samples)
    assert [len(row) for row in rows] == [len(sample.tokens) for sample in samples]
    ids = engine._text.encode(samples[0].prompt)
    with torch.no_grad():
        logits = engine._loaded.model(torch.tensor([[*ids, *samples[0].tokens]])).logits[0, :, :259]
    expected = [
        torch.log_softmax(logits[len(ids) - 1 + place], -1)[token].item()
        for place, token in enumerate(samples[0].tokens)
    ]
    assert rows[0] == pytest.approx(expected, abs=1e-4)


def test_training_makes_the_rewarded_likelier(engine):
    samples = rollouts(engine)
    before = engine.log_probs(samples)
    for seed in range(6):
        report = engine.step(samples, seed)
    after = engine.log_probs(samples)
    gain = sum(s.advantage * (sum(b) - sum(a)) for s, a, b in zip(samples, before, after, strict=True))
    assert gain > 1
    assert report.num_updates == 2
    assert report.grad_norm > 0


def test_a_step_is_determined_by_state_samples_and_seed(model_directory):
    engines = [NativeEngine.open(model_directory, RULES) for _ in range(3)]
    samples = rollouts(engines[0])
    for engine, seed in zip(engines, (1, 1, 2), strict=True):
        engine.step(samples, seed)
    first, second, third = (engine.state_hash() for engine in engines)
    assert first == second
    assert first != third


def test_a_saved_state_continues_as_if_nothing_had_happened(engine, model_directory, tmp_path):
    samples = rollouts(engine)
    engine.step(samples, 1)
    engine.save(tmp_path / "state")
    restarted = NativeEngine.open(model_directory, RULES)
    restarted.load(tmp_path / "state")
    assert restarted.state_hash() == engine.state_hash()
    for one in (engine, restarted):
        one.step(samples, 2)
    assert restarted.state_hash() == engine.state_hash()
    assert restarted.generate(REQUESTS, Sampling(8)) == engine.generate(REQUESTS, Sampling(8))


def test_the_reference_stays_while_the_policy_moves(model_directory):
    engine = NativeEngine.open(model_directory, msgspec.structs.replace(RULES, beta_nano=100_000_000))
    samples = rollouts(engine)
    frozen = [parameter.clone() for parameter in engine._reference.model.parameters()]
    engine.step(samples, 1)
    assert all(map(torch.equal, frozen, engine._reference.model.parameters()))
    assert not torch.equal(frozen[0], engine._state.parameters[0])


def test_foreign_ids_are_refused_before_anything_changes(engine):
    before = engine.state_hash()
    with pytest.raises(ValueError, match="must lie in"):
        engine.step([*rollouts(engine), TrainSample(PROMPTS[0], (261,), 1.0)], 1)
    assert engine.state_hash() == before


def test_a_prompt_beyond_the_context_is_refused(engine):
    with pytest.raises(ConfigError, match="exceed the model's context of 256"):
        engine.generate([SampleRequest((ChatMessage("user", "x" * 300),), 1)], Sampling(8))


def test_running_it_imports_neither_trl_nor_datasets(model_directory):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from protocol.run import LearnRules\n"
        "from swarm.policy.native import NativeEngine\n"
        f"NativeEngine.open({str(model_directory)!r}, LearnRules(0, 1, 1, 1, 1, 0, 0, 0, 0))\n"
        "sys.exit(','.join({'trl', 'datasets', 'torchvision'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
