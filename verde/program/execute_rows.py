"""Why this module exists: the kinds that need whole rows, over all elements of a node at once.

Everything is integers until the one rounding at the end, so the order of what numpy adds up does not matter: products
of significands stay below 2^53 for rows of up to 2^22, sums below 2^62 for rows of up to 2^26.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from protocol.errors import NotReproducible, NumericsError
from verde.program.kinds import NO_SKIP, Kind
from verde.program.node import Node

Array = np.ndarray[Any, Any]

_SMALLEST = np.float32(2.0**-126)
_NONE_BELOW = 4096
_MOST = 32639


def exponents_of(keys: Array, raised: bool) -> Array:
    """int32: what EXPONENT makes of the largest keys."""
    significand = (keys & 0x7FFFFF) | 0x800000
    e = (keys >> 23) - _NONE_BELOW - 126
    if raised:
        e = e + (np.rint(np.ldexp(significand.astype(np.float64), -9)) > _MOST)
    return np.where(keys == 0, 0, e).astype(np.int32)


def rounded(whole: Array, exponent: Array) -> Array:
    """float32: ``out`` of int64 integers times 2^exponent. Raises ``NumericsError`` beyond binary32."""
    magnitude = np.abs(whole)
    # A double holds 53 bits: of longer numbers, what is cut off leaves a one behind, which decides ties rightly.
    is_long = magnitude >= 1 << 53
    short = np.where(is_long, (magnitude >> 11) | ((magnitude & 2047) != 0), magnitude)
    exact = np.ldexp(short.astype(np.float64), (exponent + 11 * is_long).astype(np.int32))
    with np.errstate(over="ignore"):
        result = np.copysign(exact, whole).astype(np.float32)
    if not np.isfinite(result).all():
        raise NumericsError("a sum", f"a result of shape {result.shape}")
    return np.where(np.abs(result) < _SMALLEST, np.float32(0), result)


def _keys(x: Array, scales: Array | None = None) -> Array:
    bits = x.view(np.int32).astype(np.int64) & 0x7FFFFFFF
    shift = _NONE_BELOW if scales is None else scales.astype(np.int64) + _NONE_BELOW
    return np.where(bits == 0, 0, bits + shift * (1 << 23))


def _terms(x: Array, e: Array) -> Array:
    q = np.rint(np.ldexp(x.astype(np.float64), (36 - e).astype(np.int32)))
    if np.abs(q).max(initial=0) > 2.0**37:
        raise NumericsError("a sum", f"an exponent too small for rows of shape {x.shape}")
    return q.astype(np.int64)


def _exponent(node: Node, read: Sequence[Array]) -> Array:
    return exponents_of(_keys(*read).max(axis=-1), bool(node.attributes[0]))


def _sum(node: Node, read: Sequence[Array]) -> Array:
    x, e = read
    return rounded(_terms(x, e[..., None]).sum(axis=-1), e - 36)


def _max(node: Node, read: Sequence[Array]) -> Array:
    x = read[0]
    seen = np.True_ if len(read) == 1 else read[1] == 1
    largest = np.where(seen, x, -np.inf).max(axis=-1)
    return np.asarray(np.where(np.isneginf(largest), 0, largest), np.float32)


def _dot(node: Node, read: Sequence[Array]) -> Array:
    a, ea, b = read[:3]
    exponent = ea.astype(np.int64) + (read[3] if len(read) == 4 else 0) - 30
    return rounded(_products(a, b).astype(np.int64), exponent)


def _products(a: Array, b: Array) -> Array:
    """Integer sums of a · b over the last axis, as doubles, by matrix products over the axes that one side repeats."""
    rank, sizes = a.ndim - 1, a.shape[:-1]
    of_a = [axis for axis in range(rank) if b.strides[axis] == 0 and a.strides[axis] != 0]
    of_b = [axis for axis in range(rank) if a.strides[axis] == 0 and axis not in of_a]
    shared = [axis for axis in range(rank) if axis not in of_a and axis not in of_b]
    order = [*shared, *of_a, *of_b]
    left = a.transpose(*order, rank)[(slice(None),) * (len(shared) + len(of_a)) + (0,) * len(of_b)]
    right = b.transpose(*shared, *of_b, *of_a, rank)[(slice(None),) * (len(shared) + len(of_b)) + (0,) * len(of_a)]
    batch, length = [sizes[axis] for axis in shared], a.shape[-1]
    left = left.reshape(*batch, prod(sizes[axis] for axis in of_a), length).astype(np.float64)
    right = right.reshape(*batch, prod(sizes[axis] for axis in of_b), length).astype(np.float64)
    whole = np.matmul(left, right.swapaxes(-1, -2)).reshape([sizes[axis] for axis in order])
    return np.asarray(whole.transpose(np.argsort(order)))


def _argmax(node: Node, read: Sequence[Array]) -> Array:
    return np.asarray(read[0].argmax(axis=-1), np.int32)


def _places(node: Node, rows: Sequence[Array]) -> tuple[Array, tuple[int, ...], tuple[int, ...]]:
    """(flat place of each term among the first coordinates, -1 for none; those sizes; the other sizes)."""
    count = len(rows)
    first, rest = node.sizes[:count], node.sizes[count:]
    at, fits = np.zeros(node.length, np.int64), np.ones(node.length, np.bool_)
    for number, (row, size) in enumerate(zip(rows, first, strict=True)):
        index = _single(row).astype(np.int64)
        fits &= (index >= 0) & (index < size)
        if number == 0 and node.attributes[0] != NO_SKIP:
            fits &= index != node.attributes[0]
        at = at * size + index
    return np.where(fits, at, -1), first, rest


def _single(row: Array) -> Array:
    if any(row.strides[:-1][axis] and row.shape[axis] > 1 for axis in range(row.ndim - 1)):
        raise NotReproducible("scatter", "its places differ between elements")
    return np.asarray(row[(0,) * (row.ndim - 1)])


def _values_by_rest(x: Array, count: int) -> Array:
    """[*rest, terms] of x [*first, *rest, terms], which repeats along the first axes."""
    if any(x.strides[axis] and x.shape[axis] > 1 for axis in range(count)):
        raise NotReproducible("scatter", "its values differ between places")
    return np.asarray(x[(0,) * count])


def _exponent_where(node: Node, read: Sequence[Array]) -> Array:
    at, first, rest = _places(node, read[1:])
    keys = _keys(_values_by_rest(read[0], len(first)))
    largest = np.zeros((prod(first), *rest), np.int64)
    chosen = at >= 0
    np.maximum.at(largest, at[chosen], np.moveaxis(keys, -1, 0)[chosen])
    return exponents_of(largest, False).reshape(node.sizes)


def _sum_where(node: Node, read: Sequence[Array]) -> Array:
    x, e, *rows = read
    at, first, rest = _places(node, rows)
    chosen = at >= 0
    values = np.moveaxis(_values_by_rest(x, len(first)), -1, 0)[chosen]
    by_place = e.reshape(prod(first), *rest)
    whole = np.zeros(by_place.shape, np.int64)
    np.add.at(whole, at[chosen], _terms(values, by_place[at[chosen]]))
    return rounded(whole, by_place.astype(np.int64) - 36).reshape(node.sizes)


ROWS: dict[Kind, Callable[[Node, Sequence[Array]], Array]] = {
    Kind.EXPONENT: _exponent,
    Kind.SUM: _sum,
    Kind.DOT: _dot,
    Kind.MAX: _max,
    Kind.ARGMAX: _argmax,
    Kind.EXPONENT_WHERE: _exponent_where,
    Kind.SUM_WHERE: _sum_where,
}
