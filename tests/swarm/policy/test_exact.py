"""The exact engine: what it draws is checked by one pass, what it learns is repeated bit for bit, and cheats show."""

import dataclasses
import random

import msgspec
import pytest
import torch

from protocol.errors import ConfigError, NotReproducible, VerificationError
from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, Completion, Engine, Replayable, SampleRequest, Sampling, TrainSample
from swarm.policy.engine import genesis
from swarm.policy.exact import ExactEngine
from swarm.policy.generate import Limits
from swarm.policy.load import load_model
from swarm.policy.native import NativeEngine
from swarm.policy.state import adopt_parts
from verde.commit import parse_manifest, state_root
from verde.numerics.backend import use_route

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
PROMPTS = [(ChatMessage("user", f"What is {number}?" + " Really?" * (number % 3)),) for number in range(4)]
REQUESTS = [SampleRequest(prompt, 10 * number + k) for number, prompt in enumerate(PROMPTS) for k in range(4)]
SAMPLING = Sampling(10)


@pytest.fixture
def engine(model_directory):
    return ExactEngine.open(model_directory, RULES)


def rollouts(engine):
    return [
        TrainSample(request.prompt, completion.tokens, 1.0 if completion.tokens[0] % 2 == 0 else -1.0)
        for request, completion in zip(REQUESTS, engine.generate(REQUESTS, SAMPLING), strict=True)
    ]


def test_it_is_a_replayable_engine_with_the_runs_genesis(engine, model_directory):
    engine_: Engine = engine
    replayable: Replayable = engine
    assert engine_.state_hash() == genesis(model_directory).state
    assert engine_.state_hash() == NativeEngine.open(model_directory, RULES).state_hash()
    assert state_root(parse_manifest(replayable.parts().manifest)) == engine_.state_hash()
    for completion in engine_.generate(REQUESTS, SAMPLING):
        assert completion.text == engine_.text_of(completion.tokens)


def test_its_log_probs_are_close_to_native_ones(engine, model_directory):
    samples = rollouts(engine)
    native = NativeEngine.open(model_directory, RULES).log_probs(samples)
    for exact_row, native_row in zip(engine.log_probs(samples), native, strict=True):
        assert exact_row == pytest.approx(native_row, abs=5e-3)


def test_what_it_draws_follows_the_softmax(engine):
    request = REQUESTS[0]
    drawn = engine.generate([SampleRequest(request.prompt, seed) for seed in range(3000)], Sampling(1))
    counts = torch.zeros(engine._loaded.vocab_size)
    for completion in drawn:
        counts[completion.tokens[0]] += 1
    samples = [TrainSample(request.prompt, (token,), 0.0) for token in range(engine._loaded.vocab_size)]
    expected = torch.tensor(engine.log_probs(samples))[:, 0].exp()
    assert float((counts / 3000 - expected).abs().sum()) < 0.35
    assert float((counts / 3000 - expected).abs().max()) < 0.03


@pytest.mark.parametrize("sampling", [SAMPLING, Sampling(10, 0.7, 5), Sampling(10, 0.0), Sampling(1)])
def test_honest_completions_have_no_difference(engine, sampling):
    completions = engine.generate(REQUESTS, sampling)
    assert engine.first_differences(REQUESTS, sampling, completions) == [None] * len(REQUESTS)


@pytest.mark.parametrize("sampling", [SAMPLING, Sampling(10, 0.7, 5), Sampling(1)])
def test_checking_a_rollout_comes_across_what_drawing_it_did(engine, sampling):
    completions = engine.generate(REQUESTS, sampling)
    assert [found.digest for found in engine.redraw(REQUESTS, sampling, completions)] == [
        completion.digest for completion in completions
    ]
    assert {len(completion.digest) for completion in completions} == {32}
    alone = engine.redraw(REQUESTS[3:4], sampling, completions[3:4])
    assert alone[0].digest == completions[3].digest


def test_other_weights_come_across_something_else_and_so_does_another_step(engine, model_directory):
    completions = engine.generate(REQUESTS, SAMPLING)
    one, other = engine.replica(engine.parts()), engine.replica(engine.parts())
    samples = rollouts(engine)
    report = one.step(samples, 5)
    assert other.step(samples, 5).digest == report.digest
    assert len(report.digest) == 32
    changed = [msgspec.structs.replace(samples[0], advantage=samples[0].advantage + 1), *samples[1:]]
    assert engine.replica(engine.parts()).step(changed, 5).digest != report.digest
    again = one.redraw(REQUESTS, SAMPLING, completions)
    assert not {found.digest for found in again} & {completion.digest for completion in completions}


