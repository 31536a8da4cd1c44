"""Why this module exists: the operators of a program, each so small that a contract can compute one element of it.

A program is a list of nodes; a node has a kind, one output tensor, and inputs that are outputs of earlier nodes. Each
input is read through an **access**: a start and one stride per output axis (counted in elements; 0 broadcasts, negative
is allowed), so views, transposes and broadcasts cost nothing. With c the output element's coordinates (row-major
unravelling of its index), an input's element is ``start + sum(c[axis] * stride[axis])``. Where the kind reduces over
``length`` terms, an input marked ``row`` gives ``length`` consecutive elements from there on.

Elements are F32 (binary32 bits), I32, I16 (significands) or U8 (0 or 1). Below, after the inputs and (in brackets) the
attributes, is what one output element is; that is all that it depends on. Definitions are those of docs/exact-1.md.

    STATE () [key: 8 words]      F32: the tensor of the state whose line is ``key`` (``verde.commit``), at this index
    STEP ()                      I32: the state's step count
    DATA () [key: 8 words]       any: the tensor of the step's data whose line is ``key``, at this index
    CONST () [words]             any: the word at this index
    COPY (x)                     any: x
    PAD (x) [axis, begin, end]   any: x where begin <= c[axis] < end, else 0, and x is not read
    CONCAT (a, b) [size]         any, one axis: element c[0] of a where c[0] < size, else element c[0] - size of b
    GATHER (x, i1 … im) [s1 … sm]  any: the element of x at its access + s1·i1 + … + sm·im; every i is I32
    SELECT (mask, a, b)          F32: a where mask is 1, else b
    ADD SUB MUL DIV MINIMUM MAXIMUM (a, b), NEG SQRT EXP LOG SIN COS TANH EXPM1 SIGMOID (x)      F32: sections 2 and 6
    TO_FLOAT (x: I32)            F32: the nearest binary32
    LE LT EQ (a, b)              U8: 1 where a <= b, a < b, a = b
    MASK (own, other: I32) [window]  U8: query i = c[-2] of segment ``own``, key j = c[-1] of segment ``other``: 1 where
                                 i = j, or all of: j < i; other is not -1; other is 0 or own; window is 0 or > i - j
    GUMBEL (low, high, position: I32)  F32: gumbel of word c[-1] mod 4 of Philox: key (low, high),
                                 counter (c[-1] div 4, position, 0, 0)
    POWER (t: I32) [base, more]  F32: mul(… mul(mul(1, base), base) …, base), t + more factors
    QUANTISE (x, e: I32 [, E: I32])  I16: the integer nearest to x · 2^(E + 15 - e), ties to even; E = 0 if left out

Reductions are folds of an integer over the terms 0 … length - 1; ``finish`` turns the last value into the element.
Where there are more than ``PART`` terms, the fold's values at several places are compared first (``verde.bisect``), so
that no leaf has more. order(x) is bits + 2^31 for x >= 0, else 2^32 - 1 - bits; key(x, E) is 0 for x = 0, else
(bits of abs x) + (E + 4096)·2^23.

    EXPONENT (x row [, E row: I32]) [raised]  I32: fold: largest key(x, E), E = 0 if left out, from 0. finish: 0 for 0,
                                 else e = (key div 2^23) - 4096 - 126, and one more if ``raised`` and the nearest
                                 integer, ties to even, to (2^23 + key mod 2^23) / 2^9 exceeds 32639
    DOT (a row: I16, ea: I32, b row: I16 [, eb: I32])  F32: fold: sum of a·b. finish: out(sum · 2^(ea + eb - 30))
    SUM (x row, e: I32)          F32: fold: sum of the integers nearest to x · 2^(36 - e). finish: out(sum · 2^(e - 36))
    EXPONENT_WHERE (x row, i1 row … im row: I32) [skip]  I32: EXPONENT, not raised, over the terms with every
                                 i_k = c[k]; over none where c[0] = skip
    SUM_WHERE (x row, e: I32, i1 row … im row: I32) [skip]  F32: SUM over those terms
    MAX (x row [, mask row: U8]) F32: fold: largest order(x) + 1 where mask is 1, from 0. finish: 0 for 0, else that x
    ARGMAX (x row)               I32: fold: largest (order(x) + 1) · 2^32 + 2^32 - 1 - term, from 0. finish: that term
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique

PART = 1024
"""Terms of a reduction that one leaf may have."""

NO_SKIP = 0xFFFFFFFF
"""``skip`` of the kinds with WHERE when no place is left out."""


@unique
class Type(IntEnum):
    """What an element is; little-endian in trees."""

    F32 = 0
    I32 = 1
    I16 = 2
    U8 = 3

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return (4, 4, 2, 1)[self]


@unique
class Kind(IntEnum):
    """Operators. The numbers are part of every program root."""

    STATE = 1
    STEP = 2
    DATA = 3
    CONST = 4

    COPY = 8
    PAD = 9
    CONCAT = 10
    GATHER = 11
    SELECT = 12

    ADD = 16
    SUB = 17
    MUL = 18
    DIV = 19
    NEG = 20
    SQRT = 21
    EXP = 22
    LOG = 23
    SIN = 24
    COS = 25
    TANH = 26
    EXPM1 = 27
    SIGMOID = 28
    MINIMUM = 29
    MAXIMUM = 30
    TO_FLOAT = 31
    LE = 32
    LT = 33
    EQ = 34
    MASK = 35
    GUMBEL = 36
    POWER = 37
    QUANTISE = 38

    EXPONENT = 48
    DOT = 49
    SUM = 50
    EXPONENT_WHERE = 51
    SUM_WHERE = 52
    MAX = 53
    ARGMAX = 54


@dataclass(frozen=True)
class Rule:
    """What every node of a kind obeys.

    ``inputs``: types in order, ``None`` for any; those from ``least`` on may be left out, the last of a
    ``repeats`` kind comes any number of times. ``rows``: which inputs are read as rows. ``output``: ``None`` where the
    node says it. ``attributes``: how many, ``None`` for any number.
    """

    inputs: tuple[Type | None, ...] = ()
    least: int = 0
    output: Type | None = Type.F32
    attributes: int | None = 0
    rows: tuple[int, ...] = ()
    repeats: bool = False

    @property
    def reduces(self) -> bool:
        """Whether an element needs rows of its inputs."""
        return bool(self.rows)

    def type_of(self, number: int) -> Type | None:
        """What input ``number`` must be."""
        return self.inputs[min(number, len(self.inputs) - 1)]

    def is_row(self, number: int) -> bool:
        """Whether input ``number`` is read as a row."""
        return min(number, len(self.inputs) - 1) in self.rows


_F, _I, _Q, _B = Type.F32, Type.I32, Type.I16, Type.U8
_ONE, _TWO = Rule((_F,), 1), Rule((_F, _F), 2)
_COMPARE = Rule((_F, _F), 2, _B)

RULES: dict[Kind, Rule] = {
    Kind.STATE: Rule(attributes=8),
    Kind.STEP: Rule(output=_I),
    Kind.DATA: Rule(output=None, attributes=8),
    Kind.CONST: Rule(output=None, attributes=None),
    Kind.COPY: Rule((None,), 1, None),
    Kind.PAD: Rule((None,), 1, None, 3),
    Kind.CONCAT: Rule((None, None), 2, None, 1),
    Kind.GATHER: Rule((None, _I), 2, None, None, repeats=True),
    Kind.SELECT: Rule((_B, _F, _F), 3),
    **dict.fromkeys((Kind.ADD, Kind.SUB, Kind.MUL, Kind.DIV, Kind.MINIMUM, Kind.MAXIMUM), _TWO),
    **dict.fromkeys((Kind.NEG, Kind.SQRT, Kind.EXP, Kind.LOG, Kind.SIN, Kind.COS, Kind.TANH, Kind.EXPM1), _ONE),
    Kind.SIGMOID: _ONE,
    Kind.TO_FLOAT: Rule((_I,), 1),
    **dict.fromkeys((Kind.LE, Kind.LT, Kind.EQ), _COMPARE),
    Kind.MASK: Rule((_I, _I), 2, _B, 1),
    Kind.GUMBEL: Rule((_I, _I, _I), 3),
    Kind.POWER: Rule((_I,), 1, attributes=2),
    Kind.QUANTISE: Rule((_F, _I, _I), 2, _Q),
    Kind.EXPONENT: Rule((_F, _I), 1, _I, 1, rows=(0, 1)),
    Kind.DOT: Rule((_Q, _I, _Q, _I), 3, rows=(0, 2)),
    Kind.SUM: Rule((_F, _I), 2, rows=(0,)),
    Kind.EXPONENT_WHERE: Rule((_F, _I), 2, _I, 1, rows=(0, 1), repeats=True),
    Kind.SUM_WHERE: Rule((_F, _I, _I), 3, attributes=1, rows=(0, 2), repeats=True),
    Kind.MAX: Rule((_F, _B), 1, rows=(0, 1)),
    Kind.ARGMAX: Rule((_F,), 1, _I, rows=(0,)),
}
