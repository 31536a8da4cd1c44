"""A trace of which little is kept gives every value, and computes no more than a stage for it."""

import numpy as np

from tests.verde.program.small import PROGRAMS, small_step
from verde.program import trace as trace_module
from verde.program.execute import execute, run
from verde.program.stages import SOURCE_KINDS, Stages, inputs_before, num_bytes
from verde.program.trace import Tracing


class Small:
    """A store without room for everything, which remembers what it was given."""

    room_bytes = 1

    def __init__(self) -> None:
        self.kept = {}

    def put(self, number, value):
        self.kept[number] = value
        return True

    def get(self, number):
        return self.kept[number]


def test_every_value_is_there_and_costs_a_stage(monkeypatch):
    program, sources = small_step()
    values, store, computed = execute(program, sources), Small(), []
    cut = Stages.of
    monkeypatch.setattr(trace_module.Stages, "of", lambda program: cut(program, 64, 50))
    tracing = Tracing(program, sources, store)
    trace = tracing.go_on()
    assert trace is not None
    monkeypatch.setattr(trace_module, "run", lambda *given: (computed.append(one[0]) or one for one in run(*given)))
    for number in range(0, len(values), 7):
        trace._kept = {}
        assert trace.value(number).tobytes() == values[number].tobytes()
    starts = np.array(tracing._stages.starts)
    assert max(np.diff([*starts, len(values)])) <= 100
    assert len(computed) < len(values) * 100 / 7 * 3
    assert set(store.kept) == tracing._stages.kept
    assert len(store.kept) < len(values) / 2
    assert {name: x.tobytes() for name, x in trace.results().items()} == {
        name: values[number].tobytes() for name, number in program.outputs.items()
    }


def test_what_stages_begin_with_is_kept_or_comes_from_outside():
    for make in PROGRAMS.values():
        program, _ = make()
        stages = Stages.of(program, 16, 20)
        assert len(stages.starts) <= 16
        assert list(stages.starts) == sorted(stages.starts)
        for start, stop in zip(stages.starts, [*stages.starts[1:], len(program.nodes)], strict=True):
            needed = inputs_before(program, start, stop)
            assert {n for n in needed if program.nodes[n].kind not in SOURCE_KINDS} <= stages.kept
        held = sum(program.nodes[n].num_elements * program.nodes[n].type.size for n in stages.kept)
        assert held < num_bytes(program)
