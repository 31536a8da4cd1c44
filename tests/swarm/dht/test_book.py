"""The book: which valid record counts, and that no input makes it work or grow without bound."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from protocol.codec import encode
from protocol.errors import BadRecord
from protocol.messages import Envelope
from swarm.dht.book import BookLimits, RecordBook, Verdict
from swarm.dht.records import Gate, beside, key_of, slot_of, subkey_of
from tests.swarm.dht.people import RUN, Person, Rejections, check_signature, key

ANN, BOB, CAT = Person("ann"), Person("bob"), Person("cat")


class Desk:
    """A book with its clock, its rejections, and a count of the signatures that it checked."""

    def __init__(self, **limits: float) -> None:
        self.now = 1000.0
        self.rejections = Rejections()
        self.num_checked = 0
        self.book = RecordBook(
            Gate(RUN, self.check),
            now=lambda: self.now,
            own=CAT.peer,
            on_rejected=self.rejections,
            limits=replace(BookLimits(), **limits),
        )

    def check(self, envelope: Envelope) -> None:
        self.num_checked += 1
        check_signature(envelope)

    def put(self, envelope: Envelope, expires_at: float = 1600.0) -> Verdict:
        return self.book.admit(slot_of(key_of(envelope)), subkey_of(envelope), encode(envelope), expires_at)


def test_a_valid_record_is_held_and_the_same_bytes_again_change_nothing() -> None:
    desk = Desk()
    envelope = ANN.says(b"two")
    assert [desk.put(envelope), desk.put(envelope)] == [Verdict.HELD, Verdict.HELD]
    assert desk.book.envelopes(key()) == {ANN.peer: envelope}
    assert desk.num_checked == 1
    assert desk.book.num_bytes == len(encode(envelope))


def test_a_later_presence_replaces_an_earlier_one_and_never_the_other_way_round() -> None:
    desk = Desk()
    old, new = ANN.is_here(1), ANN.is_here(2)
    assert desk.put(old) is Verdict.HELD
    assert desk.put(new) is Verdict.HELD
    assert desk.put(old, expires_at=1e12) is Verdict.STALE
    assert desk.book.envelopes(key("presence", 0)) == {ANN.peer: new}
    assert desk.rejections == []


def test_a_second_different_batch_is_equivocation_and_the_first_stays() -> None:
    desk = Desk()
    first, second = ANN.says(b"a"), ANN.says(b"b")
    desk.put(first)
    assert [desk.put(second, expires_at=1e12), desk.put(second)] == [Verdict.DOUBTED, Verdict.DOUBTED]
    assert desk.book.envelopes(key()) == {ANN.peer: first}
    assert desk.rejections == [("equivocation", ANN.peer, "answer", 1)]


def test_what_somebody_else_may_have_acted_upon_is_kept_beside_the_first_up_to_a_cap() -> None:
    desk = Desk(revisions_per_owner=2)
    versions = [ANN.says(payload) for payload in (b"a", b"b", b"c", b"d")]
    for envelope in [*versions, *versions]:
        desk.put(envelope)
    assert desk.book.revisions(key()) == {ANN.peer: tuple(versions[:3])}
    assert [held.envelope for held in desk.book.entries(slot_of(key_of(versions[0]))).values()] == versions[:1]
    assert desk.book.num_bytes == sum(len(encode(envelope)) for envelope in versions[:3])
    assert desk.rejections.reasons == ["equivocation"] * 3
    desk.now = 1e12
    desk.book.sweep()
    assert desk.book.num_bytes == 0


def test_who_was_shown_one_batch_only_learns_of_the_other_from_whoever_was_shown_both() -> None:
    knows, learns, newcomer = Desk(), Desk(), Desk()
    first, second, third = (ANN.says(payload) for payload in (b"a", b"b", b"c"))
    for envelope in (first, second, third):
        knows.put(envelope)
    learns.put(first)
    slot = slot_of(key_of(first))
    for _ in range(3):
        for other in (learns, newcomer):
            for entry in knows.book.passed_on(slot):
                other.book.admit(slot, *entry)
    for other in (learns, newcomer):
        assert other.book.revisions(key()) == {ANN.peer: (first, second)}
        assert other.rejections == [("equivocation", ANN.peer, "answer", 1)]
        assert other.num_checked == 2
        assert len(list(other.book.passed_on(slot))) == 2


def test_a_contradiction_lies_beside_its_record_and_nothing_else_does() -> None:
    desk = Desk()
    batch, attestation = ANN.says(b"a"), ANN.says(b"a", kind="attestation")
    assert desk.book.admit(slot_of(key()), beside(ANN.peer), encode(batch), 1600.0) is Verdict.HELD
    assert desk.put(batch) is Verdict.HELD
    assert desk.book.revisions(key()) == {ANN.peer: (batch,)}
    assert desk.book.admit(slot_of(key()), beside(BOB.peer), encode(batch), 1600.0) is Verdict.BAD
    where = slot_of(key("attestation"))
    assert desk.book.admit(where, beside(ANN.peer), encode(attestation), 1600.0) is Verdict.BAD


def test_ones_own_second_batch_is_refused_before_it_is_sent() -> None:
    desk = Desk()
    desk.book.put_own(CAT.says(b"a"), encode(CAT.says(b"a")), 1600.0)
    with pytest.raises(BadRecord, match="two different answer records") as caught:
        desk.book.put_own(CAT.says(b"b"), encode(CAT.says(b"b")), 1600.0)
    assert caught.value.reason == "equivocation"


def test_revisions_stand_side_by_side_up_to_a_cap() -> None:
    desk = Desk(revisions_per_owner=2)
    revisions = [ANN.says(payload, kind="attestation") for payload in (b"a", b"b", b"c")]
    assert [desk.put(each) for each in revisions] == [Verdict.HELD, Verdict.HELD, Verdict.FULL]
    assert desk.book.revisions(key("attestation")) == {ANN.peer: tuple(revisions[:2])}
    assert desk.book.envelopes(key("attestation")) == {ANN.peer: revisions[1]}


@pytest.mark.parametrize("kind", ["receipt", "verdict"])
def test_there_is_room_for_one_receipt_and_verdict_on_each_contribution(kind: str) -> None:
    desk = Desk(revisions_per_owner=2, works_per_owner=4)
    said = [ANN.says(b"work %d" % number, kind=kind) for number in range(5)]
    assert [desk.put(envelope) for envelope in said] == [Verdict.HELD] * 4 + [Verdict.FULL]
    assert desk.book.revisions(key(kind)) == {ANN.peer: tuple(said[:4])}


def test_an_old_revision_with_a_later_expiry_does_not_hide_a_newer_one() -> None:
    desk = Desk()
    old, new = (ANN.says(payload, kind="attestation") for payload in (b"a", b"b"))
    desk.put(old)
    desk.put(new)
    desk.put(old, expires_at=1e12)
    assert desk.book.envelopes(key("attestation")) == {ANN.peer: new}


def test_each_distinct_bad_record_is_judged_and_reported_once() -> None:
    desk = Desk()
    forged = BOB.signs(ANN.says(b"two"))
    assert {desk.put(forged) for _ in range(50)} == {Verdict.BAD}
    desk.put(BOB.signs(ANN.says(b"three")))
    assert desk.num_checked == 2
    assert desk.rejections.reasons == ["wrong_signature", "wrong_signature"]
    assert desk.book.rejected == {"wrong_signature": 2}


def test_junk_under_a_key_that_was_asked_for_is_reported_under_its_kind_and_round() -> None:
    desk = Desk()
    slot = desk.book.watch(key("critique", 7))
    desk.book.admit(slot, ANN.peer, b"\xc1 junk", 1600.0)
    assert desk.rejections == [("malformed", ANN.peer, "critique", 7)]


def test_a_flood_of_junk_is_counted_in_full_and_reported_in_part() -> None:
    desk = Desk(report_burst=10, reports_per_s=1.0, remembered_bad=100)
    for number in range(3000):
        desk.book.admit(slot_of(key()), f"junk-{number}", b"\xc1", 1600.0)
    assert desk.book.rejected.total() == 3000
    assert len(desk.rejections) == 10
    desk.now += 5.0
    for number in range(20):
        desk.book.admit(slot_of(key()), f"more-{number}", b"\xc1", 1600.0)
    assert len(desk.rejections) == 15
    assert desk.book.num_bytes == 0


def test_a_full_slot_takes_no_more_owners_and_checks_no_more_signatures() -> None:
    desk = Desk(subkeys_per_slot=3)
    crowd = [Person(f"sybil {number}").says(b"x") for number in range(20)]
    verdicts = [desk.put(envelope) for envelope in crowd]
    assert verdicts == [Verdict.HELD] * 3 + [Verdict.FULL] * 17
    assert desk.num_checked == 3


def test_strangers_are_refused_unseen_once_the_members_are_known_but_may_be_present() -> None:
    desk = Desk()
    desk.book.set_members([ANN.peer])
    desk.book.watch(key(round=1))
    assert desk.put(BOB.says(b"x")) is Verdict.DOUBTED
    assert desk.num_checked == 0
    assert desk.rejections == [("not_a_member", BOB.peer, "answer", 1)]
    assert desk.put(BOB.is_here(1)) is Verdict.HELD
    assert desk.put(ANN.says(b"x")) is Verdict.HELD
    assert desk.put(CAT.says(b"x")) is Verdict.HELD  # this node itself, enrolled or not
    desk.book.set_members([ANN.peer, BOB.peer])
    assert desk.put(BOB.says(b"x")) is Verdict.HELD


def test_a_newcomer_who_is_a_round_ahead_is_not_blamed() -> None:
    desk = Desk()
    desk.book.set_members([ANN.peer])
    desk.book.watch(key(round=1))
    assert desk.put(BOB.says(b"x", round=2)) is Verdict.EARLY
    assert desk.rejections == []
    desk.book.set_members([ANN.peer, BOB.peer])
    assert desk.put(BOB.says(b"x", round=2)) is Verdict.HELD


def test_an_owner_that_publishes_too_much_pushes_out_its_own_records_only() -> None:
    size = len(encode(ANN.says(b"x" * 100, round=1)))
    desk = Desk(owner_bytes=3 * size)
    desk.put(BOB.says(b"y", round=1))
    for number in range(1, 6):
        desk.put(ANN.says(b"x" * 100, round=number))
    held = [number for number in range(1, 6) if ANN.peer in desk.book.envelopes(key(round=number))]
    assert held == [3, 4, 5]
    assert BOB.peer in desk.book.envelopes(key(round=1))


def test_memory_is_bounded_and_the_oldest_keys_go_first() -> None:
    desk = Desk(total_bytes=4000)
    for number in range(1, 30):
        desk.put(Person(f"p{number}").says(b"x" * 500, round=number))
        assert desk.book.num_bytes <= 4000
    assert desk.book.envelopes(key(round=1)) == {}
    assert len(desk.book.envelopes(key(round=29))) == 1


@pytest.mark.parametrize("expires_at", [999.0, 1000.0, math.nan, -math.inf])
def test_an_expired_record_is_passed_over_without_blame(expires_at: float) -> None:
    desk = Desk()
    assert desk.put(ANN.says(b"x"), expires_at) is Verdict.STALE
    assert desk.rejections == []


def test_no_claimed_expiry_keeps_a_record_beyond_the_cap() -> None:
    desk = Desk(record_ttl_s=100.0)
    desk.put(ANN.says(b"x"), math.inf)
    desk.now = 1099.0
    assert desk.put(ANN.says(b"x"), math.inf) is Verdict.HELD  # said again, it lives no longer
    assert len(desk.book.envelopes(key())) == 1
    desk.now = 1100.0
    assert desk.book.envelopes(key()) == {}
    desk.book.sweep()
    assert desk.book.num_bytes == 0
    assert list(desk.book.latest_slots(5)) == []


def test_a_presence_whose_payload_is_no_presence_is_malformed() -> None:
    desk = Desk()
    assert desk.put(ANN.says(b"\xc1", kind="presence", round=0)) is Verdict.BAD
    assert desk.rejections.reasons == ["malformed"]


def test_strangers_who_announce_themselves_leave_room_for_members() -> None:
    desk = Desk(strangers=2, subkeys_per_slot=8)
    desk.book.watch(key("presence", 0))
    desk.book.set_members([ANN.peer, BOB.peer])
    crowd = [Person(f"stranger {number}").is_here(1) for number in range(20)]
    assert [desk.put(each) for each in crowd] == [Verdict.HELD] * 2 + [Verdict.EARLY] * 18
    assert [desk.put(each.is_here(1)) for each in (ANN, BOB)] == [Verdict.HELD] * 2
    assert set(desk.book.envelopes(key("presence", 0))) == {ANN.peer, BOB.peer, crowd[0].peer, crowd[1].peer}
    assert desk.rejections == []
