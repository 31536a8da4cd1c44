"""A private chain's home goes on with its runs, or says why not."""

import msgspec
import pytest

from chain.deploy import write_file
from chain.fake import FakeWorld
from chain.fees import FeePolicy, price_wei
from chain.rules import rules_of
from chain.run_deploy import RunDeployment
from protocol.errors import ConfigError
from protocol.ids import Address
from swarm.app.founding import require_same_economics
from swarm.app.pricing import Teller
from tests.swarm.small_swarm import small_run

RUN = small_run()


def found(folder, run, *, round_s=30, start_members=3):
    rules = rules_of(run.economics, round_s=round_s, poster_s=2, start_members=start_members)
    deployment = RunDeployment(FakeWorld().contracts, run.id, Address("0x" + "1" * 40), rules, 10**12)
    write_file(folder / f"deployment-{run.id[:16]}.json", deployment)


def with_stake(micro):
    return msgspec.structs.replace(RUN, economics=msgspec.structs.replace(RUN.economics, min_stake_micro=micro))


def test_a_home_without_runs_founds_any(tmp_path):
    require_same_economics(tmp_path, RUN)


def test_the_same_run_and_another_one_with_the_same_economics_go_on(tmp_path):
    found(tmp_path, RUN, round_s=77, start_members=9)
    require_same_economics(tmp_path, RUN)
    require_same_economics(tmp_path, msgspec.structs.replace(RUN, seed=9))
    found(tmp_path, with_stake(7))
    require_same_economics(tmp_path, RUN)


def test_other_economics_found_nothing_and_the_error_says_what_differs(tmp_path):
    found(tmp_path, RUN)
    with pytest.raises(ConfigError) as caught:
        require_same_economics(tmp_path, with_stake(1))
    assert RUN.id[:16] in caught.value.what
    assert "min_stake_micro 25000000 and not 1" in caught.value.what
    assert "swarm host --private" in caught.value.next_step


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answers",
    [
        {"eth_feeHistory": {"baseFeePerGas": ["0x3b9aca00"], "reward": [["0x77359400"]]}},
        {"eth_feeHistory": {"baseFeePerGas": ["0x0"], "reward": []}, "eth_gasPrice": "0x5"},
    ],
)
async def test_a_price_before_the_wallet_is_unlocked_is_the_price_after_it(answers):
    """Also on a chain without base fees."""

    async def request(method, *_):
        return answers[method]

    policy = FeePolicy(max_tip_wei=10**9)
    teller = Teller(["http://127.0.0.1:1"], 1, None, policy)
    teller._rpc.request = request
    cost = await teller.cost(1000)
    assert (cost.gas, cost.fee_wei) == (1000, 1000 * await price_wei(request, policy))
    assert cost.fee_wei > 0
