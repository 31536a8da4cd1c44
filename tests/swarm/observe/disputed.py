"""Events of two games: one that is over, and one that goes on."""

from __future__ import annotations

from protocol.codec import content_id
from protocol.events import DisputeDecided, DisputeMove, DisputeNotPossible, DisputeOpened, EquivocationProven
from protocol.ids import Address
from tests.swarm.observe.playback import peer_id

OVER, OPEN = content_id(b"a game"), content_id(b"another")
WORK = content_id(b"a contribution")
ANN, EVE = Address("0x" + "aa" * 20), Address("0x" + "ee" * 20)


def opened(game, side=""):
    return DisputeOpened(
        game, 4, peer_id(7), WORK, "the training step", ANN, EVE, side, 1100.0, bond_micro=10**7, stake_micro=25 * 10**6
    )


def move(game, number, name, phase, first, count, gas):
    side = "defender" if number % 2 else "challenger"
    return DisputeMove(
        game, number, side, name, f"says {name}", phase, "nodes", first, count, 1024, 1100.0 + number, gas, "0xab"
    )


def decided(game, side=""):
    why = "The contribution is proven false: element 3 of node 700: the contract computes 1.0."
    return DisputeDecided(game, 4, peer_id(7), WORK, "challenger", why, False, 3, 330, 25 * 10**6, side)


def proven(transaction="0x" + "5e" * 32, reporter=ANN, round=6, slashed_micro=25_000_000):
    """Peer 9 signed twice."""
    return EquivocationProven(
        round, peer_id(9), reporter, content_id(b"one"), content_id(b"other"), slashed_micro, slashed_micro // 2,
        transaction, 77, 1_700_000_000.0,
    )  # fmt: skip


EVENTS = [
    opened(OVER, "challenger"),
    move(OVER, 1, "PostTrace", "pick", 0, 1024, 100),
    move(OVER, 2, "Pick", "reveal", 512, 16, 110),
    move(OVER, 3, "Leaf", "over", 700, 1, 120),
    decided(OVER, "challenger"),
    opened(OPEN),
    move(OPEN, 1, "PostTrace", "pick", 0, 1024, 100),
    DisputeNotPossible(5, peer_id(8), WORK, "its end flag is no number"),
]
