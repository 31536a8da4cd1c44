"""A witness can only be given by who came across what the work yields, and only in its own name."""

from hashlib import sha256

from protocol.codec import content_id
from protocol.ids import PeerId
from verde.witness import NO_STEP, Yield, witness_of, yield_of

ANN, BOB = PeerId("ann"), PeerId("bob")
WORK = content_id(b"work")
NOTES = [sha256(bytes([number])).digest() for number in range(8)]
STEP = sha256(b"step").digest()


def test_the_authors_notes_lead_to_the_witness_of_a_check_of_the_same_parts():
    seen = Yield((NOTES[2], NOTES[5]), STEP)
    assert yield_of(NOTES, STEP, (2, 5), 2) == seen
    assert yield_of(NOTES, STEP, (2, 5), 1) == Yield((NOTES[2], NOTES[5]))


def test_a_witness_is_of_its_judge_its_contribution_its_rollouts_in_order_and_its_step():
    seen = Yield((NOTES[2], NOTES[5]), STEP)
    others = [
        witness_of(BOB, WORK, seen),
        witness_of(ANN, content_id(b"other"), seen),
        witness_of(ANN, WORK, Yield((NOTES[5], NOTES[2]), STEP)),
        witness_of(ANN, WORK, Yield((NOTES[2], NOTES[5]))),
        witness_of(ANN, WORK, Yield((NOTES[2],), STEP)),
    ]
    assert len({witness_of(ANN, WORK, seen), *others}) == 6


def test_without_notes_of_all_that_was_drawn_nothing_is_known():
    assert yield_of(NOTES, STEP, (2, 8), 2) is None
    assert yield_of([*NOTES[:2], b""], STEP, (2,), 2) is None
    assert yield_of(NOTES, b"", (2,), 2) is None
    assert yield_of(NOTES, NO_STEP, (2,), 2) == Yield((NOTES[2],), NO_STEP)
