"""Two who want the same: of two peers one wins and the other ends cleanly; two processes of one wallet share it."""

import asyncio

import pytest

from chain.abi import function
from chain.nonces import WalletLog
from chain.typed_data import round_result_hash
from chain.web3_chain import Web3Chain
from rewards.items import State
from rewards.outbox import Outbox
from tests.chain.players import result, settle
from tests.chaos import game
from tests.chaos.stage import Stage, audit, require_exactly_once, until_settled

pytestmark = [pytest.mark.asyncio, pytest.mark.integration]


async def test_of_two_results_for_a_round_one_wins_and_the_other_is_told_why(tmp_path):
    async with Stage(tmp_path) as stage:
        chains = [
            Web3Chain(
                [stage.url], stage.contracts, player.account, wallet_log=WalletLog(tmp_path / f"{player.name}.log")
            )
            for player in game.PLAYERS
        ]
        outboxes = [Outbox(tmp_path / f"{player.name}.outbox") for player in game.PLAYERS]
        for index, chain in enumerate(chains):
            for intent in await game.due(chain, await chain.clock(), index, plays=False, claims=False):
                await chain.send(intent)
        offers = []
        for index, (chain, outbox) in enumerate(zip(chains, outboxes, strict=True)):
            root = game.outcome(1).credits_root
            offers.append(result(1, root, 3000, mark=f"of {index}"))
            outbox.put(settle(chain.contracts, offers[-1], *game.PLAYERS))
        refused = []
        async with asyncio.timeout(30):
            while any(outbox.pending for outbox in outboxes):
                passes = zip(outboxes, chains, strict=True)
                for flushed in await asyncio.gather(*(outbox.flush(chain) for outbox, chain in passes)):
                    refused += [error for _, error in flushed.refused]
                    assert flushed.held == ()
                await asyncio.sleep(0.1)
        recorded = await chains[0]._read(stage.contracts.ledger, function("RoundLedger", "resultHash"), 1)
        found = await audit(stage)
        for chain in chains:
            await chain.close()
    won = [round_result_hash(offer) == recorded for offer in offers]
    assert sorted(won) == [False, True]
    assert [outbox.items[-1].state for outbox in outboxes] == [State.DONE if one else State.REFUSED for one in won]
    assert [error.reason for error in refused] == ["RoundAlreadySettled"]
    assert "already has a result" in refused[0].what
    assert found.repeats == []
    assert found.settled_round == 1


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
