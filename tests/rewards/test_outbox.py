import asyncio
import os

import pytest

from chain.base import ZERO_ROOT as ZERO
from chain.base import Advance, Claim, Enrol, Receipt, Settle
from chain.durable import pack
from protocol.errors import ChainError, ChainUnreachable, SwarmError
from protocol.messages import RoundResult
from rewards.items import KEPT_ENDED, State
from rewards.outbox import COMPACT_BYTES, Outbox, key_of

PEER = "16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi"
SETTLE = Settle(RoundResult(3, ZERO, ZERO, ZERO, ZERO, 5), (b"\x01" * 65, b"\xff" * 65), PEER)


def claim(micro: int) -> Claim:
    return Claim(PEER, micro, 1, (ZERO, "ab" * 32))


class Ledger:
    """A chain that mines one block per transaction, does nothing twice, and can lose blocks, refuse or go away."""

    def __init__(self):
        self.block, self.mined, self.failures, self.num_sends, self.fork = 100, {}, {}, 0, "a"

    async def send(self, intent):
        self.num_sends += 1
        await asyncio.sleep(0)
        self._fail("everything")
        self._fail(type(intent).__name__)
        if intent in self.mined:
            return Receipt("", 0, self.block, await self.block_hash(self.block))
        self.block += 1
        self.mined[intent] = self.block
        return Receipt(f"0x{self.block}", 21_000, self.block, await self.block_hash(self.block))

    async def block_hash(self, number):
        return f"{number} of {self.fork}" if number <= self.block else ""

    def _fail(self, name):
        if name in self.failures:
            raise self.failures[name]

    def lose(self, num_blocks):
        self.block -= num_blocks
        self.mined = {intent: block for intent, block in self.mined.items() if block <= self.block}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "outbox.jsonl"


@pytest.mark.asyncio
async def test_an_intent_leaves_only_when_enough_blocks_follow(path):
    chain, outbox = Ledger(), Outbox(path)
    outbox.put(SETTLE)
    assert outbox.unsent == (SETTLE,)
    first = await outbox.flush(chain, depth=2)
    assert [intent for intent, _ in first.sent] == [SETTLE]
    assert first.sent[0][1].transaction == "0x101"
    assert outbox.pending == (SETTLE,)
    assert outbox.unsent == ()
    chain.block += 1
    assert (await outbox.flush(chain, depth=2)).sent == ()
    assert outbox.pending == (SETTLE,)
    chain.block += 1
    assert (await outbox.flush(chain, depth=2)).sent == ()
    assert outbox.pending == ()
    assert Outbox(path).pending == ()


@pytest.mark.asyncio
async def test_blocks_that_the_chain_forgot_are_sent_again(path):
    chain, outbox = Ledger(), Outbox(path)
    outbox.put(SETTLE)
    await outbox.flush(chain, depth=5)
    chain.lose(1)
    again = await outbox.flush(chain, depth=5)
    assert [intent for intent, _ in again.sent] == [SETTLE]
    chain.block += 5
    await outbox.flush(chain, depth=5)
    assert outbox.pending == ()
    assert SETTLE in chain.mined


@pytest.mark.asyncio
async def test_a_restart_between_sending_and_confirming_sends_nothing_twice(path):
    chain = Ledger()
    outbox = Outbox(path)
    outbox.put(claim(7))
    await outbox.flush(chain)
    restarted = Outbox(path)
    assert restarted.pending == (claim(7),)
    assert (await restarted.flush(chain)).sent == ()
    assert chain.block == 101
    chain.block += 2
    await restarted.flush(chain)
    assert restarted.pending == ()


