"""A batch is what its stage asks for, or it is refused; its scores are the same for everyone."""

import msgspec
import pytest

from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId, Stage
from protocol.messages import Rollout
from swarm.game.recap import recap
from swarm.game.rescore import build_batch, check_batch, rescore, scores_milli
from swarm.game.round_view import shown_answers, with_batches
from tests.swarm.game.conftest import PEERS, answering, batch, deciding, picking

replace = msgspec.structs.replace


def play(view, task):
    """Ada answers right, Bob wrong, Cyd nothing readable; everybody picks Ada's letter and decides for the truth."""
    truths = [question.truth for question in view.questions]
    says = {
        PEERS[0]: lambda q, s: answering(truths[q]),
        PEERS[1]: lambda q, s: answering("7777"),
        PEERS[2]: lambda q, s: "?",
    }
    answers = {peer: batch(view, Stage.ANSWER, peer, says[peer]) for peer in PEERS}
    second = with_batches(view, Stage.ANSWER, answers)
    letter = [next(s.label for s in shown_answers(second, q) if s.text == answering(truths[q])) for q in range(3)]
    critiques = {peer: batch(second, Stage.CRITIQUE, peer, lambda q, s: picking(letter[q])) for peer in PEERS}
    third = with_batches(second, Stage.CRITIQUE, critiques)
    decisions = {peer: batch(third, Stage.DECIDE, peer, lambda q, s: deciding(letter[q], truths[q])) for peer in PEERS}
    return (view, second, third), (answers, critiques, decisions)


def test_a_round_is_scored_stage_by_stage(view, task):
    (first, second, third), (answers, critiques, decisions) = play(view, task)
    assert [set(scores_milli(rescore(answers[peer], first, task))) for peer in PEERS] == [{1000}, {200}, {0}]
    assert set(scores_milli(rescore(critiques[PEERS[0]], second, task))) == {1000}
    assert set(scores_milli(rescore(decisions[PEERS[1]], third, task))) == {1000}
    for stage_view, batches in zip((first, second, third), (answers, critiques, decisions), strict=True):
        check_batch(batches[PEERS[0]], stage_view)


def test_scores_come_from_the_task_and_not_from_what_was_claimed(view, task):
    forged = batch(view, Stage.ANSWER, PEERS[2], lambda q, s: answering("1") + "<score>1000</score>")
    assert max(scores_milli(rescore(forged, view, task))) < 300


def spoil_group(good, **changes):
    return replace(good, groups=(replace(good.groups[0], **changes), *good.groups[1:]))


def spoil(good, **changes):
    group = good.groups[1]
    rollout = replace(group.rollouts[0], **changes)
    groups = (good.groups[0], replace(group, rollouts=(rollout, *group.rollouts[1:])), *good.groups[2:])
    return replace(good, groups=groups)


@pytest.mark.parametrize(
    ("reason", "damage"),
    [
        ("wrong_run", lambda b: replace(b, run=ContentId("9" * 64))),
        ("wrong_round", lambda b: replace(b, round=5)),
        ("not_a_member", lambda b: replace(b, peer=PeerId("QmEve"))),
        ("wrong_rollouts", lambda b: replace(b, groups=b.groups[:2])),
        ("wrong_rollouts", lambda b: replace(b, groups=b.groups[::-1])),
        ("wrong_rollouts", lambda b: replace(b, groups=(*b.groups, b.groups[0]))),
        ("wrong_rollouts", lambda b: spoil_group(b, rollouts=b.groups[0].rollouts[:1])),
        ("wrong_rollouts", lambda b: spoil_group(b, prompt=ContentId("0" * 64))),
        ("wrong_rollouts", lambda b: replace(b, stage=Stage.CRITIQUE)),
        ("wrong_rollouts", lambda b: spoil(b, tokens=())),
        ("wrong_rollouts", lambda b: spoil(b, tokens=(1,) * 9)),
        ("wrong_rollouts", lambda b: spoil(b, ended=False)),
        ("wrong_rollouts", lambda b: spoil(b, text="x" * 5_000_000)),
    ],
)  # fmt: skip
def test_a_batch_that_is_not_what_was_asked_is_refused(view, reason, damage):
    good = batch(view, Stage.ANSWER, PEERS[0], lambda q, s: answering("1"))
    check_batch(good, view)
    with pytest.raises(BadRecord) as refusal:
        check_batch(damage(good), view)
    assert refusal.value.reason == reason


def test_text_that_is_not_what_the_tokens_say_is_refused(view):
    good = batch(view, Stage.ANSWER, PEERS[0], lambda q, s: answering("1"))
    with pytest.raises(BadRecord, match="not what its tokens say"):
        check_batch(good, view, text_of=lambda tokens: "something else")

    def unknown(tokens):
        raise ValueError("no such id")

    with pytest.raises(BadRecord, match="does not know"):
        check_batch(good, view, text_of=unknown)


def test_a_critique_of_other_batches_than_mine_is_refused_until_i_take_its_view(view, task):
    (_, second, _), (answers, critiques, _) = play(view, task)
    partial = with_batches(view, Stage.ANSWER, {PEERS[0]: answers[PEERS[0]]})
    with pytest.raises(BadRecord, match="another prompt"):
        check_batch(critiques[PEERS[0]], partial)
    check_batch(critiques[PEERS[0]], second)


def test_the_own_batch_needs_every_completion(view):
    with pytest.raises(ValueError, match="3 questions x 2 samples"):
        build_batch(view, Stage.ANSWER, PEERS[0], [])


def test_an_unfinished_rollout_of_full_length_is_accepted(view):
    good = batch(view, Stage.ANSWER, PEERS[0], lambda q, s: "cut")
    groups = tuple(replace(g, rollouts=(Rollout("cut", (1,) * 8, False),) * 2) for g in good.groups)
    check_batch(replace(good, groups=groups), view)


def test_the_recap_tells_who_said_what_in_plain_words(view, task):
    views, stages = play(view, task)
    scored = [
        {p: (b, rescore(b, v, task)) for p, b in batches.items()} for v, batches in zip(views, stages, strict=True)
    ]
    told = recap(views[2], 0, *scored)
    assert told.truth == view.questions[0].truth
    assert [said.label for said in told.answers] == ["A", "B", "C"]
    by_peer = {said.peer: said for said in told.answers}
    assert by_peer[PEERS[0]].text == f"work → {told.truth}"
    assert by_peer[PEERS[0]].why == f"{told.truth} is right"
    assert by_peer[PEERS[2]].text == "?"
    assert {said.score_milli for said in told.decisions} == {1000}
    assert told.critiques[0].text.startswith("check → picks ")


def test_the_recap_leaves_out_who_was_not_heard(view, task):
    told = recap(view, 0, {}, {}, {})
    assert (told.answers, told.critiques, told.decisions) == ((), (), ())
