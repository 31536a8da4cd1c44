"""Transactions that are dropped, overtaken, refused or unpaid, on an endpoint that plays each of these."""

import asyncio
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import rlp
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_hash.auto import keccak
from hexbytes import HexBytes

from chain import sender as sender_module
from chain.abi import function
from chain.fees import GWEI, FeePolicy
from chain.nonces import WalletLog, read_entries
from chain.rpc import Rpc
from chain.sender import Sender
from protocol.errors import ChainError, ChainUnreachable
from tests.chain.players import Player, secret
from tests.chain.stub_node import Refuses, StubNode

pytestmark = pytest.mark.asyncio

TO = Player("contract").wallet
CALL = "0x1234"


class Pool:
    """A node's transaction pool in a few lines: ``drop_first`` forgets so many transactions after accepting them, and
    ``mining`` false keeps them waiting."""

    def __init__(self) -> None:
        self.base_fee_wei = 10**9
        self.tips_wei: list[int] = []
        self.has_base_fee = True
        self.balance_wei = 10**18
        self.nonce = 0
        self.drop_first = 0
        self.mining = True
        self.reverts = False
        self.block = 7
        self.sent: list[dict] = []
        self.raw: list[str] = []
        self.waiting: dict[int, tuple[str, dict]] = {}
        self.mined: dict[str, dict] = {}

    def answers(self) -> dict:
        answers = {
            "eth_estimateGas": lambda call: hex(50_000),
            "eth_getTransactionCount": self.count,
            "eth_getBlockByNumber": lambda tag, full: {"number": hex(self.block)},
            "eth_gasPrice": lambda: hex(self.base_fee_wei),
            "eth_getBalance": lambda address, tag: hex(self.balance_wei),
            "eth_sendRawTransaction": self.accept,
            "eth_getTransactionReceipt": lambda transaction: self.mined.get(transaction),
        }
        return answers | ({"eth_feeHistory": self.fee_history} if self.has_base_fee else {})

    def fee_history(self, blocks: str, newest: str, percentiles: list[int]) -> dict:
        return {
            "baseFeePerGas": ["0x1", hex(self.base_fee_wei)],
            "reward": [[hex(tip)] for tip in self.tips_wei],
        }

    def count(self, address: str, tag: str) -> str:
        known = self.nonce
        while tag == "pending" and known in self.waiting:
            known += 1
        return hex(known)

    def accept(self, raw: str) -> str:
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict() if raw.startswith("0x02") else {"raw": raw}
        nonce = fields.get("nonce", self.nonce)
        self.raw.append(raw)
        if nonce < self.nonce:
            raise Refuses(-32003, "nonce too low")
        transaction = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
        former = self.waiting.get(nonce)
        if former and former[0] == transaction:
            raise Refuses(-32003, "transaction already imported")
        if former and fields["maxFeePerGas"] * 8 < former[1]["maxFeePerGas"] * 9:
            raise Refuses(-32003, "replacement transaction underpriced")
        self.sent.append(fields)
        if self.drop_first:
            self.drop_first -= 1
            return transaction
        self.waiting[nonce] = (transaction, fields)
        if self.mining:
            self.mine()
        return transaction

    def mine(self) -> None:
        self.block += 1
        while self.nonce in self.waiting:
            transaction, _ = self.waiting.pop(self.nonce)
            self.nonce += 1
            self.mined[transaction] = {
                "transactionHash": transaction,
                "gasUsed": "0xc350",
                "blockNumber": hex(self.block),
                "blockHash": f"0x{self.block:064x}",
                "status": "0x0" if self.reverts else "0x1",
            }

    def lose_block(self, nonce: int) -> None:
        """The chain was reorganised: what was mined from ``nonce`` on is neither mined nor known."""
        self.nonce, self.mined, self.waiting = nonce, {}, {}

    def foreign(self) -> None:
        """Somebody else sends from the same wallet, and is mined."""
        self.nonce += 1
        self.block += 1


@pytest.fixture
def pool(monkeypatch):
    for name, seconds in (
        ("RECEIPT_POLL_S", 0.01),
        ("RESEND_AFTER_S", 0.05),
        ("RAISE_FEE_AFTER_S", 0.15),
        ("LOOK_EVERY_S", 0.02),
        ("TAKEN_AFTER_S", 0.05),
    ):
        monkeypatch.setattr(sender_module, name, seconds)
    return Pool()


