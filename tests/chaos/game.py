"""Why this module exists: it is all that the chaos tests know of the contracts; another set of contracts changes this.

Two peers are the members of every round. Both may post every round's result (with both signatures: who signs is not the
matter here), both may open an epoch for what is settled. Once that is unlocked, the first one claims for both in one
transaction, and the second one for itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from eth_hash.auto import keccak

from chain.abi import artifact, function
from chain.base import (
    WEI_PER_MICRO,
    ZERO_ROOT,
    Chain,
    ClaimLine,
    ClaimMany,
    ClockView,
    Contracts,
    Enrol,
    EpochState,
    EpochsView,
    Intent,
    OpenEpoch,
    Stake,
)
from chain.rules import Rules
from protocol.messages import RoundResult
from tests.chain.players import Player, claim, credit_tree, result, settle

RULES = Rules(
    round_s=86_400,
    start_members=2,
    absence_rounds=100_000,
    poster_s=10,
    epoch_rounds=1,
    challenge_s=1,
    dispute_s=1,
    unbonding_s=200_000,
    answer_s=8,
    min_stake_micro=1_000_000,
    bond_micro=500_000,
    round_emission_micro=10_000,
)
"""Weights are one each: everybody is drawn, and a majority is both."""

STAKE_WEI = RULES.min_stake_micro * WEI_PER_MICRO
BUDGET_MICRO = 10**9
PLAYERS = [Player("chaos 0"), Player("chaos 1")]
PEERS = [player.peer for player in PLAYERS]
MICRO_PER_ROUND = [1000, 2000]


def earned_micro(player: int, round: int) -> int:
    """All that a player has earned when ``round`` is recorded."""
    return round * MICRO_PER_ROUND[player]


def outcome(round: int, *, mark: str = "") -> RoundResult:
    """``mark``: results of a round that differ in nothing that is paid."""
    previous = _tree(round - 1).root if round > 1 else ZERO_ROOT
    return result(round, _tree(round).root, round * sum(MICRO_PER_ROUND), previous=previous, mark=mark)


async def due(chain: Chain, view: ClockView, player: int, *, plays: bool, claims: bool) -> list[Intent]:
    """What ``player`` must send now. ``plays``: also the open round's result; ``claims``: also what brings its pay."""
    me = PLAYERS[player]
    record = await chain.peer(me.peer)
    if record is None or not record.enrolled:
        return [me.registration(chain.contracts), Stake(me.peer, RULES.min_stake_micro, 0), Enrol(me.peer)]
    intents = _pay(await chain.epochs(), view, player, await chain.claimed(PEERS)) if claims else []
    if plays and view.round == view.settled_round + 1:
        other = PLAYERS[1 - player]
        intents.append(settle(chain.contracts, outcome(view.round), me, other, poster=me))
    return intents


async def are_paid(chain: Chain, players: list[int]) -> bool:
    """Whether these players have all that they earned."""
    settled = (await chain.clock()).settled_round
    records = [(player, await chain.peer(PLAYERS[player].peer)) for player in players]
    return all(one is not None and one.claimed_micro == earned_micro(player, settled) for player, one in records)


def _pay(epochs: EpochsView, view: ClockView, player: int, claimed: tuple[int, ...]) -> list[Intent]:
    intents: list[Intent] = []
    paying, newest, settled = epochs.claimable, epochs.newest, view.settled_round
    if paying is not None:
        earned = [earned_micro(number, paying.round) for number in range(len(PLAYERS))]
        owed = [number for number, micro in enumerate(earned) if claimed[number] < micro]
        mine = [claim(_tree(paying.round), PLAYERS[number], earned[number], epoch=paying.number) for number in owed]
        if len(owed) == len(PLAYERS) and player == 0:
            intents.append(ClaimMany(paying.number, tuple(ClaimLine(one.peer, one.line, one.proof) for one in mine)))
        elif player in owed:
            intents.append(mine[owed.index(player)])
    is_decided = newest is None or newest.state is EpochState.FINAL
    if is_decided and settled > epochs.covered_round and view.round > epochs.final_round + RULES.epoch_rounds:
        intents.append(OpenEpoch(settled))
    return intents


# --- what the chain itself says --------------------------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True):
    """A log of the run's contracts: what happened, and the numbers and amounts in it.

    ``event``: exactly this, for nothing in a run may happen twice. ``settled``: the round that got a result;
    ``opened``: the epoch that began; ``payer``, ``payee``, ``wei``: tokens that moved.
    """

    event: str = ""
    settled: int | None = None
    opened: int | None = None
    payer: str = ""
    payee: str = ""
    wei: int = 0


def seen(contracts: Contracts, log: dict[str, Any]) -> Seen:
    """Tokens may move twice in the same way, and a claim says nothing but whose it is; every other event is one of a
    kind."""
    at, topics = log["address"].lower(), log["topics"]
    if at == contracts.token.lower():
        if topics[0] != topic("SwarmToken", "Transfer"):
            return Seen()
        return Seen(payer="0x" + topics[1][-40:], payee="0x" + topics[2][-40:], wei=int(log["data"], 16))
    if topics[0] == topic("Settlement", "RewardClaimed"):
        return Seen()
    settled = int(topics[1], 16) if topics[0] == topic("Contributions", "RoundSettled") else None
    opened = int(topics[1], 16) if topics[0] == topic("Settlement", "EpochOpened") else None
    return Seen(event=" ".join([at, *topics, log["data"]]), settled=settled, opened=opened)


def call_of(contracts: Contracts, transaction: dict[str, Any], num_epochs: int) -> str:
    """What a transaction wants. Two of one wallet that want the same are one too many.

    A permit is no part of what a deposit wants. ``num_epochs``: how many had begun after it: to open an epoch says
    nothing about which, and who comes too late wanted the newest.
    """
    data: str = transaction["input"]
    if data == function("Settlement", "openEpoch").call_data():
        return f"openEpoch {num_epochs}"
    if data.startswith("0x" + function("StakeVault", "depositWithPermit").selector.hex()):
        return f"deposit {data[10 : 10 + 2 * 3 * 32]}"
    return f"{transaction['to']} {data}"


@cache
def topic(contract: str, name: str) -> str:
    """The first topic of a contract's event, by which a log is told apart."""
    entry = next(one for one in artifact(contract)["abi"] if one["type"] == "event" and one["name"] == name)
    return "0x" + keccak(f"{name}({','.join(part['type'] for part in entry['inputs'])})".encode()).hex()


@cache
def _tree(round: int) -> Any:
    return credit_tree({player: earned_micro(index, round) for index, player in enumerate(PLAYERS)})
