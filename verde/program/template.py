"""Why this module exists: a step has hundreds of passes of the same operators, whose bytes are stamped, not derived.

A ``Template`` is the derivation of one pass on symbols (``verde.program.symbolic``): its nodes, with inputs that are
nodes of the same pass or come from outside of it, as words of 32 bits in which sizes are polynomials. Nodes that read
no data (quantised weights, constants) are ``shared``: they exist once, whichever pass is the first to need them.

    part 0   the pass on the weights before the step, for the old policy (not in the first update)
    part 1   the pass and its gradients on the weights of its update
    part 2   its gradients added to those of the update's passes before
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from verde.program.builder import Builder
from verde.program.derive_model import parameters
from verde.program.derive_step import Pass
from verde.program.kinds import Kind
from verde.program.node import Node
from verde.program.program import key_words
from verde.program.shape import Architecture, LearnRates, PassShape
from verde.program.symbolic import Facts, Symbol, Terms, holds, symbols
from verde.program.view import View

Array = np.ndarray[Any, Any]

OLD, OWN, ADDED = 0, 1, 2
DATA_NAMES = ("ids", "position", "segment", "row", "source", "token", "sample", "advantage", "weight")
_STARTS = {"old": "weight-before", "own": "weight", "sum": "gradient"}


@dataclass(frozen=True)
class Words:
    """Nodes of one byte length, as 32-bit words after two bytes of nothing.

    ``nodes`` [n]; ``fixed`` int64 [n, words]; ``places`` and ``polynomial``: which words (of the flattened [n, words])
    are which polynomial's low half, or its high half where ``is_high``; ``reads`` and ``sources``: which words are the
    number of which node; ``keys``: which words are the key of which data.
    """

    nodes: Array
    fixed: Array
    places: Array
    polynomial: Array
    is_high: Array
    reads: Array
    sources: Array
    keys: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Template:
    """One pass, for all sizes for which ``facts`` hold. ``nodes``: in order, those from outside first.

    ``outside``: their names. ``part`` [nodes]: -1 for those; ``is_shared`` [nodes]. ``gradients``: by weight.
    """

    facts: Facts
    nodes: tuple[Node, ...]
    outside: Mapping[tuple[str, str], int]
    part: Array
    is_shared: Array
    gradients: Mapping[str, View]
    added: Mapping[str, int]
    data: Mapping[int, str]

    def fits(self, variables_PV: Array) -> Array:
        """bool [P]: whether it is the template of these passes (their sizes as in ``sizes_of``)."""
        return holds(self.facts, variables_PV)

    def nodes_of(self, part: int) -> Array:
        """Numbers of a part's nodes that are not shared."""
        return self._by_part[part][0]

    def shared_of(self, part: int) -> Array:
        """Numbers of a part's nodes that are."""
        return self._by_part[part][1]

    @cached_property
    def _by_part(self) -> dict[int, tuple[Array, Array]]:
        return {
            part: (
                np.flatnonzero((self.part == part) & ~self.is_shared),
                np.flatnonzero((self.part == part) & self.is_shared),
            )
            for part in (OLD, OWN, ADDED)
        }

    @cached_property
    def polynomials(self) -> list[Terms]:
        """All that occur in ``words``."""
        _ = self.words
        return list(self._polynomials)

    @cached_property
    def words(self) -> Mapping[int, tuple[Words, ...]]:
        """By part: its nodes that are not shared, by length."""
        return {part: tuple(self._words(part)) for part in (OLD, OWN, ADDED)}

    @cached_property
    def _polynomials(self) -> dict[Terms, int]:
        return {}

    def _words(self, part: int) -> list[Words]:
        by_length: dict[int, list[int]] = {}
        for number in np.flatnonzero((self.part == part) & ~self.is_shared):
            by_length.setdefault(_length(self.nodes[number]), []).append(int(number))
        return [self._of_length(numbers, length) for length, numbers in by_length.items()]

    def _of_length(self, numbers: list[int], length: int) -> Words:
        fixed = np.zeros((len(numbers), length), np.int64)
        places, polynomial, is_high, reads, sources = [], [], [], [], []
        keys: list[tuple[int, str]] = []
        for row, number in enumerate(numbers):
            node, at = self.nodes[number], row * length
            head = (node.kind << 8 | node.type, len(node.sizes) << 24 | len(node.inputs) << 16 | len(node.attributes))
            values: list[Any] = [*head, node.length, *node.sizes]
            for access in node.inputs:
                reads.append(at + len(values))
                sources.append(access.node)
                values += [0, access.elements, _High(access.start), access.start, *access.strides]
            if number in self.data:
                keys.append((at + len(values), self.data[number]))
            values += node.attributes
            for place, value in enumerate(values):
                whole = value.value if isinstance(value, _High) else value
                if isinstance(whole, Symbol):
                    places.append(at + place)
                    polynomial.append(self._polynomials.setdefault(whole.terms, len(self._polynomials)))
                    is_high.append(isinstance(value, _High))
                else:
                    fixed[row, place] = (whole >> 32 if isinstance(value, _High) else whole) & 0xFFFFFFFF
        numbers_of = (np.array(x, np.int64) for x in (numbers, places, polynomial))
        nodes, at_, which = numbers_of
        return Words(
            nodes, fixed, at_, which, np.array(is_high, np.bool_), np.array(reads), np.array(sources), tuple(keys)
        )