class Desk:
    """A sender on a stub node. With a ``path`` it writes the wallet's log there, as another process of the wallet."""

    def __init__(self, pool: Pool, path: Path | None = None, *, fees: FeePolicy | None = None, **more: object) -> None:
        self.node = StubNode(**pool.answers() | more)
        self.path, self.fees, self.timeout_s = path, fees, 2.0

    async def __aenter__(self) -> Sender:
        await self.node.__aenter__()
        self.rpc = Rpc([self.node.url], num_attempts=1)
        return Sender(
            self.rpc,
            Account.from_key(secret("wallet")),
            31337,
            receipt_timeout_s=self.timeout_s,
            log=WalletLog(self.path),
            fees=self.fees,
        )

    async def __aexit__(self, *_: object) -> None:
        await self.rpc.close()
        await self.node.__aexit__()


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


async def test_the_same_call_at_the_same_time_is_one_transaction(pool):
    async with Desk(pool) as sender:
        both = await asyncio.gather(sender.send(TO, CALL), sender.send(TO, CALL))
        assert both[0] == both[1]
        assert len(pool.sent) == 1
        await sender.send(TO, CALL)
    assert [fields["nonce"] for fields in pool.sent] == [0, 1]


async def test_nothing_is_broadcast_that_is_not_on_disk(pool, tmp_path):
    path = tmp_path / "wallet" / "log"
    on_disk: list[bool] = []

    def look(raw: str) -> str:
        on_disk.append(raw in path.read_text())
        return pool.accept(raw)

    async with Desk(pool, path, eth_sendRawTransaction=look) as sender:
        await sender.send(TO, CALL, purpose="Settle/3")
    assert on_disk == [True]
    (entry,) = read_entries(path)
    assert (entry.nonce, entry.purpose, entry.state, entry.block, entry.succeeded) == (0, "Settle/3", "mined", 8, True)
    assert entry.transaction == entry.versions[0].transaction


async def test_after_a_crash_the_very_same_transaction_is_sent(pool, tmp_path):
    """The process dies between writing it down and broadcasting it, and once more right after."""
    path = tmp_path / "log"
    pool.mining = False

    def die(raw: str) -> str:
        raise asyncio.CancelledError

    for answer in (die, lambda raw: pool.accept(raw)):
        async with Desk(pool, path, eth_sendRawTransaction=answer) as sender:
            sending = asyncio.create_task(sender.send(TO, CALL))
            await until(lambda: bool(read_entries(path)))
            await asyncio.sleep(0.05)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    (entry,) = read_entries(path)
    assert entry.state == "open"
    pool.mine()
    async with Desk(pool, path) as sender:
        mined = await sender.send(TO, CALL)
    assert mined.transaction == entry.latest.transaction
    assert len(pool.sent) == 1
    assert set(pool.raw) == {entry.latest.raw}


async def test_what_another_intent_left_behind_is_sent_before_the_next_nonce(pool, tmp_path):
    path = tmp_path / "log"

    def away(raw: str) -> str:
        raise Refuses(-32050, "the chain node does not answer")

    desk = Desk(pool, path, eth_sendRawTransaction=away)
    desk.timeout_s = 0.1
    async with desk as sender:
        with pytest.raises(ChainUnreachable):
            await sender.send(TO, "0x01")
    async with Desk(pool, path) as sender:
        await sender.send(TO, "0x02")
        assert [(fields["nonce"], fields["data"].hex()) for fields in pool.sent] == [(0, "01"), (1, "02")]
        await sender.send(TO, "0x03")
    assert [entry.state for entry in read_entries(path)] == ["mined"] * 3


async def test_two_processes_of_one_wallet_share_its_nonces(pool, tmp_path):
    path = tmp_path / "log"
    pool.mining = False
    async with Desk(pool, path) as one, Desk(pool, path) as other:
        calls = [sender.send(TO, f"0x{number:02x}") for number in range(6) for sender in (one, other)]
        sending = asyncio.gather(*calls)
        await until(lambda: len(pool.sent) >= 6)
        pool.mine()
        await sending
    assert [fields["nonce"] for fields in pool.sent] == [0, 1, 2, 3, 4, 5]  # each call once, whoever was first
    assert len({bytes(fields["data"]) for fields in pool.sent}) == 6


