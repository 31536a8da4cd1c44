"""Nobody plays a round without the table that says how hard its questions are; other runs need not wait for it."""

from types import SimpleNamespace

import msgspec
import pytest

from chain.base import ZERO_ROOT, ClockView, Member
from protocol.errors import ChainUnreachable, NetworkError
from protocol.events import Progress
from protocol.ids import Address, ContentId
from protocol.messages import CreditTable, Difficulty
from swarm.member.opening import views_of_round
from tests.rewards.conftest import make_player
from tests.swarm.small_swarm import small_run
from tests.swarm.test_levels import RUN, Levelled

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

ADA, BEN = sorted(make_player(number).peer for number in (1, 2))
WALLET = Address("0x" + "1" * 40)
VIEW = ClockView(
    9, 1000, 5, 990, 1050, "ab" * 32, tuple(Member(peer, WALLET, WALLET, 1) for peer in (ADA, BEN)), 4,
    ZERO_ROOT, ZERO_ROOT,
)  # fmt: skip
HARD = CreditTable(ContentId("ab" * 32), 4, (), Difficulty(2, 1, 3))


class Surroundings:
    """A ledger book that finds a table as ``syncs`` say, and a chain that says what ``clocks`` say, then VIEW."""

    def __init__(self, syncs, clocks=(), run=RUN):
        self.syncs, self.clocks, self.events, self.troubles = list(syncs), list(clocks), [], []
        self.bench = SimpleNamespace(run=run, events=self.events, signer=SimpleNamespace(peer=ADA))

    async def sync(self, view, others):
        assert others == [BEN]
        found = self.syncs.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def behind(self, view):
        return HARD

    async def clock(self):
        found = self.clocks.pop(0) if self.clocks else VIEW
        if isinstance(found, Exception):
            raise found
        return found

    def report(self, error):
        self.troubles.append(type(error))

    def over(self, kind):
        pass

    async def views(self):
        return await views_of_round(self.bench, self, VIEW, self, Levelled(), self)


async def test_the_table_says_what_all_members_are_asked():
    views = await Surroundings([True]).views()
    assert set(views) == {ADA, BEN}
    assert {view.level for view in views.values()} == {2}
    assert all(int(question.truth) >= 2000 for question in views[ADA].questions)
    assert views[ADA].questions == views[BEN].questions


async def test_it_is_looked_for_until_somebody_has_it_and_that_is_told_once():
    there = Surroundings([False, NetworkError("", "", ""), False, True], [ChainUnreachable("", "", "")])
    assert (await there.views())[ADA].level == 2
    assert there.troubles == [ChainUnreachable, NetworkError]
    (told,) = there.events
    assert isinstance(told, Progress)
    assert told.what.startswith("waiting for the credit table of round 4")


async def test_a_round_that_the_chain_left_meanwhile_is_not_played():
    there = Surroundings([False, False], [VIEW, msgspec.structs.replace(VIEW, round=6)])
    assert await there.views() is None


async def test_where_questions_follow_no_level_nobody_waits():
    views = await Surroundings([False], run=small_run()).views()
    assert {view.level for view in views.values()} == {0}