def test_a_rollout_does_not_notice_its_batch(engine):
    expected = dict(zip(REQUESTS, engine.generate(REQUESTS, SAMPLING), strict=True))
    for size in (1, 3, 16):
        order = random.Random(size).sample(REQUESTS, 16)
        for start in range(0, 16, size):
            part = order[start : start + size]
            assert engine.generate(part, SAMPLING) == [expected[request] for request in part]


def test_memory_limits_change_nothing(model_directory):
    loaded = load_model(model_directory)
    roomy, tight = ExactEngine(loaded, RULES), ExactEngine(loaded, RULES, limits=Limits(64, 8192, 40_000, 100_000))
    completions = roomy.generate(REQUESTS, SAMPLING)
    assert tight.generate(REQUESTS, SAMPLING) == completions
    assert tight.first_differences(REQUESTS, SAMPLING, completions) == [None] * len(REQUESTS)


def other(token):
    return token + 1 if token < 250 else token - 1


def test_a_changed_token_is_found_at_its_place(engine):
    completions = engine.generate(REQUESTS, SAMPLING)
    places = [min(number % 10, len(completion.tokens) - 1) for number, completion in enumerate(completions)]
    changed = [
        msgspec.structs.replace(c, tokens=(*c.tokens[:at], other(c.tokens[at]), *c.tokens[at + 1 :]), ended=False)
        for c, at in zip(completions, places, strict=True)
    ]
    assert engine.first_differences(REQUESTS, SAMPLING, changed) == places


def test_ends_are_checked_too(engine):
    loaded = dataclasses.replace(engine._loaded, end_ids=tuple(range(3, 25)))
    eager = ExactEngine(loaded, RULES)
    completions = eager.generate(REQUESTS, SAMPLING)
    row = next(number for number, completion in enumerate(completions) if completion.ended)
    full = next(number for number, completion in enumerate(completions) if not completion.ended)

    def difference(number, **changes):
        claim = msgspec.structs.replace(completions[number], **changes)
        return eager.first_differences([REQUESTS[number]], SAMPLING, [claim])[0]

    tokens, all_ten = completions[row].tokens, completions[full].tokens
    assert difference(row) is None
    assert difference(row, ended=False) == len(tokens)
    assert difference(row, tokens=(*tokens, 100)) == len(tokens)
    assert difference(full) is None
    assert difference(full, ended=True) == 10
    assert difference(full, tokens=all_ten[:4]) == 4
    assert difference(full, tokens=(*all_ten, 100)) == 10
    assert difference(full, tokens=()) == 0


@pytest.mark.parametrize("foreign", [-1, 259, 10**9])
def test_ids_outside_the_vocabulary_are_differences(engine, foreign):
    completion = engine.generate(REQUESTS[:1], SAMPLING)[0]
    claim = msgspec.structs.replace(completion, tokens=(*completion.tokens[:2], foreign, *completion.tokens[3:]))
    assert engine.first_differences(REQUESTS[:1], SAMPLING, [claim]) == [2]


def test_other_seeds_temperatures_weights_and_copied_rollouts_are_found(engine, model_directory):
    completions = engine.generate(REQUESTS, SAMPLING)

    def num_found(checker, requests=REQUESTS, sampling=SAMPLING, claims=completions):
        return sum(found is not None for found in checker.first_differences(requests, sampling, claims))

    assert num_found(engine) == 0
    assert num_found(engine, [SampleRequest(one.prompt, one.seed + 1) for one in REQUESTS]) == 16
    assert num_found(engine, sampling=Sampling(10, 0.5)) >= 12
    assert num_found(engine, [REQUESTS[0], *REQUESTS[:15]]) >= 15
    copied = [completions[0], completions[0], *completions[2:]]
    assert num_found(engine, claims=copied) == 1
    trained = engine.replica(engine.parts())
    trained.step(rollouts(engine), 1)
    assert num_found(trained) >= 2
    assert num_found(trained, claims=trained.generate(REQUESTS, SAMPLING)) == 0


def test_a_step_is_repeated_bit_for_bit_on_any_route_and_threads(engine):
    samples, parts = rollouts(engine), engine.parts()
    engine.step(samples, 3)
    before = torch.get_num_threads()
    try:
        for route, threads in (("fp64", 1), ("int8", 2), ("fp64", 3)):
            torch.set_num_threads(threads)
            with use_route(route):
                auditor = engine.replica(parts)
                assert auditor.first_differences(REQUESTS, SAMPLING, auditor.generate(REQUESTS, SAMPLING)) == [
                    None
                ] * len(REQUESTS)
                auditor.step(samples, 3)
                assert auditor.state_hash() == engine.state_hash()
    finally:
        torch.set_num_threads(before)


