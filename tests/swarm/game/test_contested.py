"""Where scorers may differ: lessons and pay follow from what was signed, and from nothing else."""

import msgspec
import pytest

from protocol.errors import BadRecord
from protocol.ids import ContentId, Stage
from protocol.messages import BatchHeader, BlobRef, Contested, Rollout, RolloutBatch, RolloutGroup
from rewards.scoring.stages import StageScore, Undecided
from swarm.game.rescore import check_batch, claims_of, contested, rescore
from swarm.policy.base import ChatMessage
from swarm.rounds.checked import CheckedBatch
from swarm.rounds.contribution import contested_in, void_of
from swarm.rounds.lesson import lesson
from swarm.tasks.base import Question
from tests.swarm.game.conftest import PEERS, answering, batch
from tests.swarm.rounds.test_contribution import build, check

ANN, BOB = PEERS[:2]
PROMPT = (ChatMessage("user", "2 * 2 = ?"),)
FIRST, SECOND = ContentId("00" * 32), ContentId("ff" * 32)


def checked(view, peer, scores, claims=()):
    rollouts = tuple(Rollout(f"{peer} {number}", (number + 1, 7), True) for number in range(len(scores)))
    group = RolloutGroup(0, ContentId("ef" * 32), rollouts)
    content = ContentId(f"{PEERS.index(peer) + 1:064x}")
    one = RolloutBatch(view.run, view.round, Stage.ANSWER, peer, (group,), tuple(claims))
    header = BatchHeader(Stage.ANSWER, BlobRef(content, 1), ())
    rows = (tuple(StageScore(score, False, 0, "") for score in scores),)
    return CheckedBatch(content, header, one, rows, 0.0, 0.0, contested(one.claims, rows))


def taught(view, ann, bob, void=None):
    batches = {stage: {} for stage in Stage} | {Stage.ANSWER: {ANN: ann, BOB: bob}}
    return lesson(view, {Stage.ANSWER: [PROMPT]}, batches, ANN, 4, void)


def test_a_lesson_is_made_of_claims_and_not_of_what_was_found_here(view):
    ann = checked(view, ANN, (0, 0), claims=(1000, 0))
    bob = checked(view, BOB, (0, 0), claims=(1000, 0))
    assert (ann.contested, bob.claims_milli) == ({0}, (1000, 0))
    advantages = sorted(sample.advantage for sample in taught(view, ann, bob).samples)
    assert advantages[0] == advantages[1] == -advantages[2] == -advantages[3] != 0


def test_what_is_contested_or_undecided_has_no_place_in_its_group(view):
    ann = checked(view, ANN, (1000, 0), claims=(1000, None))
    bob = checked(view, BOB, (0, 0), claims=(1000, 0))
    one = taught(view, ann, bob, {bob.content: frozenset({0})})
    assert [sample.tokens for sample in one.samples] == [(1, 7), (2, 7)]
    assert one.samples[0].advantage == -one.samples[1].advantage > 0
    assert (one.num_own, one.num_void, one.num_groups, one.num_even) == (1, 2, 1, 0)


def test_exact_scores_make_the_same_lesson_as_ever_and_even_groups_are_counted(view):
    ann, bob = checked(view, ANN, (500, 500)), checked(view, BOB, (500, 500))
    even = taught(view, ann, bob)
    assert [sample.advantage for sample in even.samples] == [0.0] * 4
    assert (even.num_groups, even.num_even, even.num_void) == (1, 1, 0)
    skipping = msgspec.structs.replace(view, game=msgspec.structs.replace(view.game, skip_even=True))
    assert taught(skipping, ann, bob).samples == ()
    assert taught(skipping, ann, bob).num_even == 1
    assert len(taught(skipping, ann, checked(view, BOB, (500, 1000))).samples) == 4


def test_a_contribution_names_what_it_contests_in_one_way():
    named = contested_in({SECOND: {3, 1}, FIRST: {0}, ContentId("11" * 32): set()})
    assert named == (Contested(FIRST, (0,)), Contested(SECOND, (1, 3)))
    contribution = build(contested=named)
    assert void_of(contribution) == {FIRST: {0}, SECOND: {1, 3}}
    check(contribution, shared={FIRST: 4, SECOND: 4})


@pytest.mark.parametrize(
    ("claimed", "shared", "reason"),
    [
        ((Contested(FIRST, (0,)),), {}, "false_scores"),  # exact scores
        ((Contested(FIRST, (0,)),), {FIRST: 0}, "false_scores"),
        ((Contested(FIRST, (4,)),), {FIRST: 4}, "false_scores"),
        ((Contested(SECOND, (0,)),), {FIRST: 4}, "false_scores"),
        ((Contested(FIRST, ()),), {FIRST: 4}, "malformed"),
        ((Contested(FIRST, (1, 0)),), {FIRST: 4}, "malformed"),
        ((Contested(FIRST, (1, 1)),), {FIRST: 4}, "malformed"),
        ((Contested(SECOND, (1,)), Contested(FIRST, (1,))), {FIRST: 4, SECOND: 4}, "malformed"),
        ((Contested(FIRST, (1,)), Contested(FIRST, (2,))), {FIRST: 4}, "malformed"),
    ],
)
def test_what_cannot_be_contested_is_refused(claimed, shared, reason):
    with pytest.raises(BadRecord) as caught:
        check(build(contested=claimed), shared=shared)
    assert caught.value.reason == reason


def test_claims_belong_to_tasks_whose_scorers_may_differ_and_are_complete(view):
    plain = batch(view, Stage.ANSWER, ANN, lambda q, s: answering("1"))
    count = sum(len(group.rollouts) for group in plain.groups)
    with_claims = msgspec.structs.replace(plain, claims=(1000,) * count)
    check_batch(plain, view)
    check_batch(with_claims, view, is_exact=False)
    for wrong, is_exact in ((with_claims, True), (plain, False), (msgspec.structs.replace(plain, claims=(1,)), False)):
        with pytest.raises(BadRecord, match="It claims"):
            check_batch(wrong, view, is_exact=is_exact)


def test_what_this_machine_cannot_tell_is_undecided_and_contests_every_claim(view):
    class Cannot:
        def score(self, question: Question, answer: str) -> int:
            raise Undecided("no checker could be started")

    one = batch(view, Stage.ANSWER, ANN, lambda q, s: answering("1"))
    scores = rescore(one, view, Cannot())
    assert set(claims_of(scores)) == {None}
    assert scores[0][0].why == "not decided here: no checker could be started"
    count = len(claims_of(scores))
    assert contested((0,) * count, scores) == set(range(count))
    assert contested((None,) * count, scores) == set(range(count))

