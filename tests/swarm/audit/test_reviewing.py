"""Whoever judges without looking is not paid and stands worse, and nobody alone can say so of anybody."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from protocol.codec import content_id, decode, encode
from protocol.events import RecordRejected, VerdictSeen, WitnessDoubted
from protocol.ids import PeerId
from protocol.messages import CreditTable, Difference, Envelope, Finding, Pending, Review, Verdict
from swarm.audit.reviewing import Reviews
from swarm.observe.eventlog import EventLog
from swarm.rounds.journal import Journal
from tests.swarm import cheats
from tests.swarm.hostile import HostileTransport, stranger
from tests.swarm.small_swarm import Seat, small_swarm
from tests.swarm.test_cheats import QUICK, check_the_honest_lost_nothing, play, publishing
from verde.draw import Drawn
from verde.witness import Yield, witness_of

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


def standing(teller: Seat, peer: PeerId) -> int:
    """Of ``peer``, in thousandths, in the latest table that ``teller`` keeps."""
    tables = teller.home.run(teller.swarm.run.id).journal.glob("*/table-*.blob")
    latest = max((decode(path.read_bytes(), CreditTable, cap=1 << 26) for path in tables), key=lambda one: one.round)
    return next(row.standing_milli for row in latest.rows if row.peer == peer)


async def test_an_auditor_that_did_not_look_is_not_paid_and_stands_worse(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        blind = eve.node(network=publishing(swarm, eve, "verdict", cheats.praising))
        await play(swarm, [*(seat.node() for seat in honest), blind], 5)
        check_the_honest_lost_nothing(swarm, honest, 5)
        said = [event for event in honest[0].told(VerdictSeen) if event.by == eve.peer]
        assert said, "eve was never drawn"
        assert {event.finding for event in said} == {Finding.MATCH}
        assert honest[0].paid_for_verdicts(eve.peer) == 0
        assert {event.judge for seat in honest for event in seat.told(WitnessDoubted)} == {eve.peer}
        assert all(honest[0].paid_for_verdicts(seat.peer) > 0 for seat in honest)
        assert standing(honest[0], eve.peer) < 400 < 550 < standing(honest[0], honest[0].peer)


async def test_an_author_that_doubts_every_verdict_denies_no_auditor_its_pay(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        doubting = eve.node(network=publishing(swarm, eve, "review", cheats.doubting))
        await play(swarm, [*(seat.node() for seat in honest), doubting], 3)
        check_the_honest_lost_nothing(swarm, honest, 3)
        rights = {event.by for seat in honest for event in seat.told(VerdictSeen) if event.peer == eve.peer}
        assert rights, "nobody was drawn to check eve"
        assert all(honest[0].paid_for_verdicts(peer) > 0 for peer in rights)
        assert standing(honest[0], eve.peer) < 400 < 500 < min(standing(honest[0], seat.peer) for seat in honest)


async def test_an_author_that_reviews_nothing_denies_no_auditor_its_pay(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, stage_s=3, contribute_s=1, poster_s=1) as swarm:
        *honest, eve = swarm.seats
        silent = eve.node(network=publishing(swarm, eve, "review", lambda peer, envelope: None))
        await play(swarm, [*(seat.node() for seat in honest), silent], 4)
        check_the_honest_lost_nothing(swarm, honest, 4)
        judges = [event.by for event in honest[0].told(VerdictSeen) if event.peer == eve.peer]
        assert judges, "honest[0] saw nobody check eve"
        assert all(honest[0].paid_for_verdicts(peer) > 0 for peer in judges)


async def test_a_check_may_end_while_a_review_is_published(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 2) as swarm:
        me, judge = swarm.seats
        mine, theirs = content_id(b"my work"), content_id(b"the judge's work")
        published: list[Review] = []

        class Network:
            async def collect_all(self, key: object) -> dict[PeerId, list[Envelope]]:
                return {}

            async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
                reviews.came_across(theirs, Yield((b"logits",)))
                published.append(decode(envelope.payload, Review))

        bench: Any = SimpleNamespace(
            run=swarm.run,
            contracts=swarm.world.contracts,
            signer=me.signer,
            journal=Journal(tmp_path / "journal"),
            transport=Network(),
            events=EventLog(tmp_path / "events.jsonl"),
            now=lambda: 0.0,
        )
        pending = {
            mine: (me.peer, Pending(1, mine, 1, content_id(b"state"))),
            theirs: (judge.peer, Pending(1, theirs, 1, content_id(b"state"))),
        }
        drawn = {mine: Drawn((judge.peer,), (), False), theirs: Drawn((me.peer,), (), False)}
        reviews = Reviews(bench, 2, content_id(b"seed"), content_id(b"ledger"), pending, drawn, lambda *_: None)
        found = Yield((b"my logits",))
        reviews.came_across(mine, found)
        witness = witness_of(judge.peer, mine, found)
        verdict = Verdict(judge.peer, mine, 1, Finding.MATCH, None, (), witness)
        await reviews.poll({mine: {content_id(b"verdict"): (verdict, 0.0)}})
        assert published == [Review(me.peer, mine, judge.peer, True)]


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("review", {"by": stranger(1).peer}, "wrong_owner"),
        ("review", {"contribution": content_id(b"nobody's")}, "not_drawn"),
        ("review", {"judge": stranger(1).peer}, "not_drawn"),
        ("verdict", {"witness": None}, "malformed"),
        ("verdict", {"level": 1}, "malformed"),
        ("verdict", {"finding": Finding.MISMATCH, "difference": Difference("it")}, "malformed"),
    ],
)
async def test_a_review_or_verdict_that_cannot_be_is_dropped_and_told(
    tmp_path: Path, kind: str, changes: dict[str, Any], reason: str
) -> None:
    def changed(peer: HostileTransport, envelope: Envelope) -> Envelope:
        honest: Any = decode(envelope.payload, Review if kind == "review" else Verdict)
        return peer.seal(envelope, encode(msgspec.structs.replace(honest, **changes)))

    async with small_swarm(tmp_path, 4, stage_s=3, contribute_s=1, poster_s=1) as swarm:
        *honest, eve = swarm.seats
        await play(swarm, [*(s.node() for s in honest), eve.node(network=publishing(swarm, eve, kind, changed))], 4)
        check_the_honest_lost_nothing(swarm, honest, 4)
        told = {(event.kind, event.reason) for event in honest[0].told(RecordRejected) if event.peer == eve.peer}
        assert told == {(kind, reason)}
        assert all(honest[0].paid_for_verdicts(seat.peer) > 0 for seat in honest)
        assert honest[0].paid_for_verdicts(eve.peer) == 0 or kind == "review"