def test_steps_that_were_done_otherwise_have_other_states(engine, model_directory):
    samples = rollouts(engine)
    engine.step(samples, 2)
    parts = engine.parts()

    def after(samples=samples, seed=3, rules=RULES, change=lambda state: None, temperature=1.0):
        loaded = load_model(model_directory)
        cheat = ExactEngine(loaded, rules, temperature=temperature)
        adopt_parts(cheat._state, parts)
        change(cheat._state)
        cheat.step(samples, seed)
        return cheat.state_hash()

    def flip_moment(state):
        largest = state.first[0].abs().argmax()
        state.first[0].view(-1).view(torch.int32)[largest] ^= 1

    def flip_weight(state):
        state.parameters[-1].data.view(-1).view(torch.int32)[3] ^= 1

    honest = after()
    assert honest == after()
    one, *rest = samples
    nearly = msgspec.structs.replace(one, advantage=one.advantage * (1 + 2**-20))
    hashes = [
        after([nearly, *rest]),
        after([msgspec.structs.replace(one, tokens=one.tokens[:-1]), *rest]),
        after(rest),
        after(seed=4),
        after(rules=msgspec.structs.replace(RULES, learning_rate_nano=3_000_001)),
        after(rules=msgspec.structs.replace(RULES, num_updates=1)),
        after(rules=msgspec.structs.replace(RULES, weight_decay_nano=1_000_000)),
        after(temperature=1.0001),
        after(change=flip_moment),
        after(change=flip_weight),
        state_root(parse_manifest(parts.manifest)),
    ]
    assert honest not in hashes
    assert len(set(hashes)) == len(hashes)


def test_a_penalty_is_reproducible_too(model_directory):
    rules = msgspec.structs.replace(RULES, beta_nano=100_000_000)
    engine = ExactEngine.open(model_directory, rules)
    samples = rollouts(engine)
    engine.step(samples, 1)
    auditor = engine.replica(engine.parts())
    for one in (engine, auditor):
        one.step(samples, 2)
    assert auditor.state_hash() == engine.state_hash()
    assert engine.state_hash() != ExactEngine.open(model_directory, RULES).state_hash()


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


def test_a_saved_state_continues_as_if_nothing_had_happened(engine, model_directory, tmp_path):
    samples = rollouts(engine)
    engine.step(samples, 1)
    engine.save(tmp_path / "state")
    restarted = ExactEngine.open(model_directory, RULES)
    restarted.load(tmp_path / "state")
    for one in (engine, restarted):
        one.step(samples, 2)
    assert restarted.state_hash() == engine.state_hash()
    assert restarted.generate(REQUESTS, SAMPLING) == engine.generate(REQUESTS, SAMPLING)


def test_a_replica_lives_apart(engine):
    before = engine.state_hash()
    copy = engine.replica(engine.parts())
    assert copy.state_hash() == before
    copy.step(rollouts(engine), 1)
    assert engine.state_hash() == before
    again = copy.replica(copy.parts())
    assert again.state_hash() == copy.state_hash() != before


def test_a_state_with_numbers_that_exact_arithmetic_never_gives_is_refused(engine):
    for bits in (0x7FC00000, 0x7F800000, 1, -0x80000000):
        liar = engine.replica(engine.parts())
        liar._state.second[0].view(-1).view(torch.int32)[0] = bits
        with pytest.raises(VerificationError, match="No engine ships these"):
            engine.replica(liar.parts())


def test_damaged_parts_are_refused_and_change_nothing(engine):
    before, parts = engine.state_hash(), engine.parts()
    for bad in (
        msgspec.structs.replace(parts, chunks=parts.chunks[:-1]),
        msgspec.structs.replace(parts, chunks=(*parts.chunks[:-1], bytes(len(parts.chunks[-1])))),
        msgspec.structs.replace(parts, manifest=parts.manifest[:-1]),
    ):
        with pytest.raises(VerificationError):
            engine.replica(bad)
    assert engine.state_hash() == before


def test_other_devices_and_prompts_beyond_the_context_are_refused(engine):
    with pytest.raises(NotReproducible, match="cpu and cuda only"):
        ExactEngine(dataclasses.replace(engine._loaded, device=torch.device("meta")), RULES)
    long = SampleRequest((ChatMessage("user", "x" * 300),), 1)
    with pytest.raises(ConfigError, match="context"):
        engine.generate([long], SAMPLING)
    with pytest.raises(ConfigError, match="context"):
        engine.first_differences([long], SAMPLING, [Completion((5,), "", False)])


def test_nothing_asked_nothing_done(engine):
    assert engine.generate([], SAMPLING) == []
    assert engine.first_differences([], SAMPLING, []) == []
