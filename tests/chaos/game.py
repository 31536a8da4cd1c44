"""Why this module exists: it is all that the chaos tests know of the contracts; another set of contracts changes this.

Two peers are the members of every round. Both may send every round's result (with both signatures: who signs is not the
matter here), and each claims its own pay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chain.base import ZERO_ROOT, Chain, ClockView, Contracts, Enrol, Intent
from chain.deploy import Parameters
from protocol.messages import RoundResult
from tests.chain.players import Player, claim, credit_tree, result, settle

PARAMETERS = Parameters(
    round_s=86_400,
    start_members=2,
    absence_rounds=100_000,
    round_emission_micro=10_000,
    total_emission_micro=10**12,
)
PLAYERS = [Player("chaos 0"), Player("chaos 1")]
MICRO_PER_ROUND = [1000, 2000]
WEI_PER_MICRO = 10**12


def earned_micro(player: int, round: int) -> int:
    """All that a player has earned when ``round`` is recorded."""
    return round * MICRO_PER_ROUND[player]


def outcome(round: int) -> RoundResult:
    previous = _tree(round - 1).root if round > 1 else ZERO_ROOT
    return result(round, _tree(round).root, round * sum(MICRO_PER_ROUND), previous=previous)


async def due(chain: Chain, view: ClockView, player: int, *, plays: bool, claims: bool) -> list[Intent]:
    """What ``player`` must send now. ``plays``: it also posts the open round's result."""
    me = PLAYERS[player]
    record = await chain.peer(me.peer)
    if record is None or not record.enrolled:
        return [me.registration(chain.contracts), Enrol(me.peer)]
    intents: list[Intent] = []
    settled = view.settled_round
    if claims and record.claimed_micro < earned_micro(player, settled):
        intents.append(claim(_tree(settled), me, earned_micro(player, settled)))
    if plays and not intents and view.round == settled + 1:  # a new result would make the claim's proof stale
        intents.append(settle(chain.contracts, outcome(view.round), *PLAYERS))
    return intents


async def are_paid(chain: Chain, players: list[int]) -> bool:
    """Whether these players have all that they earned."""
    settled = (await chain.clock()).settled_round
    records = [(player, await chain.peer(PLAYERS[player].peer)) for player in players]
    return all(one is not None and one.claimed_micro == earned_micro(player, settled) for player, one in records)


def transfers(contracts: Contracts, logs: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Recipient and wei of every payment out of the pool, from the token's Transfer events."""
    for log in logs:
        if log["address"].lower() == contracts.token.lower() and log["topics"][1][-40:] == contracts.pool[2:].lower():
            yield "0x" + log["topics"][2][-40:], int(log["data"], 16)


def _tree(round: int) -> Any:
    return credit_tree({player: earned_micro(index, round) for index, player in enumerate(PLAYERS)})
