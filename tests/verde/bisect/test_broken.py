"""A step that ends in no number has no state after: whoever claims one loses, whatever he claims."""

import dataclasses

import numpy as np
import pytest

from protocol.ids import ContentId
from tests.verde.bisect.games import honest, play_out, state_of
from verde.bisect.challenger import Evidence
from verde.bisect.game import Side
from verde.program.builder import Builder
from verde.program.kinds import PART, Kind, Type
from verde.program.program import Sources
from verde.program.trace import Trace

STATE = state_of({"weight/w": np.zeros(3, np.float32)}, 0)


def claimed_values(program, made_up):
    """A cheat's outputs: what he likes, of the right sizes."""
    dtypes = {Type.F32: np.float32, Type.I32: np.int32, Type.I16: np.int16, Type.U8: np.uint8}
    return [np.full(node.sizes, made_up).astype(dtypes[node.type]) for node in program.nodes]


@pytest.mark.parametrize("made_up", [0, 1, np.inf, np.nan])
@pytest.mark.parametrize("kind", [Kind.LOG, Kind.MUL, Kind.SUM])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_result_that_is_no_number_is_found_whatever_is_claimed(kind, made_up):
    length = PART + 5 if kind is Kind.SUM else 300
    x = np.full((2, length), 1.5, np.float32)
    x[1, 200] = {Kind.LOG: -1.0, Kind.MUL: 2e38, Kind.SUM: 3e38}[kind]
    x[1, 201:] = x[1, 200]
    b = Builder()
    read = b.data("x", Type.F32, *x.shape)
    y = {Kind.LOG: lambda: b.map(kind, read), Kind.MUL: lambda: b.mul(read, read), Kind.SUM: lambda: b.total(read)}[
        kind
    ]()
    b.result("y", b.add(y, y))
    program, sources = b.program(), Sources({}, {"x": x})

    right = Trace.of_run(program, sources)
    assert right.broken == (y.node, 1 if kind is Kind.SUM else length + 200)
    values = claimed_values(program, made_up)
    for number in range(y.node):
        values[number] = right.value(number)
    if made_up == 0:
        values[y.node] = right.value(y.node)
    wrong = Trace.of_values(program, values)
    terms = dataclasses.replace(
        honest("long").terms(STATE), program_root=program.root, data_root=ContentId(sources.data_tree.root)
    )
    end = play_out(terms, wrong, Evidence(right, sources, STATE, STATE))[-1]
    assert end.winner is Side.CHALLENGER
    assert end.number == y.node
    if made_up == 0:
        assert end.element == right.broken[1]
