"""Why this module exists: the judge of a dispute computes one element of one node, in integers, as a contract does.

Words are integers: the bits of a binary32, or the integer itself. Nothing here knows where words come from: a reader is
handed in, so who collects openings and who checks them run the same code. Everything is read before it is computed with
(what a GATHER gathers from excepted), so that what must be shown does not depend on what comes out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import reduce

from verde.numerics.oracle import elementwise, sampling, transcendental
from verde.numerics.oracle.contraction import LARGEST
from verde.numerics.oracle.rounding import NotANumber, nearest_integer, out, rne
from verde.program.kinds import NO_SKIP, RULES, Kind, Type
from verde.program.node import Node

Read = Callable[[int, int, int], Sequence[int]]
"""(number of the input, first element, how many): their words. May raise what the caller likes."""

SOURCES = (Kind.STATE, Kind.STEP, Kind.DATA)
"""Kinds whose elements come from outside of the program: they are shown, not computed."""

_NONE_BELOW = 4096
_FARTHEST = 1 << 13
_HALF, _WORD = 1 << 31, 1 << 32


def bits(value: float) -> int:
    """The word of a binary32."""
    return int.from_bytes(struct.pack("<f", value), "little")


def number(word: int) -> float:
    """The binary32 of a word. Raises ``NotANumber`` for NaN and infinities."""
    if word >> 23 & 0xFF == 0xFF:
        raise NotANumber("an input is no number")
    return float(struct.unpack("<f", word.to_bytes(4, "little"))[0])


def evaluate(node: Node, element: int, read: Read) -> int:
    """The word of ``element``, for any kind that is not one of ``SOURCES``.

    Raises ``NotANumber`` where the specification gives no result: whoever claims one is wrong.
    """
    if RULES[node.kind].reduces:
        return finish(node, element, fold(node, element, range(node.length), 0, read), read)
    at = node.coordinates(element)
    if node.kind == Kind.CONST:
        return _signed(node.attributes[element], node.type)
    if node.kind in _SPECIAL:
        return _SPECIAL[node.kind](node, at, read)
    words = [read(number_, access.at(at), 1)[0] for number_, access in enumerate(node.inputs)]
    return _ELEMENTWISE[node.kind](*words)


def fold(node: Node, element: int, terms: range, before: int, read: Read) -> int:
    """The fold's value after ``terms``, which are consecutive, from that before them."""
    first, count = terms.start, len(terms)
    at = node.coordinates(element)

    def row(number_: int) -> Sequence[int]:
        return read(number_, node.inputs[number_].at(at) + first, count)

    def word(number_: int) -> int:
        return read(number_, node.inputs[number_].at(at), 1)[0]

    return _FOLDS[node.kind](node, at, first, before, row, word)


def finish(node: Node, element: int, whole: int, read: Read) -> int:
    """The element's word from the fold's last value."""
    at = node.coordinates(element)
    if node.kind in (Kind.EXPONENT, Kind.EXPONENT_WHERE):
        raised = node.kind == Kind.EXPONENT and bool(node.attributes[0])
        return _exponent(whole, raised)
    if node.kind == Kind.MAX:
        return _unordered(whole - 1) if whole else 0
    if node.kind == Kind.ARGMAX:
        return _WORD - 1 - whole % _WORD
    exponents = [read(n, access.at(at), 1)[0] for n, access in enumerate(node.inputs) if n in _EXPONENTS_OF[node.kind]]
    unit = -30 if node.kind == Kind.DOT else -36
    return bits(out(whole * _two_to(sum(exponents) + unit)))


_EXPONENTS_OF = {Kind.DOT: (1, 3), Kind.SUM: (1,), Kind.SUM_WHERE: (1,)}

Row = Callable[[int], Sequence[int]]
Word = Callable[[int], int]


