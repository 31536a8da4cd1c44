"""Why this module exists: a game of a large model is as deep as the model, but only its leaf has to be computed.

A trace of a program whose outputs are one pattern, but for the element that is disputed: trees of any size from a few
hashes a level. It answers what ``verde.bisect.challenger`` and ``defender`` ask of a trace; the roots of nodes that the
game does not open are made up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from eth_utils.crypto import keccak

from verde.program.kinds import Kind, Type
from verde.program.leaf import SOURCES, Read, evaluate
from verde.program.node import Node
from verde.program.program import Program
from verde.program.trace import Piece, words_of
from verde.program.tree import CHUNK_BYTES, MISSING, Tree, num_chunks, width_of

SEED = 5


def pattern(type_: Type) -> bytes:
    """256 bytes of elements as they are in a step: few zero bytes but in integers, which are small."""
    random = np.random.default_rng(SEED)
    count = CHUNK_BYTES // type_.size
    values = {
        Type.F32: random.uniform(0.5, 2.0, count).astype("<f4"),
        Type.I32: np.full(count, 2, "<i4"),
        Type.I16: random.integers(-32767, 32767, count).astype("<i2"),
        Type.U8: np.ones(count, "<u1"),
    }
    return values[type_].tobytes()


class PatternTensor:
    """A tensor of ``num_bytes`` whose chunks are all ``chunk``, the last one cut off, but for those in ``others``."""

    def __init__(self, num_bytes: int, chunk: bytes, others: dict[int, bytes] | None = None) -> None:
        self._count = num_chunks(num_bytes)
        tail = num_bytes - (self._count - 1) * CHUNK_BYTES
        self._chunk, self._others = chunk, {self._count - 1: chunk[:tail]} | (others or {})
        self._default = [keccak(chunk)]
        self._special = [{place: keccak(raw) for place, raw in self._others.items()}]
        while width_of(self._count, len(self._default) - 1) > 1:
            level = len(self._default) - 1
            parents = {place // 2 for place in self._special[-1]}
            above = {i: keccak(self.node(level, 2 * i) + self.node(level, 2 * i + 1)) for i in parents}
            self._default.append(keccak(self._default[-1] * 2))
            self._special.append(above)

    def __len__(self) -> int:
        return self._count

    @property
    def depth(self) -> int:
        return len(self._default) - 1

    @property
    def root(self) -> bytes:
        return self.node(self.depth, 0)

    def chunk(self, number: int) -> bytes:
        return self._others.get(number, self._chunk)

    def node(self, level: int, index: int) -> bytes:
        if index >= width_of(self._count, level):
            return MISSING
        return self._special[level].get(index, self._default[level])

    def below(self, level: int, index: int, levels: int) -> tuple[bytes, ...]:
        first, width = index << levels, width_of(self._count, level - levels)
        return tuple(self.node(level - levels, i) for i in range(first, min(first + (1 << levels), width)))

    def proof(self, first: int, count: int = 1) -> tuple[bytes, ...]:
        siblings = []
        low, high = first, first + count - 1
        for level in range(self.depth):
            if low % 2:
                siblings.append(self.node(level, low - 1))
            if high % 2 == 0 and high + 1 < width_of(self._count, level):
                siblings.append(self.node(level, high + 1))
            low, high = low // 2, high // 2
        return tuple(siblings)


class SampledTrace:
    """A trace in which node ``number``'s element ``element`` is right, or with ``lie`` is not."""

    broken = None

    def __init__(self, program: Program, number: int, element: int, *, lie: bool, state_word: int = 0) -> None:
        self.program, self._number = program, number
        self._tensors = {
            access.node: PatternTensor(*self._pattern_of(access.node)) for access in program.nodes[number].inputs
        }
        node = program.nodes[number]
        word = state_word if node.kind in SOURCES else evaluate(node, element, self.reader(number))
        size = node.type.size
        place, offset = divmod(element * size, CHUNK_BYTES)
        num_bytes, chunk = self._pattern_of(number)
        raw = bytearray(chunk[: min(CHUNK_BYTES, num_bytes - place * CHUNK_BYTES)])
        raw[offset : offset + size] = ((word % (1 << 8 * size)) ^ lie).to_bytes(size, "little")
        self._tensors[number] = PatternTensor(num_bytes, chunk, {place: bytes(raw)})
        roots = [keccak(b"node %d" % i) for i in range(len(program.nodes))]
        for i, tensor in self._tensors.items():
            roots[i] = tensor.root
        self.tree = Tree(np.frombuffer(b"".join(roots), np.uint8).reshape(-1, 32))

    @property
    def root(self) -> bytes:
        return self.tree.root

    def node(self, number: int) -> Node:
        return self.program.nodes[number]

    def tensor(self, number: int) -> PatternTensor:
        return self._tensors[number]

    def chunk(self, number: int, chunk: int) -> bytes:
        return self._tensors[number].chunk(chunk)

    def piece(self, number: int, first: int, count: int) -> Piece:
        size = self.node(number).type.size
        low, high = first * size // CHUNK_BYTES, ((first + count) * size - 1) // CHUNK_BYTES
        tensor = self._tensors[number]
        raw = b"".join(tensor.chunk(i) for i in range(low, high + 1))
        return Piece(low, raw, tensor.proof(low, high - low + 1))

    def reader(self, number: int) -> Read:
        def read(which: int, first: int, count: int) -> Sequence[int]:
            source = self.node(number).inputs[which].node
            size, piece = self.node(source).type.size, self.piece(source, first, count)
            begin = first * size - piece.first_chunk * CHUNK_BYTES
            return words_of(piece.raw[begin : begin + count * size], self.node(source).type)

        return read

    def _pattern_of(self, number: int) -> tuple[int, bytes]:
        node = self.node(number)
        return node.num_elements * node.type.size, pattern(node.type)


COMPUTED = tuple(kind for kind in Kind if kind not in (*SOURCES, Kind.CONST))
"""Kinds whose elements can be computed from patterns."""
