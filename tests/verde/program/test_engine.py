"""A program, run operator by operator, ends in the very bits of the exact engine's fused kernels."""

from pathlib import Path

import msgspec
import pytest

from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, SampleRequest, Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from tests.verde.program.models import make_model
from tests.verde.program.steps import architecture_of, draw_of, rates_of, same_bits, state_of, step_of
from verde.program.derive_draw import draw_program
from verde.program.derive_step import step_program
from verde.program.execute import execute

RULES = LearnRules(
    num_external=0,
    num_updates=2,
    learning_rate_nano=3_000_000,
    epsilon_low_nano=200_000_000,
    epsilon_high_nano=280_000_000,
    delta_nano=4_000_000_000,
    beta_nano=0,
    weight_decay_nano=10_000_000,
    max_grad_norm_nano=1_000_000_000,
)
BUNDLED = Path("models/tiny")
_TEMPERATURE = {"llama": 1.0, "qwen2": 0.7, "qwen3": 0.0}
FAMILIES = tuple(_TEMPERATURE)


def requests(count, per_prompt):
    prompts = [(ChatMessage("user", f"What is {n}?" + " Really?" * (n % 3)),) for n in range(count)]
    return [SampleRequest(prompt, (n << 40) + 7 * k) for n, prompt in enumerate(prompts) for k in range(per_prompt)]


def check_draws(engine, directory, temperature):
    asked = requests(3, 2)
    found = engine.generate(asked, Sampling(6, temperature))
    prompts = [engine._text.encode(request.prompt) for request in asked]
    shape, sources = draw_of(engine, prompts, [request.seed for request in asked], [one.tokens for one in found])
    program = draw_program(architecture_of(engine, directory), shape, temperature)
    program.check()
    tokens = execute(program, sources)[program.outputs["tokens"]]
    for row, completion in zip(tokens.tolist(), found, strict=True):
        assert tuple(row[: len(completion.tokens)]) == completion.tokens


def check_step(engine, directory, num_steps=1):
    asked = requests(3, 3)
    arch = architecture_of(engine, directory)
    for number in range(num_steps):
        found = engine.generate(asked, Sampling(4 + number))
        samples = [
            TrainSample(request.prompt, one.tokens, (one.tokens[0] % 5) / 2 - 0.75)
            for request, one in zip(asked, found, strict=True)
        ]
        shape, sources = step_of(engine, [engine._sample(sample) for sample in samples], number)
        program = step_program(arch, shape, rates_of(engine))
        program.check()
        values = execute(program, sources)
        engine.step(samples, number)
        after = state_of(engine)
        assert {name.removeprefix("tensor/") for name in program.outputs} == set(after)
        wrong = [name for name in after if not same_bits(values[program.outputs[f"tensor/{name}"]], after[name])]
        assert wrong == []
    return shape


@pytest.fixture(scope="module", params=FAMILIES)
def directory(request, tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("models") / request.param, request.param)


def test_a_program_draws_the_engines_tokens_and_ends_in_its_state(directory):
    """Two updates, the first of several micro-batches."""
    temperature = _TEMPERATURE[directory.name]
    engine = ExactEngine.open(directory, RULES, temperature=0.7)
    check_draws(engine, directory, temperature)
    engine._tokens_per_pass = 70
    assert max(map(len, check_step(engine, directory))) > 1


@pytest.mark.slow
def test_rules_that_are_off_are_not_in_the_program(directory):
    rules = msgspec.structs.replace(RULES, delta_nano=0, max_grad_norm_nano=0, num_updates=1)
    check_step(ExactEngine.open(directory, rules), directory)


@pytest.mark.slow
def test_the_bundled_model_ends_in_the_engines_state():
    engine = ExactEngine.open(BUNDLED, RULES)
    check_draws(engine, BUNDLED, 1.0)
    check_step(engine, BUNDLED, 2)
