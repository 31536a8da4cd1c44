"""Transactions that are dropped, overtaken, refused or unpaid, on an endpoint that plays each of these."""

import asyncio
import itertools

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak

from chain.abi import function
from chain.fees import GWEI, FeePolicy
from protocol.errors import ChainError, ChainUnreachable
from tests.chain.stub_node import Refuses
from tests.chain.stub_pool import CALL, TO, Desk, until

pytestmark = pytest.mark.asyncio


async def test_a_transaction_is_signed_for_the_chain_and_waits_for_its_receipt(pool):
    async with Desk(pool) as sender:
        mined = await sender.send(TO, "0x1234", value_wei=5)
    assert (mined.gas, mined.block, mined.succeeded) == (50_000, 8, True)
    assert mined.block_hash == f"0x{8:064x}"
    (fields,) = pool.sent
    assert (fields["type"], fields["chainId"], fields["nonce"], fields["value"]) == (2, 31337, 0, 5)
    assert fields["maxFeePerGas"] == 2 * 10**9 + 10**8
    assert fields["gas"] == 50_000 * 5 // 4 + 150_000


async def test_a_dropped_transaction_is_sent_again_and_its_fee_raised(pool):
    pool.drop_first = 5
    async with Desk(pool) as sender:
        mined = await sender.send(TO, CALL)
    assert mined.succeeded
    assert len(pool.sent) == 6
    assert {fields["nonce"] for fields in pool.sent} == {0}
    fees = [fields["maxFeePerGas"] for fields in pool.sent]
    assert fees[0] == fees[1]
    assert fees[-1] > fees[0]


async def test_a_stuck_transaction_is_replaced_by_an_offer_that_nodes_accept(pool):
    pool.mining = False
    async with Desk(pool) as sender:
        sending = asyncio.create_task(sender.send(TO, CALL))
        await until(lambda: len(pool.sent) >= 3)
        pool.mine()
        mined = await sending
    assert {fields["nonce"] for fields in pool.sent} == {0}
    for former, later in itertools.pairwise(pool.sent):
        assert 8 * later["maxFeePerGas"] >= 9 * former["maxFeePerGas"]
        assert 8 * later["maxPriorityFeePerGas"] >= 9 * former["maxPriorityFeePerGas"]
    assert mined.transaction in pool.mined


async def test_a_nonce_that_another_process_used_is_replaced(pool):
    def overtaken(call: dict) -> str:
        if not pool.raw:
            pool.foreign()
        return hex(50_000)

    pool.nonce = 3
    counts = iter(["0x3", "0x3"])
    more = {"eth_getTransactionCount": lambda address, tag: next(counts, None) or pool.count(address, tag)}
    async with Desk(pool, eth_estimateGas=overtaken, **more) as sender:
        await sender.send(TO, CALL)
    assert [fields["nonce"] for fields in pool.sent] == [4]
    assert len({fields["data"] for fields in pool.sent}) == 1


async def test_transactions_of_one_wallet_are_sent_one_after_the_other(pool):
    async with Desk(pool) as sender:
        await asyncio.gather(*(sender.send(TO, f"0x{number:02x}") for number in range(4)))
    assert [fields["nonce"] for fields in pool.sent] == [0, 1, 2, 3]


async def test_transfers_of_the_same_amount_are_no_repeats(pool):
    async with Desk(pool) as sender:
        await asyncio.gather(*(sender.send(TO, value_wei=7) for _ in range(3)))
    assert [fields["nonce"] for fields in pool.sent] == [0, 1, 2]


async def test_whatever_chain_an_endpoint_claims_the_signature_is_for_the_runs_own(pool):
    async with Desk(pool, eth_chainId=lambda: "0x1") as sender:
        await sender.send(TO, CALL)
    assert [fields["chainId"] for fields in pool.sent] == [31337]


async def test_recent_tips_are_offered_within_the_owners_cap(pool):
    pool.tips_wei = [0, 3 * GWEI, 90 * GWEI]
    async with Desk(pool, fees=FeePolicy(max_fee_wei=40 * GWEI, max_tip_wei=4 * GWEI)) as sender:
        await sender.send(TO, CALL)
    (fields,) = pool.sent
    assert (fields["maxFeePerGas"], fields["maxPriorityFeePerGas"]) == (6 * GWEI, 4 * GWEI)


async def test_a_market_above_the_cap_holds_the_transaction_back(pool):
    pool.base_fee_wei = 41 * GWEI
    async with Desk(pool, fees=FeePolicy(max_fee_wei=40 * GWEI)) as sender:
        with pytest.raises(ChainError) as caught:
            await sender.send(TO, CALL)
        assert caught.value.reason == "FeeTooHigh"
        assert "max_fee_gwei" in caught.value.next_step
        assert pool.sent == []
        pool.base_fee_wei = 30 * GWEI
        await sender.send(TO, CALL)
    assert pool.sent[0]["maxFeePerGas"] == 40 * GWEI


