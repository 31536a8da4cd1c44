"""Why this module exists: a program run node by node gives the bits of the fused kernels, and every value in between.

Slow next to the engines, and only needed when two disagree. Values are dense arrays of the nodes' types and sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from protocol.errors import NumericsError, VerificationError
from verde.numerics import elementwise, noise
from verde.numerics.kernels.adamw import power_kernel
from verde.program.execute_rows import ROWS
from verde.program.kinds import RULES, Kind, Type
from verde.program.node import Access, Node
from verde.program.program import DTYPES, Program, Sources, key_bytes, key_of

Array = np.ndarray[Any, Any]
Values = Mapping[int, Array] | Sequence[Array]


def execute(program: Program, sources: Sources) -> list[Array]:
    """Every node's output, all kept in memory. Raises as ``compute``."""
    return [value for _, value in run(program, sources)]


def run(
    program: Program, sources: Sources, stop: int | None = None, start: int = 0, before: Values | None = None
) -> Iterator[tuple[int, Array]]:
    """Number and output of every node from ``start`` on (before ``stop``), one after the other; each is let go of after
    its last use. ``before``: outputs of all earlier nodes that these read.

    Raises as ``compute``.
    """
    nodes = program.nodes[start:stop]
    last = {access.node: number for number, node in enumerate(nodes, start) for access in node.inputs}
    values: dict[int, Array] = {number: before[number] for number in last if number < start} if before else {}
    for number, node in enumerate(nodes, start):
        value = compute(node, values, sources)
        if last.get(number, -1) > number:
            values[number] = value
        for source in {access.node for access in node.inputs}:
            if last[source] == number:
                del values[source]
        yield number, value


def compute(node: Node, values: Values, sources: Sources) -> Array:
    """One node's output from those of the earlier ones, by number.

    Raises ``NumericsError`` where a result is no number or does not fit its type, ``VerificationError`` for data or
    state that are not there, of another type or size, or that name elements which do not exist.
    """
    if node.kind in _SOURCES:
        return _SOURCES[node.kind](node, sources)
    if node.kind in ROWS:
        rule = RULES[node.kind]
        read = [
            view(values[a.node], a, node.sizes, node.length if rule.is_row(number) else 0)
            for number, a in enumerate(node.inputs)
        ]
        return np.ascontiguousarray(ROWS[node.kind](node, read))
    if node.kind in _SPECIAL:
        return np.ascontiguousarray(_SPECIAL[node.kind](node, values))
    read = [view(values[a.node], a, node.sizes) for a in node.inputs]
    return np.ascontiguousarray(_ELEMENTWISE[node.kind](*read))


def view(value: Array, access: Access, sizes: tuple[int, ...], row: int = 0) -> Array:
    """What a node of ``sizes`` reads of an input, without a copy; with a last axis of ``row`` terms if not 0."""
    flat = value.reshape(-1)
    strides = (*access.strides, 1) if row else access.strides
    return np.lib.stride_tricks.as_strided(
        flat[access.start :],
        (*sizes, row) if row else sizes,
        [stride * flat.itemsize for stride in strides],
        writeable=False,
    )


def _named(what: str, key: tuple[int, ...], tensors: dict[bytes, Array], node: Node) -> Array:
    found = tensors.get(key_bytes(key))
    if found is None or found.shape != node.sizes or found.dtype != DTYPES[node.type]:
        shown = "nothing" if found is None else f"{found.dtype} {found.shape}"
        wanted = f"{node.type.name} of sizes {node.sizes}"
        raise VerificationError(
            f"A program needs {what}, {wanted}, and there is {shown}.",
            "Nothing was computed; no credits are touched.",
            "Derive the program from the configuration and the shape of the step.",
        )
    return np.ascontiguousarray(found)


def _state(node: Node, sources: Sources) -> Array:
    return _named("a state", node.attributes, {key_of(f"tensor/{n}"): x for n, x in sources.state.items()}, node)


def _data(node: Node, sources: Sources) -> Array:
    return _named("data", node.attributes, {key_of(f"data/{n}"): x for n, x in sources.data.items()}, node)


def _constant(node: Node, sources: Sources) -> Array:
    words = np.array(node.attributes, np.uint32)
    exact = words.view(np.float32) if node.type == Type.F32 else words.astype(DTYPES[node.type])
    return exact.reshape(node.sizes)


_SOURCES: dict[Kind, Callable[[Node, Sources], Array]] = {
    Kind.STATE: _state,
    Kind.DATA: _data,
    Kind.CONST: _constant,
    Kind.STEP: lambda node, sources: np.array([sources.step], np.int32),
}


def _pad(node: Node, values: Values) -> Array:
    access, (axis, begin, end) = node.inputs[0], node.attributes
    sizes = (*node.sizes[:axis], end - begin, *node.sizes[axis + 1 :])
    inner = access._replace(start=access.start + begin * access.strides[axis])
    out = np.zeros(node.sizes, values[access.node].dtype)
    out[(slice(None),) * axis + (slice(begin, end),)] = view(values[access.node], inner, sizes)
    return out


