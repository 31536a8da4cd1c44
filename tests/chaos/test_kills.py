"""Peers and the chain's node are killed where it hurts; every credit is settled and claimed exactly once all the same.

./run_swarm.sh test tests/chaos -m slow        the whole: 50 kills of peers, 20 of the node (minutes)
"""

import asyncio
import random

import pytest

from chain.nonces import WalletLog, read_entries
from chain.web3_chain import Web3Chain
from tests.chaos import game
from tests.chaos.stage import Stage, require_exactly_once, told, until_settled

pytestmark = pytest.mark.asyncio


@pytest.mark.integration
async def test_a_peer_that_is_killed_again_and_again_settles_and_claims_once(tmp_path):
    await kill_peers(tmp_path, num_kills=5, seed=1)


@pytest.mark.integration
async def test_a_peer_that_dies_before_its_transaction_is_mined_does_not_send_a_second_one(tmp_path):
    """No block is made while it dies three times, each time after it broadcast."""
    async with Stage(tmp_path) as stage:
        wallet = stage.wallets[0]
        await stage.rpc.request("anvil_setBalance", wallet, hex(10**18))
        await stage.pause()
        for kill in ((1, "during", True), (1, "after", True), (4, "before", True)):
            assert await stage.act(stage.orders(0, kill=kill)) == -9
        assert await stage.rpc.request("eth_getTransactionCount", wallet, "latest") == "0x0"
        assert await stage.rpc.request("eth_getTransactionCount", wallet, "pending") == "0x1"
        await stage.resume()
        await stage.finish(stage.orders(0))
        found = await require_exactly_once(stage, wallets=(0,))
    assert found.again == []
    assert found.nonces[0] == [0, 1, 2]  # registered, staked and enrolled


@pytest.mark.integration
async def test_a_peer_that_dies_before_its_deposit_is_broadcast_sends_that_one(tmp_path):
    """Blocks are made between its death and its next life, so a permit signed anew would have another deadline."""
    async with Stage(tmp_path) as stage:
        orders, me = stage.orders(0), game.PLAYERS[0]
        log_file = stage.folder / "peer 0" / "wallet.log"
        chain = Web3Chain([stage.url], stage.contracts, me.account, wallet_log=WalletLog(log_file))
        await chain.send(me.registration(stage.contracts))
        await chain.close()
        assert await stage.act(stage.orders(0, kill=(1, "before", True))) == -9
        waiting = [one.purpose for one in read_entries(log_file) if one.state == "open"]
        assert [purpose.split("/")[0] for purpose in waiting] == ["Stake"]
        await stage.finish(orders)
        found = await require_exactly_once(stage, wallets=(0,))
    assert found.again == []
    assert found.nonces[0] == [0, 1, 2]


@pytest.mark.slow
async def test_a_peer_that_is_killed_at_50_points_settles_and_claims_once(tmp_path):
    await kill_peers(tmp_path, num_kills=50, seed=2)


@pytest.mark.slow
async def test_a_node_that_is_killed_20_times_loses_and_doubles_nothing(tmp_path):
    await kill_node(tmp_path, num_kills=20, seed=3)


@pytest.mark.slow
async def test_a_node_that_is_killed_loses_and_doubles_nothing(tmp_path):
    await kill_node(tmp_path, num_kills=2, seed=4)


async def kill_peers(folder, *, num_kills, seed):
    """Two peers race for every round; each is killed half of the times."""
    async with Stage(folder) as stage:
        both = [stage.orders(0), stage.orders(1)]
        kills = (num_kills - num_kills // 2, num_kills // 2)
        stalling = asyncio.create_task(stage.stall() if num_kills > 10 else asyncio.sleep(0))
        async with asyncio.timeout(60 + 20 * num_kills):
            await asyncio.gather(
                *(
                    stage.live_and_die(orders, times, seed + number)
                    for number, (orders, times) in enumerate(zip(both, kills, strict=True))
                )
            )
        stalling.cancel()
        await asyncio.gather(stalling, return_exceptions=True)
        await stage.resume()
        await stage.finish(*both)
        found = await require_exactly_once(stage)
    assert stage.deaths[-9] == num_kills
    assert found.again == []  # a repeat was recognised before it cost a second nonce
    assert found.num_payments.keys() == {0, 1}
    print(f"{num_kills} kills of peers: {told(found)}")


async def kill_node(folder, *, num_kills, seed):
    """Two peers go on while the node comes and goes."""
    dice = random.Random(seed)
    async with Stage(folder) as stage:
        both = [stage.orders(0), stage.orders(1)]
        acting = [asyncio.create_task(stage.act(orders)) for orders in both]
        await until_settled(stage, 1)
        for _ in range(num_kills):
            await asyncio.sleep(dice.uniform(0.5, 4))
            await stage.kill_node()
        await asyncio.sleep(2)
        stage.stop.touch()
        async with asyncio.timeout(120):
            assert set(await asyncio.gather(*acting)) == {0}
        await stage.finish(*both)
        found = await require_exactly_once(stage)
    assert stage.num_node_kills == num_kills
    assert found.num_payments.keys() == {0, 1}
    print(f"{num_kills} kills of the node: {told(found)}")
