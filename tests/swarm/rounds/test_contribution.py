import hashlib

import msgspec
import pytest

from protocol.codec import content_id_of, encode
from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId, Stage
from protocol.merkle import MerkleTree
from protocol.messages import BlobRef, Rollout, RolloutBatch, RolloutGroup
from swarm.rounds.contribution import Commitments, build_contribution, check_contribution, rollouts_root, work_of

RUN, PEER, GENESIS = ContentId("ab" * 32), PeerId("QmA"), ContentId("cd" * 32)
SEED, COHORT, MANIFEST = ContentId("5e" * 32), (PEER, PeerId("QmB")), BlobRef(ContentId("3a" * 32), 100)
SCORES = (1000, 0, 250, 750)
NAMED = Commitments(ContentId("01" * 32), ContentId("02" * 32), ContentId("03" * 32))


def batch(stage, *texts):
    rollouts = tuple(Rollout(text, (1, 2), True) for text in texts)
    return RolloutBatch(RUN, 4, stage, PEER, (RolloutGroup(0, ContentId("ef" * 32), rollouts),))


BATCHES = (batch(Stage.ANSWER, "a", "b"), batch(Stage.DECIDE, "c", "d"))


def build(**changes):
    given = {
        "run": RUN, "round_number": 4, "peer": PEER, "seed": SEED, "cohort": COHORT, "state_before": GENESIS,
        "state_after": ContentId("12" * 32), "before": None, "after": None,
        "batches": BATCHES, "consumed": [ContentId("ff" * 32), ContentId("00" * 32)], "scores_milli": SCORES,
        "engine": "fake", "profile": "bytes", "commitments": NAMED,
    }  # fmt: skip
    return build_contribution(**(given | changes))


def check(contribution, **changes):
    known = {
        "run": RUN, "round_number": 4, "peer": PEER, "seed": SEED, "cohort": COHORT, "engines": ("fake",),
        "batches": BATCHES, "scores_milli": SCORES, "state": GENESIS, "genesis": GENESIS, "is_replayable": False,
        "commitments": NAMED, "has_step": True,
    }  # fmt: skip
    check_contribution(contribution, **(known | changes))


def test_an_honest_contribution_holds_and_names_everything():
    contribution = build()
    check(contribution)
    check(contribution, state=None)
    assert contribution.batches == tuple(content_id_of(one) for one in BATCHES)
    assert contribution.consumed == ("00" * 32, "ff" * 32)


def test_the_root_is_over_every_rollout_in_order():
    rollouts = [rollout for one in BATCHES for rollout in one.groups[0].rollouts]
    leaves = [(n.to_bytes(32, "big"), hashlib.sha256(encode(rollout)).digest()) for n, rollout in enumerate(rollouts)]
    assert rollouts_root(BATCHES) == MerkleTree(leaves).root
    assert rollouts_root(BATCHES[::-1]) != rollouts_root(BATCHES)


@pytest.mark.parametrize(
    ("claimed", "reason"),
    [
        ({"run": GENESIS}, "wrong_run"),
        ({"round": 3}, "wrong_round"),
        ({"level": 2}, "wrong_round"),
        ({"peer": PeerId("QmB")}, "wrong_owner"),
        ({"batches": ()}, "wrong_rollouts"),
        ({"batches": tuple(content_id_of(one) for one in BATCHES[::-1])}, "wrong_rollouts"),
        ({"rollouts_root": GENESIS}, "wrong_rollouts"),
        ({"scores_milli": (1000, 1000, 1000, 1000)}, "false_scores"),
        ({"scores_milli": SCORES[:3]}, "false_scores"),
        ({"state_before": RUN}, "wrong_state"),
        ({"seed": RUN}, "wrong_round"),
        ({"cohort": (PEER,)}, "wrong_round"),
        ({"engine": "native"}, "wrong_engine"),
        ({"after": MANIFEST}, "wrong_state"),
        ({"step_program": RUN}, "wrong_program"),
        ({"step_data": RUN}, "wrong_program"),
        ({"draws": ContentId("00" * 32)}, "wrong_program"),
        ({"work": bytes(32)}, "wrong_program"),
        ({"state_after": RUN}, "wrong_program"),
    ],
)
def test_every_claim_is_recomputed(claimed, reason):
    with pytest.raises(BadRecord) as caught:
        check(msgspec.structs.replace(build(), **claimed))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("state", "before", "after", "holds"),
    [
        (GENESIS, None, MANIFEST, True),
        (GENESIS, MANIFEST, MANIFEST, False),  # everybody has it, and whoever asks would be sent elsewhere
        (GENESIS, None, None, False),
        (RUN, MANIFEST, MANIFEST, True),
        (RUN, None, MANIFEST, False),
    ],
)
def test_what_can_be_replayed_says_where_its_states_are_found(state, before, after, holds):
    contribution = build(state_before=state, before=before, after=after)
    if holds:
        check(contribution, state=state, is_replayable=True)
    else:
        with pytest.raises(BadRecord) as caught:
            check(contribution, state=state, is_replayable=True)
        assert caught.value.reason == "wrong_state"


def test_the_canonical_bytes_end_with_the_hash_of_states_and_programs():
    contribution = build()
    words = (GENESIS, "12" * 32, NAMED.step_program, NAMED.step_data, NAMED.draws)
    work = hashlib.sha256(b"".join(bytes.fromhex(word) for word in words)).digest()
    assert work_of(GENESIS, ContentId("12" * 32), NAMED) == work
    assert encode(contribution)[-34:] == b"\xc4\x20" + work


def test_without_anything_to_train_on_the_state_stays():
    check(build(state_after=GENESIS), has_step=False)
    with pytest.raises(BadRecord) as caught:
        check(build(), has_step=False)
    assert caught.value.reason == "wrong_state"


def test_a_tolerated_engine_counts_where_the_run_says_so_and_names_no_programs():
    tolerated = build(engine="trl", commitments=Commitments())
    check(tolerated, engines=("fake", "trl"), commitments=Commitments())
    with pytest.raises(BadRecord, match="trl engine in a run of fake"):
        check(tolerated)
    with pytest.raises(BadRecord) as caught:
        check(build(engine="trl"), engines=("fake", "trl"), commitments=Commitments())
    assert caught.value.reason == "wrong_program"
