"""Made-up disputes, as the event logs of whoever takes part would tell them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from protocol.events import DisputeDecided, DisputeMove, DisputeOpened, Event
from protocol.ids import Address, ContentId, PeerId

NUM_NODES = 5_218
NODE = "node 1337: matmul model.layers.1.mlp.up_proj"

MOVES = (
    ("defender", "post trace", "pick", "nodes", 0, NUM_NODES, NUM_NODES, "", 183_220),
    ("challenger", "pick", "reveal", "nodes", 1_280, 128, NUM_NODES, "", 61_904),
    ("defender", "reveal", "pick", "nodes", 1_280, 128, NUM_NODES, "", 98_771),
    ("challenger", "pick", "reveal", "nodes", 1_337, 1, NUM_NODES, NODE, 74_310),
    ("defender", "reveal", "pick", "chunks", 0, 96, 96, "", 96_040),
    ("challenger", "pick", "chunk", "chunks", 41, 1, 96, "", 58_118),
    ("defender", "reveal chunk", "element", "elements", 2_624, 64, 6_144, "", 44_873),
    ("challenger", "pick element", "parts", "elements", 2_641, 1, 6_144, "claimed 0x3f8147ae", 47_555),
    ("defender", "reveal parts", "leaf", "terms", 0, 512, 512, "", 120_441),
    ("challenger", "leaf", "over", "terms", 192, 32, 512, "the fold of terms 192 to 223", 402_118),
)  # fmt: skip
"""(side, move, phase, search, first, count, total, what, gas)"""


def game(
    number: int, round: int, peer: PeerId, content: ContentId, *, role: str, num_moves: int, at: float,
    step_s: float = 1.0, subject: str = "step",
) -> Iterator[tuple[float, Event]]:  # fmt: skip
    """(unix time, event) of a game; decided when all moves are made."""
    name = str(number)
    yield at, DisputeOpened(
        name, round, peer, content, subject, _wallet(number, "challenger"), _wallet(number, "defender"), role,
        25_000_000, 100_000_000, at + 120,
    )  # fmt: skip
    for turn, (side, move, phase, search, first, count, total, what, gas) in enumerate(MOVES[:num_moves], start=1):
        now = at + turn * step_s
        yield (
            now,
            DisputeMove(
                name, turn, side, move, phase, search, first, count, total, what, gas, _hash(number, turn), now + 60
            ),
        )
    if num_moves == len(MOVES):
        why = (
            "Terms 192 to 223 of element 2,641 of node 1337 fold to 0x3f8147b1; the trace says 0x3f8147ae. Inputs were"
            " outputs 1,335 and 1,336 of the defender's own trace."
        )
        end = at + (num_moves + 0.2) * step_s
        yield end, DisputeDecided(name, "challenger", "leaf", why, 100_000_000, 50_000_000, _hash(number, 99))


def _wallet(number: int, side: str) -> Address:
    return Address("0x" + hashlib.sha256(f"{number} {side}".encode()).hexdigest()[:40])


def _hash(number: int, turn: int) -> str:
    return "0x" + hashlib.sha256(f"move {number} {turn}".encode()).hexdigest()
