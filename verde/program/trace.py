"""Why this module exists: who re-executed a step can name all of it by one root, and show any piece against that root.

A trace exists only in a dispute, and would fill many times the memory of the step, so that only its roots are kept.
Layouts: ``verde.program.tree``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from eth_utils.crypto import keccak

from protocol.errors import NumericsError
from verde.numerics.oracle.rounding import NotANumber
from verde.program.execute import compute, run
from verde.program.kinds import Type
from verde.program.leaf import Read, evaluate
from verde.program.node import Node
from verde.program.program import DTYPES, Program, Sources
from verde.program.stages import SOURCE_KINDS, Stages, inputs_before, num_bytes
from verde.program.tree import CHUNK_BYTES, MISSING, Tree, num_chunks, root_of, tensor_tree

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


Recall = Callable[[frozenset[int]], dict[int, Array]]


class Trace:
    """The outputs of a program's nodes: the root of each, and, computed again when they are asked for, its elements.

    At any time the outputs of one node and of its inputs are in memory: what a dispute is about.

    ``broken``: (node, element) of the first element that does not exist, because a result is no number. Whatever
    anybody says it is, is wrong. The roots from that node on are ``MISSING``, and stand for nothing.
    """

    def __init__(
        self, program: Program, roots: Sequence[bytes], recall: Recall, broken: tuple[int, int] | None = None
    ) -> None:
        self.program, self._roots, self._recall, self.broken = program, tuple(roots), recall, broken
        self._kept: dict[int, Array] = {}
        self._trees: dict[int, Tree] = {}
        self.tree = Tree(np.frombuffer(b"".join(self._roots), np.uint8).reshape(-1, 32))

    @classmethod
    def of_run(cls, program: Program, sources: Sources) -> Trace:
        """Runs the program, and again up to a node whenever elements of others than the last ones are asked for.

        Where a result is no number the run ends, and the trace is ``broken`` there. Otherwise raises as
        ``verde.program.execute.compute``.
        """
        trace = Tracing(program, sources).go_on()
        assert trace is not None
        return trace

    @classmethod
    def ended(cls, program: Program, roots: list[bytes], recall: Recall) -> Trace:
        """The trace of a run that ends at the node after ``roots``."""
        number, node = len(roots), program.nodes[len(roots)]
        missing = [MISSING] * (len(program.nodes) - number)
        before = cls(program, roots + missing, recall)
        inputs = frozenset(access.node for access in node.inputs)
        before._kept = recall(inputs)
        words = np.zeros(node.num_elements, np.uint32 if node.type == Type.F32 else np.int64)
        read = before._read(node)
        element = 0
        try:
            for element in range(node.num_elements):
                words[element] = evaluate(node, element, read)
        except NotANumber:
            value = words.view(np.float32) if node.type == Type.F32 else words.astype(DTYPES[node.type])
            value = value.reshape(node.sizes)

            def recall_part(numbers: frozenset[int]) -> dict[int, Array]:
                own = {number: value} if number in numbers else {}
                return recall(numbers - {number}) | own if numbers - {number} else own

            return cls(program, roots + missing, recall_part, (number, element))
        raise AssertionError(f"execution refuses node {number}, and no element of it is refused by the judge")

    @classmethod
    def of_values(cls, program: Program, values: Sequence[Array]) -> Trace:
        """A trace whose outputs are all in memory."""
        if len(values) != len(program.nodes):
            raise ValueError(f"{len(values)} outputs for {len(program.nodes)} nodes")
        roots = [tensor_tree(value).root for value in values]
        return cls(program, roots, lambda numbers: {number: values[number] for number in numbers})

    def with_output(self, number: int, value: Array) -> Trace:
        """A trace that has another output of one node, and all others as they are."""

        def recall(numbers: frozenset[int]) -> dict[int, Array]:
            return self._recall(numbers) | ({number: value} if number in numbers else {})

        roots = (*self._roots[:number], tensor_tree(value).root, *self._roots[number + 1 :])
        return Trace(self.program, roots, recall)

    @property
    def root(self) -> bytes:
        return self.tree.root

    def node(self, number: int) -> Node:
        return self.program.nodes[number]

    def results(self) -> dict[str, Array]:
        """The program's results by name; none of them is kept."""
        found = self._recall(frozenset(self.program.outputs.values()))
        return {name: found[number] for name, number in self.program.outputs.items()}

    def focus(self, number: int) -> None:
        """Have the outputs of node ``number`` and of what it reads in memory, and no others."""
        wanted = frozenset({number, *(access.node for access in self.node(number).inputs)})
        if not wanted <= self._kept.keys():
            self._kept, self._trees = self._recall(wanted), {}

    def value(self, number: int) -> Array:
        """Node ``number``'s output."""
        if number not in self._kept:
            self.focus(number)
        return self._kept[number]

    def tensor(self, number: int) -> Tree:
        """The tree of node ``number``'s output."""
        value = self.value(number)
        if number not in self._trees:
            self._trees[number] = tensor_tree(value)
        return self._trees[number]

    def chunk(self, number: int, chunk: int) -> bytes:
        """One chunk of node ``number``'s output."""
        per_chunk = CHUNK_BYTES // self.node(number).type.size
        return show(self.value(number), self.tensor(number), chunk * per_chunk, 1).raw

    def piece(self, number: int, first: int, count: int) -> Piece:
        """Elements of node ``number``'s output, against that output's root."""
        return show(self.value(number), self.tensor(number), first, count)

    def reader(self, number: int) -> Read:
        """Reads the inputs of node ``number`` from the outputs of earlier nodes."""
        self.focus(number)
        return self._read(self.node(number))

    def _read(self, node: Node) -> Read:
        def read(which: int, first: int, count: int) -> tuple[int, ...]:
            source = node.inputs[which].node
            return _words(self.value(source), self.node(source).type, first, count)

        return read

    def word(self, number: int, element: int) -> int:
        """One element's word."""
        return _words(self.value(number), self.node(number).type, element, 1)[0]