async def test_a_transaction_in_a_block_that_was_lost_is_sent_again_as_it_was(pool, tmp_path):
    path = tmp_path / "log"
    async with Desk(pool, path) as sender:
        first = await sender.send(TO, "0x01")
        second = await sender.send(TO, "0x02")
        pool.lose_block(0)
        again = await sender.send(TO, "0x02")
        await sender.send(TO, "0x03")
    assert again.transaction == second.transaction
    assert [(fields["nonce"], fields["data"].hex()) for fields in pool.sent] == [
        (0, "01"), (1, "02"), (0, "01"), (1, "02"), (2, "03"),
    ]  # fmt: skip
    assert [entry.transaction for entry in read_entries(path)][:2] == [first.transaction, second.transaction]


async def test_a_gap_that_nobody_fills_is_filled_with_nothing(pool, tmp_path):
    path = tmp_path / "log"
    pool.nonce = 2
    async with Desk(pool, path) as sender:
        await sender.send(TO, "0x01")
        pool.lose_block(1)  # the chain lost a transaction that another program of this wallet had sent
        pool.drop_first = 1
        await sender.send(TO, "0x01")
    filler = next(fields for fields in pool.sent if fields["nonce"] == 1)
    assert (bytes(filler["data"]), filler["value"], filler["gas"]) == (b"", 0, 21_000)
    assert sorted(entry.nonce for entry in read_entries(path)) == [1, 2]


async def test_a_nonce_that_an_endpoint_made_up_is_given_up(pool, tmp_path):
    counts = iter(["0x3b9aca00", "0x3b9aca00"])
    more = {"eth_getTransactionCount": lambda address, tag: next(counts, None) or pool.count(address, tag)}
    async with Desk(pool, tmp_path / "log", **more) as sender:
        log = sender._log
        mined = await sender.send(TO, CALL)
    assert mined.succeeded
    assert pool.nonce == 1
    assert [entry.state for entry in log.entries] == ["mined", "taken"]


async def test_the_pool_of_a_liar_moves_the_nonce_by_little(pool):
    def count(address: str, tag: str) -> str:
        return "0x3b9aca00" if tag == "pending" else pool.count(address, tag)

    async with Desk(pool, eth_getTransactionCount=count) as sender:
        sender._receipt_timeout_s = 0.1
        with pytest.raises(ChainUnreachable):
            await sender.send(TO, CALL)
    assert {fields["nonce"] for fields in pool.sent} == {16}


async def test_a_full_disk_keeps_a_transaction_from_being_sent(pool, tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    async with Desk(pool, tmp_path / "log") as sender:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(ChainError) as caught:
                await sender.send(TO, CALL)
        assert caught.value.reason == "DiskFull"
        assert pool.sent == []
        await sender.send(TO, CALL)
    assert [fields["nonce"] for fields in pool.sent] == [0]


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


async def test_a_transaction_that_the_node_calls_impossible_is_made_anew_with_its_nonce(pool, tmp_path):
    pool.mining = True
    limits = iter([True, True])

    def accept(raw: str) -> str:
        if next(limits, False):
            raise Refuses(-32003, "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit")
        return pool.accept(raw)

    gas = iter(["0x1c9c380", "0xc350"])
    more = {"eth_sendRawTransaction": accept, "eth_estimateGas": lambda call: next(gas)}
    async with Desk(pool, tmp_path / "log", **more) as sender:
        with pytest.raises(ChainError, match="gas too high"):
            await sender.send(TO, CALL)
        await asyncio.sleep(0.2)
        await sender.send(TO, CALL)
    (fields,) = pool.sent
    assert (fields["nonce"], fields["gas"]) == (0, 50_000 * 5 // 4 + 150_000)


async def test_a_wallet_that_was_emptied_meanwhile_is_told(pool):
    def accept(raw: str) -> str:
        raise Refuses(-32003, "Insufficient funds for gas * price + value")

    async with Desk(pool, eth_sendRawTransaction=accept) as sender:
        with pytest.raises(ChainError) as caught:
            await sender.send(TO, CALL)
    assert caught.value.reason == "NoGasMoney"


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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (files and stubs set no events)
            await asyncio.sleep(0.01)


def revert(error: str, *numbers: int) -> str:
    return "0x" + keccak(error.encode())[:4].hex() + "".join(f"{number:064x}" for number in numbers)
