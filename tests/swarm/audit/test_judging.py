"""What a round's verdicts come to for the ledger: struck, undecided, passed, and who is paid for it."""

from protocol.codec import content_id
from protocol.ids import PeerId
from protocol.messages import Difference, Finding, Verdict
from rewards.economics import DEFAULT
from rewards.pending import Judge
from swarm.audit import judging
from verde.draw import Drawn

ANN, BOB, CAT, DAN, EVE = (PeerId(name) for name in ("ann", "bob", "cat", "dan", "eve"))
GOOD, BAD, OPEN = (content_id(name) for name in (b"good", b"bad", b"open"))
DRAWN = {
    GOOD: Drawn((ANN,), (BOB, CAT, DAN), True),
    BAD: Drawn((ANN,), (BOB, CAT, DAN), True),
    OPEN: Drawn((EVE,), (BOB, CAT, DAN), True),
}


def rule(drawn, verdicts, **rest):
    return judging.rule(drawn, verdicts, DEFAULT, 50_000, **rest)


def say(content, **said):
    return [
        Verdict(PeerId(peer), content, 1, Finding(what), None if what == "match" else Difference("it"), ())
        for peer, what in said.items()
    ]


SAID = {
    GOOD: say(GOOD, ann="match"),
    BAD: say(BAD, ann="mismatch", bob="mismatch", cat="match", dan="mismatch"),
    OPEN: say(OPEN, eve="mismatch", bob="match"),
}


def test_verdicts_are_summed_up_by_contribution_and_by_judge():
    ruling = rule(DRAWN, SAID)
    assert (ruling.struck, ruling.undecided, ruling.passed) == ({BAD}, {OPEN}, {GOOD})
    assert ruling.judges == (Judge(ANN, 40_000), Judge(BOB, 20_000), Judge(CAT, false=1), Judge(DAN, 20_000))


def test_what_waited_for_long_enough_is_paid_though_undecided_and_its_judges_are_not():
    ruling = rule(DRAWN, SAID, overdue=[OPEN], unseen=[content_id(b"late")])
    assert ruling.undecided == {content_id(b"late")}
    assert OPEN not in ruling.passed
    assert EVE not in {judge.peer for judge in ruling.judges}


def test_a_refuted_accusation_leaves_the_work_as_good_as_checked():
    ruling = rule(DRAWN, {OPEN: say(OPEN, eve="mismatch", bob="match", cat="match")})
    assert (ruling.struck, ruling.undecided, ruling.passed) == (set(), set(), {OPEN})
    assert ruling.judges == (Judge(BOB, 20_000), Judge(CAT, 20_000), Judge(EVE, false=1))


def test_what_nobody_checked_is_neither_struck_nor_passed():
    ruling = rule(DRAWN, {GOOD: []})
    assert (ruling.struck, ruling.undecided, ruling.passed, ruling.judges) == (set(), set(), set(), ())


def test_a_verdict_that_took_a_replay_is_paid_more():
    said = [Verdict(ANN, GOOD, 2, Finding.MATCH, None, ())]
    assert rule(DRAWN, {GOOD: said}).judges == (Judge(ANN, 400_000),)