def _concat(node: Node, values: Values) -> Array:
    one, other = (values[a.node].reshape(-1) for a in node.inputs)
    size = node.attributes[0]
    return np.concatenate([one[:size], other[: node.sizes[0] - size]])


def _gather(node: Node, values: Values) -> Array:
    table, *places = node.inputs
    at = np.full(node.sizes, table.start, np.int64)
    for axis, stride in enumerate(table.strides):
        steps = np.arange(node.sizes[axis], dtype=np.int64) * stride
        at += steps.reshape([-1 if a == axis else 1 for a in range(len(node.sizes))])
    for access, stride in zip(places, node.attributes, strict=True):
        at += view(values[access.node], access, node.sizes).astype(np.int64) * stride
    flat = values[table.node].reshape(-1)
    if at.min() < 0 or at.max() >= len(flat):
        raise VerificationError(
            f"An index of the data names element {int(at.max())} of {len(flat)}.",
            "Nothing was computed; no credits are touched.",
            "Check the rollouts that the step learns from.",
        )
    return np.asarray(flat[at])


def _mask(node: Node, values: Values) -> Array:
    own, other = (view(values[a.node], a, node.sizes) for a in node.inputs)
    queries, keys = np.arange(node.sizes[-2])[:, None], np.arange(node.sizes[-1])
    window = node.attributes[0]
    near = (queries - keys < window) if window else np.True_
    seen = (keys < queries) & near & (other != -1) & ((other == 0) | (other == own))
    return np.asarray(seen | (keys == queries), np.uint8)


def _gumbel(node: Node, values: Values) -> Array:
    tokens = node.sizes[-1]
    low, high, position = (
        view(values[a.node], a, node.sizes)[..., 0].reshape(-1).astype(np.int64) & 0xFFFFFFFF for a in node.inputs
    )
    rows = [
        noise.gumbel(int(one) | int(other) << 32, int(at), tokens).numpy()
        for one, other, at in zip(low, high, position, strict=True)
    ]
    return np.stack(rows).reshape(node.sizes)


def _power(node: Node, values: Values) -> Array:
    times = values[node.inputs[0].node].reshape(-1)[node.inputs[0].start]
    base = np.array(node.attributes[:1], np.uint32).view(np.float32)[0]
    return np.full(node.sizes, power_kernel(base, int(times) + node.attributes[1]), np.float32)


_SPECIAL: dict[Kind, Callable[[Node, Values], Array]] = {
    Kind.PAD: _pad,
    Kind.CONCAT: _concat,
    Kind.GATHER: _gather,
    Kind.MASK: _mask,
    Kind.GUMBEL: _gumbel,
    Kind.POWER: _power,
}


def _of_torch(function: Callable[..., torch.Tensor]) -> Callable[..., Array]:
    def call(*arrays: Array) -> Array:
        return np.asarray(function(*(torch.from_numpy(np.array(x)) for x in arrays)))

    return call


def _quantise(x: Array, e: Array, scales: Array | int = 0) -> Array:
    shift = np.asarray(scales, np.int64) + 15 - e
    q = np.rint(np.ldexp(x.astype(np.float64), np.clip(shift, -2000, 2000).astype(np.int32)))
    if np.abs(q).max() > 32767:
        raise NumericsError("quantise", f"a tensor of shape {x.shape}")
    return q.astype(np.int16)


_ELEMENTWISE: dict[Kind, Callable[..., Array]] = {
    Kind.COPY: np.array,
    Kind.SELECT: lambda mask, a, b: np.asarray(np.where(mask == 1, a, b)),
    Kind.ADD: _of_torch(elementwise.add),
    Kind.SUB: _of_torch(elementwise.sub),
    Kind.MUL: _of_torch(elementwise.mul),
    Kind.DIV: _of_torch(elementwise.div),
    Kind.NEG: _of_torch(lambda x: elementwise.flush_(torch.neg(x))),
    Kind.SQRT: _of_torch(elementwise.sqrt),
    Kind.EXP: _of_torch(elementwise.exp),
    Kind.LOG: _of_torch(elementwise.log),
    Kind.SIN: _of_torch(elementwise.sin),
    Kind.COS: _of_torch(elementwise.cos),
    Kind.TANH: _of_torch(elementwise.tanh),
    Kind.EXPM1: _of_torch(elementwise.expm1),
    Kind.SIGMOID: _of_torch(elementwise.sigmoid),
    Kind.MINIMUM: _of_torch(lambda a, b: elementwise.flush_(torch.minimum(a, b))),
    Kind.MAXIMUM: _of_torch(lambda a, b: elementwise.flush_(torch.maximum(a, b))),
    Kind.TO_FLOAT: lambda x: x.astype(np.float32),
    Kind.LE: lambda a, b: (a <= b).astype(np.uint8),
    Kind.LT: lambda a, b: (a < b).astype(np.uint8),
    Kind.EQ: lambda a, b: (a == b).astype(np.uint8),
    Kind.QUANTISE: _quantise,
}
