"""Why this module exists: one node of a program has one byte string, short enough to be shown to a contract.

Big-endian, without gaps: kind, type, rank, number of inputs (8 bits each), number of attributes (16), length (32); the
output's sizes (32 each); per input its node (32), how many elements that one has (32), start (signed, 64) and strides
(signed, 32 each); then the attributes (32 each). All that a leaf must know about its inputs is in their reader's bytes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from eth_utils.crypto import keccak

from protocol.errors import VerificationError
from verde.program.kinds import RULES, Kind, Type

MAX_RANK = 6
MAX_ELEMENTS = 1 << 32


class Access(NamedTuple):
    """How an input is read: node ``node`` of ``elements``, from ``start``, by one stride per axis of the output."""

    node: int
    elements: int
    start: int
    strides: tuple[int, ...]

    def at(self, coordinates: tuple[int, ...]) -> int:
        """The element that the output element at ``coordinates`` reads (or where its row begins)."""
        return self.start + sum(c * stride for c, stride in zip(coordinates, self.strides, strict=True))


@dataclass(frozen=True)
class Node:
    """An operator: its output's type and sizes, what it reads, its attributes; ``length`` terms if it reduces."""

    kind: Kind
    type: Type
    sizes: tuple[int, ...]
    inputs: tuple[Access, ...] = ()
    attributes: tuple[int, ...] = ()
    length: int = 0

    @property
    def num_elements(self) -> int:
        return math.prod(self.sizes)

    def coordinates(self, element: int) -> tuple[int, ...]:
        """Where the element lies. Raises ``IndexError`` when there is none."""
        if not 0 <= element < self.num_elements:
            raise IndexError(f"an output of {self.num_elements} elements has no element {element}")
        found = []
        for size in reversed(self.sizes):
            element, coordinate = divmod(element, size)
            found.append(coordinate)
        return tuple(reversed(found))

    def encoded(self) -> bytes:
        """The byte string."""
        rank, num_inputs, num_attributes = len(self.sizes), len(self.inputs), len(self.attributes)
        words: list[int] = [self.kind, self.type, rank, num_inputs, num_attributes, self.length, *self.sizes]
        for access in self.inputs:
            words += (access.node, access.elements, access.start, *access.strides)
        return _layout(rank, num_inputs, num_attributes).pack(*words, *self.attributes)

    def hash(self) -> bytes:
        """Keccak-256 of the byte string: the node's leaf in the program's tree."""
        return keccak(self.encoded())


_HEAD = struct.calcsize(">BBBBHI")


@cache
def _layout(rank: int, num_inputs: int, num_attributes: int) -> struct.Struct:
    return struct.Struct(f">BBBBHI{rank}I" + f"IIq{rank}i" * num_inputs + f"{num_attributes}I")


def decode_node(raw: bytes) -> Node:
    """The node with these bytes. Raises ``VerificationError`` for bytes that are no node's."""
    try:
        kind, type_, rank, num_inputs, num_attributes, length = struct.unpack_from(">BBBBHI", raw)
        if len(raw) != _HEAD + 4 * (rank + num_inputs * (4 + rank) + num_attributes):
            raise ValueError("its length is another one than it says")
        sizes = struct.unpack_from(f">{rank}I", raw, _HEAD)
        at, inputs = _HEAD + 4 * rank, []
        for _ in range(num_inputs):
            source, elements, start, *strides = struct.unpack_from(f">IIq{rank}i", raw, at)
            inputs.append(Access(source, elements, start, tuple(strides)))
            at += 4 * (4 + rank)
        attributes = struct.unpack_from(f">{num_attributes}I", raw, at)
        node = Node(Kind(kind), Type(type_), sizes, tuple(inputs), attributes, length)
    except (struct.error, ValueError) as error:
        raise _bad(f"its bytes are no node's ({error})") from error
    return node


def check_node(node: Node, earlier: list[Node], own: int) -> None:
    """Raises ``VerificationError`` when ``node``, number ``own``, breaks its kind's rule or reads what is not there."""
    rule = RULES[node.kind]
    if not (len(node.sizes) <= MAX_RANK and 0 < node.num_elements <= MAX_ELEMENTS):
        raise _bad(f"it has sizes {node.sizes}")
    most = 255 if rule.repeats else len(rule.inputs)
    if not rule.least <= len(node.inputs) <= most or rule.reduces != (node.length > 0):
        raise _bad(f"{node.kind.name} has {len(node.inputs)} inputs and {node.length} terms")
    if rule.attributes is not None and len(node.attributes) != _attributes(node, rule.attributes):
        raise _bad(f"{node.kind.name} has {len(node.attributes)} attributes")
    if node.kind == Kind.CONST and len(node.attributes) != node.num_elements:
        raise _bad(f"{len(node.attributes)} words for {node.num_elements} elements")
    if node.type != _output_type(node, rule.output, earlier):
        raise _bad(f"{node.kind.name} gives no {node.type.name}")
    for number, access in enumerate(node.inputs):
        if not 0 <= access.node < own or len(access.strides) != len(node.sizes):
            raise _bad(f"input {number} is not an earlier node's")
        source, wanted = earlier[access.node], rule.type_of(number)
        if access.elements != source.num_elements:
            raise _bad(f"input {number} has {source.num_elements} elements, not {access.elements}")
        if wanted is not None and source.type != wanted:
            raise _bad(f"input {number} is {source.type.name}, not {wanted.name}")
        if node.kind != Kind.CONCAT and not (node.kind == Kind.GATHER and number == 0):
            _check_reach(node, access, source, node.length if rule.is_row(number) else 1)


def _attributes(node: Node, expected: int) -> int:
    return len(node.inputs) - 1 if node.kind == Kind.GATHER else expected


def _output_type(node: Node, fixed: Type | None, earlier: list[Node]) -> Type:
    if fixed is not None:
        return fixed
    return earlier[node.inputs[0].node].type if node.inputs else node.type


def _check_reach(node: Node, access: Access, source: Node, row: int) -> None:
    sizes = list(node.sizes)
    first = access.start
    if node.kind == Kind.PAD:
        axis, begin, end = node.attributes
        first += begin * access.strides[axis]
        sizes[axis] = end - begin
    ends = [(size - 1) * stride for size, stride in zip(sizes, access.strides, strict=True)]
    low = first + sum(end for end in ends if end < 0)
    high = first + sum(end for end in ends if end > 0) + row - 1
    if low < 0 or high >= source.num_elements:
        raise _bad(f"{node.kind.name} reads elements {low} to {high} of {source.num_elements}")


def _bad(why: str) -> VerificationError:
    return VerificationError(
        f"A program's node cannot be used: {why}.",
        "Nothing was computed with it, and no credits are touched.",
        "Derive the program again from the run's configuration.",
    )
