"""A contribution that every proposal leaves out is stated on the chain, and then nobody signs without it."""

from types import SimpleNamespace

import msgspec
import pytest

from chain.base import ZERO_ROOT, ClockView, Include
from protocol.codec import content_id, encode
from protocol.messages import BlobRef, Proposal, RoundResult
from rewards.ledger import Verified
from swarm.rounds.agreement import INSIST_TURNS, PROPOSAL, Agreement
from tests.rewards.conftest import make_player
from tests.swarm.small_swarm import ECONOMICS

replace = msgspec.structs.replace
ME, OTHER, THIRD = (make_player(number) for number in (1, 2, 3))
MINE, THEIRS = content_id(b"mine"), content_id(b"theirs")
POSTER_S = 10
MEMBERS = tuple(player.member for player in (ME, OTHER, THIRD))
VIEW = ClockView(9, 1000, 4, 900, 1200, "ab" * 32, MEMBERS, 3, ZERO_ROOT, ZERO_ROOT)
LATE = replace(VIEW, block_at=VIEW.closes_at - INSIST_TURNS * POSTER_S)


class Stage:
    """One member's agreement on a round, in a network that shows the given proposals."""

    def __init__(self):
        self.proposals = {}
        bench = SimpleNamespace(
            signer=SimpleNamespace(peer=ME.peer),
            run=SimpleNamespace(
                time=SimpleNamespace(poster_s=POSTER_S),
                model=ZERO_ROOT,
                economics=ECONOMICS,
                audit=SimpleNamespace(engine="exact"),
                game=None,
                task=SimpleNamespace(num_levels=1),
            ),
            transport=self,
            now=lambda: 0.0,
        )
        inbox = SimpleNamespace(base=SimpleNamespace(run=content_id(b"run"), round=4))
        oversight = SimpleNamespace(holding=self, audits=None)
        self.held = set()
        self.agreement = Agreement(bench, inbox, oversight, VIEW, None, None, lambda *_: None)

    def is_held(self, peer):
        return peer in self.held

    def proposed(self, *contents):
        result = RoundResult(4, ZERO_ROOT, content_id(repr(contents).encode()), ZERO_ROOT, ZERO_ROOT, 0)
        proposal = Proposal(result, contents, (), (), BlobRef(result.data_hash, 9))
        envelope = SimpleNamespace(payload=encode(proposal), peer=OTHER.peer, signature=b"")
        self.proposals.setdefault(OTHER.peer, []).append(envelope)

    async def collect_all(self, key):
        return self.proposals if key.kind == PROPOSAL else {}


@pytest.fixture
def stage():
    return Stage()


@pytest.mark.asyncio
async def test_it_is_stated_shortly_before_the_deadline_when_every_proposal_leaves_it_out(stage):
    stage.proposed(THEIRS)
    await stage.agreement.poll(VIEW, 0.0, ())
    assert stage.agreement.self_inclusion(VIEW, MINE) is None, "another poster may still put it in"
    assert stage.agreement.self_inclusion(LATE, MINE) == Include(4, ME.peer, MINE)
    assert stage.agreement.self_inclusion(LATE, None) is None, "nothing was contributed"
    stated = replace(LATE, inclusions=((ME.peer, MINE),))
    assert stage.agreement.self_inclusion(stated, MINE) is None, "once is enough"


@pytest.mark.asyncio
async def test_it_is_not_stated_while_a_proposal_holds_it_or_there_is_none(stage):
    await stage.agreement.poll(VIEW, 0.0, ())
    assert stage.agreement.self_inclusion(LATE, MINE) is None
    stage.proposed(THEIRS)
    stage.proposed(MINE, THEIRS)
    await stage.agreement.poll(VIEW, 0.0, ())
    assert stage.agreement.self_inclusion(LATE, MINE) is None


def test_what_is_stated_is_required_when_it_holds_and_is_its_own(stage, monkeypatch):
    works = {
        content: Verified(player.peer, content, 1, ZERO_ROOT, ZERO_ROOT)
        for content, player in ((MINE, ME), (THEIRS, OTHER))
    }
    monkeypatch.setattr(stage.agreement, "verified", lambda among: {c: w for c, w in works.items() if c in among})
    stage.held = {ME.peer, OTHER.peer}
    unknown = content_id(b"never seen here")
    stated = replace(VIEW, inclusions=((ME.peer, MINE), (THIRD.peer, THEIRS), (OTHER.peer, unknown)))
    assert stage.agreement._included(stated) == {MINE: ME.peer}
    assert stage.agreement._included(VIEW) == {}
    stage.held = set()
    assert stage.agreement._included(stated) == {}
