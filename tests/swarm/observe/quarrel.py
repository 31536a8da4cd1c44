"""Made-up disputes, as the event logs of whoever takes part would tell them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from protocol.event import Event
from protocol.events import DisputeDecided, DisputeMove, DisputeOpened
from protocol.ids import Address, ContentId, PeerId

NUM_NODES = 5_218
NUM_ELEMENTS = 6_144

MOVES = (
    ("defender", "PostTrace", "pick", "nodes", 0, NUM_NODES, NUM_NODES,
     "commits to a trace of 5,218 operators, root 8c1e…", 183_220),
    ("challenger", "Pick", "reveal", "nodes", 1_280, 128, NUM_NODES,
     "hash 10 of 41 is the first that its own trace does not have", 61_904),
    ("defender", "Reveal", "pick", "nodes", 1_280, 128, NUM_NODES, "shows the 64 hashes below", 98_771),
    ("challenger", "Pick", "reveal", "elements", 0, NUM_ELEMENTS, NUM_ELEMENTS,
     "hash 57 of 64 is the first that its own trace does not have", 74_310),
    ("defender", "Reveal", "pick", "elements", 0, NUM_ELEMENTS, NUM_ELEMENTS, "shows the 64 hashes below", 96_040),
    ("challenger", "Pick", "chunk", "elements", 2_624, 64, NUM_ELEMENTS,
     "hash 41 of 64 is the first that its own trace does not have", 58_118),
    ("defender", "RevealChunk", "element", "elements", 2_624, 64, NUM_ELEMENTS,
     "shows the 256 bytes in question", 44_873),
    ("challenger", "PickElement", "parts", "terms", 0, 512, 512, "element 17 of these is wrong", 47_555),
    ("defender", "RevealParts", "leaf", "terms", 0, 512, 512, "shows the sums after each of 16 parts", 120_441),
    ("challenger", "Leaf", "over", "terms", 192, 32, 512, "part 6 of element 2,641 of node 1337 is another", 402_118),
)  # fmt: skip
"""(side, name, phase, searched, first, count, total, what, gas)"""


def game(
    number: int, round: int, peer: PeerId, content: ContentId, *, side: str, num_moves: int, at: float,
    step_s: float = 1.0, subject: str = "the training step",
) -> Iterator[tuple[float, Event]]:  # fmt: skip
    """(unix time, event) of a game; decided when all moves are made."""
    name = game_id(number)
    challenger, defender = _wallet(number, "challenger"), _wallet(number, "defender")
    yield (
        at,
        DisputeOpened(
            name, round, peer, content, subject, challenger, defender, side, at + 120, 25_000_000, 100_000_000
        ),
    )
    for turn, (mover, move, phase, searched, first, count, total, what, gas) in enumerate(MOVES[:num_moves], start=1):
        now = at + turn * step_s
        yield (
            now,
            DisputeMove(
                name, turn, mover, move, what, phase, searched, first, count, total, now + 60, gas, _hash(number, turn)
            ),
        )
    if num_moves == len(MOVES):
        why = (
            "The contribution is proven false: terms 192 to 223 of element 2,641 of node 1337 (MATMUL) sum to"
            " 1.0112513 (0x3f8170b1); the trace says 1.0112510."
        )
        end = at + (num_moves + 0.2) * step_s
        gas = sum(move[-1] for move in MOVES)
        yield (
            end,
            DisputeDecided(name, round, peer, content, "challenger", why, False, num_moves, gas, 100_000_000, side),
        )


def game_id(number: int) -> ContentId:
    return ContentId(hashlib.sha256(f"game {number}".encode()).hexdigest())


def _wallet(number: int, side: str) -> Address:
    return Address("0x" + hashlib.sha256(f"{number} {side}".encode()).hexdigest()[:40])


def _hash(number: int, turn: int) -> str:
    return "0x" + hashlib.sha256(f"move {number} {turn}".encode()).hexdigest()
