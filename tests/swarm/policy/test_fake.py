import subprocess
import sys

import pytest

from protocol.errors import ConfigError
from swarm.policy.base import ChatMessage, Engine, SampleRequest, Sampling, TrainSample
from swarm.policy.fake import END_TOKEN, FakeEngine

PROMPT = (ChatMessage("user", "2+2?"),)
SAMPLE = TrainSample(PROMPT, (52, END_TOKEN), 1.0)


def test_it_says_what_its_script_says_byte_by_byte():
    engine: Engine = FakeEngine(lambda prompt, seed: f"{prompt[0].content} {seed} ✓")
    (completion,) = engine.generate([SampleRequest(PROMPT, 7)], Sampling(64))
    assert completion.text == "2+2? 7 ✓"
    assert bytes(completion.tokens[:-1]).decode() == completion.text
    assert completion.tokens[-1] == END_TOKEN
    assert completion.ended


def test_the_token_limit_cuts_and_then_it_did_not_end():
    (completion,) = FakeEngine(lambda *_: "abcdef").generate([SampleRequest(PROMPT, 1)], Sampling(3))
    assert (completion.text, completion.ended) == ("abc", False)


def test_a_completion_depends_on_prompt_and_seed_alone():
    engine = FakeEngine()
    requests = [SampleRequest((ChatMessage("user", text),), seed) for text in "ab" for seed in (1, 2)]
    texts = [completion.text for completion in engine.generate(requests, Sampling(64))]
    assert len(set(texts)) == 4
    assert engine.generate(requests[2:3], Sampling(64))[0].text == texts[2]
    greedy = [completion.text for completion in engine.generate(requests[:2], Sampling(64, 0.0))]
    assert greedy[0] == greedy[1]


def test_a_step_moves_the_state_by_what_it_was_given():
    engines = [FakeEngine() for _ in range(4)]
    assert len({engine.state_hash() for engine in engines}) == 1
    reports = [engine.step([SAMPLE], seed) for engine, seed in zip(engines, (1, 1, 2), strict=False)]
    first, second, third, fourth = (engine.state_hash() for engine in engines)
    assert first == second
    assert len({first, third, fourth}) == 3
    assert reports[0].num_tokens == 2
    assert FakeEngine(model="other").state_hash() != fourth


def test_a_state_is_saved_and_loaded(tmp_path):
    engine, other = FakeEngine(), FakeEngine()
    engine.step([SAMPLE], 1)
    engine.save(tmp_path / "state")
    other.load(tmp_path / "state")
    assert other.state_hash() == engine.state_hash()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[" * 5000, b" " * 5000])
def test_a_damaged_state_is_refused(tmp_path, damage):
    engine = FakeEngine()
    engine.save(tmp_path)
    (tmp_path / "fake-state.json").write_bytes(damage)
    with pytest.raises(ConfigError, match="cannot be used"):
        engine.load(tmp_path)


def test_a_state_of_another_model_is_refused(tmp_path):
    FakeEngine(model="other").save(tmp_path)
    with pytest.raises(ConfigError, match="another model"):
        FakeEngine().load(tmp_path)


def test_foreign_ids_are_refused():
    with pytest.raises(ValueError, match="0 to 256"):
        FakeEngine().text_of([257])
    with pytest.raises(ValueError, match="0 to 256"):
        FakeEngine().step([TrainSample(PROMPT, (-1,), 0.0)], 1)


def test_it_needs_no_torch():
    code = "import sys, swarm.policy.fake; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
