"""A program derived from public records ends where the engine ends, and its roots are everybody's."""

import numpy as np
import pytest
from msgspec.structs import replace

from protocol.errors import NotBuiltYet
from protocol.ids import ZERO_ROOT
from swarm.policy.base import Provable, Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from swarm.settings.config import MODELS
from tests.verde.program.steps import same_bits, state_of
from tests.verde.program.test_engine import RULES, requests
from verde.program.execute import run
from verde.program.program import Sources


@pytest.fixture(scope="module")
def engine():
    return ExactEngine.open(MODELS / "tiny", RULES, temperature=0.7)


def results(computation, state, step=0):
    """The program's results on a state."""
    program = computation.build()
    program.check()
    assert program.root.hex() == computation.program_root
    wanted = {number: name for name, number in program.outputs.items()}
    found = run(program, Sources(state, computation.data, step))
    return {wanted[number]: value for number, value in found if number in wanted}


def test_every_rollouts_check_gives_its_tokens_whatever_their_length(engine):
    assert isinstance(engine, Provable)
    sampling = Sampling(7, 0.7)
    asked = requests(3, 1)
    state = state_of(engine)
    shapes = set()
    for request, drawn in zip(asked, engine.generate(asked, sampling), strict=True):
        short = drawn.tokens[:3]
        for tokens in (drawn.tokens, short):
            computation = engine.draw_computation(request, sampling, tokens)
            claimed = computation.data["claimed"]
            assert claimed.tolist() == [[*tokens, *[-1] * (7 - len(tokens))]]
            found = results(computation, state)["tokens"]
            assert tuple(found[0, : len(tokens)].tolist()) == tokens
            shapes.add(computation.program_root)
    assert len(shapes) <= 2, "prompts of like lengths share a program"


@pytest.mark.parametrize("advantages", [(1.0, -1.0, 0.5), (0.0, 0.0, 0.0)], ids=["some", "none"])
def test_a_steps_program_ends_in_the_engines_state(advantages):
    engine = ExactEngine.open(MODELS / "tiny", replace(RULES, num_updates=1), temperature=1.0)
    asked = requests(1, 3)
    drawn = engine.generate(asked, Sampling(3))
    samples = [
        TrainSample(request.prompt, one.tokens, advantage)
        for request, one, advantage in zip(asked, drawn, advantages, strict=True)
    ]
    computation, before = engine.step_computation(samples, 5), state_of(engine)
    assert (computation.data_root == ZERO_ROOT) == (not any(advantages)), "all alike: nothing is read"
    found = results(computation, before)
    engine.step(samples, 5)
    after = state_of(engine)
    assert {name.removeprefix("tensor/") for name in found} == set(after)
    assert all(same_bits(found[f"tensor/{name}"], value) for name, value in after.items())
    assert computation.build().num_updates == 1


def test_roots_follow_from_tokens_seed_advantages_and_rules(engine):
    asked = requests(3, 2)
    samples = [TrainSample(request.prompt, (5, 6, 7), float(number % 2) - 0.5) for number, request in enumerate(asked)]
    one = engine.step_computation(samples, 1)
    again = ExactEngine.open(MODELS / "tiny", RULES, temperature=0.7).step_computation(samples, 1)
    assert (again.program_root, again.data_root) == (one.program_root, one.data_root)

    other = engine.step_computation([replace(samples[0], advantage=0.75), *samples[1:]], 1)
    assert other.program_root == one.program_root
    assert other.data_root != one.data_root
    rules = replace(RULES, learning_rate_nano=RULES.learning_rate_nano + 1)
    faster = ExactEngine.open(MODELS / "tiny", rules, temperature=0.7).step_computation(samples, 1)
    assert faster.program_root != one.program_root
    assert faster.data_root == one.data_root

    sampling = Sampling(4, 0.7)
    draw = engine.draw_computation(asked[0], sampling, (5, 6))
    assert engine.draw_computation(asked[0], sampling, (5, 7)).data_root != draw.data_root
    assert engine.draw_computation(asked[1], sampling, (5, 6)).data_root != draw.data_root
    assert engine.draw_computation(asked[0], Sampling(4, 0.5), (5, 6)).program_root != draw.program_root


def test_what_no_program_covers_is_refused_by_name(engine):
    with pytest.raises(NotBuiltYet):
        engine.draw_computation(requests(1, 1)[0], Sampling(4, 1.0, top_k=5), (1,))
    with_kl = ExactEngine.open(MODELS / "tiny", replace(RULES, beta_nano=1000))
    with pytest.raises(NotBuiltYet):
        with_kl.step_computation([TrainSample(requests(1, 1)[0].prompt, (1,), 1.0)], 0)


def test_seeds_are_two_words_low_first(engine):
    request = replace(requests(1, 1)[0], seed=(7 << 32) + 0xFFFFFFFF)
    words = engine.draw_computation(request, Sampling(2, 0.7), (1,)).data["seed"]
    assert words.view(np.uint32).tolist() == [[0xFFFFFFFF, 7]]