@dataclass(frozen=True)
class _High:
    value: Any


def _depends(node: Node) -> bool:
    """Whether anything of it depends on the pass' sizes."""
    accesses = [value for access in node.inputs for value in (access.elements, access.start, *access.strides)]
    return any(isinstance(value, Symbol) for value in (*node.sizes, *accesses, *node.attributes, node.length))


def _length(node: Node) -> int:
    return 3 + len(node.sizes) + len(node.inputs) * (4 + len(node.sizes)) + len(node.attributes)


def sizes_of(shape: PassShape) -> tuple[int, ...]:
    """A pass' sizes in the order of a template's variables."""
    return shape.rows, shape.columns, shape.prompt, shape.samples, shape.tokens


def template(arch: Architecture, rates: LearnRates, shape: PassShape, *, is_first: bool) -> Template:
    """The template that was made with ``shape``; ``is_first``: for passes of the first update."""
    facts: Facts = {}
    b, names = Builder(), parameters(arch)
    outside: dict[tuple[str, str], int] = {}

    def from_outside(what: str) -> dict[str, View]:
        found = {name: b.state(f"{_STARTS[what]}/{name}", *sizes) for name, sizes in names.items()}
        outside.update({(what, name): view.node for name, view in found.items()})
        return found

    before = {} if is_first else from_outside("old")
    weights, sums = from_outside("own"), from_outside("sum")
    num_outside = len(b)
    one = Pass(b, "", PassShape(*symbols(sizes_of(shape), facts)))
    old = None if is_first else one.forward(arch, before, rates)[1]
    num_old = len(b)
    gradients = one.gradients(arch, weights, rates, old)
    num_own = len(b)
    added = {name: b.add(sums[name], gradients[name]).node for name in names}
    nodes = b.program().nodes
    part = np.zeros(len(nodes), np.int64)
    for value, begin in ((-1, 0), (OLD, num_outside), (OWN, num_old), (ADDED, num_own)):
        part[begin:] = value
    keys = {key_words(f"data/{name}"): name for name in DATA_NAMES}
    data = {i: keys[node.attributes] for i, node in enumerate(nodes) if node.kind == Kind.DATA}
    is_shared = np.zeros(len(nodes), np.bool_)
    for number, node in enumerate(nodes):
        sources = [access.node for access in node.inputs]
        is_shared[number] = part[number] in (OLD, OWN) and number not in data
        is_shared[number] &= all(is_shared[one] or part[one] == -1 for one in sources) and not _depends(node)
    return Template(facts, nodes, outside, part, is_shared, gradients, added, data)
