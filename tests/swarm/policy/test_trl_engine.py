"""TRL's trainer as an engine: its own update on rollouts that are handed in, and a state like every engine's."""

import subprocess
import sys

import pytest
import torch

from swarm.policy.base import Engine, Replayable, Sampling, Tolerant
from swarm.policy.native import NativeEngine
from swarm.policy.trl_engine import TrlEngine
from swarm.policy.trl_options import LOSS_TYPES, TrlOptions
from tests.swarm.policy.conftest import make_model_directory
from tests.swarm.policy.test_native import REQUESTS, RULES, rollouts


@pytest.fixture(scope="module")
def tight_directory(tmp_path_factory):
    """Without rows of the vocabulary that no token has: TRL counts those, too."""
    return make_model_directory(tmp_path_factory.mktemp("models") / "tight", extra_rows=0)


@pytest.fixture
def engine(tight_directory):
    return TrlEngine.open(tight_directory, RULES)


def test_it_is_an_engine_that_is_checked_by_tolerance_and_not_bit_for_bit(engine):
    checked: Engine = engine
    assert isinstance(checked, Tolerant)
    assert not isinstance(checked, Replayable)


def test_its_step_is_the_native_engines_but_for_rounding(engine, tight_directory):
    native = NativeEngine.open(tight_directory, RULES)
    samples = rollouts(native)
    for seed in (5, 6):  # the second one starts from moments
        ours, theirs = native.step(samples, seed), engine.step(samples, seed)
        assert (theirs.num_tokens, theirs.num_updates) == (ours.num_tokens, ours.num_updates)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3)
        assert theirs.loss == pytest.approx(ours.loss, abs=1e-5)
    assert engine._state.step == native._state.step == 4
    for mine, other in zip(engine._state.parameters, native._state.parameters, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-4, rtol=1e-3)
    for mine, other in zip(engine._state.first, native._state.first, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-2)


def test_after_a_step_it_draws_and_computes_as_before_on_the_new_weights(engine):
    samples = rollouts(engine)
    engine.step(samples, 1)
    copy = engine.replica(engine.parts())
    assert copy.state_hash() == engine.state_hash()
    assert copy.generate(REQUESTS, Sampling(8)) == engine.generate(REQUESTS, Sampling(8))
    assert "forward" not in engine._loaded.model.__dict__
    assert not engine._loaded.model.training


def test_its_state_survives_being_saved(engine, tight_directory, tmp_path):
    engine.step(rollouts(engine), 1)
    engine.save(tmp_path)
    other = TrlEngine.open(tight_directory, RULES)
    other.load(tmp_path)
    assert other.state_hash() == engine.state_hash()


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_every_loss_of_trl_moves_the_weights(loss_type, tight_directory):
    engine = TrlEngine.open(tight_directory, RULES)
    samples = rollouts(engine)
    engine.options = TrlOptions(loss_type=loss_type, batch_size=4)
    before = engine.state_hash()
    report = engine.step(samples, 1)
    assert engine.state_hash() != before
    assert report.grad_norm > 0


def test_a_kl_term_is_taken_to_the_starting_weights(tight_directory):
    import msgspec

    rules = msgspec.structs.replace(RULES, beta_nano=100_000_000)
    native, engine = NativeEngine.open(tight_directory, rules), TrlEngine.open(tight_directory, rules)
    samples = rollouts(native)
    for seed in (1, 2):
        native.step(samples, seed)
        engine.step(samples, seed)
    for mine, other in zip(engine._state.parameters, native._state.parameters, strict=True):
        torch.testing.assert_close(mine, other, atol=5e-4, rtol=1e-2)


def test_adapters_are_trained_and_the_model_under_them_is_not(tight_directory):
    import msgspec

    engine = TrlEngine.open(tight_directory, msgspec.structs.replace(RULES, lora_rank=2))
    frozen = {n: p.clone() for n, p in engine._loaded.model.named_parameters() if not p.requires_grad}
    before = engine.state_hash()
    engine.step(rollouts(engine), 1)
    assert engine.state_hash() != before
    now = dict(engine._loaded.model.named_parameters())
    assert frozen
    assert all(torch.equal(now[name], value) for name, value in frozen.items())


def test_nothing_to_learn_from_and_wrong_numbers_are_refused_before_anything_changes(engine):
    before = engine.state_hash()
    sample = rollouts(engine)[0]
    with pytest.raises(ValueError, match="at least one"):
        engine.step([], 1)
    with pytest.raises(ValueError, match="finite"):
        engine.step([type(sample)(sample.prompt, sample.tokens, float("nan"))], 1)
    assert engine.state_hash() == before


def test_naming_the_engine_imports_no_trl():
    code = "import sys; import swarm.policy.trl_engine; assert 'trl' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
