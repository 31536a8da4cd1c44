"""Nodes: one byte string each, and rules that a derived program never breaks."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import VerificationError
from tests.verde.program.small import PROGRAMS, small_step
from verde.program.kinds import Kind, Type
from verde.program.node import Access, Node, decode_node
from verde.program.program import Program

U32 = st.integers(0, 2**32 - 1)
I32 = st.integers(-(2**31), 2**31 - 1)


@st.composite
def nodes(draw):
    rank = draw(st.integers(0, 6))
    access = st.builds(Access, U32, U32, st.integers(-(2**63), 2**63 - 1), st.tuples(*[I32] * rank))
    return Node(
        draw(st.sampled_from(Kind)),
        draw(st.sampled_from(Type)),
        tuple(draw(st.lists(U32, min_size=rank, max_size=rank))),
        tuple(draw(st.lists(access, max_size=5))),
        tuple(draw(st.lists(U32, max_size=8))),
        draw(U32),
    )


@given(nodes())
def test_bytes_and_nodes_are_one_to_one(node):
    assert decode_node(node.encoded()) == node


def test_a_nodes_bytes_are_laid_out_as_the_text_says():
    node = Node(Kind.ADD, Type.F32, (2, 3), (Access(7, 6, 1, (3, -1)), Access(8, 1, 0, (0, 0))))
    assert node.encoded().hex() == (
        "10000202"
        "0000"
        "00000000"
        "0000000200000003"
        "00000007"
        "00000006"
        "0000000000000001"
        "00000003"
        "ffffffff"
        "00000008"
        "00000001"
        "0000000000000000"
        "00000000"
        "00000000"
    )


@pytest.mark.parametrize("raw", [b"", b"\x10", small_step()[0].nodes[-1].encoded()[:-1], b"\xff" + bytes(9)])
def test_other_bytes_are_no_node(raw):
    with pytest.raises(VerificationError):
        decode_node(raw)


@pytest.mark.parametrize("name", PROGRAMS)
def test_derived_programs_keep_all_rules(name):
    PROGRAMS[name]()[0].check()


def broken(change):
    """The small step with one node of some kind changed."""
    program = small_step()[0]
    for number, node in enumerate(program.nodes):
        changed = change(node)
        if changed is not None:
            return Program((*program.nodes[:number], changed, *program.nodes[number + 1 :]))
    raise AssertionError("nothing was changed")


def only(kind, **changes):
    return lambda node: dataclasses.replace(node, **changes) if node.kind == kind else None


def access(kind, which, **changes):
    def change(node):
        if node.kind != kind:
            return None
        inputs = list(node.inputs)
        inputs[which] = inputs[which]._replace(**changes)
        return dataclasses.replace(node, inputs=tuple(inputs))

    return change


@pytest.mark.parametrize(
    "change",
    [
        only(Kind.ADD, inputs=()),
        only(Kind.ADD, type=Type.I32),
        only(Kind.ADD, length=3),
        only(Kind.DOT, length=0),
        only(Kind.DOT, length=4000),
        only(Kind.POWER, attributes=(1,)),
        only(Kind.CONST, attributes=(1, 2, 3, 4, 5, 6, 7)),
        only(Kind.MUL, sizes=(0,)),
        only(Kind.MUL, sizes=(1,) * 7),
        access(Kind.MUL, 0, node=100_000),
        access(Kind.MUL, 0, start=-1),
        access(Kind.MUL, 1, start=4000),
        access(Kind.MUL, 1, elements=3),
        access(Kind.DOT, 0, node=0),
        access(Kind.PAD, 0, start=-100),
    ],
)
def test_a_node_that_breaks_a_rule_is_refused(change):
    with pytest.raises(VerificationError):
        broken(change).check()
