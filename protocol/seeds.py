"""Why this module exists: nothing in a round is random; every seed is a hash of named things.

A seed names what it is for and everything it depends on, e.g. ``derive_seed("sample", run, round_seed, peer, stage,
question, sample)``. Parts are encoded canonically (types and lengths included), so no two lists of parts collide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from protocol.codec import encode

Part = str | int | bytes
Item = TypeVar("Item")

_DOMAIN = "rl-swarm/seed/1"


def derive_bytes(purpose: str, *parts: Part) -> bytes:
    """32 bytes that depend on ``purpose`` and every part, in order."""
    return hashlib.sha256(encode((_DOMAIN, purpose, *parts))).digest()


def derive_seed(purpose: str, *parts: Part) -> int:
    """A 63-bit non-negative seed (fits every library's signed 64-bit integer)."""
    return int.from_bytes(derive_bytes(purpose, *parts)[:8], "big") >> 1


def derive_order(purpose: str, items: Sequence[Item], *parts: Part) -> list[Item]:
    """``items`` in an order that the parts fix and that no item's owner can choose: sorted by the hash of each item.

    Items are identified by ``str(item)``; equal strings keep their given order.
    """
    return sorted(items, key=lambda item: derive_bytes(purpose, *parts, str(item)))
