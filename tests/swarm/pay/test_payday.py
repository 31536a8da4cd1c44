"""Who claims for whom, and when, over the fake chain with real tables, and no network."""

from types import SimpleNamespace

import pytest

from chain.base import ZERO_ROOT, Balance, Claim, ClaimMany, Cost, Epoch, EpochState, EpochsView, PeerRecord, Receipt
from chain.credit_line import micro_of
from protocol.errors import ChainError, ChainUnreachable
from protocol.events import Claimed, CreditsChanged, Problem, TransactionSent
from protocol.ids import Address, ContentId
from protocol.messages import CreditRow, CreditTable
from rewards.ledger import credits_tree
from rewards.outbox import Outbox
from rewards.payouts import group_of
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles
from swarm.pay.payday import Payday, unlocking_s
from swarm.pay.settling import Settler
from tests.rewards.conftest import make_player
from tests.swarm.small_swarm import ECONOMICS

pytestmark = pytest.mark.asyncio

PEERS = [make_player(number).peer for number in range(1, 6)]
WALLET = Address("0x" + "1" * 40)
PATIENCE_S = int(Payday.PATIENCE_S)
EVERY = 10


def table_of(round):
    rows = [CreditRow(peer, round * 100_000, round, ContentId("cd" * 32), last_round=round) for peer in PEERS]
    return CreditTable(ContentId("ab" * 32), round, tuple(sorted(rows, key=lambda row: row.peer)))


class Town:
    """One chain for all: claims are paid at once, unless ``fails``."""

    def __init__(self):
        self.at, self.round, self.paid, self.sent = 1000, 0, dict.fromkeys(PEERS, 0), []
        self.fails, self.gas_wei, self.block = {}, 10**18, 1

    async def epochs(self):
        self._fail("epochs")
        table = table_of(self.round)
        epoch = Epoch(
            self.round, self.round, credits_tree(table).root, 0, 0, self.at, EpochState.FINAL, ZERO_ROOT
        )
        return EpochsView(self.at, epoch, epoch if self.round else None, self.round)

    async def claimed(self, peers):
        return tuple(self.paid[peer] for peer in peers)

    async def peer(self, peer):
        return PeerRecord(peer, WALLET, WALLET, True, self.paid[peer])

    async def balance(self, _wallet):
        return Balance(self.gas_wei, 7)

    async def estimate(self, _intent):
        return Cost(1_000_000, 10**15)

    async def block_hash(self, _number):
        return ""

    async def send(self, intent):
        self.block += 1
        lines = intent.lines if isinstance(intent, ClaimMany) else (intent,)
        if all(self.paid[one.peer] >= micro_of(one.line) for one in lines):
            return Receipt("", 0, self.block)
        self._fail(type(intent))
        for one in lines:
            self.paid[one.peer] = micro_of(one.line)
        self.sent.append(intent)
        return Receipt(f"0x{len(self.sent):064x}", 21_000, self.block)

    def _fail(self, what):
        if what in self.fails:
            raise self.fails[what]


class House:
    """A peer of the town."""

    def __init__(self, town, peer, folder):
        self.log = EventLog(folder / f"{peer}.jsonl")
        signer = SimpleNamespace(peer=peer, wallet=WALLET)
        run = SimpleNamespace(economics=ECONOMICS)
        bench = SimpleNamespace(signer=signer, events=self.log, run=run, now=lambda: 0.0)
        self.outbox = Outbox(folder / f"{peer}.outbox")
        troubles = Troubles(self.log)
        book = SimpleNamespace(paid_by=lambda epoch: table_of(epoch.round), current=None)
        settler = Settler(town, self.outbox, WALLET, self.log, troubles)
        self.payday = Payday(bench, town, settler, book, troubles, claim_every=EVERY)

    def told(self, kind):
        return [logged.event for logged in read(self.log.path).events if isinstance(logged.event, kind)]


@pytest.fixture
def town():
    return Town()


@pytest.fixture
def houses(town, tmp_path):
    """In the order in which it is their turn at the first payout."""
    built = {peer: House(town, peer, tmp_path) for peer in PEERS}
    yield [built[peer] for peer in group_of(table_of(EVERY), PEERS[0], 1).payers]
    for house in built.values():
        house.log.close()


async def all_look(houses):
    for house in houses:
        await house.payday.tend()


