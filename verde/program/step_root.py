"""Why this module exists: every member names every training step in every round, for disputes that hardly ever happen.

The same name as ``step_program(…).root``, at a hundredth of its cost: where nodes stand follows from counting, and the
passes' nodes are stamped from templates (``verde.program.template``) and hashed all at once. Where a template cannot
be sure (a number out of range, or two nodes that turn out to be one), the program is derived after all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verde.program.builder import Builder
from verde.program.derive_model import Gradients, Weights, parameters, state_weights
from verde.program.derive_step import step_program, update_weights
from verde.program.keccak import keccak_rows
from verde.program.node import Node
from verde.program.program import key_words, node_hashes, program_root
from verde.program.shape import Architecture, LearnRates, StepShape, not_built
from verde.program.symbolic import evaluated
from verde.program.template import ADDED, DATA_NAMES, OLD, OWN, Template, Words, sizes_of, template
from verde.program.tree import Tree
from verde.program.view import View, dense_strides

Array = np.ndarray[Any, Any]

_PASSES_AT_ONCE = 16
_LARGEST = 1 << 31
_MOST_NODES = 1 << 32


class StepNames:
    """Names of the steps of one model under one run's rules. Templates are made as they are needed, and kept."""

    def __init__(self, arch: Architecture, rates: LearnRates, most_operators: int = _MOST_NODES) -> None:
        if rates.kl != 0:
            raise not_built("a step with a KL term")
        self._arch, self._rates, self._most = arch, rates, most_operators
        self._templates: dict[bool, list[Template]] = {True: [], False: []}

    def root(self, shape: StepShape) -> bytes:
        """``step_program(arch, shape, rates).root``. Raises ``NotBuiltYet`` for a step of more operators than a name
        may cost."""
        found = self._stamped(shape)
        return step_program(self._arch, shape, self._rates).root if found is None else found

    def _stamped(self, shape: StepShape) -> bytes | None:
        """The root, or ``None`` where templates cannot be sure of it."""
        groups = [group for update in (0, 1) for group in self._groups(shape, update)]
        if any(np.abs(group.values).max(initial=0) >= _LARGEST for group in groups):
            return None
        outline = _Outline(self._arch, self._rates, shape, groups)
        if len(outline.b) > self._most:
            raise not_built(f"a step of {len(outline.b)} operators, where {self._most} are the most")
        leaves = np.zeros((len(outline.b), 32), np.uint8)
        for group in groups:
            for numbers, hashes in group.stamped():
                leaves[numbers] = hashes
        own = outline.nodes.own
        leaves[list(own)] = node_hashes(list(own.values()))
        firsts = np.sort(np.ascontiguousarray(leaves[:, :8]).view(np.uint64).reshape(-1))
        if (firsts[1:] == firsts[:-1]).any():
            return None
        outputs = bytes.fromhex(outline.b.program().outputs_tree.root)
        return program_root(len(leaves), Tree(leaves).root, outputs)

    def _groups(self, shape: StepShape, first: int) -> Iterator[_Group]:
        """Passes of the first update (``first`` 0) or of the others, by template."""
        places = [(u, m) for u, update in enumerate(shape) for m in range(len(update)) if (u > 0) == (first > 0)]
        variables = np.array([sizes_of(shape[u][m]) for u, m in places], np.int64).reshape(-1, 5)
        rest, known = np.ones(len(places), np.bool_), self._templates[first == 0]
        number = 0
        while rest.any():
            if number == len(known):
                u, m = places[int(rest.argmax())]
                known.append(template(self._arch, self._rates, shape[u][m], is_first=first == 0))
            fits = rest & known[number].fits(variables)
            if fits.any():
                yield _Group(known[number], [places[i] for i in np.flatnonzero(fits)], variables[fits])
            rest &= ~fits
            number += 1


@dataclass
class _Group:
    """Passes of one template. ``numbers`` int64 [passes, nodes]: where their nodes stand in the program."""

    template: Template
    places: list[tuple[int, int]]
    variables: Array
    numbers: Array = field(init=False)
    values: Array = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = np.full((len(self.places), len(self.template.nodes)), -1, np.int64)
        self.values = evaluated(self.template.polynomials, self.variables)

    def stamped(self) -> Iterator[tuple[Array, Array]]:
        """Numbers of nodes, and their hashes [nodes, 32]."""
        for start in range(0, len(self.places), _PASSES_AT_ONCE):
            rows = slice(start, start + _PASSES_AT_ONCE)
            keys = [{name: key_words(f"data/{u}/{m}/{name}") for name in DATA_NAMES} for u, m in self.places[rows]]
            for part, by_length in self.template.words.items():
                is_there = part != ADDED or self.numbers[rows, self.template.nodes_of(part)].min(axis=1) >= 0
                for words in by_length:
                    yield self._of_words(words, rows, keys, np.broadcast_to(is_there, len(keys)))

    def _of_words(
        self, words: Words, rows: slice, keys: list[dict[str, tuple[int, ...]]], is_there: Array
    ) -> tuple[Array, Array]:
        numbers, values = self.numbers[rows], self.values[rows]
        count, length = words.fixed.shape
        raw = np.empty((len(numbers), count * length), np.uint32)
        raw[:] = words.fixed.reshape(-1)
        whole = values[:, words.polynomial]
        raw[:, words.places] = np.where(words.is_high, whole >> 32, whole).astype(np.uint32)
        raw[:, words.reads] = numbers[:, words.sources]
        for at, name in words.keys:
            raw[:, at : at + 8] = [one[name] for one in keys]
        rows_NB = raw[is_there].astype(">u4").view(np.uint8).reshape(-1, 4 * length)[:, 2:]
        return numbers[is_there][:, words.nodes].reshape(-1), keccak_rows(rows_NB)


