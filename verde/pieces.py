"""Why this module exists: a chunk of a state fills a transaction, and a contract needs four bytes of it.

A chunk is cut into pieces of ``PIECE_BYTES``; the last one may be shorter. Over them stands a tree of ``LEVELS``
levels, always full: leaf i is the SHA-256 of piece i, or 32 zero bytes where the chunk has ended before, and a node
is the SHA-256 of its two children, left one first. Levels are fixed, so a verifier never mistakes a node for a piece.

SHA-256, because a state is hashed in every round, and pieces so large that hashing them costs about as much as hashing
the chunk at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from protocol.ids import ContentId

PIECE_BYTES = 2048
LEVELS = 5
MISSING = bytes(32)


def pieces_root(chunk: bytes | bytearray | memoryview) -> bytes:
    """The root over the pieces of ``chunk``, of at most 64 KiB."""
    return _levels(chunk)[-1][0]


def piece_proof(chunk: bytes, number: int) -> tuple[ContentId, ...]:
    """What ``root_of_piece`` needs beside piece ``number``: siblings, from the leaf up."""
    return tuple(ContentId(nodes[(number >> level) ^ 1].hex()) for level, nodes in enumerate(_levels(chunk)[:-1]))


def root_of_piece(piece: bytes, number: int, proof: Sequence[ContentId]) -> bytes | None:
    """The root of the tree in which ``piece`` has this number; ``None`` for a proof of another form."""
    try:
        siblings = [bytes.fromhex(one) for one in proof]
    except ValueError:
        return None
    is_fit = len(siblings) == LEVELS and all(len(one) == 32 for one in siblings)
    if not is_fit or len(piece) > PIECE_BYTES or not 0 <= number < 1 << LEVELS:
        return None
    node = hashlib.sha256(piece).digest()
    for level, sibling in enumerate(siblings):
        pair = sibling + node if number >> level & 1 else node + sibling
        node = hashlib.sha256(pair).digest()
    return node


def _levels(chunk: bytes | bytearray | memoryview) -> list[list[bytes]]:
    view = memoryview(chunk)
    if len(view) > PIECE_BYTES << LEVELS:
        raise ValueError(f"A chunk has at most {PIECE_BYTES << LEVELS} bytes, not {len(view)}.")
    leaves = [hashlib.sha256(view[at : at + PIECE_BYTES]).digest() for at in range(0, len(view), PIECE_BYTES)]
    levels = [leaves + [MISSING] * ((1 << LEVELS) - len(leaves))]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([hashlib.sha256(below[i] + below[i + 1]).digest() for i in range(0, len(below), 2)])
    return levels