async def test_at_the_cap_a_stuck_transaction_stays_as_it_is(pool):
    pool.mining = False
    async with Desk(pool, fees=FeePolicy(max_fee_wei=2 * GWEI)) as sender:
        sender._receipt_timeout_s = 0.6
        with pytest.raises(ChainUnreachable):
            await sender.send(TO, CALL)
    assert [fields["maxFeePerGas"] for fields in pool.sent] == [2 * GWEI]
    assert len(pool.raw) > 3


async def test_a_chain_without_base_fees_gets_transactions_of_the_old_kind(pool):
    pool.has_base_fee = False
    async with Desk(pool) as sender:
        await sender.send(TO, CALL)
    (raw,) = pool.raw
    assert not raw.startswith("0x02")
    assert Account.recover_transaction(raw) == sender.address
    fields = rlp.decode(bytes.fromhex(raw[2:]))
    assert int.from_bytes(fields[1], "big") == 11 * 10**8
    assert (int.from_bytes(fields[6], "big") - 35) // 2 == 31337  # EIP-155: valid on this chain only


async def test_a_wallet_that_was_emptied_meanwhile_is_told(pool):
    def accept(raw: str) -> str:
        pool.balance_wei = 0
        raise Refuses(-32003, "Insufficient funds for gas * price + value")

    async with Desk(pool, eth_sendRawTransaction=accept) as sender:
        with pytest.raises(ChainError) as caught:
            await sender.send(TO, CALL)
    assert caught.value.reason == "NoGasMoney"


async def test_a_gift_that_the_chain_lost_is_asked_for_again(pool):
    gifts: list[str] = []

    def accept(raw: str) -> str:
        if not gifts:
            pool.balance_wei = 0
            raise Refuses(-32003, "Insufficient funds for gas * price + value")
        return pool.accept(raw)

    def faucet(address: str) -> str:
        pool.balance_wei = 10**18
        gifts.append(address)
        return "0x00"

    async with Desk(pool, eth_sendRawTransaction=accept, swarm_faucet=faucet) as sender:
        assert (await sender.send(TO, CALL)).succeeded
    assert len(gifts) == 1
    assert [fields["nonce"] for fields in pool.sent] == [0]


async def test_a_call_that_would_be_refused_is_not_sent(pool):
    def refuse(call: dict) -> str:
        raise Refuses(3, "execution reverted", revert("RoundStillOpen(uint64,uint64)", 4, 99))

    async with Desk(pool, eth_estimateGas=refuse) as sender:
        with pytest.raises(ChainError) as caught:
            await sender.send(TO, function("RoundClock", "advance").call_data(4))
    assert caught.value.reason == "RoundStillOpen"
    assert "closesAt 99" in caught.value.what
    assert pool.sent == []


async def test_a_reverted_transaction_tells_why(pool):
    pool.reverts = True

    def call(call: dict, tag: str) -> str:
        raise Refuses(3, "execution reverted", revert("RoundNotCurrent(uint64,uint64)", 5, 4))

    async with Desk(pool, eth_call=call) as sender:
        with pytest.raises(ChainError) as caught:
            await sender.send(TO)
    assert caught.value.reason == "RoundNotCurrent"


async def test_an_empty_wallet_asks_the_faucet_once(pool):
    pool.balance_wei = 0
    asked: list[str] = []

    def faucet(address: str) -> str:
        asked.append(address)
        pool.balance_wei = 10**18
        return "0x00"

    async with Desk(pool, swarm_faucet=faucet) as sender:
        await sender.send(TO)
        assert asked == [sender.address]


@pytest.mark.parametrize("faucet", ["none", "empty", "useless"])
async def test_a_wallet_that_stays_empty_is_an_error_with_a_next_step(pool, faucet):
    pool.balance_wei = 0

    def answer(address: str) -> str:
        if faucet == "empty":
            raise Refuses(-32051, "the faucet gives nothing more")
        return "0x00"

    more = {} if faucet == "none" else {"swarm_faucet": answer}
    async with Desk(pool, **more) as sender:
        with pytest.raises(ChainError) as caught:
            await sender.send(TO)
    assert caught.value.reason == "NoGasMoney"
    assert caught.value.next_step
    assert pool.sent == []


async def test_a_transaction_that_is_never_mined_is_unreachable_not_refused(pool):
    pool.drop_first = 10**6
    desk = Desk(pool)
    async with desk as sender:
        sender._receipt_timeout_s = 0.2
        with pytest.raises(ChainUnreachable):
            await sender.send(TO)


def revert(error: str, *numbers: int) -> str:
    return "0x" + keccak(error.encode())[:4].hex() + "".join(f"{number:064x}" for number in numbers)
