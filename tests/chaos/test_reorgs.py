"""The chain goes back up to twelve blocks and forgets what was in them: it is sent again, and counts once."""

import asyncio

import pytest

from tests.chaos.stage import BLOCK_TIME_S, Stage, require_exactly_once, told, until_settled

pytestmark = pytest.mark.asyncio

DEPTH = 12


@pytest.mark.integration
async def test_what_was_in_the_lost_blocks_is_sent_again_and_counts_once(tmp_path):
    await reorganise(tmp_path, "anvil_reorg", (DEPTH,))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["anvil_reorg", "anvil_rollback"])
async def test_the_chain_may_go_back_again_and_again(tmp_path, how):
    await reorganise(tmp_path, how, (3, DEPTH, 7, 1, DEPTH, DEPTH))


async def reorganise(tmp_path, how, depths):
    """``anvil_reorg`` puts other, empty blocks in the place of the lost ones; ``anvil_rollback`` shortens the chain."""
    async with Stage(tmp_path, can_reorganise=True) as stage:
        both = [stage.orders(0, depth=DEPTH), stage.orders(1, depth=DEPTH)]
        acting = [asyncio.create_task(stage.act(orders)) for orders in both]
        await until_settled(stage, 1)
        lost = 0
        for depth in depths:
            await asyncio.sleep(DEPTH * BLOCK_TIME_S)
            before = await num_of_ours(stage)
            await stage.rpc.request(how, *([depth, []] if how == "anvil_reorg" else [depth]))
            lost += before - await num_of_ours(stage)
        await asyncio.sleep(2)
        stage.stop.touch()
        async with asyncio.timeout(120):
            assert set(await asyncio.gather(*acting)) == {0}
        await stage.finish(*both)
        found = await require_exactly_once(stage)
    assert lost > 0
    assert found.num_payments.keys() == {0, 1}
    print(f"{how}: {lost} transactions lost and sent again: {told(found)}")


async def num_of_ours(stage):
    counts = [await stage.rpc.request("eth_getTransactionCount", wallet, "latest") for wallet in stage.wallets]
    return sum(int(count, 16) for count in counts)
