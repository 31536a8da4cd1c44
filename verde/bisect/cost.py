"""Why this module exists: how far a move descends is a choice, and this is what decides it: a game's moves, and gas.

Bytes follow from the layouts; gas from them and from ``Prices``, whose prices per byte are Ethereum's (EIP-2028, and
the floor of EIP-7623 for transactions that are mostly data) and whose other figures are fitted to what games on a chain
take (``benchmarks/dispute.py``).

A game about a program of n nodes and an output of c chunks has, with k levels an exchange, 2·(ceil(log2 n / k) +
ceil(log2 c / k)) + 3 moves, and up to 3 more for a long reduction. A step of 24 layers, a vocabulary of 151,936 and
four micro-batches has 30,471 nodes, and its largest outputs have 2 million chunks. Most moves, and most gas without the
game's opening, over all kinds of nodes:

    k      4          5          6          7          8
    moves  23         19         18         17         14
    gas    2,350,000  2,150,000  2,250,000  2,420,000  2,590,000

So k = 6: the fewest moves with which a game, opening included, stays below 2.5 million gas. The element of a STATE node
is shown with 2 KiB of the state (``verde.pieces``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from verde.bisect.game import MOST_PARTS, STEP_LEVELS, Side
from verde.bisect.openings import input_type
from verde.pieces import LEVELS, PIECE_BYTES
from verde.program.kinds import PART, RULES, Kind
from verde.program.node import Node
from verde.program.tree import CHUNK_BYTES, depth_of, num_chunks

_HEAD = 4 + 32
"""Selector and number of the game."""

_STATE_DEPTH = 24
_LINE_DEPTH = 12


@dataclass(frozen=True)
class Prices:
    """Gas. ``keeping``: to show, read and write a game's state; ``hash``: one inner node, and to put it on record;
    ``term``, ``element``: to compute them, and what a decided game moves."""

    transaction: int = 21_000
    byte: int = 16
    floor_byte: int = 40
    keeping: int = 42_000
    hash: int = 500
    term: int = 350
    element: int = 120_000


@dataclass(frozen=True)
class MoveCost:
    """One move: its bytes, and what is hashed and computed for it."""

    name: str
    side: Side
    num_bytes: int
    num_hashes: int = 0
    num_terms: int = 0
    is_leaf: bool = False

    def gas(self, prices: Prices) -> int:
        """What it costs at most: every byte is taken to be none of the cheap zeros."""
        work = self.num_hashes * prices.hash + self.num_terms * prices.term + self.is_leaf * prices.element
        whole = prices.byte * self.num_bytes + prices.keeping + work
        return prices.transaction + max(whole, prices.floor_byte * self.num_bytes)


def moves(num_nodes: int, node: Node, levels: int = STEP_LEVELS) -> list[MoveCost]:
    """The moves of the longest game about an element of ``node`` in a program of ``num_nodes``."""
    depth = depth_of(num_nodes)
    chunks = num_chunks(node.num_elements * node.type.size)
    found = [*_search("trace", depth, levels, len(node.encoded()) + 32 * depth)]
    found[0] = MoveCost("PostTrace", Side.DEFENDER, found[0].num_bytes + 4 * 32, found[0].num_hashes + 3)
    found += _search("output", depth_of(chunks), levels, 0)
    found.append(MoveCost("RevealChunk", Side.DEFENDER, _HEAD + CHUNK_BYTES, 2))
    found.append(MoveCost("PickElement", Side.CHALLENGER, _HEAD + 32 + CHUNK_BYTES, 2))
    terms = node.length
    while terms > PART:
        size = PART * -(-terms // (PART * MOST_PARTS))
        found.append(MoveCost("RevealParts", Side.DEFENDER, _HEAD + 32 * -(-terms // size), 0))
        terms = min(terms, size)
        if terms > PART:
            found.append(MoveCost("PickPart", Side.CHALLENGER, _HEAD + 32))
    found.append(_leaf(node, depth, terms))
    return found


def gas(num_nodes: int, node: Node, levels: int = STEP_LEVELS, prices: Prices | None = None) -> int:
    """What such a game costs both sides together, its opening and bonds left out."""
    return sum(move.gas(prices or Prices()) for move in moves(num_nodes, node, levels))


def _search(what: str, depth: int, levels: int, last_bytes: int) -> Iterator[MoveCost]:
    is_trace = what == "trace"
    if depth == 0 and not is_trace:
        return
    steps = [min(levels, depth - at) for at in range(0, depth, levels)] or [0]
    for number, step in enumerate(steps):
        is_last = number == len(steps) - 1
        yield MoveCost("Reveal", Side.DEFENDER, _HEAD + 32 * (1 << step), 1 << step)
        extra = last_bytes if is_last else 0
        yield MoveCost("Pick", Side.CHALLENGER, _HEAD + 64 + 32 * step + extra, step + extra // 32)


def _leaf(node: Node, depth: int, terms: int) -> MoveCost:
    num_bytes = _HEAD + 32 + len(node.encoded()) + 32 * depth
    if node.kind == Kind.STATE:
        num_bytes += PIECE_BYTES + 32 * LEVELS + 2 * 32 * _STATE_DEPTH
    elif node.kind == Kind.STEP:
        num_bytes += 32 * _STATE_DEPTH
    elif node.kind == Kind.DATA:
        num_bytes += CHUNK_BYTES + 32 * (_LINE_DEPTH + depth_of(num_chunks(node.num_elements * node.type.size)))
    hashes = num_bytes // 64
    for number, access in enumerate(node.inputs):
        size = input_type(node, number).size
        row = terms * size if RULES[node.kind].is_row(number) else size
        chunks = (row + CHUNK_BYTES - 1) // CHUNK_BYTES + (row > CHUNK_BYTES)
        siblings = depth_of(num_chunks(access.elements * size)) * (2 if chunks > 1 else 1)
        num_bytes += chunks * CHUNK_BYTES + 32 * (siblings + depth)
        hashes += 2 * chunks + siblings + depth
    return MoveCost("Leaf", Side.CHALLENGER, num_bytes, hashes, terms, True)
