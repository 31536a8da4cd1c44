import subprocess
import sys

import pytest

from protocol.errors import ConfigError, VerificationError
from swarm.policy.base import (
    ChatMessage,
    Completion,
    Engine,
    Replayable,
    SampleRequest,
    Sampling,
    StateParts,
    TrainSample,
)
from swarm.policy.fake import END_TOKEN, FakeEngine
from verde.commit import parse_manifest, state_root

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


def test_weights_and_temperature_decide_what_is_drawn():
    plain, trained = FakeEngine(), FakeEngine()
    trained.step([SAMPLE], 1)
    request = [SampleRequest(PROMPT, 3)]
    texts = {
        engine.generate(request, Sampling(64, temperature))[0].text
        for engine in (plain, trained)
        for temperature in (1.0, 0.5)
    }
    assert len(texts) == 4


def test_another_learning_rate_or_advantage_ends_in_another_state():
    engines = [FakeEngine(), FakeEngine(learning_rate=2), FakeEngine()]
    assert len({engine.state_hash() for engine in engines}) == 1
    engines[0].step([SAMPLE], 1)
    engines[1].step([SAMPLE], 1)
    engines[2].step([TrainSample(PROMPT, SAMPLE.tokens, 0.99)], 1)
    assert len({engine.state_hash() for engine in engines}) == 3


def test_a_replica_goes_on_exactly_where_the_state_was_shipped():
    engine = FakeEngine()
    assert isinstance(engine, Replayable)
    engine.step([SAMPLE], 1)
    parts = engine.parts()
    assert len(parts.chunks) == 2
    assert state_root(parse_manifest(parts.manifest)) == engine.state_hash()
    replica = FakeEngine().replica(parts)
    assert replica.state_hash() == engine.state_hash()
    request = [SampleRequest(PROMPT, 5)]
    assert replica.generate(request, Sampling(64)) == engine.generate(request, Sampling(64))
    replica.step([SAMPLE], 2)
    engine.step([SAMPLE], 2)
    assert replica.state_hash() == engine.state_hash()


def test_a_shipped_state_that_is_not_what_it_says_is_refused():
    engine, parts = FakeEngine(), FakeEngine().parts()
    manifest, chunks = parts.manifest, parts.chunks
    for bad in (
        StateParts(manifest, chunks[:-1]),
        StateParts(manifest, (chunks[0][:-4], chunks[1])),
        StateParts(manifest, (chunks[0] + b"\0", chunks[1])),
        StateParts(manifest, (bytes([chunks[0][0] ^ 1]) + chunks[0][1:], chunks[1])),
        StateParts(manifest[:-1], chunks),
        StateParts(b"\x80\x04\x95cbuiltins\neval", chunks),
        StateParts(manifest.replace(b"float32", b"float16"), chunks),
        FakeEngine(model="other").parts(),
    ):
        with pytest.raises(VerificationError, match="cannot be used"):
            engine.replica(bad)


def test_the_first_token_that_was_not_drawn_is_found():
    engine, request = FakeEngine(lambda *_: "abcdef"), SampleRequest(PROMPT, 1)
    (drawn,) = engine.generate([request], Sampling(64))
    for tokens, ended, position in (
        (drawn.tokens, True, None),
        ((*b"abXdef", END_TOKEN), True, 2),
        (tuple(b"abc"), False, 3),
        ((*b"abc", END_TOKEN), True, 3),
        ((*b"abcdefg", END_TOKEN), True, 6),
        (drawn.tokens, False, 7),
    ):
        completion = Completion(tokens, engine.text_of(tokens), ended)
        assert [found.position for found in engine.redraw([request], Sampling(64), [completion])] == [position]


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
