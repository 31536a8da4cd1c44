"""Who renews its own presence, and who asks the chain to drop whom."""

from types import SimpleNamespace

import msgspec
import pytest

from chain.base import ZERO_ROOT, ClockView, Enrol, EpochsView, Member, Prune, Receipt
from chain.keys import peer_key
from protocol.errors import ChainError, ChainUnreachable
from protocol.events import TransactionSent
from protocol.ids import Address, ContentId
from protocol.merkle import verify
from protocol.messages import CreditRow, CreditTable
from rewards.ledger import credits_tree
from swarm.member.membership import Membership
from tests.rewards.conftest import make_player
from tests.swarm.small_swarm import ECONOMICS

pytestmark = pytest.mark.asyncio

ADA, BEN, CYD = sorted(make_player(number).peer for number in (1, 2, 3))
WALLET = Address("0x" + "1" * 40)
VIEW = ClockView(
    9, 1000, 5, 990, 1050, "ab" * 32, tuple(Member(peer, WALLET, WALLET, 1) for peer in (ADA, BEN, CYD)), 4,
    ZERO_ROOT, ZERO_ROOT,
)  # fmt: skip
TABLE = CreditTable(
    ContentId("ab" * 32), 4, tuple(CreditRow(peer, 7, 1, ContentId("cd" * 32), last_round=1) for peer in (ADA, BEN))
)


class Stage:
    """A chain, a ledger and a settler that do what they are told."""

    def __init__(self, me):
        self.sent, self.events, self.told, self.fails = [], [], [], None
        self.receipt, self.view, self.final = Receipt("0x01", 21_000, 9), VIEW, (4, credits_tree(TABLE).root)
        bench = SimpleNamespace(
            signer=SimpleNamespace(peer=me), events=self.events, run=SimpleNamespace(economics=ECONOMICS)
        )
        self.membership = Membership(bench, self, self, self, SimpleNamespace(report=self.told.append))

    def _fail(self):
        if self.fails is not None:
            raise self.fails

    async def send(self, intent):
        self._fail()
        self.sent.append(intent)
        return self.receipt

    async def send_now(self, intent):
        self.sent.append(intent)

    async def epochs(self):
        self._fail()
        return EpochsView(1000, None, None, 4, *self.final)

    async def clock(self):
        return self.view

    def table_of(self, round, root):
        return TABLE if (round, root) == (4, credits_tree(TABLE).root) else None


async def test_presence_is_renewed_and_told_when_it_took_a_transaction():
    stage = Stage(ADA)
    await stage.membership.renew()
    assert stage.sent == [Enrol(ADA)]
    assert stage.events == [TransactionSent("enrol", "0x01", 21_000)]
    stage.receipt = Receipt("", 0, 9)
    await stage.membership.renew()
    assert len(stage.events) == 1


@pytest.mark.parametrize("error", [ChainUnreachable("No answer."), ChainError("Barred.", "", "", reason="StillBarred")])
async def test_a_renewal_that_fails_is_told_and_never_raised(error):
    stage = Stage(ADA)
    stage.fails = error
    await stage.membership.renew()
    assert (stage.told, stage.events) == ([error], [])


async def test_the_first_of_those_present_asks_to_drop_the_absent_by_their_lines_in_the_last_final_table():
    stage = Stage(ADA)
    await stage.membership.drop_absent(VIEW, [ADA, CYD])
    (prune,) = stage.sent
    assert isinstance(prune, Prune)
    assert prune.peer == BEN
    assert verify(credits_tree(TABLE).root, peer_key(BEN), prune.line, prune.proof)


@pytest.mark.parametrize(
    ("me", "present"),
    [
        pytest.param(CYD, [ADA, CYD], id="somebody else is first"),
        pytest.param(ADA, [ADA, BEN, CYD], id="nobody is absent"),
        pytest.param(ADA, [], id="nobody contributed: then nobody can be told from the absent"),
        pytest.param(ADA, [ADA, BEN], id="the absent one has no line yet"),
    ],
)
async def test_otherwise_nobody_is_dropped(me, present):
    stage = Stage(me)
    await stage.membership.drop_absent(VIEW, present)
    assert stage.sent == []


async def test_without_the_last_final_table_nobody_is_dropped():
    stage = Stage(ADA)
    stage.final = (3, ZERO_ROOT)
    await stage.membership.drop_absent(VIEW, [ADA, CYD])
    assert stage.sent == []


async def test_where_nothing_is_recorded_for_long_whoever_does_not_renew_its_presence_goes():
    stage = Stage(ADA)
    stuck = msgspec.structs.replace(VIEW, round=5 + ECONOMICS.absence_rounds)
    stage.view = stuck
    await stage.membership.drop_absent(stuck, [ADA])
    assert stage.sent == [Prune(BEN), Prune(CYD)]


async def test_a_chain_that_is_away_drops_nobody_and_is_told():
    stage = Stage(ADA)
    stage.fails = ChainUnreachable("No answer.")
    await stage.membership.drop_absent(VIEW, [ADA, CYD])
    assert (stage.sent, [error.what for error in stage.told]) == ([], ["No answer."])
