"""Moves of elements: the contract reads what the node says, and refuses what is malformed."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from tests.verde.referee.evm import Answer, Evm, Leaf, packed
from verde.program.kinds import Kind, Type
from verde.program.node import Access, Node

ANY = b"\x01\x02\x03\x04"
NUMBER = packed([0x3F800000])
SIZES = {Type.F32: 4, Type.I32: 4, Type.I16: 2, Type.U8: 1}


@pytest.mark.parametrize("type_", Type)
def test_a_copy_keeps_every_bit(evm: Evm, rng: random.Random, num_cases: int, type_: Type) -> None:
    size = SIZES[type_]
    cases = [rng.choice([0, 1, 2 ** (8 * size) - 1, 0x7FC00001, rng.getrandbits(32)]) for _ in range(num_cases // 5)]
    cases = [one % 2 ** (8 * size) for one in cases]
    leaves = [Leaf(Kind.COPY, (packed([one], size),), type=type_) for one in cases]
    assert evm.evaluate(leaves) == cases


def test_views_read_the_element_that_numpy_reads(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """Transposed, cut, reversed and repeated: strides of any sign."""
    arguments, wanted = [], []
    for _ in range(num_cases):
        shape = tuple(rng.randint(1, 5) for _ in range(rng.randint(1, 4)))
        source = np.arange(np.prod(shape)).reshape(shape)
        view = np.transpose(source, rng.sample(range(len(shape)), len(shape)))
        view = view[tuple(slice(None, None, rng.choice([1, 1, -1, 2])) for _ in shape)]
        if rng.random() < 0.3:
            view = np.broadcast_to(view, (3, *view.shape))
        start = int(view.reshape(-1)[0])
        strides = tuple(stride // source.itemsize for stride in view.strides)
        element = rng.randrange(view.size)
        leaf = Leaf(Kind.COPY, (ANY,), sizes=view.shape, accesses=((start, *strides),))
        arguments.append((leaf.node, element, 0, []))
        wanted.append(int(view.reshape(-1)[element]))
    assert evm.call("source", arguments) == wanted


def test_gathering_adds_its_indices_to_the_position(evm: Evm, rng: random.Random, num_cases: int) -> None:
    arguments, wanted = [], []
    for _ in range(num_cases):
        strides = [rng.choice([1, 7, -2, 896]) for _ in range(rng.randint(1, 3))]
        indices = [rng.randint(-3, 1000) for _ in strides]
        leaf = Leaf(
            Kind.GATHER,
            (ANY, *[ANY] * len(strides)),
            tuple(strides),
            sizes=(4, 5),
            accesses=((6000, 1, 3), *[(2, 1, 0)] * len(strides)),
        )
        element = rng.randrange(20)
        row, column = divmod(element, 5)
        arguments.append((leaf.node, element, 0, [packed([one]) for one in indices]))
        wanted.append(6000 + row + 3 * column + sum(s * i for s, i in zip(strides, indices, strict=True)))
        arguments.append((leaf.node, element, len(strides), []))
        wanted.append(2 + row)
    assert evm.call("source", arguments) == wanted
    assert evm.evaluate([Leaf(Kind.GATHER, (ANY, ANY), (1,))]) == [int.from_bytes(ANY, "little")]


@pytest.mark.integration
def test_padding_reads_only_what_is_inside(evm: Evm) -> None:
    leaves = [
        Leaf(Kind.PAD, (ANY if 2 <= column < 4 else b"",), (1, 2, 4), sizes=(2, 6), element=6 * row + column)
        for row in range(2)
        for column in range(6)
    ]
    one = int.from_bytes(ANY, "little")
    assert evm.evaluate(leaves) == [0, 0, one, one, 0, 0] * 2
    node = Leaf(Kind.PAD, (ANY,), (0, 1, 3), sizes=(4,), accesses=((5, 2),)).node
    assert evm.call("source", [(node, element, 0, []) for element in range(4)]) == [0, 7, 9, 0]


@pytest.mark.integration
def test_joined_tensors_lie_one_behind_the_other(evm: Evm) -> None:
    node = Leaf(Kind.CONCAT, (ANY, ANY), (3,), sizes=(5,)).node
    first, second = packed([11]), packed([22])
    assert evm.call("evaluate", [(node, place, [first, b""]) for place in range(3)]) == [11] * 3
    assert evm.call("evaluate", [(node, place, [b"", second]) for place in (3, 4)]) == [22] * 2
    assert evm.call("source", [(node, place, 0, []) for place in range(5)]) == [0, 1, 2, 0, 0]
    assert evm.call("source", [(node, place, 1, []) for place in range(5)]) == [0, 0, 0, 0, 1]


@pytest.mark.integration
def test_a_mask_chooses(evm: Evm) -> None:
    a, b = packed([0x3F800000]), packed([0x80000001])
    leaves = [Leaf(Kind.SELECT, (packed([flag], 1), a, b)) for flag in (1, 0, 2)]
    assert evm.evaluate(leaves) == [0x3F800000, 0x80000001, 0x80000001]


@pytest.mark.integration
def test_constants_come_from_the_node(evm: Evm) -> None:
    words = (0x3F800000, 0, 0xFFFFFFFF, 7)
    assert evm.evaluate(Leaf(Kind.CONST, (), words, Type.I32, (2, 2), i) for i in range(4)) == list(words)
    assert evm.evaluate([Leaf(Kind.CONST, (), (1,), Type.U8)]) == [1]


def test_segments_see_their_own_past(evm: Evm, rng: random.Random, num_cases: int) -> None:
    leaves, wanted = [], []
    for _ in range(num_cases):
        query, key = rng.randrange(8), rng.randrange(8)
        own, other, window = rng.choice([-1, 0, 1, 2]), rng.choice([-1, 0, 1, 2]), rng.choice([0, 1, 2, 3, 8])
        inputs = packed([own]), packed([other])
        leaves.append(Leaf(Kind.MASK, inputs, (window,), Type.U8, (2, 8, 8), 64 + 8 * query + key))
        near = window == 0 or query - key < window
        wanted.append(int(query == key or (key < query and other != -1 and other in (0, own) and near)))
    assert evm.evaluate(leaves) == wanted


MALFORMED: dict[str, tuple[bytes, int, list[bytes]]] = {
    "an element too many": (Leaf(Kind.COPY, (ANY,)).node, 1, [ANY]),
    "no inputs": (Leaf(Kind.ADD, (ANY, ANY)).node, 0, []),
    "three inputs of two": (Leaf(Kind.ADD, (ANY, ANY)).node, 0, [NUMBER] * 3),
    "a short number": (Leaf(Kind.ADD, (ANY, ANY)).node, 0, [NUMBER, NUMBER[:3]]),
    "a long number": (Leaf(Kind.NEG, (ANY,)).node, 0, [NUMBER * 2]),
    "an empty node": (b"", 0, []),
    "a node cut short": (Leaf(Kind.NEG, (ANY,)).node[:-1], 0, [NUMBER]),
    "a node with a rest": (Leaf(Kind.NEG, (ANY,)).node + b"\x00", 0, [NUMBER]),
    "a copy of another size": (Leaf(Kind.COPY, (ANY,), type=Type.I16).node, 0, [ANY]),
    "an unknown type": (struct.pack(">BBBBHIIIIqi", 8, 9, 1, 1, 0, 0, 1, 0, 9, 0, 0), 0, [ANY]),
    "rows of two lengths": (Leaf(Kind.DOT, (ANY,) * 3, length=2).node, 0, [ANY, NUMBER, ANY[:2]]),
    "too few terms": (Leaf(Kind.SUM, (ANY, ANY), length=2).node, 0, [ANY, NUMBER]),
    "half a term": (Leaf(Kind.SUM, (ANY, ANY), length=1).node, 0, [ANY + b"\x00", NUMBER]),
    "a mask of another length": (Leaf(Kind.MAX, (ANY, ANY), length=1).node, 0, [NUMBER, b"\x01\x01"]),
    "scales of another length": (Leaf(Kind.EXPONENT, (ANY, ANY), (1,), length=1).node, 0, [NUMBER, ANY * 2]),
    "indices of another length": (Leaf(Kind.SUM_WHERE, (ANY,) * 3, (0,), length=1).node, 0, [NUMBER, ANY, b""]),
    "no attribute": (Leaf(Kind.MASK, (ANY, ANY), (), sizes=(3, 3)).node, 3, [ANY, ANY]),
    "an empty axis": (Leaf(Kind.COPY, (ANY,), sizes=(0,)).node, 0, [ANY]),
}


@pytest.mark.integration
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_leaf_is_the_callers_mistake(evm: Evm, case: str) -> None:
    assert evm.call("evaluate", [MALFORMED[case]]) == ["MalformedLeaf"]


@pytest.mark.integration
def test_parts_of_a_reduction_end_where_its_terms_end(evm: Evm) -> None:
    node = Leaf(Kind.SUM, (ANY, ANY), length=3).node
    row = NUMBER * 2
    answers = evm.call("fold", [(node, 0, first, 0, [row, packed([1])]) for first in (0, 1, 2)])
    assert answers == [2 << 35, 2 << 35, "MalformedLeaf"]
    assert evm.call("source", [(node, 0, 2, [])]) == ["MalformedLeaf"]


@pytest.mark.integration
@pytest.mark.parametrize("kind", [0, Kind.STATE, Kind.STEP, Kind.DATA, 5, 13, 39, 47, 55, 255])
def test_what_is_not_computed_has_no_evaluator(evm: Evm, kind: int) -> None:
    node = struct.pack(">BBBBHIIIIqi", kind, 0, 1, 1, 0, 1, 1, 0, 9, 0, 0)
    assert evm.call("evaluate", [(node, 0, [NUMBER])]) == ["UnknownKind"]


@pytest.mark.integration
def test_there_is_nothing_before_the_first_and_after_the_last_element(evm: Evm) -> None:
    node = Node(Kind.COPY, Type.F32, (6,), (Access(0, 4, 4, (-1,)),)).encoded()
    answers: list[Answer] = evm.call("source", [(node, element, 0, []) for element in range(6)])
    assert answers == ["IndexBeyondEnd", 3, 2, 1, 0, "IndexBeyondEnd"]
    node = Node(Kind.GATHER, Type.F32, (1,), (Access(0, 4, 0, (0,)), Access(1, 1, 0, (0,))), (2,)).encoded()
    answers = evm.call("source", [(node, 0, 0, [packed([index])]) for index in (-1, 0, 1, 2)])
    assert answers == ["IndexBeyondEnd", 0, 2, "IndexBeyondEnd"]