async def test_the_first_in_turn_claims_for_all_and_the_others_see_their_pay_come(town, houses):
    await all_look(houses)
    town.round = EVERY - 1
    await all_look(houses)
    assert town.sent == []
    town.round = EVERY
    await all_look(reversed(houses))
    await all_look(houses)
    (many,) = town.sent
    assert isinstance(many, ClaimMany)
    assert set(town.paid.values()) == {EVERY * 100_000}
    assert houses[0].told(Claimed) == [Claimed(10**18, 7, f"0x{1:064x}")]
    assert houses[1].told(Claimed) == [Claimed(10**18, 7, "")]
    assert houses[1].told(CreditsChanged) == [CreditsChanged(0, 1_000_000)]
    assert [len(house.told(TransactionSent)) for house in houses] == [1, 0, 0, 0, 0]
    town.at += 100 * PATIENCE_S
    await all_look(houses)
    assert len(town.sent) == 1


async def test_who_lets_its_turn_pass_is_left_out_by_who_waited(town, houses):
    await all_look(houses)
    town.round = EVERY
    lazy, second, *others = houses
    await all_look([second, *others])
    town.at += PATIENCE_S - 1
    await all_look([second, *others])
    assert town.sent == []
    town.at += 1
    await all_look([second, *others])
    await all_look([second, *others])
    (many,) = town.sent
    assert {one.peer for one in many.lines} == {one.payday._bench.signer.peer for one in [second, *others]}
    await all_look([lazy])
    assert [type(one) for one in town.sent] == [ClaimMany, Claim], "it claims for itself"
    assert len(set(town.paid.values())) == 1


async def test_a_payout_that_only_one_is_owed_by_costs_nobody_else_anything(town, houses):
    await all_look(houses)
    town.round = EVERY
    first, last = houses[0].payday._bench.signer.peer, houses[-1]
    for peer in PEERS:
        town.paid[peer] = EVERY * 100_000
    town.paid[last.payday._bench.signer.peer] = 0
    await all_look(houses)
    assert town.sent == []
    town.at += len(houses) * PATIENCE_S
    await all_look(houses)
    assert [one.peer for one in town.sent] == [last.payday._bench.signer.peer] != [first]


async def test_without_the_money_for_all_a_peer_claims_for_itself(town, houses):
    await all_look(houses)
    town.round, town.gas_wei = EVERY, 10**15
    await all_look(houses[:1])
    assert [type(one) for one in town.sent] == [Claim]


async def test_a_claim_for_all_that_is_refused_ends_in_one_for_itself(town, houses):
    await all_look(houses)
    town.round = EVERY
    town.fails[ClaimMany] = ChainError("The escrow is overdrawn.", "", "", reason="EscrowOverdrawn")
    await all_look(houses[:1])
    await all_look(houses[:1])
    assert [type(one) for one in town.sent] == [Claim]
    assert [problem.what for problem in houses[0].told(Problem)] == ["The escrow is overdrawn."]


async def test_a_claim_that_is_on_its_way_is_waited_for_and_sent_again(town, houses):
    await all_look(houses)
    town.round = EVERY
    town.fails[ClaimMany] = ChainUnreachable("No answer.")
    await all_look(houses[:1])
    await all_look(houses[:1])
    assert town.sent == []
    assert len(houses[0].outbox.unsent) == 1
    town.fails.clear()
    await houses[0].outbox.flush(town)
    await all_look(houses[:1])
    assert [type(one) for one in town.sent] == [ClaimMany]


async def test_a_chain_that_is_away_is_told_and_a_restart_waits_for_the_next_payout(town, houses):
    town.fails["epochs"] = ChainUnreachable("No answer.")
    await all_look(houses[:1])
    assert [problem.what for problem in houses[0].told(Problem)] == ["No answer."]
    town.fails.clear()
    town.round = EVERY
    await all_look(houses)
    assert town.sent == [], "an earlier process of this peer may have claimed"
    town.round = 2 * EVERY
    town.at += len(houses) * PATIENCE_S
    await all_look(houses)
    await all_look(houses)
    assert sum(isinstance(one, ClaimMany) for one in town.sent) == 1


async def test_pay_stays_locked_no_longer_than_two_challenged_epochs():
    rules = ECONOMICS
    assert unlocking_s(rules) == 2 * (rules.challenge_s + rules.answer_s) + rules.dispute_s + 10

