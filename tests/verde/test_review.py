"""Nobody alone can say that a verdict was made up, and nobody is paid for saying so."""

import pytest

from protocol.codec import content_id
from protocol.ids import PeerId
from protocol.messages import Review
from verde.draw import Drawn
from verde.review import Reviewed, doubted, panel, undecided, weigh

ANN, BOB, CAT, DAN, EVE, FAY = (PeerId(name) for name in ("ann", "bob", "cat", "dan", "eve", "fay"))
DRAWN = Drawn(auditors=(ANN,), attestors=(BOB, CAT, DAN), step=True)
WORK = content_id(b"work")


def say(judge=ANN, **words):
    return [Review(PeerId(by), WORK, judge, is_right) for by, is_right in words.items()]


def test_the_author_alone_convicts_nobody_but_has_the_attestors_asked():
    alone = say(eve=False)
    assert weigh(DRAWN, EVE, alone) == Reviewed()
    assert doubted(DRAWN, EVE, alone) == {ANN}
    assert undecided(DRAWN, EVE, alone) == {ANN: {BOB, CAT, DAN}}
    assert doubted(DRAWN, EVE, say(eve=True)) == frozenset()


@pytest.mark.parametrize(
    ("words", "made_up", "false"),
    [
        ({"eve": False, "bob": False, "cat": False}, {ANN}, set()),
        ({"eve": False, "bob": False, "cat": False, "dan": True}, {ANN}, {DAN}),
        ({"eve": True, "bob": False, "cat": False}, {ANN}, {EVE}),
        ({"eve": False, "bob": True, "cat": True}, set(), {EVE}),
        ({"eve": False, "bob": True, "cat": False}, set(), set()),
        ({"eve": False, "bob": False, "fay": False}, set(), set()),
    ],
)
def test_most_attestors_decide_about_the_judge_and_about_who_said_the_opposite(words, made_up, false):
    assert weigh(DRAWN, EVE, say(**words)) == Reviewed(frozenset(made_up), frozenset(false))


def test_a_judge_has_no_say_about_itself_and_who_says_both_has_none_at_all():
    both = [*say(eve=False, bob=False, cat=False), *say(cat=True)]
    assert weigh(DRAWN, EVE, both) == Reviewed()
    drawn = Drawn((ANN,), (ANN, BOB, CAT), True)
    assert panel(drawn, EVE, ANN) == (BOB, CAT)
    assert weigh(drawn, EVE, say(ann=True, bob=False, cat=False)).made_up == {ANN}
    assert weigh(drawn, EVE, say(bob=False)).made_up == frozenset()


def test_the_author_decides_with_the_last_attestor_and_nobody_decides_alone():
    three = Drawn((ANN,), (ANN, BOB), True)
    assert panel(three, EVE, ANN) == (BOB, EVE)
    assert weigh(three, EVE, say(eve=False, bob=False)).made_up == {ANN}
    assert weigh(three, EVE, say(eve=False, bob=True)) == Reviewed()
    two = Drawn((ANN,), (ANN,), True)
    assert panel(two, EVE, ANN) == (EVE,)
    assert weigh(two, EVE, say(eve=False)) == Reviewed()


def test_what_a_majority_decided_is_waited_for_no_longer():
    assert undecided(DRAWN, EVE, say(eve=False, bob=True)) == {ANN: {CAT, DAN}}
    assert undecided(DRAWN, EVE, say(eve=False, bob=True, cat=True)) == {}
