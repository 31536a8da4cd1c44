"""A fault at any kind of operator, in either side's trace, is found, and its owner loses."""

import pytest

from tests.verde.bisect.games import honest, other_value, play_out
from tests.verde.program.small import PROGRAMS
from verde.bisect.challenger import Evidence
from verde.bisect.game import Side
from verde.program.kinds import Kind

PLACES = [(name, kind) for name, make in PROGRAMS.items() for kind in sorted({node.kind for node in make()[0].nodes})]


def faults(name, kind):
    """(node, element): the first of a kind's first node, the middle of its middle one, the last of its last."""
    numbers = [number for number, node in enumerate(honest(name).trace.program.nodes) if node.kind == kind]
    for number, at in ((numbers[0], 0), (numbers[len(numbers) // 2], 0.5), (numbers[-1], 1)):
        yield number, int((honest(name).trace.node(number).num_elements - 1) * at)


@pytest.mark.parametrize(("name", "kind"), PLACES, ids=lambda value: getattr(value, "name", value))
def test_a_fault_is_found_to_its_node_and_element_and_its_owner_loses(name, kind):
    right = honest(name)
    for number, element in faults(name, kind):
        wrong = right.trace.with_output(number, other_value(right.trace.value(number), element))
        for accused, accuser, winner in (
            (wrong, right.trace, Side.CHALLENGER),
            (right.trace, wrong, Side.DEFENDER),
        ):
            evidence = Evidence(accuser, right.sources, right.before, right.after)
            end = play_out(right.terms(right.after), accused, evidence)[-1]
            assert (end.number, end.element, end.winner) == (number, element, winner)


@pytest.mark.parametrize("kind", [Kind.DOT, Kind.EXPONENT, Kind.SUM_WHERE, Kind.DIV, Kind.GATHER, Kind.MASK])
def test_the_first_of_many_differences_is_the_one_that_is_judged(kind):
    """A cheat goes on computing from his wrong value; everything after it differs, too."""
    from protocol.errors import NumericsError
    from verde.program.execute import compute
    from verde.program.trace import Trace

    right = honest("step")
    number, element = list(faults("step", kind))[-1]
    values = [right.trace.value(earlier) for earlier in range(number)]
    values.append(other_value(right.trace.value(number), element))
    for later, node in enumerate(right.trace.program.nodes[number + 1 :], start=number + 1):
        try:
            values.append(compute(node, values, right.sources))
        except NumericsError:
            values.append(right.trace.value(later))
    wrong = Trace.of_values(right.trace.program, values)
    evidence = Evidence(right.trace, right.sources, right.before, right.after)
    end = play_out(right.terms(right.after), wrong, evidence)[-1]
    assert (end.number, end.element, end.winner) == (number, element, Side.CHALLENGER)
