"""The prefill that checks work without exact results: honest work passes wherever it was drawn, other work does not."""

import pytest

from swarm.policy.base import Completion, SampleRequest, Sampling
from swarm.policy.exact import ExactEngine
from swarm.policy.generate import Limits
from swarm.policy.native import NativeEngine
from tests.swarm.policy.test_native import REQUESTS, RULES, rollouts

SAMPLINGS = [Sampling(8), Sampling(8, 0.7), Sampling(8, 1.0, 5), Sampling(8, 0.0)]
TOLERANCE = 0.001


@pytest.fixture(scope="module")
def engine(model_directory):
    return NativeEngine.open(model_directory, RULES)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_honest_work_agrees_however_it_was_batched(engine, model_directory, sampling):
    alone = NativeEngine(engine._loaded, RULES, limits=Limits(max_rows=1, max_prompt_tokens=1))
    for drawn in (engine.generate(REQUESTS, sampling), alone.generate(REQUESTS, sampling)):
        assert max(engine.misses(REQUESTS, sampling, drawn)) < 1e-5


def test_an_exact_peer_reads_native_work_as_well(engine, model_directory):
    sampling = Sampling(8)
    drawn = engine.generate(REQUESTS, sampling)
    exact = ExactEngine.open(model_directory, RULES)
    assert max(exact.replica(engine.parts()).misses(REQUESTS, sampling, drawn)) < 1e-5


def test_one_other_token_is_seen_and_nothing_is_said_of_the_others(engine):
    sampling = Sampling(8)
    drawn = engine.generate(REQUESTS, sampling)
    tokens = list(drawn[3].tokens)
    tokens[0] = 3 + (tokens[0] + 40) % 200
    changed = [*drawn[:3], Completion(tuple(tokens), "", drawn[3].ended), *drawn[4:]]
    found = engine.misses(REQUESTS, sampling, changed)
    assert found[3] > TOLERANCE
    assert max(found[:3] + found[4:]) < 1e-5


def test_another_seed_temperature_or_state_is_seen(engine, model_directory):
    sampling = Sampling(8)
    reseeded = [SampleRequest(one.prompt, one.seed + 1) for one in REQUESTS]
    stepped = NativeEngine.open(model_directory, RULES)
    stepped.step(rollouts(engine), 1)
    for drawn in (
        engine.generate(reseeded, sampling),
        engine.generate(REQUESTS, Sampling(8, 0.8)),
        stepped.generate(REQUESTS, sampling),
    ):
        assert max(engine.misses(REQUESTS, sampling, drawn)) > TOLERANCE


def test_the_best_of_two_draws_is_seen_where_it_is_the_second(engine):
    sampling = Sampling(8)
    again = engine.generate([SampleRequest(one.prompt, one.seed + 500) for one in REQUESTS], sampling)
    first = engine.generate(REQUESTS, sampling)
    kept = [max(pair, key=lambda one: sum(one.tokens)) for pair in zip(first, again, strict=True)]
    for one, mine, miss in zip(kept, first, engine.misses(REQUESTS, sampling, kept), strict=True):
        assert (miss < 1e-5) == (one.tokens == mine.tokens)


@pytest.mark.parametrize(
    ("tokens", "ended"),
    [((), False), ((5,), False), ((5, 6), True), ((2, 5, 6, 7, 8, 9, 10, 11), False), ((5,) * 9, False),
     ((-1,) * 8, False), ((10**9,) * 8, False)],
)  # fmt: skip
def test_what_nobody_can_have_drawn_misses_altogether_and_breaks_nothing(engine, tokens, ended):
    asked = REQUESTS[:2]
    fine = engine.generate(asked[1:], Sampling(8))
    assert engine.misses(asked, Sampling(8), [Completion(tokens, "", ended), *fine]) == [
        1.0,
        pytest.approx(0, abs=1e-5),
    ]
