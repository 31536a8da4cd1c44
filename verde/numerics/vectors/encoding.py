"""Why this module exists: the written form of numbers in the vectors, for people and for other implementations.

In memory a value is a nested list of floats, integers or booleans, or one of them; or ``Seeded`` or ``Filled``.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from verde.numerics.oracle.sampling import key_of, philox

Value = Any
Encoded = int | dict[str, Any]


@dataclass(frozen=True)
class Seeded:
    """Numbers too many to list: random significands and signs, exponent fields from ``least`` on, ``span`` of them."""

    shape: tuple[int, ...]
    seed: int
    least: int
    span: int

    def bits(self) -> list[int]:
        """The bits of each number, row-major."""
        words = words_of(self.seed, math.prod(self.shape))
        return [seeded_bits(word, self.least, self.span) for word in words]

    def values(self) -> Value:
        """The numbers as nested lists."""
        return nested(self.shape, [number(one) for one in self.bits()])


@dataclass(frozen=True)
class Filled:
    """One number, everywhere."""

    shape: tuple[int, ...]
    x: float

    def values(self) -> Value:
        """The numbers as nested lists."""
        return nested(self.shape, [self.x] * math.prod(self.shape))


@lru_cache(maxsize=4)
def words_of(seed: int, count: int) -> list[int]:
    """The first words of a seed at position 0: a block of four at a time, because they can be many."""
    blocks = (philox(key_of(seed), (block, 0, 0, 0)) for block in range(-(-count // 4)))
    return list(itertools.chain.from_iterable(blocks))[:count]


def seeded_bits(word: int, least: int, span: int) -> int:
    """The bits of a number made of a random word."""
    return (word & 0x807FFFFF) | (least + (word >> 23) % 256 % span) << 23


def number(bits: int) -> float:
    """The binary32 with these bits."""
    return float(struct.unpack(">f", bits.to_bytes(4, "big"))[0])


def bits_of(x: float) -> int:
    """The bits of a binary32."""
    return int.from_bytes(struct.pack(">f", x), "big")


def nested(shape: tuple[int, ...], flat: list[Any]) -> Value:
    """Row-major elements as nested lists; the one element itself for an empty shape."""
    if not shape:
        return flat[0]
    step = math.prod(shape[1:])
    return [nested(shape[1:], flat[i * step : (i + 1) * step]) for i in range(shape[0])]


def shape_of(value: Value) -> list[int]:
    """The shape of nested lists."""
    return [len(value), *(shape_of(value[0]) if value else [])] if isinstance(value, list) else []


def flattened(value: Value) -> Iterator[Any]:
    """The elements of nested lists, row-major."""
    if isinstance(value, list):
        for one in value:
            yield from flattened(one)
    else:
        yield value


def encode(value: Value) -> Encoded:
    """A value as it is written."""
    if isinstance(value, Seeded):
        return {"shape": list(value.shape), "seed": value.seed, "least": value.least, "span": value.span}
    if isinstance(value, Filled):
        return {"shape": list(value.shape), "fill": f"{bits_of(value.x):08x}"}
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    flat, shape = list(flattened(value)), shape_of(value)
    if isinstance(flat[0], bool):
        return {"shape": shape, "booleans": "".join("1" if one else "0" for one in flat)}
    if isinstance(flat[0], int):
        return {"shape": shape, "integers": flat}
    return {"shape": shape, "bits": " ".join(f"{bits_of(one):08x}" for one in flat)}
