"""Sums, products, exponents and maxima: the EVM and the oracle give the same bits, in one leaf or folded in parts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest

from tests.verde.referee.evm import Answer, Evm, Leaf, packed
from tests.verde.referee.hostile import SPECIAL, bits_of, maybe_none, mismatches, number, ordinary, value
from verde.numerics.oracle.contraction import BITS, dot, significands
from verde.numerics.oracle.rounding import NotANumber, Real, expo, nearest_integer, out
from verde.numerics.oracle.sums import BITS as SUM_BITS
from verde.numerics.oracle.sums import total
from verde.program.kinds import NO_SKIP, Kind, Type

LARGEST = 32639
LENGTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64)
RAISED = (0x3F7F0000, 0x3F7EFFFF, 0x3F7EFF00, 0x3F7EFEFF, 0x3F7EFF80, 0x3F7F7FFF, 0x3F7FFFFF)
"""Significands around the one from which on a row's exponent is raised."""


def row(rng: random.Random, length: int | None = None) -> list[int]:
    """Bits of a row: like numbers, zeros, one far above the rest, or anything."""
    length = length or rng.choice(LENGTHS)
    kind = rng.random()
    if kind < 0.05:
        return [rng.choice([0, 0x80000000, 1, 0x807FFFFF]) for _ in range(length)]
    if kind < 0.4:
        field = rng.randint(1, 254)
        found = [ordinary(rng, max(1, field - rng.choice([0, 3, 40])), field) for _ in range(length)]
    elif kind < 0.6:
        field = rng.choice([1, 2, 3, 36, 37, 38, 100])
        found = [ordinary(rng, 1, field) for _ in range(length)]
    elif kind < 0.8:
        found = [number(rng) for _ in range(length)]
    else:
        # All in the place of the tie of the last integer that a sum counts, or of a significand.
        places = rng.choice([12, 13, 14, 15, 16, 34, 35, 36, 37, 38])
        found = [ordinary(rng, 150 - places, 150 - places) & rng.choice([0xFF800000, ~0]) for _ in range(length)]
        found[0] = ordinary(rng, 150, 150)
    if rng.random() < 0.25:
        found[rng.randrange(length)] = rng.choice(RAISED) + (rng.randint(-60, 60) << 23)
    return [maybe_none(rng, one, 0.001) for one in found]


def numbers(bits: Sequence[int]) -> list[float]:
    return [value(one) for one in bits]


def no_number(function: Callable[..., float], *arguments: object) -> Answer:
    """The oracle's bits; "none" where it has no result."""
    try:
        result = function(*arguments)
    except NotANumber:
        return "none"
    return bits_of(result) if isinstance(result, float) else result % 2**32


def significand_row(rng: random.Random, length: int) -> list[int]:
    kind = rng.random()
    if kind < 0.3:
        return [rng.choice([LARGEST, -LARGEST]) for _ in range(length)]
    if kind < 0.5:
        return [rng.choice([LARGEST, -LARGEST, 0, 1, -1, -256, 255]) for _ in range(length)]
    return [rng.randint(-LARGEST, LARGEST) >> rng.choice([0, 0, 14]) for _ in range(length)]


def test_products_of_significands(evm: Evm, rng: random.Random, num_cases: int) -> None:
    leaves, wanted, integers = [], [], []
    for _ in range(num_cases):
        length = rng.choice([*LENGTHS, 1024] if rng.random() < 0.02 else LENGTHS)
        a, b = significand_row(rng, length), significand_row(rng, length)
        c = sum(x * y for x, y in zip(a, b, strict=True))
        edge = rng.choice([-126, -127, -128, 128, 127, rng.randint(-150, 130)]) - abs(c).bit_length() + 2 * BITS
        ea = rng.randint(-140, 130)
        inputs = [packed(a, 2), packed([ea]), packed(b, 2), packed([edge - ea])]
        if rng.random() < 0.2:
            inputs, edge = [*inputs[:3]], ea
        leaves.append(Leaf(Kind.DOT, tuple(inputs), length=length))
        wanted.append(no_number(lambda c=c, e=edge: out(c * Fraction(2) ** (e - 2 * BITS))))
        integers.append(c)
    assert mismatches(leaves, evm.evaluate(leaves), wanted) == []
    assert evm.call("fold", [(leaf.node, 0, 0, 0, leaf.inputs) for leaf in leaves]) == integers