@pytest.mark.asyncio
async def test_a_chain_that_is_away_loses_nothing(path):
    chain, outbox = Ledger(), Outbox(path)
    for intent in (SETTLE, claim(7)):
        outbox.put(intent)
    chain.failures["everything"] = ChainUnreachable("away")
    assert (await outbox.flush(chain)).unreachable is chain.failures["everything"]
    chain.failures = {"Claim": ChainUnreachable("away again")}
    partly = await outbox.flush(chain)
    assert [intent for intent, _ in partly.sent] == [SETTLE]
    assert partly.unreachable is chain.failures["Claim"]
    assert outbox.pending == Outbox(path).pending == (SETTLE, claim(7))


@pytest.mark.asyncio
async def test_what_a_contract_refuses_is_taken_out_and_the_rest_goes_on(path):
    chain, outbox = Ledger(), Outbox(path)
    chain.failures["Settle"] = ChainError("no", reason="PreviousRootStale")
    for intent in (SETTLE, claim(7)):
        outbox.put(intent)
    outcome = await outbox.flush(chain)
    assert outcome.refused == ((SETTLE, chain.failures["Settle"]),)
    assert [intent for intent, _ in outcome.sent] == [claim(7)]
    assert outbox.pending == Outbox(path).pending == (claim(7),)


@pytest.mark.asyncio
async def test_what_fails_before_any_contract_is_asked_is_kept(path):
    chain, outbox = Ledger(), Outbox(path)
    chain.failures["Claim"] = ChainError("no money for gas")
    outbox.put(claim(7))
    outcome = await outbox.flush(chain)
    assert outcome.held == ((claim(7), chain.failures["Claim"]),)
    assert outbox.pending == Outbox(path).pending == (claim(7),)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "reason", ["NoGasMoney", "FeeTooHigh", "DiskFull", "WrongChain", "ForeignContract", "BadAnswer", "rpc -32603"]
)
async def test_obstacles_that_say_nothing_about_the_intent_do_not_drop_it(path, reason):
    chain, outbox = Ledger(), Outbox(path)
    chain.failures["Claim"] = ChainError("not now", reason=reason)
    outbox.put(claim(7))
    assert (await outbox.flush(chain)).refused == ()
    (item,) = outbox.items
    assert (item.state, item.reason, item.why) == (State.HELD, reason, "not now")
    chain.failures = {}
    await outbox.flush(chain)
    assert outbox.items[0].state == State.MINED


@pytest.mark.asyncio
async def test_a_block_that_was_replaced_counts_its_confirmations_anew(path):
    """The same transaction is mined again in another block of the same height: its depth begins there."""
    chain, outbox = Ledger(), Outbox(path, depth=3)
    outbox.put(SETTLE)
    await outbox.flush(chain)
    chain.block += 2
    await outbox.flush(chain)
    assert outbox.items[0].confirmations == 2
    chain.fork, chain.block = "b", chain.block + 1
    await outbox.flush(chain)
    assert outbox.pending == (SETTLE,)
    assert (outbox.items[0].confirmations, outbox.items[0].block_hash) == (0, f"{chain.block} of b")
    chain.block += 3
    await outbox.flush(chain)
    assert outbox.pending == ()
    assert chain.num_sends == 4


@pytest.mark.asyncio
async def test_confirmations_go_on_after_a_restart(path):
    chain, outbox = Ledger(), Outbox(path, depth=12)
    outbox.put(SETTLE)
    await outbox.flush(chain)
    chain.block += 12
    restarted = Outbox(path, depth=12)
    assert restarted.items == outbox.items
    await restarted.flush(chain)
    assert restarted.pending == ()


