"""A training step of the bundled model, disputed from its committed states to one element."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from protocol.ids import ContentId
from swarm.policy.base import Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from tests.verde.bisect.games import other_value, play_out
from tests.verde.program.steps import architecture_of, rates_of, step_of
from tests.verde.program.test_engine import RULES, requests
from verde.bisect.challenger import Evidence, State
from verde.bisect.game import Side, Terms
from verde.commit import parse_manifest, split, state_root, tensor_row
from verde.program.derive_step import step_program
from verde.program.kinds import Kind
from verde.program.trace import Trace

BUNDLED = Path("models/tiny")


def state_of_engine(engine):
    parts = engine.parts()
    return State(parse_manifest(parts.manifest), parts.chunks)


@pytest.mark.slow
def test_the_engines_own_states_are_what_a_dispute_is_about():
    engine = ExactEngine.open(BUNDLED, replace(RULES, num_updates=1))
    asked = requests(2, 2)
    samples = [
        TrainSample(request.prompt, one.tokens, 1.0 - number % 3)
        for number, (request, one) in enumerate(zip(asked, engine.generate(asked, Sampling(6)), strict=True))
    ]
    shape, sources = step_of(engine, [engine._sample(sample) for sample in samples], 1)
    program = step_program(architecture_of(engine, BUNDLED), shape, rates_of(engine))
    before, before_root = state_of_engine(engine), engine.state_hash()
    engine.step(samples, 1)
    after, after_root = state_of_engine(engine), engine.state_hash()
    assert (state_root(before.manifest), state_root(after.manifest)) == (before_root, after_root)

    trace = Trace.of_run(program, sources)
    numbers = [number for number, node in enumerate(program.nodes) if node.kind == Kind.DOT]
    number = numbers[len(numbers) // 2]
    element = program.nodes[number].num_elements // 3
    wrong = trace.with_output(number, other_value(trace.value(number), element))
    terms = Terms(program.root, before_root, after_root, ContentId(sources.data_tree.root), 1000, 100)
    for accused, accuser, winner in ((wrong, trace, Side.CHALLENGER), (trace, wrong, Side.DEFENDER)):
        end = play_out(terms, accused, Evidence(accuser, sources, before, after))[-1]
        assert (end.number, end.element, end.winner) == (number, element, winner)

    # The same trace, but a state after that somebody changed: the result itself shows it.
    chunks = [bytes([after.chunks[0][0] ^ 1]) + after.chunks[0][1:], *after.chunks[1:]]
    stream = b"".join(chunks)
    manifest = after.manifest
    rows = [
        (tensor_row(row.name, row.shape), stream[manifest.starts[row.name] :][: row.num_elements * 4])
        for row in manifest.tensors
    ]
    forged = State(*split(manifest.step, manifest.base, rows))
    terms = Terms(program.root, before_root, state_root(forged.manifest), ContentId(sources.data_tree.root), 1000, 100)
    games = play_out(terms, trace, Evidence(trace, sources, before, forged))
    assert (len(games), games[-1].winner) == (3, Side.CHALLENGER)
