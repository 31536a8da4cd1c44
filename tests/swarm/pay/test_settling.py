import asyncio

import pytest

from chain.base import (
    ZERO_ROOT,
    Advance,
    Balance,
    Claim,
    ClockView,
    Epoch,
    EpochState,
    EpochsView,
    PeerRecord,
    Receipt,
    Settle,
)
from chain.credit_line import micro_of
from protocol.errors import ChainError, ChainUnreachable
from protocol.events import Claimed, Problem, Recovered, TransactionSent
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import CreditRow, CreditTable, RoundResult
from rewards.ledger import credits_tree
from rewards.outbox import Outbox
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles
from swarm.pay.settling import LOST_RACES, Settler
from tests.rewards.conftest import make_player

WALLET = Address("0x" + "1" * 40)
PEER = make_player(1).peer
RESULT = RoundResult(3, ZERO_ROOT, ZERO_ROOT, ZERO_ROOT, ZERO_ROOT, 5)
TABLE = CreditTable(ContentId("ab" * 32), 3, (CreditRow(PEER, 2_500_000, 3, ContentId("cd" * 32)),))
EPOCH = Epoch(0, 3, credits_tree(TABLE).root, 2_500_000, 0, 0, EpochState.FINAL, ZERO_ROOT)


def paid_by(epoch):
    return TABLE if epoch == EPOCH else None


def settle():
    return Settle(RESULT, (b"\x01" * 65,), PEER)


class Purse:
    """A chain that pays claims and mines a block per call; ``fails`` holds what it answers instead, by intent."""

    def __init__(self):
        self.block, self.claimed_micro, self.done, self.fails = 1, 500_000, set(), {}
        self.claimable = EPOCH

    async def clock(self):
        self.block += 1
        return ClockView(self.block, 0, 3, 0, 0, "ab" * 32, (), 2, ZERO_ROOT, ZERO_ROOT)

    async def peer(self, peer: PeerId):
        self._fail(None)
        return PeerRecord(peer, WALLET, WALLET, True, self.claimed_micro)

    async def epochs(self):
        self._fail(None)
        return EpochsView(0, self.claimable, self.claimable, 3)

    async def balance(self, _wallet):
        return Balance(10**18, self.claimed_micro * 10**12)

    async def send(self, intent):
        self._fail(type(intent))
        self.block += 1
        if intent in self.done:
            return Receipt("", 0, self.block)
        self.done.add(intent)
        if isinstance(intent, Claim):
            self.claimed_micro = micro_of(intent.line)
        return Receipt(f"0x{len(self.done):064x}", 21_000, self.block)

    def _fail(self, kind):
        if kind in self.fails:
            raise self.fails[kind]


@pytest.fixture
def stage(tmp_path):
    with EventLog(tmp_path / "events.jsonl") as log:
        chain, outbox = Purse(), Outbox(tmp_path / "outbox.log")
        settler = Settler(chain, outbox, WALLET, log, Troubles(log))
        yield settler, chain, outbox, lambda: [logged.event for logged in read(log.path).events]


@pytest.mark.asyncio
async def test_what_is_due_is_sent_and_told_once(stage):
    settler, _chain, outbox, events = stage
    outbox.put(settle())
    assert await settler.drain(timeout_s=5)
    assert outbox.pending == ()
    assert events() == [TransactionSent("settle", f"0x{1:064x}", 21_000, 3)]


@pytest.mark.asyncio
async def test_a_claim_is_everything_unpaid_and_told_with_what_arrived(stage):
    settler, chain, _outbox, events = stage
    assert await settler.claim(PEER, paid_by) == 2_000_000 * 10**12
    assert chain.claimed_micro == 2_500_000
    sent, claimed = events()
    assert (sent.purpose, claimed) == ("claim", Claimed(2 * 10**18, 25 * 10**17, sent.transaction))
    assert await settler.claim(PEER, paid_by) == 0
    assert len(events()) == 2


@pytest.mark.asyncio
async def test_without_an_unlocked_epoch_its_table_or_credits_there_is_nothing_to_claim(stage):
    settler, chain, outbox, events = stage
    assert await settler.claim(PEER, lambda _epoch: None) == 0
    assert await settler.claim(make_player(2).peer, paid_by) == 0
    chain.claimable = None
    assert await settler.claim(PEER, paid_by) == 0
    assert (chain.done, outbox.pending, events()) == (set(), (), [])


@pytest.mark.asyncio
async def test_a_chain_that_is_away_is_told_once_and_everything_is_kept(stage):
    settler, chain, outbox, events = stage
    chain.fails[Settle] = ChainUnreachable("No answer.")
    outbox.put(settle())
    for _ in range(3):
        await settler.flush()
    assert not await settler.drain(timeout_s=0.05)
    assert len(outbox.pending) == 1
    assert events() == [Problem("ChainUnreachable", "No answer.", "", "")]
    chain.fails.clear()
    await settler.flush()
    assert [type(event) for event in events()] == [Problem, TransactionSent, Recovered]


@pytest.mark.asyncio
async def test_a_claim_on_a_chain_that_is_away_is_told_and_not_raised(stage):
    settler, chain, _outbox, events = stage
    chain.fails[None] = ChainUnreachable("No answer.")
    assert await settler.claim(PEER, paid_by) == 0
    assert events() == [Problem("ChainUnreachable", "No answer.", "", "")]


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", sorted(LOST_RACES))
async def test_that_somebody_else_was_quicker_is_no_problem(stage, reason):
    settler, chain, outbox, events = stage
    chain.fails = dict.fromkeys((Settle, Advance), ChainError("Too late.", reason=reason))
    outbox.put(settle())
    await settler.flush()
    await settler.send_now(Advance(3))
    assert (outbox.pending, events()) == ((), [])


@pytest.mark.asyncio
async def test_any_other_refusal_is_a_problem(stage):
    settler, chain, outbox, events = stage
    chain.fails = dict.fromkeys((Settle, Advance), ChainError("No majority.", reason="EmissionExceeded"))
    outbox.put(settle())
    await settler.flush()
    await settler.send_now(Advance(3))
    assert outbox.pending == ()
    assert events() == [Problem("ChainError", "No majority.", "", "")]


@pytest.mark.asyncio
async def test_opening_the_next_round_is_told_with_its_round(stage):
    settler, _chain, _outbox, events = stage
    await settler.send_now(Advance(3))
    assert events() == [TransactionSent("advance", f"0x{1:064x}", 21_000, 3)]


@pytest.mark.asyncio
async def test_who_leaves_waits_longer_for_what_is_in_no_block_yet(stage):
    settler, chain, outbox, _ = stage
    outbox.put(settle())
    chain.fails[Settle] = ChainUnreachable("No answer.")
    asyncio.get_running_loop().call_later(0.4, chain.fails.clear)
    assert not await settler.drain(timeout_s=0.05)
    assert outbox.unsent == (settle(),)
    assert not await settler.drain(timeout_s=0.05, unsent_timeout_s=5)
    assert (outbox.unsent, len(outbox.pending)) == ((), 1), "mined, and on disk until more blocks follow"
