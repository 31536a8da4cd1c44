"""Why this module exists: a program is written down as one writes tensors, and becomes the list of its nodes.

Equal nodes are one node: what was quantised for one product serves the next. Shapes in the comments of callers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from verde.numerics.adamw import binary32
from verde.program.kinds import NO_SKIP, RULES, Kind, Type
from verde.program.node import Access, Node
from verde.program.program import Program, key_words
from verde.program.view import View, broadcast, dense_strides


def bits_of(value: float) -> int:
    """The bits of the nearest binary32 of a number that is exact as it stands."""
    return int(np.float32(value).view(np.uint32))


class Builder:
    """Collects nodes. Every method that computes returns the dense view of a new node, or of the equal older one."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._known: dict[Node, int] = {}
        self.outputs: dict[str, int] = {}
        self.num_updates = 0

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._nodes)

    def program(self) -> Program:
        """What was collected."""
        return Program(tuple(self._nodes), dict(self.outputs), self.num_updates)

    def result(self, name: str, value: View) -> None:
        """Call ``value`` (a whole node) a result."""
        node = self._nodes[value.node]
        if value.sizes != node.sizes or value.strides != dense_strides(node.sizes):
            value = self.copy(value)
        self.outputs[name] = value.node

    def add_node(
        self,
        kind: Kind,
        sizes: tuple[int, ...],
        inputs: Sequence[View] = (),
        attributes: Sequence[int] = (),
        *,
        type: Type | None = None,
        length: int = 0,
    ) -> View:
        """A node of any kind. ``inputs`` broadcast to ``sizes``; those read as rows have one axis more, of stride 1."""
        rule = RULES[kind]
        accesses = []
        for number, view in enumerate(inputs):
            if rule.is_row(number):
                if view.sizes[-1] != length or (view.strides[-1] != 1 and length > 1):
                    raise ValueError(f"{kind.name} needs rows of {length} terms side by side, not {view}")
                view = View(view.node, view.type, view.sizes[:-1], view.strides[:-1], view.start)
            read = view.expand(sizes)
            elements = self._nodes[read.node].num_elements
            accesses.append(Access(read.node, elements, read.start, read.strides))
        if type is None:
            type = rule.output if rule.output is not None else inputs[0].type
        node = Node(kind, type, sizes, tuple(accesses), tuple(attributes), length)
        at = self._known.setdefault(node, len(self._nodes))
        if at == len(self._nodes):
            self._nodes.append(node)
        return View(at, type, sizes, dense_strides(sizes))

    def state(self, name: str, *sizes: int) -> View:
        """A tensor of the state before."""
        return self.add_node(Kind.STATE, sizes, (), key_words(f"tensor/{name}"))

    def step(self) -> View:
        """The state's step count, of no axes but one."""
        return self.add_node(Kind.STEP, (1,))

    def data(self, name: str, type: Type, *sizes: int) -> View:
        """A tensor of the step's data."""
        return self.add_node(Kind.DATA, sizes, (), key_words(f"data/{name}"), type=type)

    def constant(self, value: float | np.float32) -> View:
        """A number that is a binary32 as it stands."""
        return self.constants([float(value)])

    def decimal(self, value: float) -> View:
        """The nearest binary32 of a number in binary64, as configurations have it."""
        return self.constants([float(binary32(Fraction(value)))])

    def constants(self, values: Sequence[float]) -> View:
        """A row of binary32 numbers."""
        return self.add_node(Kind.CONST, (len(values),), (), [bits_of(v) for v in values], type=Type.F32)

    def zero_exponent(self) -> View:
        """The integer 0."""
        return self.add_node(Kind.CONST, (1,), (), [0], type=Type.I32)

    def zeros(self, *sizes: int) -> View:
        """Zeros of any size: one zero, broadcast."""
        return self.constant(0.0).expand(sizes)

    def map(self, kind: Kind, *inputs: View) -> View:
        """An elementwise kind, broadcast."""
        return self.add_node(kind, broadcast(*(view.sizes for view in inputs)), inputs)

    def add(self, a: View, b: View) -> View:
        """a + b."""
        return self.map(Kind.ADD, a, b)

    def sub(self, a: View, b: View) -> View:
        """a - b."""
        return self.map(Kind.SUB, a, b)

    def mul(self, a: View, b: View) -> View:
        """a · b."""
        return self.map(Kind.MUL, a, b)

    def div(self, a: View, b: View) -> View:
        """a / b."""
        return self.map(Kind.DIV, a, b)

    def select(self, mask: View, a: View, b: View) -> View:
        """a where the mask is 1, else b."""
        return self.map(Kind.SELECT, mask, a, b)

    def copy(self, x: View) -> View:
        """The same values, dense."""
        return self.add_node(Kind.COPY, x.sizes, [x])

    def dense(self, x: View) -> View:
        """``x`` itself where its last axis lies side by side, else a copy."""
        return x if x.strides[-1] == 1 or x.sizes[-1] == 1 else self.copy(x)

    def flat(self, x: View, *sizes: int) -> View:
        """The elements of ``x`` in other sizes; copied unless it is a whole node."""
        node = self._nodes[x.node]
        if x.start or x.strides != dense_strides(x.sizes) or x.num_elements != node.num_elements:
            x = self.copy(x)
        return View(x.node, x.type, sizes, dense_strides(sizes))

    def pad(self, x: View, axis: int, begin: int, size: int) -> View:
        """Zeros before and after ``x`` along ``axis``, ``size`` positions in all, ``x`` from ``begin`` on."""
        axis = axis % len(x.sizes)
        if begin == 0 and size == x.sizes[axis]:
            return x
        sizes = (*x.sizes[:axis], size, *x.sizes[axis + 1 :])
        read = View(x.node, x.type, sizes, x.strides, x.start - begin * x.strides[axis])
        return self.add_node(Kind.PAD, sizes, [read], [axis, begin, begin + x.sizes[axis]])

    def exponent(self, x: View, scales: View | None = None, *, raised: bool) -> View:
        """``expo`` of each row (last axis): of x, or of x · 2^scales."""
        rows = [x] if scales is None else [x, scales]
        sizes = broadcast(*(row.sizes[:-1] for row in rows))
        return self.add_node(Kind.EXPONENT, sizes, rows, [int(raised)], length=x.sizes[-1])

    def total(self, x: View) -> View:
        """SUM of each row (last axis)."""
        if x.sizes[-1] == 1:
            return self.copy(View(x.node, x.type, x.sizes[:-1], x.strides[:-1], x.start))
        x = self.dense(x)
        e = self.exponent(x, raised=False)
        return self.add_node(Kind.SUM, x.sizes[:-1], [x, e], length=x.sizes[-1])

    def total_where(self, x: View, sizes: tuple[int, ...], *places: View, skip: int = NO_SKIP) -> View:
        """[*sizes]: SUM over those terms of row ``x`` (last axis) whose ``places`` are the first coordinates."""
        x, length = self.dense(x), x.sizes[-1]
        e = self.add_node(Kind.EXPONENT_WHERE, sizes, [x, *places], [skip], length=length)
        return self.add_node(Kind.SUM_WHERE, sizes, [x, e, *places], [skip], length=length)

    def quantise(self, x: View) -> tuple[View, View]:
        """(significands, exponents of the rows) along the last axis."""
        x = self.dense(x)
        e = self.exponent(x, raised=True)
        return self.add_node(Kind.QUANTISE, x.sizes, [x, e.insert(-1)]), e

    def contract(self, a: View, b: View) -> View:
        """DOT along the last axis of both; the other axes broadcast. One term is a product, as section 4 says."""
        if a.sizes[-1] == 1:
            a, b = (View(x.node, x.type, x.sizes[:-1], x.strides[:-1], x.start) for x in (a, b))
            return self.map(Kind.MUL, a, b)
        (qa, ea), (qb, eb) = (self._quantised(x) for x in (a, b))
        sizes = broadcast(a.sizes[:-1], b.sizes[:-1])
        return self.add_node(Kind.DOT, sizes, [qa, ea, qb, eb], length=a.sizes[-1])

    def _quantised(self, x: View) -> tuple[View, View]:
        """``quantise`` of what ``x`` repeats only once."""
        axes = zip(x.sizes[:-1], x.strides, strict=False)
        once = (*(1 if stride == 0 else size for size, stride in axes), x.sizes[-1])
        q, e = self.quantise(View(x.node, x.type, once, x.strides, x.start))
        return q.expand(x.sizes), e.expand(x.sizes[:-1])
