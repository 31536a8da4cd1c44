"""What is offered, what replaces it, and what is never offered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.endpoints import RpcRefused
from chain.fees import GWEI, FeePolicy, Offer, offer, raised
from protocol.errors import ChainError

pytestmark = pytest.mark.asyncio
POLICY = FeePolicy(max_fee_wei=100 * GWEI, max_tip_wei=5 * GWEI)


def node(**answers):
    async def request(method, *_params):
        if method not in answers:
            raise RpcRefused(-32601, "Method not found")
        return answers[method]

    return request


def history(*base_fees, rewards=()):
    return {"baseFeePerGas": [hex(fee) for fee in base_fees], "reward": [[hex(tip)] for tip in rewards]}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"eth_feeHistory": history(7, 10 * GWEI, rewards=[2 * GWEI])}, Offer(22 * GWEI, 2 * GWEI)),
        ({"eth_feeHistory": history(10 * GWEI)}, Offer(21 * GWEI, GWEI)),  # nobody paid a tip: a tenth
        ({"eth_feeHistory": history(10 * GWEI, rewards=[0, 0])}, Offer(21 * GWEI, GWEI)),
        ({"eth_feeHistory": history(10 * GWEI, rewards=[90 * GWEI])}, Offer(25 * GWEI, 5 * GWEI)),
        ({"eth_feeHistory": history(60 * GWEI, rewards=[GWEI])}, Offer(100 * GWEI, GWEI)),  # as far as the cap
        ({"eth_feeHistory": {"baseFeePerGas": ["0x7"], "reward": None}}, Offer(14 + 10**6, 10**6)),
        ({"eth_feeHistory": history(0, 0), "eth_gasPrice": hex(20 * GWEI)}, Offer(22 * GWEI, None)),
        ({"eth_getBlockByNumber": {"number": "0x1"}, "eth_gasPrice": hex(95 * GWEI)}, Offer(100 * GWEI, None)),
        ({"eth_getBlockByNumber": {"baseFeePerGas": hex(10 * GWEI)}}, Offer(21 * GWEI, GWEI)),  # no fee history
    ],
)
async def test_the_market_makes_the_offer(answers, expected):
    assert await offer(node(**answers), POLICY) == expected


@pytest.mark.parametrize(
    "answers",
    [
        {"eth_feeHistory": history(100 * GWEI)},
        {"eth_feeHistory": history(97 * GWEI, rewards=[4 * GWEI])},
        {"eth_getBlockByNumber": {}, "eth_gasPrice": hex(101 * GWEI)},
    ],
)
async def test_a_market_above_the_cap_is_not_followed(answers):
    with pytest.raises(ChainError, match="gwei per gas now; this peer offers at most 100") as caught:
        await offer(node(**answers), POLICY)
    assert caught.value.reason == "FeeTooHigh"


@pytest.mark.parametrize("fees", [{}, {"baseFeePerGas": []}, {"baseFeePerGas": ["many"]}, {"baseFeePerGas": [None]}])
async def test_a_senseless_history_is_no_offer(fees):
    try:
        made = await offer(node(eth_feeHistory=fees, eth_gasPrice=hex(GWEI)), POLICY)
    except ChainError as error:
        assert error.reason == "BadAnswer"
    else:
        assert made == Offer(11 * GWEI // 10, None)


wei = st.integers(0, 120 * GWEI)


@given(wei, st.none() | wei, wei, wei)
async def test_a_replacement_is_one_that_nodes_accept_and_the_owner_does(fee, tip, market_fee, market_tip):
    former = Offer(max(fee, tip or 0), tip)
    found = raised(former, Offer(market_fee, None if tip is None else market_tip), POLICY)
    if found is None:
        return
    assert 8 * found.fee_wei >= 9 * former.fee_wei
    assert found.fee_wei <= POLICY.max_fee_wei
    assert (found.tip_wei is None) == (tip is None)
    if tip is not None and found.tip_wei is not None:
        assert 8 * found.tip_wei >= 9 * tip
        assert found.tip_wei <= found.fee_wei


async def test_below_the_cap_there_is_a_replacement():
    assert raised(Offer(80 * GWEI, GWEI), Offer(GWEI, GWEI), POLICY) == Offer(90 * GWEI, 9 * GWEI // 8)
    assert raised(Offer(80 * GWEI, GWEI), Offer(95 * GWEI, 3 * GWEI), POLICY) == Offer(95 * GWEI, 3 * GWEI)
    assert raised(Offer(90 * GWEI, GWEI), Offer(GWEI, GWEI), POLICY) is None
    assert raised(Offer(8 * GWEI, None), Offer(GWEI, None), POLICY) == Offer(9 * GWEI, None)
