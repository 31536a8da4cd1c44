import msgspec
import pytest

from protocol.codec import encode
from protocol.errors import SwarmError
from protocol.ids import ContentId, PeerId
from protocol.messages import Envelope
from swarm.rounds.journal import KEEP_ROUNDS, Journal

SIGNED = Envelope(1, ContentId("ab" * 32), "answer", 12, PeerId("QmA"), b"work", b"\x01" * 65)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def test_what_was_signed_is_read_back_by_another_process(journal, tmp_path):
    journal.write(SIGNED, b"blob")
    assert Journal(tmp_path / "journal").read(12, "answer") == (SIGNED, b"blob")
    assert journal.read(12, "critique") is None
    assert journal.read(11, "answer") is None


def test_a_record_without_a_blob_has_none(journal):
    journal.write(SIGNED)
    assert journal.read(12, "answer") == (SIGNED, None)


def test_signing_the_same_again_changes_nothing_and_another_is_refused(journal):
    journal.write(SIGNED, b"blob")
    journal.write(SIGNED, b"blob")
    with pytest.raises(SwarmError, match="different answer was already signed for round 12") as caught:
        journal.write(msgspec.structs.replace(SIGNED, payload=b"other work"), b"other")
    assert caught.value.next_step
    assert journal.read(12, "answer") == (SIGNED, b"blob")


def test_other_kinds_and_rounds_are_other_records(journal):
    others = [msgspec.structs.replace(SIGNED, kind="decide"), msgspec.structs.replace(SIGNED, round=13)]
    for envelope in (SIGNED, *others):
        journal.write(envelope)
    for envelope in (SIGNED, *others):
        assert journal.read(envelope.round, envelope.kind) == (envelope, None)


def test_records_about_different_things_stand_side_by_side_each_signed_once(journal):
    verdict = msgspec.structs.replace(SIGNED, kind="verdict")
    other = msgspec.structs.replace(verdict, payload=b"other work")
    journal.write(verdict, about="ab" * 32)
    journal.write(other, about="cd" * 32)
    assert journal.read(12, "verdict", about="ab" * 32) == (verdict, None)
    assert journal.read(12, "verdict", about="cd" * 32) == (other, None)
    assert journal.read(12, "verdict", about="ef" * 32) is None
    with pytest.raises(SwarmError, match="already signed"):
        journal.write(other, about="ab" * 32)


@pytest.mark.parametrize("damage", [b"", b"\xc1", encode(SIGNED)[:-1]])
def test_a_damaged_record_reads_as_absent(journal, tmp_path, damage):
    journal.write(SIGNED)
    (tmp_path / "journal" / "000012" / "answer.envelope").write_bytes(damage)
    assert journal.read(12, "answer") is None


def test_tables_come_oldest_first_and_old_rounds_are_forgotten(journal):
    for number in (2, 1, 30):
        journal.write_table(number, f"{number:064x}", b"table %d" % number)
    assert journal.tables() == [b"table 1", b"table 2", b"table 30"]
    journal.forget_old(2 + KEEP_ROUNDS)
    assert journal.tables() == [b"table 2", b"table 30"]
    journal.forget_old(1000)
    assert journal.tables() == []


def test_a_journal_that_nobody_wrote_is_empty(journal):
    journal.forget_old(5)
    assert journal.tables() == []
    assert journal.read(1, "answer") is None


def test_tables_and_testimonies_of_unpaid_rounds_outlive_everything_else(journal):
    for number in (1, 2, 3):
        journal.write(msgspec.structs.replace(SIGNED, round=number))
        journal.write_table(number, "cd" * 32, b"table %d" % number)
        journal.write_testimony(number, "cd" * 32, b"signed %d" % number)
    journal.forget_old(50, unpaid_from=2)
    assert journal.tables() == [b"table 2", b"table 3"]
    assert (journal.testimonies(1), journal.testimonies(2)) == ([], [b"signed 2"])
    assert all(journal.read(number, "answer") is None for number in (1, 2, 3))


def test_a_fuller_testimony_takes_the_place_of_an_earlier_one(journal):
    journal.write_testimony(1, "cd" * 32, b"one signature")
    journal.write_testimony(1, "cd" * 32, b"two signatures")
    assert journal.testimonies(1) == [b"two signatures"]
