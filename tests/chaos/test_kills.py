"""Peers and the chain's node are killed where it hurts; every credit is settled and claimed exactly once all the same.

./run_swarm.sh test tests/chaos -m slow        the whole: 50 kills of peers, 20 of the node (minutes)
"""

import asyncio
import random

import pytest

from tests.chaos.stage import Stage, require_exactly_once, until_settled

pytestmark = pytest.mark.asyncio


@pytest.mark.integration
async def test_a_peer_that_is_killed_again_and_again_settles_and_claims_once(tmp_path):
    await kill_peers(tmp_path, num_kills=5, seed=1)


@pytest.mark.slow
async def test_a_peer_that_is_killed_at_50_points_settles_and_claims_once(tmp_path):
    await kill_peers(tmp_path, num_kills=50, seed=2)


@pytest.mark.slow
async def test_a_node_that_is_killed_20_times_loses_and_doubles_nothing(tmp_path):
    await kill_node(tmp_path, num_kills=20, seed=3)


@pytest.mark.integration
async def test_a_node_that_is_killed_loses_and_doubles_nothing(tmp_path):
    await kill_node(tmp_path, num_kills=2, seed=4)


async def kill_peers(folder, *, num_kills, seed):
    """Two peers race for every round; each is killed half of the times."""
    async with Stage(folder) as stage:
        both = [stage.orders(0), stage.orders(1)]
        kills = (num_kills - num_kills // 2, num_kills // 2)
        async with asyncio.timeout(60 + 10 * num_kills):
            await asyncio.gather(
                *(
                    stage.live_and_die(orders, times, seed + number)
                    for number, (orders, times) in enumerate(zip(both, kills, strict=True))
                )
            )
        await stage.finish(*both)
        found = await require_exactly_once(stage)
    assert stage.deaths[-9] == num_kills
    assert found.settled_round >= 1
    print(f"{num_kills} kills of peers: {found}")


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
    assert found.settled_round >= 1
    print(f"{num_kills} kills of the node: {found}")