def _fold_exponent(node: Node, at: tuple[int, ...], first: int, before: int, row: Row, word: Word) -> int:
    words = row(0)
    scales = row(1) if len(node.inputs) == 2 else [0] * len(words)
    return max([before, *map(_key, words, scales)])


def _fold_dot(node: Node, at: tuple[int, ...], first: int, before: int, row: Row, word: Word) -> int:
    return before + sum(a * b for a, b in zip(row(0), row(2), strict=True))


def _fold_sum(node: Node, at: tuple[int, ...], first: int, before: int, row: Row, word: Word) -> int:
    words, exponent = row(0), word(1)
    unit = _two_to(36 - exponent)
    return before + sum(nearest_integer(Fraction(number(w)) * unit) for w in words)


def _fold_exponent_where(node: Node, at: tuple[int, ...], first: int, before: int, row: Row, word: Word) -> int:
    words = row(0)
    places = [row(n) for n in range(1, len(node.inputs))]
    return max([before, *(_key(words[i], 0) for i in _chosen(node, at, places, len(words)))])


def _fold_sum_where(node: Node, at: tuple[int, ...], first: int, before: int, row: Row, word: Word) -> int:
    words, exponent = row(0), word(1)
    places = [row(n) for n in range(2, len(node.inputs))]
    unit = _two_to(36 - exponent)
    return before + sum(
        nearest_integer(Fraction(number(words[i])) * unit) for i in _chosen(node, at, places, len(words))
    )


def _chosen(node: Node, at: tuple[int, ...], places: Sequence[Sequence[int]], count: int) -> Iterator[int]:
    if node.attributes[0] != NO_SKIP and at[0] == node.attributes[0]:
        return iter(())
    return (i for i in range(count) if all(place[i] == at[k] for k, place in enumerate(places)))


def _fold_max(node: Node, at: tuple[int, ...], first: int, before: int, row: Row, word: Word) -> int:
    words = row(0)
    seen = row(1) if len(node.inputs) == 2 else [1] * len(words)
    return max([before, *(_order(w) + 1 for w, one in zip(words, seen, strict=True) if one == 1)])


def _fold_argmax(node: Node, at: tuple[int, ...], first: int, before: int, row: Row, word: Word) -> int:
    return max([before, *((_order(w) + 1) * _WORD + _WORD - 1 - first - i for i, w in enumerate(row(0)))])


_FOLDS: dict[Kind, Callable[[Node, tuple[int, ...], int, int, Row, Word], int]] = {
    Kind.EXPONENT: _fold_exponent,
    Kind.DOT: _fold_dot,
    Kind.SUM: _fold_sum,
    Kind.EXPONENT_WHERE: _fold_exponent_where,
    Kind.SUM_WHERE: _fold_sum_where,
    Kind.MAX: _fold_max,
    Kind.ARGMAX: _fold_argmax,
}


def _key(word: int, scale: int) -> int:
    number(word)
    magnitude = word % _HALF
    return magnitude + (scale + _NONE_BELOW) * (1 << 23) if magnitude else 0


def _exponent(key: int, raised: bool) -> int:
    if key == 0:
        return 0
    significand = (1 << 23) + key % (1 << 23)
    is_more = raised and nearest_integer(Fraction(significand, 1 << 9)) > LARGEST
    return (key >> 23) - _NONE_BELOW - 126 + is_more


def _order(word: int) -> int:
    number(word)
    return word + _HALF if word < _HALF else _WORD - 1 - word


def _unordered(order: int) -> int:
    return order - _HALF if order >= _HALF else _WORD - 1 - order


def _two_to(exponent: int) -> Fraction:
    if abs(exponent) > _FARTHEST:
        raise NotANumber(f"a power of two of {exponent}")
    return Fraction(2) ** exponent


def _signed(word: int, type_: Type) -> int:
    return word - _WORD if type_ == Type.I32 and word >= _HALF else word