@pytest.mark.asyncio
async def test_every_state_is_told_with_its_times_and_survives_the_process(path):
    times = iter(range(1000, 2000))
    chain, outbox = Ledger(), Outbox(path, now=lambda: next(times))
    chain.failures = {"Advance": ChainError("Too early.", reason="RoundStillOpen"), "Claim": ChainError("no money")}
    for intent in (SETTLE, Advance(4), claim(7), Enrol(PEER)):
        outbox.put(intent)
    await outbox.flush(chain)
    chain.block += 5
    del chain.mined[Enrol(PEER)]
    await outbox.flush(chain)
    found = {item.label.split("/")[0]: item for item in outbox.items}
    assert {name: item.state for name, item in found.items()} == {
        "Settle": State.DONE,
        "Advance": State.REFUSED,
        "Claim": State.HELD,
        "Enrol": State.MINED,
    }
    assert (found["Settle"].transaction, found["Settle"].block, found["Settle"].confirmations) == ("0x101", 101, 6)
    assert (found["Advance"].reason, found["Advance"].why) == ("RoundStillOpen", "Too early.")
    assert [found[name].queued_at for name in ("Settle", "Advance", "Claim", "Enrol")] == [1000, 1001, 1002, 1003]
    assert found["Settle"].since > found["Advance"].since > 1003
    again = Outbox(path)
    assert again.items == outbox.items
    assert Outbox(path).items == again.items


@pytest.mark.asyncio
async def test_only_the_latest_that_ended_are_remembered(path):
    chain, outbox = Ledger(), Outbox(path)
    chain.failures["Advance"] = ChainError("no", reason="No")
    for round_number in range(KEPT_ENDED + 5):
        outbox.put(Advance(round_number))
    await outbox.flush(chain)
    assert [item.label for item in outbox.items] == [f"Advance/{number}" for number in range(5, KEPT_ENDED + 5)]
    assert len(Outbox(path).items) == KEPT_ENDED


@pytest.mark.asyncio
async def test_a_full_disk_does_not_keep_the_outbox_from_sending(path, monkeypatch):
    chain, outbox = Ledger(), Outbox(path)
    outbox.put(claim(7))

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        await outbox.flush(chain)
        chain.block += 2
        await outbox.flush(chain)
        assert outbox.pending == ()
    restarted = Outbox(path)
    assert restarted.pending == (claim(7),)
    await restarted.flush(chain)
    assert restarted.pending == ()
    assert chain.num_sends == 3


def test_a_file_of_another_version_is_told_and_not_thrown_away(path):
    outbox = Outbox(path)
    outbox.put(SETTLE)
    path.write_bytes(path.read_bytes() + pack(b'{"seq":9,"intent":{"type":"Teleport"}}'))
    raw = path.read_bytes()
    with pytest.raises(SwarmError, match="another version"):
        Outbox(path)
    assert path.read_bytes() == raw


