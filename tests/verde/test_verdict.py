"""One liar neither denies pay nor shields a lie: what a majority of the drawn attestors finds, counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import content_id
from protocol.ids import PeerId
from protocol.messages import Difference, Finding, Verdict
from verde.draw import Drawn
from verde.verdict import Decision, Merit, accusers, decide, merits

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


# --- whose verdict was right ------------------------------------------------------------------------------------------


def worth(*said, drawn=DRAWN):
    return {peer: str(merit) for peer, merit in merits(drawn, [says(p, Finding(f)) for p, f in said]).items()}


def test_an_auditor_whom_nobody_contradicts_is_right_and_unasked_attestors_are_nothing():
    assert worth((A, "match")) == {A: "right"}
    assert worth((A, "match"), (B, "match"), (C, "mismatch")) == {A: "right"}
    assert worth((B, "match"), (E, "match")) == {}


def test_nobody_is_right_before_it_is_decided():
    assert worth((A, "mismatch"), (B, "mismatch")) == {}


def test_whoever_helped_to_find_a_cheat_is_right_and_who_shielded_it_false():
    found = worth((A, "mismatch"), (B, "mismatch"), (C, "match"), (D, "mismatch"))
    assert found == {A: "right", B: "right", C: "false", D: "right"}
    two = Drawn((A, E), (B, C, D), True)
    assert worth((A, "match"), (E, "mismatch"), (B, "mismatch"), (C, "mismatch"), drawn=two)[A] == "false"


def test_a_false_accusation_is_false_and_those_who_refuted_it_are_right():
    assert worth((A, "mismatch"), (B, "match"), (C, "match")) == {A: "false", B: "right", C: "right"}


def test_bad_luck_with_the_network_is_no_lie():
    assert worth((A, "unavailable"), (B, "match"), (C, "match")) == {A: "vain", B: "right", C: "right"}
    found = worth((A, "unavailable"), (B, "unavailable"), (C, "unavailable"), (D, "match"))
    assert found == {A: "right", B: "right", C: "right"}, "who got what others could not is neither right nor false"
    found = worth((A, "unavailable"), (B, "mismatch"), (C, "mismatch"), (D, "match"))
    assert found == {B: "right", C: "right", D: "false"}


def test_in_doubt_whether_it_was_different_or_not_to_be_had_nobody_is_false():
    found = worth((A, "mismatch"), (B, "mismatch"), (C, "unavailable"), (D, "match"))
    assert found == {C: "right"}


@given(st.dictionaries(st.sampled_from([A, B, C, D, E]), st.sampled_from(list(Finding))))
def test_merits_do_not_depend_on_the_order_of_verdicts_and_go_to_the_drawn_only(said):
    verdicts = [says(peer, finding) for peer, finding in said.items()]
    found = merits(DRAWN, verdicts)
    assert found == merits(DRAWN, reversed(verdicts))
    assert set(found) <= {A, B, C, D} & set(said)
    if decide(DRAWN, verdicts) is Decision.CLEAR:
        honest = {peer for peer, finding in said.items() if finding is Finding.MATCH}
        assert not any(merit is Merit.FALSE for peer, merit in found.items() if peer in honest)
