"""One liar neither denies pay nor shields a lie: what a majority of the drawn attestors finds, counts."""

import pytest

from protocol.codec import content_id
from protocol.ids import PeerId
from protocol.messages import Difference, Finding, Verdict
from verde.draw import Drawn
from verde.verdict import Decision, accusers, decide

A, B, C, D, E = (PeerId(name) for name in "abcde")
DRAWN = Drawn(auditors=(A,), attestors=(B, C, D), step=True)


def says(peer, finding, words="another token"):
    difference = None if finding is Finding.MATCH else Difference(words)
    return Verdict(peer, content_id(b"work"), 1, finding, difference, ())


def decided(*said):
    return decide(DRAWN, [says(peer, Finding(finding)) for peer, finding in said])


@pytest.mark.parametrize(
    ("said", "decision"),
    [
        ([], Decision.CLEAR),
        ([(A, "match")], Decision.CLEAR),
        ([(B, "mismatch"), (C, "mismatch"), (D, "mismatch")], Decision.CLEAR),  # nobody drawn as auditor accuses
        ([(E, "mismatch")], Decision.CLEAR),
        ([(A, "mismatch")], Decision.UNDECIDED),
        ([(A, "mismatch"), (B, "match")], Decision.UNDECIDED),
        ([(A, "mismatch"), (B, "match"), (C, "match")], Decision.CLEAR),  # a lying auditor
        ([(A, "mismatch"), (B, "mismatch")], Decision.UNDECIDED),
        ([(A, "mismatch"), (B, "mismatch"), (C, "match"), (D, "mismatch")], Decision.GUILTY),  # a shielding attestor
        ([(A, "unavailable"), (B, "mismatch"), (C, "unavailable")], Decision.GUILTY),
        ([(A, "mismatch"), (E, "mismatch"), (B, "mismatch")], Decision.UNDECIDED),  # strangers have no vote
    ],
)
def test_a_decision_takes_an_auditor_and_a_majority_of_attestors(said, decision):
    assert decided(*said) is decision
    assert decided(*reversed(said)) is decision


def test_whoever_says_two_different_things_has_said_nothing():
    both = [says(A, Finding.MISMATCH), says(A, Finding.MATCH), says(B, Finding.MISMATCH), says(C, Finding.MISMATCH)]
    assert decide(DRAWN, both) is Decision.CLEAR
    assert accusers(DRAWN, both) == ()
    assert accusers(DRAWN, both[:1]) == (A,)


def test_an_auditor_that_is_an_attestor_too_has_one_vote():
    drawn = Drawn((A,), (A, B), True)
    assert decide(drawn, [says(A, Finding.MISMATCH)]) is Decision.UNDECIDED
    assert decide(drawn, [says(A, Finding.MISMATCH), says(B, Finding.MATCH)]) is Decision.CLEAR
    assert decide(drawn, [says(A, Finding.MISMATCH), says(B, Finding.MISMATCH)]) is Decision.GUILTY