def test_a_file_of_the_first_version_is_read(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(pack(b'{"seq":1,"intent":{"type":"Advance","round":3}}') + pack(b'{"seq":1}'))
    assert Outbox(path).pending == ()
    path.write_bytes(pack(b'{"seq":1,"intent":{"type":"Advance","round":3}}'))
    assert Outbox(path).pending == (Advance(3),)


@pytest.mark.asyncio
async def test_an_empty_outbox_asks_nothing_of_the_chain(path):
    chain = Ledger()
    chain.failures["everything"] = ChainUnreachable("away")
    assert (await Outbox(path).flush(chain)).unreachable is None


@pytest.mark.asyncio
async def test_two_flushes_at_once_send_each_intent_once(path):
    chain, outbox = Ledger(), Outbox(path)
    outbox.put(SETTLE)
    results = await asyncio.gather(outbox.flush(chain), outbox.flush(chain))
    assert sum(len(result.sent) for result in results) == 1


@pytest.mark.asyncio
async def test_an_intent_replaced_while_it_is_sent_does_not_take_its_successor_with_it(path):
    chain, outbox = Ledger(), Outbox(path)
    outbox.put(claim(7))
    flushing = asyncio.create_task(outbox.flush(chain, depth=0))
    await asyncio.sleep(0)
    outbox.put(claim(9))
    await flushing
    assert outbox.pending == Outbox(path).pending == (claim(9),)


def test_a_newer_intent_about_the_same_thing_replaces_the_older(path):
    outbox = Outbox(path)
    for intent in (claim(7), Advance(3), Advance(4), SETTLE, claim(9), SETTLE, Enrol(PEER)):
        outbox.put(intent)
    expected = (Advance(3), Advance(4), SETTLE, claim(9), Enrol(PEER))
    assert outbox.pending == Outbox(path).pending == expected
    assert [key_of(intent) for intent in expected] == [
        ("Advance", 3, ""),
        ("Advance", 4, ""),
        ("Settle", 3, ""),
        ("Claim", 0, PEER),
        ("Enrol", 0, PEER),
    ]


@pytest.mark.asyncio
async def test_cut_at_any_byte_the_outbox_is_what_it_was_after_some_step(path, monkeypatch):
    """What ``kill -9`` or a power cut may leave: a beginning of the file. Nothing put and synced before it is lost."""
    chain, outbox = Ledger(), Outbox(path)
    states, sizes = [()], [0]

    def note():
        states.append(outbox.pending)
        sizes.append(path.stat().st_size)

    for intent in (Claim(PEER, 7, 1, ()), Advance(3), Claim(PEER, 9, 1, ()), Enrol(PEER)):
        outbox.put(intent)
        note()
    chain.failures = {"Advance": ChainError("no", reason="No")}
    await outbox.flush(chain)
    pieces = path.read_bytes().split(b'"state"')
    sizes.append(len(pieces[0]) + len(b'"state"') + pieces[1].index(b"\n") + 1)
    states.append(outbox.pending)
    note()
    whole = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: None)  # what is on the disk is given here
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(whole)
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        reopened = Outbox(path)
        step = max(i for i, size in enumerate(sizes) if size - 1 <= length)  # a line is whole without its newline
        assert reopened.pending == states[step], length
        reopened.put(Advance(8))
        assert Outbox(path).pending == (*states[step], Advance(8)), length


@pytest.mark.parametrize("tail", [b"\0" * 40, b"garbage", b"garbage\n", b"00000000 {}\n", b"\xff\xfe\n\0\n"])
def test_a_tail_of_rubbish_is_cut_off(path, tail):
    outbox = Outbox(path)
    outbox.put(SETTLE)
    path.write_bytes(path.read_bytes() + tail)
    reopened = Outbox(path)
    reopened.put(Advance(4))
    assert Outbox(path).pending == (SETTLE, Advance(4))


def test_damage_in_the_middle_is_told_and_changes_nothing(path):
    outbox = Outbox(path)
    for intent in (SETTLE, Advance(4)):
        outbox.put(intent)
    raw = bytearray(path.read_bytes())
    raw[30] ^= 1
    path.write_bytes(raw)
    with pytest.raises(SwarmError, match="damaged in line 1") as caught:
        Outbox(path)
    assert caught.value.next_step
    assert path.read_bytes() == raw


def test_a_line_that_the_disk_refused_does_not_spoil_the_next(path, monkeypatch):
    outbox = Outbox(path)
    outbox.put(SETTLE)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            outbox.put(Advance(4))
    assert outbox.pending == (SETTLE,)
    outbox.put(Advance(5))
    assert Outbox(path).pending == (SETTLE, Advance(5))


def test_the_file_stays_small(path):
    outbox = Outbox(path)
    big = "ab" * 32
    for micro in range(1, 300):
        outbox.put(Claim(PEER, micro, 1, (big,) * 20))
    assert path.stat().st_size < COMPACT_BYTES + 4096
    assert outbox.pending == Outbox(path).pending == (Claim(PEER, 299, 1, (big,) * 20),)
    assert path.stat().st_size < 4096


def test_a_new_file_of_a_new_outbox_is_durable_too(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    outbox = Outbox(path)
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]
    outbox.put(SETTLE)
    assert synced[2:] == [path.stat().st_ino]


def test_a_leftover_of_an_interrupted_rewrite_is_ignored(path):
    outbox = Outbox(path)
    outbox.put(SETTLE)
    path.with_name("outbox.jsonl.new").write_bytes(b"half")
    assert Outbox(path).pending == (SETTLE,)
