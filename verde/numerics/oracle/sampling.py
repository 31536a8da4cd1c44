"""Why this module exists: section 7 of docs/exact-1.md: which token is drawn."""

from __future__ import annotations

from collections.abc import Sequence

from verde.numerics.oracle.elementwise import add, div
from verde.numerics.oracle.transcendental import gumbel

WORD = 2**32
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011)."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 // WORD) ^ c1 ^ k0, p1 % WORD, (p0 // WORD) ^ c3 ^ k1, p0 % WORD
        k0, k1 = (k0 + KEY_STEPS[0]) % WORD, (k1 + KEY_STEPS[1]) % WORD
    return c0, c1, c2, c3


def key_of(seed: int) -> tuple[int, int]:
    """A 64-bit seed as a key, low word first."""
    return seed % WORD, seed // WORD % WORD


def word(seed: int, position: int, token: int) -> int:
    """The random word of one token at one position."""
    return philox(key_of(seed), (token // 4, position, 0, 0))[token % 4]


def sample(logits: Sequence[float], seed: int, position: int, temperature: float, top_k: int = 0) -> int:
    """The token drawn; ``top_k`` 0 means all."""
    tokens = sorted(range(len(logits)), key=lambda v: (-logits[v], v))
    if temperature == 0:
        return tokens[0]
    scaled = [one if temperature == 1 else div(one, temperature) for one in logits]
    kept = sorted(range(len(scaled)), key=lambda v: (-scaled[v], v))[: top_k or None]
    return min(kept, key=lambda v: (-add(scaled[v], gumbel(word(seed, position, v))), v))
