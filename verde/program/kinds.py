"""Why this module exists: the operators of a program, each so small that a contract can compute one element of it.

A program is a list of nodes; a node has a kind, one output tensor, and inputs that are outputs of earlier nodes. Each
input is read through an **access**: a start and one stride per output axis (counted in elements; 0 broadcasts, negative
is allowed), so views, transposes and broadcasts cost nothing. With c the output element's coordinates (row-major
unravelling of its index), an input's element is ``start + sum(c[axis] * stride[axis])``. Where the kind reduces over
``length`` terms, an input marked ``row`` gives ``length`` consecutive elements from there on.

"Needs" below is all that one output element depends on: ``x`` stands for one element of input x, ``x[*]`` for its row.
Elements are 32-bit words unless the type says otherwise: F32 (binary32 bits), I32, I16 (significands), U8 (0 or 1).

Reductions are folds over terms 0 … length - 1 of an integer, from ``start`` on; ``finish`` makes the element of the last
one. Beyond ``PART`` terms the fold's value after every PART terms is agreed on first (``verde.bisect``), so that a leaf
never has more than PART terms; ``first`` is then the first term of the part. docs/exact-1.md has all other definitions.

| kind | inputs | attributes | element |
|---|---|---|---|
| STATE | | key (8 words) | the state's tensor whose line is ``key`` (``verde.commit``), at the element's index: F32 |
| STEP | | | the state's step count: I32 |
| DATA | | key (8 words) | the step's data whose line is ``key``, at the element's index: any type |
| CONST | | words | the word at the element's index, or the only one: any type |
| COPY | x | | x: any type |
| PAD | x | axis, begin, end | x where begin <= c[axis] < end, else 0 (x is then not read): any type |
| CONCAT | a, b | size of a | a at c[0] where c[0] < size, else b at c[0] - size; one axis; strides 1: any type |
| GATHER | x, i1 … im | stride1 … stridem | x at its access plus sum of stride_k · i_k; all I32: type of x |
| SELECT | mask, a, b | | a where mask is 1, else b: F32 |
| ADD SUB MUL DIV | a, b | | section 2 |
| NEG SQRT EXP LOG SIN COS TANH EXPM1 SIGMOID | x | | sections 2 and 6 |
| MINIMUM MAXIMUM | a, b | | section 2 |
| TO_FLOAT | x: I32 | | the nearest binary32 |
| LE LT EQ | a, b | | 1 where a <= b, a < b, a = b as numbers, else 0: U8 |
| MASK | own, other: I32 | window | segments of query c[-2] = i and key c[-1] = j: 1 where i = j, or j < i, other is not -1, other is 0 or own, and (window = 0 or i - j < window): U8 |
| GUMBEL | low, high, position: I32 | | gumbel() of word c[-1] mod 4 of counter (c[-1] div 4, position, 0, 0), key (low, high) |
| POWER | t: I32 | base | base · base · … by ``mul``, from 1, t + 1 times |
| EXPONENT | x row [, E row: I32] | raised | fold: the largest of key(x, E) = 0 for x = 0, else (bits of abs x) + (E + 4096)·2^23 (E = 0 without E), from 0. finish: 0 for 0, else e = (key div 2^23) - 4096 - 126, one more where ``raised`` and the 24-bit significand divided by 2^9, to nearest even, exceeds 32639: I32 |
| QUANTISE | x, e: I32 [, E: I32] | | the integer nearest to x · 2^(E + 15 - e), ties to even: I16 |
| DOT | a row: I16, ea: I32, b row: I16 [, eb: I32] | | fold: the sum of a·b, from 0. finish: out(sum · 2^(ea + eb - 30)), eb = 0 without eb |
| SUM | x row, e: I32 | | fold: the sum of the integers nearest to x · 2^(36 - e), ties to even, from 0. finish: out(sum · 2^(e - 36)) |
| EXPONENT_WHERE | x row, i1 row … im row: I32 | skip | as EXPONENT (not raised) over the terms with i_k = c[k] for every k; none where c[0] = skip |
| SUM_WHERE | x row, e: I32, i1 row … im row: I32 | skip | as SUM over these terms |
| MAX | x row [, mask row: U8] | | fold: the largest order(x) + 1 where mask is 1, from 0; order(x) = bits + 2^31 for x >= 0, else 2^32 - 1 - bits. finish: 0 for 0, else that x |
| ARGMAX | x row | | fold: the largest (order(x) + 1) · 2^32 + 2^32 - 1 - term, from 0. finish: that term, the lowest among equals: I32 |
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

    ``inputs``: types in order, ``None`` for any; those from ``least`` on may be left out, the last of a ``repeats`` kind
    comes any number of times. ``rows``: which inputs are read as rows. ``output``: ``None`` where the node says it.
    ``attributes``: how many, ``None`` for any number.
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
    Kind.POWER: Rule((_I,), 1, attributes=1),
    Kind.QUANTISE: Rule((_F, _I, _I), 2, _Q),
    Kind.EXPONENT: Rule((_F, _I), 1, _I, 1, rows=(0, 1)),
    Kind.DOT: Rule((_Q, _I, _Q, _I), 3, rows=(0, 2)),
    Kind.SUM: Rule((_F, _I), 2, rows=(0,)),
    Kind.EXPONENT_WHERE: Rule((_F, _I), 2, _I, 1, rows=(0, 1), repeats=True),
    Kind.SUM_WHERE: Rule((_F, _I, _I), 3, attributes=1, rows=(0, 2), repeats=True),
    Kind.MAX: Rule((_F, _B), 1, rows=(0, 1)),
    Kind.ARGMAX: Rule((_F,), 1, _I, rows=(0,)),
}