def _words(values: Array, type_: Type, first: int, count: int) -> tuple[int, ...]:
    part = np.ascontiguousarray(values).reshape(-1)[first : first + count]
    return words_of(part.astype(part.dtype.newbyteorder("<")).tobytes(), type_)


class Tracing:
    """A run that can be interrupted. ``store``: where outputs are put by number, all of them where there is room, else
    those from which any other is soon computed again; ``None``: nowhere, so that a trace begins anew for what it is
    asked for."""

    def __init__(self, program: Program, sources: Sources, store: Store | None = None) -> None:
        self._program, self._sources, self._store = program, sources, store
        self._roots: list[bytes] = []
        self._running = run(program, sources)
        self._stages: Stages | None = None
        if store is not None and num_bytes(program) > store.room_bytes:
            self._stages = Stages.of(program)

    def go_on(self, stop: Callable[[], bool] = lambda: False) -> Trace | None:
        """Compute until ``stop()``, which is asked after every node; the trace once it is complete, else ``None``.

        See ``Trace.of_run``.
        """
        program, stages = self._program, self._stages
        try:
            for number, value in self._running:
                self._roots.append(tensor_tree(value).root)
                if self._store is not None and (stages is None or number in stages.kept):
                    self._store = self._store if self._store.put(number, value) else None
                if stop():
                    return None
        except NumericsError:
            return Trace.ended(program, self._roots, self._recalling)
        return Trace(program, self._roots, self._recalling)

    @property
    def _recalling(self) -> Recall:
        return self._again if self._store is None else self._recall

    def _again(self, numbers: frozenset[int]) -> dict[int, Array]:
        """From the beginning."""
        return {n: value for n, value in run(self._program, self._sources, max(numbers) + 1) if n in numbers}

    def _recall(self, numbers: frozenset[int]) -> dict[int, Array]:
        """From what was kept."""
        stages = self._stages
        if stages is None:
            return {number: self._kept(number) for number in numbers}
        found = {number: self._kept(number) for number in numbers if self._is_kept(number)}
        for start, wanted in stages.by_start(numbers - found.keys()):
            stop = max(wanted) + 1
            before = {number: self._kept(number) for number in inputs_before(self._program, start, stop)}
            running = run(self._program, self._sources, stop, start, before)
            found.update({number: value for number, value in running if number in wanted})
        return found

    def _is_kept(self, number: int) -> bool:
        assert self._stages is not None
        return number in self._stages.kept or self._program.nodes[number].kind in SOURCE_KINDS

    def _kept(self, number: int) -> Array:
        node = self._program.nodes[number]
        assert self._store is not None
        if self._stages is not None and node.kind in SOURCE_KINDS:
            return compute(node, {}, self._sources)
        return self._store.get(number)


class Store(Protocol):
    """Keeps outputs. ``room_bytes``: of how many bytes."""

    @property
    def room_bytes(self) -> int: ...

    def put(self, number: int, value: Array) -> bool:
        """Whether there was room for it; if not, nothing needs to be kept any more."""
        ...

    def get(self, number: int) -> Array:
        """An output that was put here."""
        ...
