"""Traces keep roots only, and give every element as if they kept all."""

import weakref

import numpy as np
import pytest

from tests.verde.program.small import small_step
from verde.program.execute import execute, run
from verde.program.leaf import SOURCES
from verde.program.trace import Trace
from verde.program.tree import tensor_tree


def test_a_trace_of_a_run_is_that_of_all_its_values():
    program, sources = small_step()
    values = execute(program, sources)
    kept, recalled = Trace.of_values(program, values), Trace.of_run(program, sources)
    assert recalled.root == kept.root
    for number in (0, len(values) // 2, len(values) - 1):
        assert recalled.value(number).tobytes() == values[number].tobytes()
        assert recalled.tensor(number).root == kept.tensor(number).root
        assert recalled.piece(number, 0, 1) == kept.piece(number, 0, 1)
    assert {name: value.tobytes() for name, value in recalled.results().items()} == {
        name: value.tobytes() for name, value in kept.results().items()
    }


def test_what_one_node_is_about_is_computed_once():
    program, sources = small_step()
    recalls = []
    values = execute(program, sources)
    roots = [tensor_tree(value).root for value in values]
    trace = Trace(program, roots, lambda numbers: recalls.append(numbers) or {n: values[n] for n in numbers})
    number = next(n for n, node in enumerate(program.nodes) if len(node.inputs) == 4)
    read = trace.reader(number)
    for which, access in enumerate(program.nodes[number].inputs):
        read(which, 0, 1)
        trace.piece(access.node, 0, 1)
    trace.chunk(number, 0)
    assert recalls == [frozenset({number, *(access.node for access in program.nodes[number].inputs)})]


def test_a_run_lets_go_of_what_nobody_reads_any_more():
    program, sources = small_step()
    computed, most = [], 0
    for number, value in run(program, sources):
        if program.nodes[number].kind not in SOURCES:
            computed.append(weakref.ref(value))
        most = max(most, sum(1 for one in computed if one() is not None))
    assert len(computed) > 1500
    assert most < len(computed) / 3
    assert sum(1 for _ in run(program, sources, 7)) == 7


def test_outputs_and_nodes_must_be_as_many():
    program, _ = small_step()
    with pytest.raises(ValueError, match="1 outputs"):
        Trace.of_values(program, [np.zeros(1, np.float32)])
