"""Why this module exists: whoever names one root has named every element of a tensor and every node of a run.

Trees are binary and know positions: node i of a level is keccak256(node 2i ++ node 2i + 1 of the level below), and
where a level ends early the missing right node is 32 zero bytes. A tree of n leaves has ceil(log2 n) levels above
them, so a verifier that knows n never mistakes an inner node for a leaf; one leaf is its own root.

    tensor    leaf c: keccak256 of bytes 256·c … of the elements, little-endian, row-major (the last may be shorter)
    trace     leaf i: the root of node i's output
    program   leaf i: the hash of node i's byte string
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from eth_utils.crypto import keccak

from verde.program.keccak import keccak_rows

CHUNK_BYTES = 256
MISSING = bytes(32)

Array = np.ndarray[Any, Any]


def depth_of(num_leaves: int) -> int:
    """Levels above the leaves."""
    return (num_leaves - 1).bit_length()


def width_of(num_leaves: int, level: int) -> int:
    """How many nodes level ``level`` has (0: the leaves)."""
    return -(-num_leaves >> level)


class Tree:
    """All levels of a tree, leaves first. ``leaves`` uint8 [n, 32], n > 0."""

    def __init__(self, leaves: Array) -> None:
        if leaves.ndim != 2 or leaves.shape[1] != 32 or not len(leaves):
            raise ValueError("A tree has at least one leaf, of 32 bytes each.")
        self._levels = [leaves]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            if len(below) % 2:
                below = np.concatenate([below, np.zeros((1, 32), np.uint8)])
            self._levels.append(keccak_rows(below.reshape(-1, 64)))

    def __len__(self) -> int:
        return len(self._levels[0])

    @property
    def depth(self) -> int:
        return len(self._levels) - 1

    @property
    def root(self) -> bytes:
        return bytes(self._levels[-1][0])

    def node(self, level: int, index: int) -> bytes:
        """A node's hash; ``MISSING`` beyond the end of its level."""
        nodes = self._levels[level]
        return nodes[index].tobytes() if index < len(nodes) else MISSING

    def below(self, level: int, index: int, levels: int) -> tuple[bytes, ...]:
        """The nodes ``levels`` below node ``index`` of ``level``, without those beyond the end."""
        first = index << levels
        nodes = self._levels[level - levels][first : first + (1 << levels)]
        return tuple(node.tobytes() for node in nodes)

    def proof(self, first: int, count: int = 1) -> tuple[bytes, ...]:
        """What ``root_of`` needs besides leaves ``first … first + count - 1``: per level, left and right neighbour."""
        siblings = []
        low, high = first, first + count - 1
        for nodes in self._levels[:-1]:
            if low % 2:
                siblings.append(nodes[low - 1].tobytes())
            if high % 2 == 0 and high + 1 < len(nodes):
                siblings.append(nodes[high + 1].tobytes())
            low, high = low // 2, high // 2
        return tuple(siblings)


def root_of(
    num_leaves: int, first: int, leaves: Sequence[bytes], proof: Sequence[bytes], depth: int | None = None
) -> bytes | None:
    """The root of the tree of ``num_leaves`` in which ``leaves`` stand from ``first`` on; None for an unfit proof.

    ``depth``: levels to climb, where that is more than the leaves need.
    """
    if first < 0 or not leaves or first + len(leaves) > num_leaves or any(len(one) != 32 for one in proof):
        return None
    nodes, low, width, rest = list(leaves), first, num_leaves, list(reversed(proof))
    for _ in range(depth_of(num_leaves) if depth is None else depth):
        if low % 2:
            if not rest:
                return None
            nodes.insert(0, rest.pop())
            low -= 1
        if len(nodes) % 2:
            if low + len(nodes) < width:
                if not rest:
                    return None
                nodes.append(rest.pop())
            else:
                nodes.append(MISSING)
        nodes = [keccak(nodes[i] + nodes[i + 1]) for i in range(0, len(nodes), 2)]
        low, width = low // 2, -(-width // 2)
    return nodes[0] if not rest else None


def top_of(children: Sequence[bytes], levels: int) -> bytes:
    """The node that is ``levels`` above these; those that are left out at the end are missing."""
    return between(children, levels)[-1][0]


def between(children: Sequence[bytes], levels: int) -> list[list[bytes]]:
    """These nodes and all levels up to the one node ``levels`` above them."""
    found = [list(children)]
    for _ in range(levels):
        below = found[-1] + [MISSING] * (len(found[-1]) % 2)
        found.append([keccak(below[i] + below[i + 1]) for i in range(0, len(below), 2)])
    return found


def num_chunks(num_bytes: int) -> int:
    """Leaves of a tensor's tree."""
    return -(-num_bytes // CHUNK_BYTES)


def tensor_tree(values: Array) -> Tree:
    """The tree of a tensor (of a type of ``kinds.Type``, not empty)."""
    raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)
    whole = len(raw) // CHUNK_BYTES
    leaves = keccak_rows(raw[: whole * CHUNK_BYTES].reshape(-1, CHUNK_BYTES))
    if whole * CHUNK_BYTES < len(raw):
        leaves = np.concatenate([leaves, keccak_rows(raw[None, whole * CHUNK_BYTES :])])
    return Tree(leaves)


def tensor_roots(tensors: Sequence[Array]) -> list[bytes]:
    """``tensor_tree(…).root`` of each, all of them hashed together: most data of a step are tensors of a few chunks."""
    raws = [np.ascontiguousarray(x).astype(x.dtype.newbyteorder("<"), copy=False).view(np.uint8) for x in tensors]
    raws = [raw.reshape(-1) for raw in raws]
    widths = np.array([num_chunks(len(raw)) for raw in raws], np.int64)
    if not len(widths):
        return []  # of a step in which nobody did better than anybody
    if not widths.all():
        raise ValueError("A tensor has at least one element.")
    ends = np.cumsum(widths)
    nodes = np.empty((int(ends[-1]), 32), np.uint8)
    is_last = np.zeros(len(nodes), np.bool_)
    is_last[ends - 1] = True
    rests: dict[int, list[int]] = {}
    for number, raw in enumerate(raws):
        rests.setdefault(len(raw) - CHUNK_BYTES * int(widths[number] - 1), []).append(number)
    whole = np.concatenate([raw[: CHUNK_BYTES * (width - 1)] for raw, width in zip(raws, widths, strict=True)])
    nodes[~is_last] = keccak_rows(whole.reshape(-1, CHUNK_BYTES))
    for rest, numbers in rests.items():
        nodes[ends[numbers] - 1] = keccak_rows(np.stack([raws[number][-rest:] for number in numbers]))
    while widths.max() > 1:
        grows = widths > 1
        padded = widths + (widths % 2) * grows
        starts = np.cumsum(padded) - padded
        places = np.arange(len(nodes)) + np.repeat(starts - (np.cumsum(widths) - widths), widths)
        filled = np.zeros((int(padded.sum()), 32), np.uint8)
        filled[places] = nodes
        is_pair = np.repeat(grows, padded)
        above = np.where(grows, padded // 2, 1)
        done = np.repeat(~grows, above)
        nodes = np.empty((int(above.sum()), 32), np.uint8)
        nodes[~done] = keccak_rows(filled[is_pair].reshape(-1, 64))
        nodes[done] = filled[~is_pair]
        widths = above
    return [node.tobytes() for node in nodes]
