"""Why this module exists: who re-executed a step can name all of it by one root, and show any piece against that root.

A trace exists only in a dispute. Trees of tensors are kept when they are asked for. Layouts: ``verde.program.tree``.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from eth_utils.crypto import keccak

from verde.program.kinds import Type
from verde.program.leaf import Read
from verde.program.node import Node
from verde.program.program import DTYPES, Program
from verde.program.tree import CHUNK_BYTES, Tree, num_chunks, root_of, tensor_tree

Array = np.ndarray[Any, Any]


def words_of(raw: bytes, type_: Type) -> tuple[int, ...]:
    """The words of elements in bytes: bits of binary32, signed integers otherwise."""
    dtype = np.dtype(np.uint32 if type_ == Type.F32 else DTYPES[type_]).newbyteorder("<")
    return tuple(int(word) for word in np.frombuffer(raw, dtype))


@dataclass(frozen=True)
class Piece:
    """Chunks ``first_chunk`` … of a tensor, side by side, with what their tree needs besides them."""

    first_chunk: int
    raw: bytes
    proof: tuple[bytes, ...]


def tensor_root(piece: Piece, elements: int, type_: Type) -> bytes | None:
    """The root of the tensor of ``elements`` that ``piece`` belongs to; None where it cannot be part of one."""
    size = elements * type_.size
    start, end = piece.first_chunk * CHUNK_BYTES, piece.first_chunk * CHUNK_BYTES + len(piece.raw)
    is_whole = end == size or not end % CHUNK_BYTES
    if not piece.raw or end > size or not is_whole:
        return None
    leaves = [keccak(piece.raw[i : i + CHUNK_BYTES]) for i in range(0, len(piece.raw), CHUNK_BYTES)]
    return root_of(num_chunks(size), start // CHUNK_BYTES, leaves, piece.proof)


def words_in(piece: Piece, type_: Type, first: int, count: int) -> tuple[int, ...] | None:
    """Elements ``first`` … of the tensor; None where ``piece`` does not hold them all."""
    begin = first * type_.size - piece.first_chunk * CHUNK_BYTES
    end = begin + count * type_.size
    return words_of(piece.raw[begin:end], type_) if begin >= 0 and end <= len(piece.raw) else None


def show(values: Array, tree: Tree, first: int, count: int) -> Piece:
    """The chunks that hold elements ``first … first + count - 1``."""
    raw = np.ascontiguousarray(values).reshape(-1)
    per_chunk = CHUNK_BYTES // raw.itemsize
    low, high = first // per_chunk, (first + count - 1) // per_chunk
    part = raw[low * per_chunk : (high + 1) * per_chunk]
    return Piece(low, part.astype(raw.dtype.newbyteorder("<")).tobytes(), tree.proof(low, high - low + 1))


class Trace:
    """All outputs of a program's nodes, as ``verde.program.execute`` gives them."""

    def __init__(self, program: Program, values: Sequence[Array]) -> None:
        if len(values) != len(program.nodes):
            raise ValueError(f"{len(values)} outputs for {len(program.nodes)} nodes")
        self.program, self.values = program, tuple(values)
        self._trees: dict[int, Tree] = {}
        self._settle([tensor_tree(value).root for value in values])

    def _settle(self, roots: list[bytes]) -> None:
        self._roots = roots
        self.tree = Tree(np.frombuffer(b"".join(roots), np.uint8).reshape(-1, 32))

    def with_output(self, number: int, value: Array) -> Trace:
        """A trace that has another output of one node, and all others as they are."""
        other = copy(self)
        other.values = (*self.values[:number], value, *self.values[number + 1 :])
        other._trees = {}
        other._settle([*self._roots[:number], tensor_tree(value).root, *self._roots[number + 1 :]])
        return other

    @property
    def root(self) -> bytes:
        return self.tree.root

    def node(self, number: int) -> Node:
        return self.program.nodes[number]

    def tensor(self, number: int) -> Tree:
        """The tree of node ``number``'s output."""
        if number not in self._trees:
            self._trees[number] = tensor_tree(self.values[number])
        return self._trees[number]

    def chunk(self, number: int, chunk: int) -> bytes:
        """One chunk of node ``number``'s output."""
        per_chunk = CHUNK_BYTES // self.node(number).type.size
        return show(self.values[number], self.tensor(number), chunk * per_chunk, 1).raw

    def piece(self, number: int, first: int, count: int) -> Piece:
        """Elements of node ``number``'s output, against that output's root."""
        return show(self.values[number], self.tensor(number), first, count)

    def reader(self, number: int) -> Read:
        """Reads the inputs of node ``number`` from the outputs of earlier nodes."""
        node = self.node(number)

        def read(which: int, first: int, count: int) -> tuple[int, ...]:
            source = node.inputs[which].node
            values = np.ascontiguousarray(self.values[source]).reshape(-1)[first : first + count]
            return words_of(values.astype(values.dtype.newbyteorder("<")).tobytes(), self.node(source).type)

        return read

    def word(self, number: int, element: int) -> int:
        """One element's word."""
        value = np.ascontiguousarray(self.values[number]).reshape(-1)[element : element + 1]
        return words_of(value.astype(value.dtype.newbyteorder("<")).tobytes(), self.node(number).type)[0]