def _pad(node: Node, at: tuple[int, ...], read: Read) -> int:
    axis, begin, end = node.attributes
    return read(0, node.inputs[0].at(at), 1)[0] if begin <= at[axis] < end else 0


def _concat(node: Node, at: tuple[int, ...], read: Read) -> int:
    size = node.attributes[0]
    return read(0, at[0], 1)[0] if at[0] < size else read(1, at[0] - size, 1)[0]


def _gather(node: Node, at: tuple[int, ...], read: Read) -> int:
    element = node.inputs[0].at(at)
    for number_, stride in enumerate(node.attributes, start=1):
        element += read(number_, node.inputs[number_].at(at), 1)[0] * stride
    if not 0 <= element < node.inputs[0].elements:
        raise NotANumber("an index beyond the end")
    return read(0, element, 1)[0]


def _mask(node: Node, at: tuple[int, ...], read: Read) -> int:
    own, other = (read(n, node.inputs[n].at(at), 1)[0] for n in (0, 1))
    query, key = at[-2:]
    window = node.attributes[0]
    is_seen = key < query and other != -1 and other in (0, own) and (window == 0 or query - key < window)
    return int(query == key or is_seen)


def _gumbel(node: Node, at: tuple[int, ...], read: Read) -> int:
    low, high, position = (read(n, node.inputs[n].at(at), 1)[0] % _WORD for n in range(3))
    return bits(transcendental.gumbel(sampling.word(low + (high << 32), position, at[-1])))


def _power(node: Node, at: tuple[int, ...], read: Read) -> int:
    base, more = node.attributes
    times = read(0, node.inputs[0].at(at), 1)[0] + more
    factor = number(base)
    return bits(reduce(lambda product, _: elementwise.mul(product, factor), range(times), 1.0))


_SPECIAL: dict[Kind, Callable[[Node, tuple[int, ...], Read], int]] = {
    Kind.PAD: _pad,
    Kind.CONCAT: _concat,
    Kind.GATHER: _gather,
    Kind.MASK: _mask,
    Kind.GUMBEL: _gumbel,
    Kind.POWER: _power,
}


def _floats(function: Callable[..., float]) -> Callable[..., int]:
    return lambda *words: bits(function(*map(number, words)))


def _question(function: Callable[[float, float], bool]) -> Callable[..., int]:
    return lambda *words: int(function(*map(number, words)))


def _quantise(word: int, e: int, scale: int = 0) -> int:
    q = nearest_integer(Fraction(number(word)) * _two_to(scale + 15 - e))
    if abs(q) > 32767:
        raise NotANumber("a significand beyond 16 bits")
    return q


_ELEMENTWISE: dict[Kind, Callable[..., int]] = {
    Kind.COPY: lambda word: word,
    Kind.SELECT: lambda mask, a, b: a if mask == 1 else b,
    Kind.ADD: _floats(elementwise.add),
    Kind.SUB: _floats(elementwise.sub),
    Kind.MUL: _floats(elementwise.mul),
    Kind.DIV: _floats(elementwise.div),
    Kind.NEG: _floats(elementwise.neg),
    Kind.SQRT: _floats(elementwise.sqrt),
    Kind.EXP: _floats(transcendental.exp),
    Kind.LOG: _floats(transcendental.log),
    Kind.SIN: _floats(transcendental.sin),
    Kind.COS: _floats(transcendental.cos),
    Kind.TANH: _floats(transcendental.tanh),
    Kind.EXPM1: _floats(transcendental.expm1),
    Kind.SIGMOID: _floats(elementwise.sigmoid),
    Kind.MINIMUM: _floats(min),
    Kind.MAXIMUM: _floats(max),
    Kind.TO_FLOAT: lambda word: bits(rne(word)),
    Kind.LE: _question(lambda a, b: a <= b),
    Kind.LT: _question(lambda a, b: a < b),
    Kind.EQ: _question(lambda a, b: a == b),
    Kind.QUANTISE: _quantise,
}
