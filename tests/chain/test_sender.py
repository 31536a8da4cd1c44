"""Transactions that are dropped, overtaken, refused or unpaid, on an endpoint that plays each of these."""

import asyncio

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_hash.auto import keccak
from hexbytes import HexBytes

from chain import sender as sender_module
from chain.abi import function
from chain.rpc import Rpc
from chain.sender import Sender
from protocol.errors import ChainError, ChainUnreachable
from tests.chain.players import Player, secret
from tests.chain.stub_node import Refuses, StubNode

pytestmark = pytest.mark.asyncio

TO = Player("contract").wallet


class Pool:
    """A node's transaction pool in a few lines: ``drop_first`` forgets so many transactions after accepting them."""

    def __init__(self) -> None:
        self.base_fee_wei = 10**9
        self.balance_wei = 10**18
        self.nonce = 0
        self.drop_first = 0
        self.reverts = False
        self.sent: list[dict] = []
        self.mined: dict[str, dict] = {}

    def answers(self) -> dict:
        return {
            "eth_estimateGas": lambda call: hex(50_000),
            "eth_getTransactionCount": lambda address, tag: hex(self.nonce),
            "eth_getBlockByNumber": lambda tag, full: {"baseFeePerGas": hex(self.base_fee_wei)},
            "eth_getBalance": lambda address, tag: hex(self.balance_wei),
            "eth_sendRawTransaction": self.accept,
            "eth_getTransactionReceipt": lambda transaction: self.mined.get(transaction),
        }

    def accept(self, raw: str) -> str:
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        if fields["nonce"] < self.nonce:
            raise Refuses(-32003, "nonce too low")
        self.sent.append(fields)
        transaction = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
        if self.drop_first:
            self.drop_first -= 1
            return transaction
        self.nonce = fields["nonce"] + 1
        status = "0x0" if self.reverts else "0x1"
        self.mined[transaction] = {"gasUsed": "0xc350", "blockNumber": "0x7", "status": status}
        return transaction


@pytest.fixture
def pool(monkeypatch):
    for name, seconds in (("RECEIPT_POLL_S", 0.01), ("RESEND_AFTER_S", 0.05), ("RAISE_FEE_AFTER_S", 0.15)):
        monkeypatch.setattr(sender_module, name, seconds)
    return Pool()


class Desk:
    """A sender on a stub node."""

    def __init__(self, pool: Pool, **more: object) -> None:
        self.node = StubNode(**pool.answers() | more)

    async def __aenter__(self) -> Sender:
        await self.node.__aenter__()
        self.rpc = Rpc([self.node.url], num_attempts=1)
        return Sender(self.rpc, Account.from_key(secret("wallet")), 31337, receipt_timeout_s=2.0)

    async def __aexit__(self, *_: object) -> None:
        await self.rpc.close()
        await self.node.__aexit__()


async def test_a_transaction_is_signed_for_the_chain_and_waits_for_its_receipt(pool):
    async with Desk(pool) as sender:
        mined = await sender.send(TO, "0x1234", value_wei=5)
    assert (mined.gas, mined.block, mined.succeeded) == (50_000, 7, True)
    (fields,) = pool.sent
    assert (fields["type"], fields["chainId"], fields["nonce"], fields["value"]) == (2, 31337, 0, 5)
    assert fields["maxFeePerGas"] == 2 * 10**9 + 10**8
    assert fields["gas"] == 50_000 * 5 // 4 + 150_000


async def test_a_dropped_transaction_is_sent_again_and_its_fee_raised(pool):
    pool.drop_first = 5
    async with Desk(pool) as sender:
        mined = await sender.send(TO)
    assert mined.succeeded
    assert len(pool.sent) == 6
    assert {fields["nonce"] for fields in pool.sent} == {0}
    fees = [fields["maxFeePerGas"] for fields in pool.sent]
    assert fees[0] == fees[1]
    assert fees[-1] > fees[0]


async def test_a_nonce_that_another_process_used_is_replaced(pool):
    pool.nonce = 3
    counts = iter([2, 3])
    async with Desk(pool, eth_getTransactionCount=lambda address, tag: hex(next(counts, 3))) as sender:
        await sender.send(TO)
    assert [fields["nonce"] for fields in pool.sent] == [3]


async def test_transactions_of_one_wallet_are_sent_one_after_the_other(pool):
    async with Desk(pool) as sender:
        await asyncio.gather(*(sender.send(TO) for _ in range(4)))
    assert [fields["nonce"] for fields in pool.sent] == [0, 1, 2, 3]


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
