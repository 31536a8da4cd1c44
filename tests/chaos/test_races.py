"""Two who want the same: of two peers one wins and the other ends cleanly; two processes of one wallet share it."""

import asyncio
import contextlib

import pytest

from chain.abi import function
from chain.base import OpenEpoch
from chain.nonces import WalletLog
from chain.reader import Reader
from chain.typed_data import round_result_hash
from chain.web3_chain import Web3Chain
from rewards.items import State
from rewards.outbox import Outbox
from tests.chain.players import settle
from tests.chaos import game
from tests.chaos.stage import Stage, audit, require_exactly_once, until_settled

pytestmark = pytest.mark.asyncio


@pytest.mark.integration
async def test_of_two_results_for_a_round_one_wins_and_the_other_is_told_why(tmp_path):
    async with Stage(tmp_path) as stage, two_members(stage) as members:
        offers = [game.outcome(1, mark=f"of {index}") for index in (0, 1)]
        for player, offer, (chain, outbox) in zip(game.PLAYERS, offers, members, strict=True):
            outbox.put(settle(chain.contracts, offer, *game.PLAYERS, poster=player))
        refused = await race(members)
        view = function("Contributions", "resultHash")
        recorded = await Reader(stage.rpc, stage.contracts).read(stage.contracts.contributions, view, 1)
        found = await audit(stage)
    won = [round_result_hash(offer) == recorded for offer in offers]
    assert sorted(won) == [False, True]
    states = [outbox.items[-1].state for _, outbox in members]
    assert states == [State.DONE if one else State.REFUSED for one in won]
    assert [error.reason for error in refused] == ["RoundAlreadySettled"]
    assert "already has a result" in refused[0].what
    assert found.repeats == found.again == []
    assert found.rounds == [1]


@pytest.mark.integration
async def test_of_two_who_open_the_same_epoch_one_wins_and_the_others_intent_ends_as_done(tmp_path):
    async with Stage(tmp_path) as stage, two_members(stage) as members:
        chain, _ = members[0]
        await chain.send(settle(chain.contracts, game.outcome(1), *game.PLAYERS))
        for _, outbox in members:
            outbox.put(OpenEpoch(1))
        assert await race(members) == []
        found = await audit(stage)
    assert [outbox.items[-1].state for _, outbox in members] == [State.DONE, State.DONE]
    assert found.epochs == [0]
    assert found.repeats == found.again == []


@pytest.mark.slow
async def test_two_processes_of_one_wallet_share_its_nonces_and_double_nothing(tmp_path):
    """One settles and one claims, from one wallet and one log; both register at first, so both want the same, too."""
    async with Stage(tmp_path) as stage:
        everybody = [stage.orders(0, claims=False), stage.orders(0, plays=False), stage.orders(1, plays=False)]
        acting = [asyncio.create_task(stage.act(orders)) for orders in everybody]
        await until_settled(stage, 3)
        stage.stop.touch()
        async with asyncio.timeout(60):
            await asyncio.gather(*acting)
        await stage.finish(*everybody)
        found = await require_exactly_once(stage)
    assert found.settled_round >= 3


@contextlib.asynccontextmanager
async def two_members(stage):
    """Both players' chains and outboxes, after they joined."""
    members = []
    for index, player in enumerate(game.PLAYERS):
        log = WalletLog(stage.folder / f"{player.name}.log")
        chain = Web3Chain([stage.url], stage.contracts, player.account, wallet_log=log)
        for intent in await game.due(chain, await chain.clock(), index, plays=False, claims=False):
            await chain.send(intent)
        members.append((chain, Outbox(stage.folder / f"{player.name}.outbox")))
    yield members
    for chain, _ in members:
        await chain.close()


async def race(members):
    """Both send what they have, at the same time, until nothing is left; what was refused."""
    refused = []
    async with asyncio.timeout(30):
        while any(outbox.pending for _, outbox in members):
            for flushed in await asyncio.gather(*(outbox.flush(chain) for chain, outbox in members)):
                refused += [error for _, error in flushed.refused]
                assert flushed.held == ()
            await asyncio.sleep(0.1)
    return refused
