"""Why this module exists: a contract can check one line of a long list if the list is a tree of hashes.

The trees are those of OpenZeppelin's ``StandardMerkleTree`` (https://github.com/OpenZeppelin/merkle-tree), so that the
library contract ``MerkleProof`` verifies our proofs unchanged:

    leaf     keccak256(keccak256(abi.encode(bytes32 key, bytes32 | uint256 value)))   hashed twice: never 64 bytes long
    node     keccak256(smaller child ++ larger child)                                 so proofs need no left/right
    layout   leaves sorted by hash fill the end of an array of 2n - 1 nodes backwards; children of i are 2i+1 and 2i+2

Two cases that the original leaves open are fixed here: the root of **no** leaves is ``ZERO_ROOT`` (32 zero bytes, which
no leaf hashes to, so nothing can be proved against it), and the root of **one** leaf is that leaf with an empty proof.
Equal leaves are refused: a list with the same line twice would have two places for one proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from eth_utils.crypto import keccak

from protocol.ids import ZERO_ROOT, ContentId

MAX_PROOF_LENGTH = 64
"""Siblings. A longer proof would belong to a list of more than 2**64 lines."""

Row = tuple[bytes, bytes | int]
"""A key of 32 bytes and its value: 32 bytes, or an integer from 0 to 2**256 - 1."""


def leaf_hash(key: bytes, value: bytes | int) -> bytes:
    """Hash of one line. Raises ``ValueError`` when key or value do not fit in 32 bytes."""
    if isinstance(value, int):
        if not 0 <= value < 1 << 256:
            raise ValueError(f"{value} does not fit in a uint256.")
        value = value.to_bytes(32, "big")
    if len(key) != 32 or len(value) != 32:
        raise ValueError(f"A Merkle line is 32 + 32 bytes, not {len(key)} + {len(value)}.")
    return keccak(keccak(key + value))


def _node_hash(left: bytes, right: bytes) -> bytes:
    return keccak(left + right if left < right else right + left)


class MerkleTree:
    """The tree over ``rows``, in any order: equal sets of lines have equal roots.

    Raises ``ValueError`` for a line that is there twice or does not fit. Memory: 64 bytes a line and some overhead.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        leaves = sorted(leaf_hash(key, value) for key, value in rows)
        if any(a == b for a, b in pairwise(leaves)):
            raise ValueError("The same line is in the list twice.")
        size = max(2 * len(leaves) - 1, 0)
        self._place = {leaf: size - 1 - rank for rank, leaf in enumerate(leaves)}
        self._nodes = [b""] * size
        for leaf, place in self._place.items():
            self._nodes[place] = leaf
        for index in range(len(leaves) - 2, -1, -1):
            self._nodes[index] = _node_hash(self._nodes[2 * index + 1], self._nodes[2 * index + 2])

    def __len__(self) -> int:
        return len(self._place)

    @property
    def root(self) -> ContentId:
        return ContentId(self._nodes[0].hex()) if self._nodes else ZERO_ROOT

    def proof(self, key: bytes, value: bytes | int) -> tuple[ContentId, ...]:
        """Siblings from the leaf up, in hex. Raises ``KeyError`` when the line is not in the tree."""
        index = self._place[leaf_hash(key, value)]
        siblings = []
        while index > 0:
            siblings.append(ContentId(self._nodes[index + 1 if index % 2 else index - 1].hex()))
            index = (index - 1) // 2
        return tuple(siblings)


def verify(root: ContentId, key: bytes, value: bytes | int, proof: Sequence[ContentId]) -> bool:
    """Whether the line is in the list behind ``root``: what ``MerkleProof.verify`` says on the chain.

    ``proof`` may come from anywhere: false, never an exception, when it is too long or not made of 32-byte hex strings.
    Raises ``ValueError`` when key or value do not fit, as ``leaf_hash`` does.
    """
    if len(proof) > MAX_PROOF_LENGTH:
        return False
    node = leaf_hash(key, value)
    for sibling in proof:
        try:
            raw = bytes.fromhex(sibling)
        except ValueError:
            return False
        if len(raw) != 32:
            return False
        node = _node_hash(node, raw)
    return node.hex() == root
