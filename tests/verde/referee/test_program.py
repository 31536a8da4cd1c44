"""Whole programs: the contract computes, and reads, what execution did, at every node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.verde.program.small import PROGRAMS
from tests.verde.referee.evm import Evm, packed
from verde.bisect.openings import input_type
from verde.program.execute import execute
from verde.program.kinds import PART, Kind
from verde.program.leaf import SOURCES, evaluate, finish, fold
from verde.program.node import Node
from verde.program.trace import Trace

EVERY = {"step": 9}
"""Of large programs only every so manieth node is judged, unless there is time."""


@dataclass
class Reading:
    """What an element was computed from, as the contract wants it: bytes by input, and where each began."""

    trace: Trace
    number: int
    inputs: dict[int, bytes] = field(default_factory=dict)
    first: dict[int, int] = field(default_factory=dict)

    @property
    def node(self) -> Node:
        return self.trace.node(self.number)

    def read(self, which: int, first: int, count: int) -> Sequence[int]:
        words = self.trace.reader(self.number)(which, first, count)
        part = packed(words, input_type(self.node, which).size)
        # What is read again is shown once; the parts of a row follow each other.
        begin = self.first.setdefault(which, first)
        self.inputs[which] = part if first == begin else self.inputs[which] + part
        return words

    def shown(self) -> list[bytes]:
        return [self.inputs.get(which, b"") for which in range(len(self.node.inputs))]


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param((name, EVERY.get(name, 1)), marks=pytest.mark.integration, id=name) for name in PROGRAMS),
        *(pytest.param((name, 1), marks=pytest.mark.slow, id=f"all of {name}") for name in EVERY),
    ],
)
def readings(request: pytest.FixtureRequest) -> list[tuple[Reading, int, int]]:
    """(what was read, element, its word) of the first, the middle and the last element of a program's nodes."""
    name, every = request.param
    program, sources = PROGRAMS[name]()
    trace = Trace.of_values(program, execute(program, sources))
    found = []
    for number, node in enumerate(program.nodes):
        if node.kind not in SOURCES and number % every == 0:
            count = node.num_elements
            for element in sorted({0, count // 2, count - 1}):
                reading = Reading(trace, number)
                found.append((reading, element, evaluate(node, element, reading.read) % 256**node.type.size))
    return found


def test_every_node_is_computed_as_by_execution(evm: Evm, readings: list[tuple[Reading, int, int]]) -> None:
    arguments = [(one.node.encoded(), element, one.shown()) for one, element, _ in readings]
    wrong = [
        (one.number, one.node, element, answer, word)
        for (one, element, word), answer in zip(readings, evm.call("evaluate", arguments), strict=True)
        if answer != word
    ]
    assert wrong == []


def test_every_input_is_read_where_execution_reads_it(evm: Evm, readings: list[tuple[Reading, int, int]]) -> None:
    arguments, wanted = [], []
    for one, element, _ in readings:
        for which in range(len(one.node.inputs)):
            is_gathered = one.node.kind == Kind.GATHER and which == 0
            arguments.append((one.node.encoded(), element, which, one.shown()[1:] if is_gathered else []))
            # SELECT may read both sides, though its result needs one.
            wanted.append(None if which not in one.first and one.node.kind == Kind.SELECT else one.first.get(which, 0))
    answers = evm.call("source", arguments)
    assert [a for a, w in zip(answers, wanted, strict=True) if w is not None] == [w for w in wanted if w is not None]


def test_long_reductions_are_computed_part_by_part(evm: Evm, readings: list[tuple[Reading, int, int]]) -> None:
    for reading, element, word in readings:
        node, whole = reading.node, 0
        if node.length <= PART:
            continue
        for first in range(0, node.length, PART):
            one = Reading(reading.trace, reading.number)
            after = fold(node, element, range(first, min(first + PART, node.length)), whole, one.read)
            assert evm.call("fold", [(node.encoded(), element, first, whole, one.shown())]) == [after]
            whole = after
        one = Reading(reading.trace, reading.number)
        assert finish(node, element, whole, one.read) % 2**32 == word
        assert evm.call("finish", [(node.encoded(), element, whole, one.shown())]) == [word]