def test_rows_become_significands_and_their_products_numbers(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """Exponent, significands and products one after the other give the oracle's DOT of the rows."""
    cases = []
    while len(cases) < num_cases // 10:
        length = rng.choice(LENGTHS[1:])
        pair = row(rng, length), row(rng, length)
        if no_number(lambda pair=pair: float(sum(map(len, map(numbers, pair))))) != "none":
            cases.append(pair)
    rows = [one for pair in cases for one in pair]
    exponents = evm.evaluate(Leaf(Kind.EXPONENT, (packed(one),), (1,), Type.I32, length=len(one)) for one in rows)
    assert exponents == [significands(numbers(one))[1] % 2**32 for one in rows]
    terms = [(x, e) for one, e in zip(rows, exponents, strict=True) for x in one]
    flat = evm.evaluate(Leaf(Kind.QUANTISE, (packed([x]), packed([int(e)])), type=Type.I16) for x, e in terms)
    assert flat == [q % 2**16 for one in rows for q in significands(numbers(one))[0]]
    leaves, at = [], 0
    for i, (a, _) in enumerate(cases):
        qa, qb = flat[at : at + len(a)], flat[at + len(a) : at + 2 * len(a)]
        at += 2 * len(a)
        ea, eb = packed([int(exponents[2 * i])]), packed([int(exponents[2 * i + 1])])
        leaves.append(Leaf(Kind.DOT, (packed(map(int, qa), 2), ea, packed(map(int, qb), 2), eb), length=len(a)))
    wanted = [no_number(dot, numbers(a), numbers(b)) for a, b in cases]
    assert mismatches(cases, evm.evaluate(leaves), wanted) == []


@pytest.mark.parametrize("raised", [0, 1])
def test_exponents_of_rows(evm: Evm, rng: random.Random, num_cases: int, raised: int) -> None:
    def exponent(one: Sequence[int]) -> int:
        return significands(numbers(one))[1] if raised else expo(numbers(one))

    cases = [row(rng) for _ in range(num_cases)]
    leaves = [Leaf(Kind.EXPONENT, (packed(one),), (raised,), Type.I32, length=len(one)) for one in cases]
    wanted = [no_number(exponent, one) for one in cases]
    assert mismatches(cases, evm.evaluate(leaves), wanted) == []


def test_exponents_of_scaled_rows(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """What attention's weights are multiplied with may leave the range of binary32."""

    def scaled(one: tuple[list[int], list[int]]) -> list[Real]:
        return [Fraction(x) * Fraction(2) ** e for x, e in zip(numbers(one[0]), one[1], strict=True)]

    cases = []
    for _ in range(num_cases):
        weights = row(rng)
        spread = rng.choice([0, 2, 140])
        cases.append((weights, [rng.randint(-spread, spread) for _ in weights]))
    leaves = [Leaf(Kind.EXPONENT, (packed(x), packed(e)), (1,), Type.I32, length=len(x)) for x, e in cases]
    wanted = [no_number(lambda one: significands(scaled(one))[1], case) for case in cases]
    answers = evm.evaluate(leaves)
    assert mismatches(cases, answers, wanted) == []
    quantised, q_wanted = [], []
    for case, e in zip(cases, answers, strict=True):
        if isinstance(e, int):
            term = rng.randrange(len(case[0]))
            inputs = packed([case[0][term]]), packed([e]), packed([case[1][term]])
            quantised.append(Leaf(Kind.QUANTISE, inputs, type=Type.I16))
            q_wanted.append(significands(scaled(case))[0][term] % 2**16)
    assert mismatches(quantised, evm.evaluate(quantised), q_wanted) == []


def test_significands(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """Ties, and what vanishes next to a row's largest number; what does not fit has no result."""
    cases, wanted = [], []
    for _ in range(num_cases):
        x = maybe_none(rng, number(rng))
        field = (x >> 23) & 0xFF
        e = field - 126 + rng.choice([-1, 0, 0, 1, 1, 2, 8, 13, 14, 15, 16, 17, 40, 200])
        if rng.random() < 0.3:
            x &= ~((1 << rng.randint(8, 23)) - 1)
        cases.append((x, e))

        def significand(x: int = x, e: int = e) -> int:
            q = nearest_integer(Fraction(value(x)) * Fraction(2) ** (BITS - e))
            if abs(q) > 2**15 - 1:
                raise NotANumber("no 16-bit significand")
            return q % 2**16

        wanted.append(no_number(significand))
    leaves = [Leaf(Kind.QUANTISE, (packed([x]), packed([e])), type=Type.I16) for x, e in cases]
    assert mismatches(cases, evm.evaluate(leaves), wanted) == []


def test_sums_of_rows(evm: Evm, rng: random.Random, num_cases: int) -> None:
    cases = [row(rng) for _ in range(num_cases)]
    exponents = [no_number(lambda one: expo(numbers(one)), one) for one in cases]
    leaves = [
        Leaf(Kind.SUM, (packed(one), packed([e if isinstance(e, int) else 0])), length=len(one))
        for one, e in zip(cases, exponents, strict=True)
    ]
    wanted = [no_number(lambda one: total(numbers(one)), one) for one in cases]
    assert mismatches(cases, evm.evaluate(leaves), wanted) == []


def test_integers_that_sums_are_made_of(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """Rounding to 24 bits would hide a tie that went the wrong way."""
    leaves, wanted = [], []
    for _ in range(num_cases):
        field = rng.randint(40, 254)
        places = [rng.randint(30, 38) for _ in range(rng.choice(LENGTHS))]
        bits = [ordinary(rng, field, field), *(ordinary(rng, field - one, field - one) for one in places)]
        bits = [one & rng.choice([0xFF800000, 0xFFC00000, 0xFFE00000, ~0]) for one in bits]
        unit = Fraction(2) ** (SUM_BITS - expo(numbers(bits)))
        leaves.append(Leaf(Kind.SUM, (packed(bits), packed([expo(numbers(bits))])), length=len(bits)))
        wanted.append(sum(nearest_integer(Fraction(x) * unit) for x in numbers(bits)))
    assert evm.call("fold", [(leaf.node, 0, 0, 0, leaf.inputs) for leaf in leaves]) == wanted


@pytest.mark.integration
@pytest.mark.parametrize("length", [1, 3, 4, 5, 7, 9, 13, 15])
def test_what_lies_behind_a_row_in_calldata_does_not_count(evm: Evm, rng: random.Random, length: int) -> None:
    bits, indices = [ordinary(rng, 90, 100) for _ in range(length)], [rng.randrange(2) for _ in range(length)]
    significands_ = packed(significand_row(rng, length), 2)
    e = packed([-20])
    leaves = [
        Leaf(Kind.DOT, (significands_, e, significands_), length=length),
        Leaf(Kind.SUM, (packed(bits), e), length=length),
        Leaf(Kind.EXPONENT, (packed(bits),), (1,), length=length),
        Leaf(Kind.EXPONENT, (packed(bits), packed(indices)), (1,), length=length),
        Leaf(Kind.MAX, (packed(bits),), length=length),
        Leaf(Kind.MAX, (packed(bits), packed(indices, 1)), length=length),
        Leaf(Kind.ARGMAX, (packed(bits),), length=length),
        Leaf(Kind.SUM_WHERE, (packed(bits), e, packed(indices)), (NO_SKIP,), sizes=(2,), element=1, length=length),
    ]
    assert evm.evaluate_followed_by(leaves, b"\x01\x00\x00\x7e") == evm.evaluate(leaves)


def test_largest_of_rows(evm: Evm, rng: random.Random, num_cases: int) -> None:
    cases, wanted = [], []
    for _ in range(num_cases):
        bits = row(rng)
        mask = [rng.choice([0, 1]) for _ in bits] if rng.random() < 0.5 else None
        cases.append((bits, mask))

        def largest(bits: list[int] = bits, mask: list[int] | None = mask) -> float:
            x = numbers(bits)  # what is masked is a number too
            return max((one for i, one in enumerate(x) if mask is None or mask[i]), default=0.0)

        wanted.append(no_number(largest))
    leaves = [
        Leaf(Kind.MAX, (packed(bits), *([packed(mask, 1)] if mask else [])), length=len(bits)) for bits, mask in cases
    ]
    assert mismatches(cases, evm.evaluate(leaves), wanted) == []


def test_places_of_the_largest(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """Among equals the lowest index first."""

    def place(bits: Sequence[int]) -> int:
        x = numbers(bits)
        return x.index(max(x))

    cases = []
    for _ in range(num_cases):
        bits = row(rng)
        if rng.random() < 0.6:
            few = [*rng.sample(bits, min(len(bits), 2)), rng.choice(SPECIAL)]
            bits = [rng.choice(few) for _ in bits]
        cases.append(bits)
    leaves = [Leaf(Kind.ARGMAX, (packed(bits),), type=Type.I32, length=len(bits)) for bits in cases]
    assert mismatches(cases, evm.evaluate(leaves), [no_number(place, bits) for bits in cases]) == []


@pytest.mark.parametrize("kind", [Kind.EXPONENT_WHERE, Kind.SUM_WHERE])
def test_what_is_added_to_one_place(evm: Evm, rng: random.Random, num_cases: int, kind: Kind) -> None:
    leaves, wanted = [], []
    for _ in range(num_cases):
        bits = row(rng)
        sizes = (4, 3) if rng.random() < 0.5 else (5,)
        num_indices = rng.choice([1, len(sizes)])
        indices = [[rng.randint(-1, 3) for _ in bits] for _ in range(num_indices)]
        element = rng.randrange(sizes[0] * sizes[-1] if len(sizes) > 1 else sizes[0])
        c = divmod(element, sizes[1]) if len(sizes) > 1 else (element,)
        skip = rng.choice([NO_SKIP, 0, 2])
        chosen = [x for term, x in enumerate(bits) if all(i[term] == c[k] for k, i in enumerate(indices))]
        chosen = [] if c[0] == skip else chosen
        e = no_number(lambda chosen=chosen: expo(numbers(chosen)))
        rows = tuple(packed(one) for one in indices)
        if kind == Kind.EXPONENT_WHERE:
            inputs, type_ = (packed(bits), *rows), Type.I32
            wanted.append(e)
        else:
            inputs, type_ = (packed(bits), packed([e if isinstance(e, int) else 0]), *rows), Type.F32
            wanted.append(no_number(lambda chosen=chosen: total(numbers(chosen)) if chosen else 0.0))
        leaves.append(Leaf(kind, inputs, (skip,), type_, sizes, element, len(bits)))
    assert mismatches(leaves, evm.evaluate(leaves), wanted) == []


ELEMENT_SIZES = {Kind.DOT: (2, 0, 2, 0), Kind.SUM: (4, 0), Kind.EXPONENT: (4, 4), Kind.MAX: (4, 1), Kind.ARGMAX: (4,)}


@pytest.mark.parametrize("kind", ELEMENT_SIZES)
def test_a_reduction_in_parts_is_the_whole(evm: Evm, rng: random.Random, num_cases: int, kind: Kind) -> None:
    leaves = []
    for _ in range(num_cases):
        length = rng.choice(LENGTHS)
        bits = packed(ordinary(rng, 1, 110) for _ in range(length))
        inputs = {
            Kind.DOT: (packed(significand_row(rng, length), 2), packed([3]), packed(significand_row(rng, length), 2)),
            Kind.SUM: (bits, packed([-13])),
            Kind.EXPONENT: (bits, packed(rng.randint(-130, 130) for _ in range(length))),
            Kind.MAX: (bits, packed((rng.choice([0, 1]) for _ in range(length)), 1)),
            Kind.ARGMAX: (bits,),
        }[kind]
        attributes = (1,) if kind == Kind.EXPONENT else ()
        leaves.append(Leaf(kind, inputs, attributes, length=length))
    cuts = [sorted(rng.randint(0, leaf.length) for _ in range(2)) for leaf in leaves]
    folded: list[Answer] = [0] * len(leaves)
    for part in range(3):
        arguments = []
        for leaf, cut, start in zip(leaves, cuts, folded, strict=True):
            low, high = (0, *cut, leaf.length)[part : part + 2]
            rows = zip(leaf.inputs, ELEMENT_SIZES[kind], strict=False)
            inputs = [one[low * size : high * size] if size else one for one, size in rows]
            arguments.append((leaf.node, 0, low, start, inputs))
        folded = evm.call("fold", arguments)
    ends = []
    for leaf, one in zip(leaves, folded, strict=True):
        others = [b"" if size else given for given, size in zip(leaf.inputs, ELEMENT_SIZES[kind], strict=False)]
        ends.append((leaf.node, 0, one, others))
    assert evm.call("finish", ends) == evm.evaluate(leaves)


def test_integers_of_any_size_are_rounded_once(evm: Evm, rng: random.Random, num_cases: int) -> None:
    """The end of sums and products: ties, near ties, the least normal and the largest number."""
    cases, wanted = [], []
    for _ in range(num_cases):
        c = rng.getrandbits(rng.randint(1, 80))
        if rng.random() < 0.5:
            spare = rng.randint(1, 60)
            c = ((rng.getrandbits(24) | 1 << 23) << spare) + (1 << (spare - 1)) + rng.choice([-1, 0, 0, 1])
        if rng.random() < 0.1:
            c = (1 << rng.randint(24, 70)) - rng.choice([1, 2, 3])
        c *= rng.choice([1, -1])
        e = rng.choice([rng.randint(-250, 150), *(edge - abs(c).bit_length() for edge in (-127, -126, -125, 127, 128))])
        cases.append((c, e))
        wanted.append(no_number(lambda c=c, e=e: out(c * Fraction(2) ** e)))
    node = Leaf(Kind.SUM, (b"", b""), length=1).node
    answers = evm.call("finish", [(node, 0, c, [b"", packed([e + SUM_BITS])]) for c, e in cases])
    assert mismatches(cases, answers, wanted) == []
