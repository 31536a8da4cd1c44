"""Why this module exists: passes of a step differ in sizes only, so that one derivation can hold for all of them.

A ``Symbol`` is a whole number that depends on a pass' sizes: a polynomial, and its value for the pass that is derived.
Code that computes with whole numbers runs on symbols unchanged. Wherever it decides something by a symbol's value, the
decision is written down as a ``Fact``; what was derived holds for exactly those passes for which all facts hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, unique
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Powers = tuple[int, ...]
"""Exponents of a term's variables."""

Terms = tuple[tuple[Powers, int], ...]
"""A polynomial: its terms with their coefficients, in order, none of them 0."""


@unique
class Fact(IntEnum):
    """What is known about a polynomial."""

    ZERO = 0
    NOT_ZERO = 1
    NEGATIVE = 2
    NOT_NEGATIVE = 3

    def holds(self, values: Array) -> Array:
        """Whether it holds, for each of the values."""
        if self is Fact.ZERO:
            return np.asarray(values == 0)
        if self is Fact.NOT_ZERO:
            return np.asarray(values != 0)
        return np.asarray(values < 0 if self is Fact.NEGATIVE else values >= 0)


Facts = dict[tuple[Terms, Fact], None]


class Symbol:
    """A polynomial in a pass' sizes. ``facts``: where decisions are written down."""

    __slots__ = ("_facts", "_terms", "_value")

    def __init__(self, terms: dict[Powers, int], value: int, facts: Facts) -> None:
        self._terms, self._value, self._facts = terms, value, facts

    @property
    def terms(self) -> Terms:
        """The polynomial."""
        return tuple(sorted(self._terms.items()))

    def _made(self, terms: dict[Powers, int], value: int) -> Any:
        """A number where nothing depends on sizes, else a symbol."""
        kept = {powers: factor for powers, factor in terms.items() if factor}
        if all(not any(powers) for powers in kept):
            return sum(kept.values())
        return Symbol(kept, value, self._facts)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, int):
            if not other:
                return self
            zero = (0,) * len(next(iter(self._terms)))
            return self._made(self._terms | {zero: self._terms.get(zero, 0) + other}, self._value + other)
        terms = dict(self._terms)
        for powers, factor in other._terms.items():
            terms[powers] = terms.get(powers, 0) + factor
        return self._made(terms, self._value + other._value)

    __radd__ = __add__

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, int):
            if other == 1:
                return self
            scaled = {powers: factor * other for powers, factor in self._terms.items()}
            return self._made(scaled, self._value * other)
        terms: dict[Powers, int] = {}
        for one, first in self._terms.items():
            for two, second in other._terms.items():
                powers = tuple(a + b for a, b in zip(one, two, strict=True))
                terms[powers] = terms.get(powers, 0) + first * second
        return self._made(terms, self._value * other._value)

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Any:
        if any(factor % other for factor in self._terms.values()):
            raise TypeError(f"a number of unknown size is not a multiple of {other}")
        return self._made({powers: factor // other for powers, factor in self._terms.items()}, self._value // other)

    def __hash__(self) -> int:
        return hash(self._value)

    def _decide(self, difference: Any, yes: Fact, no: Fact) -> bool:
        if isinstance(difference, int):
            return bool(yes.holds(np.asarray(difference)))
        is_so = bool(yes.holds(np.asarray(difference._value)))
        self._facts[difference.terms, yes if is_so else no] = None
        return is_so

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | Symbol) and self._decide(self - other, Fact.ZERO, Fact.NOT_ZERO)

    def __bool__(self) -> bool:
        return self != 0

    def __lt__(self, other: Any) -> bool:
        return self._decide(self - other, Fact.NEGATIVE, Fact.NOT_NEGATIVE)

    def __gt__(self, other: Any) -> bool:
        return self._decide(other - self, Fact.NEGATIVE, Fact.NOT_NEGATIVE)

    def __le__(self, other: Any) -> bool:
        return not self > other

    def __ge__(self, other: Any) -> bool:
        return not self < other


def symbols(values: Sequence[int], facts: Facts) -> list[Any]:
    """One variable for each value."""
    unit = [tuple(int(i == own) for i in range(len(values))) for own in range(len(values))]
    return [Symbol({powers: 1}, value, facts) for powers, value in zip(unit, values, strict=True)]


def evaluated(polynomials: Sequence[Terms], variables: Array) -> Array:
    """int64 [rows, polynomials] for variables int64 [rows, variables]."""
    known: dict[Powers, Array] = {}
    found = np.zeros((len(variables), len(polynomials)), np.int64)
    for number, terms in enumerate(polynomials):
        for powers, factor in terms:
            if powers not in known:
                known[powers] = np.prod(variables ** np.array(powers, np.int64), axis=1)
            found[:, number] += factor * known[powers]
    return found


def holds(facts: Facts, variables: Array) -> Array:
    """bool [rows]: whether all facts hold, for variables int64 [rows, variables]."""
    values = evaluated([terms for terms, _ in facts], variables)
    fits = np.ones(len(variables), np.bool_)
    for number, (_, fact) in enumerate(facts):
        fits &= fact.holds(values[:, number])
    return fits