class _Nodes(list[Node]):
    """A list of nodes in which most are only counted. ``own``: those that are written down, by number."""

    def __init__(self) -> None:
        super().__init__()
        self.own: dict[int, Node] = {}
        self.seen: dict[int, Node] = {}
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: Any) -> Any:
        return self.own[number] if number in self.own else self.seen[number]

    def __iter__(self) -> Iterator[Node]:
        return iter(())

    def append(self, node: Node) -> None:
        self.own[self.size] = node
        self.size += 1


class _Outline:
    """Where every node of a step stands: those beside the passes as they are, those of the passes counted."""

    def __init__(self, arch: Architecture, rates: LearnRates, shape: StepShape, groups: list[_Group]) -> None:
        self.b, self.nodes = Builder(), _Nodes()
        self.b._nodes = self.nodes
        self.b.num_updates = len(shape)
        self._where = {place: (group, row) for group in groups for row, place in enumerate(group.places)}
        self._walked: dict[tuple[int, int, int], Array] = {}
        self._names = parameters(arch)
        b = self.b
        weights = state_weights(b, arch)
        first = {name: b.state(f"first/{name}", *sizes) for name, sizes in self._names.items()}
        second = {name: b.state(f"second/{name}", *sizes) for name, sizes in self._names.items()}
        before = dict(weights)
        for u in range(1, len(shape)):
            for m in range(len(shape[u])):
                self._set(u, m, "old", {name: view.node for name, view in before.items()})
                self._place(u, m, OLD)
        for u, update in enumerate(shape):
            gradients: Gradients = {name: b.zeros(*sizes) for name, sizes in self._names.items()}
            for m in range(len(update)):
                gradients = self._pass(u, m, weights, gradients)
            update_weights(b, weights, first, second, gradients, rates, u + 1)
        for part_name, tensors in (("weight", weights), ("first", first), ("second", second)):
            for name, tensor in tensors.items():
                b.result(f"tensor/{part_name}/{name}", tensor)

    def _pass(self, u: int, m: int, weights: Weights, gradients: Gradients) -> Gradients:
        """Place a pass with its gradients; all gradients of the update up to it."""
        self._set(u, m, "own", {name: view.node for name, view in weights.items()})
        self._place(u, m, OWN)
        group, row = self._where[u, m]
        if m > 1:
            self._set(u, m, "sum", {name: view.node for name, view in gradients.items()})
            self._place(u, m, ADDED)
            found = {}
            for name, sizes in self._names.items():
                number = int(group.numbers[row, group.template.added[name]])
                self.nodes.seen[number] = group.template.nodes[group.template.added[name]]
                found[name] = View(number, gradients[name].type, sizes, dense_strides(sizes))
            return found
        found = {}
        for name, view in group.template.gradients.items():
            number = int(group.numbers[row, view.node])
            self.nodes.seen[number] = group.template.nodes[view.node]
            found[name] = view._replace(node=number)
        return found if m == 0 else {name: self.b.add(gradients[name], found[name]) for name in self._names}

    def _set(self, u: int, m: int, what: str, numbers: dict[str, int]) -> None:
        group, row = self._where[u, m]
        outside = group.template.outside
        group.numbers[row, [outside[what, name] for name in numbers]] = list(numbers.values())

    def _place(self, u: int, m: int, part: int) -> None:
        """Number the nodes of one part of a pass."""
        group, row = self._where[u, m]
        kind, numbers = group.template, group.numbers[row]
        own, shared = kind.nodes_of(part), kind.shared_of(part)
        walked = self._walked.get((id(kind), part, u if part == OWN else 0))
        if walked is not None:
            numbers[shared] = walked
            numbers[own] = np.arange(self.nodes.size, self.nodes.size + len(own))
            self.nodes.size += len(own)
            return
        for at in np.flatnonzero(kind.part == part):
            if kind.is_shared[at]:
                numbers[at] = self._shared(kind.nodes[at], numbers)
            else:
                numbers[at] = self.nodes.size
                self.nodes.size += 1
        self._walked[id(kind), part, u if part == OWN else 0] = numbers[shared].copy()

    def _shared(self, node: Node, numbers: Array) -> int:
        inputs = tuple(access._replace(node=int(numbers[access.node])) for access in node.inputs)
        real = Node(node.kind, node.type, node.sizes, inputs, node.attributes, node.length)
        at = self.b._known.setdefault(real, self.nodes.size)
        if at == self.nodes.size:
            self.nodes.append(real)
        return at
