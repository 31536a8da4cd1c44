"""Whatever dies, repeats, forgets or lies: one payload is one transaction, and every nonce is used."""

import asyncio
import os

import pytest

from chain.nonces import read_entries
from protocol.errors import ChainError, ChainUnreachable
from tests.chain.stub_node import Refuses
from tests.chain.stub_pool import CALL, TO, Desk, until

pytestmark = pytest.mark.asyncio


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
        await until(lambda: len(pool.waiting) == 6)
        pool.mining = True
        pool.mine()
        await sending
    nonces = {(fields["nonce"], bytes(fields["data"])) for fields in pool.sent}  # some of them more than once, dearer
    assert sorted(nonce for nonce, _ in nonces) == [0, 1, 2, 3, 4, 5]
    assert len({call for _, call in nonces}) == 6


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
