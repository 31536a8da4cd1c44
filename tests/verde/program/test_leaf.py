"""The judge computes, element by element, what execution computes for whole tensors."""

import pytest

from tests.verde.program.small import PROGRAMS
from verde.program.execute import execute
from verde.program.kinds import Kind
from verde.program.leaf import SOURCES, evaluate
from verde.program.trace import Trace


@pytest.fixture(scope="module", params=PROGRAMS)
def trace(request):
    program, sources = PROGRAMS[request.param]()
    return Trace.of_values(program, execute(program, sources))


def test_first_middle_and_last_element_of_every_node_are_what_the_oracle_says(trace):
    for number, node in enumerate(trace.program.nodes):
        if node.kind in SOURCES:
            continue
        count = node.num_elements
        for element in {0, count // 2, count - 1}:
            found = evaluate(node, element, trace.reader(number))
            assert found == trace.word(number, element), (number, node, element)


def test_together_the_small_programs_have_every_kind():
    assert {node.kind for make in PROGRAMS.values() for node in make()[0].nodes} == set(Kind)
