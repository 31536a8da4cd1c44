"""Why this module exists: section 9 of docs/exact-1.md: first weights."""

from __future__ import annotations

from verde.numerics.constants import IRWIN_HALL
from verde.numerics.oracle.elementwise import add, mul
from verde.numerics.oracle.rounding import rne
from verde.numerics.oracle.sampling import WORD, key_of, philox


def element(seed: int, i: int, std: float, mean: float = 0.0) -> float:
    """The i-th element, row-major, of the tensor that ``seed`` belongs to."""
    block = i // 2
    words = philox(key_of(seed), (block % WORD, block // WORD, 0, 1))
    pair = words[2 * (i % 2) : 2 * (i % 2) + 2]
    fields = sum(w % 2**16 + w // 2**16 for w in pair)
    return add(mean, mul(mul(std, IRWIN_HALL), rne(fields - 131070)))
