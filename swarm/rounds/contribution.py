"""Why this module exists: what a peer did in a round is one record, and anyone can recompute every word of it.

Building and checking are the two halves of one definition, both pure. ``rollouts_root`` is the Merkle root over
(index as 32 bytes, SHA-256 of the rollout's canonical bytes) of all rollouts of the named batches, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import msgspec

from protocol.codec import content_id_of, encode
from protocol.errors import BadRecord
from protocol.ids import ZERO_ROOT, ContentId, PeerId
from protocol.merkle import MerkleTree
from protocol.messages import BlobRef, Contested, Contribution, RolloutBatch


class Commitments(msgspec.Struct, frozen=True):
    """What a contribution names of its programs: see ``Contribution``. Zero: there is no program."""

    step_program: ContentId = ZERO_ROOT
    step_data: ContentId = ZERO_ROOT
    draws: ContentId = ZERO_ROOT


def work_of(state_before: ContentId, state_after: ContentId, commitments: Commitments) -> bytes:
    """The last field of a contribution: what a contract is shown instead of all the others."""
    words = (state_before, state_after, commitments.step_program, commitments.step_data, commitments.draws)
    return hashlib.sha256(b"".join(bytes.fromhex(word) for word in words)).digest()


def contested_in(void: Mapping[ContentId, Collection[int]]) -> tuple[Contested, ...]:
    """How a contribution names rollouts, given by batch: batches with any, and numbers, sorted."""
    return tuple(Contested(batch, tuple(sorted(void[batch]))) for batch in sorted(void) if void[batch])


def void_of(contribution: Contribution) -> dict[ContentId, frozenset[int]]:
    """By batch, numbers of the rollouts that a contribution's author does not agree on."""
    return {one.batch: frozenset(one.rollouts) for one in contribution.contested}


def rollouts_root(batches: Sequence[RolloutBatch]) -> ContentId:
    """Merkle root over every rollout of ``batches``, numbered from 0 in stage, question and sample order."""
    return rollouts_tree(batches).root


def rollouts_tree(batches: Sequence[RolloutBatch]) -> MerkleTree:
    """The tree behind ``rollouts_root``."""
    rollouts = [rollout for batch in batches for group in batch.groups for rollout in group.rollouts]
    return MerkleTree(
        (index.to_bytes(32, "big"), hashlib.sha256(encode(rollout)).digest()) for index, rollout in enumerate(rollouts)
    )


def build_contribution(
    *,
    run: ContentId,
    round_number: int,
    peer: PeerId,
    seed: ContentId,
    cohort: Sequence[PeerId],
    state_before: ContentId,
    state_after: ContentId,
    before: BlobRef | None,
    after: BlobRef | None,
    batches: Sequence[RolloutBatch],
    consumed: Sequence[ContentId],
    scores_milli: Sequence[int],
    engine: str,
    profile: str,
    commitments: Commitments,
    contested: Sequence[Contested] = (),
    level: int = 0,
) -> Contribution:
    """The record of a round's work. ``batches``: own ones in stage order; ``consumed``: others' it trained on;
    ``contested``: what of these it does not agree on (``contested_in``);
    ``before`` and ``after``: manifests of the two states, where the run's engine can be replayed."""
    return Contribution(
        run=run,
        round=round_number,
        peer=peer,
        seed=seed,
        cohort=tuple(cohort),
        state_before=state_before,
        state_after=state_after,
        before=before,
        after=after,
        batches=tuple(content_id_of(batch) for batch in batches),
        rollouts_root=rollouts_root(batches),
        consumed=tuple(sorted(consumed)),
        scores_milli=tuple(scores_milli),
        engine=engine,
        profile=profile,
        contested=tuple(contested),
        level=level,
        step_program=commitments.step_program,
        step_data=commitments.step_data,
        draws=commitments.draws,
        work=work_of(state_before, state_after, commitments),
    )


def check_contribution(
    contribution: Contribution,
    *,
    run: ContentId,
    round_number: int,
    peer: PeerId,
    seed: ContentId,
    cohort: Sequence[PeerId],
    engines: Collection[str],
    batches: Sequence[RolloutBatch],
    scores_milli: Sequence[int],
    state: ContentId | None,
    genesis: ContentId,
    is_replayable: bool,
    commitments: Commitments,
    has_step: bool,
    shared: Mapping[ContentId, int] | None = None,
    level: int = 0,
) -> None:
    """Raise ``BadRecord`` unless every claim is what was recomputed.

    ``batches`` are the signer's batches that the record names, ``scores_milli`` their recomputed scores in order,
    ``state`` the signer's last included state (``None`` for a newcomer: then the caller knows no better than to take
    the run's genesis, which it passes instead); ``engines``: whose work counts; ``is_replayable``: others can check it,
    so both states must be for them to fetch; ``commitments``: what it must say of its programs; ``has_step``:
    there was something to train on. ``shared``: batches that it trained on, with how many rollouts each has, where
    scorers may differ (``None``: they cannot). Does not replay anything.
    """
    if contribution.run != run:
        raise BadRecord("wrong_run", "The contribution is of another run.")
    if contribution.round != round_number:
        raise BadRecord("wrong_round", f"The contribution is of round {contribution.round}, not {round_number}.")
    if contribution.peer != peer:
        raise BadRecord("wrong_owner", "The contribution names another peer than its signer.")
    if (contribution.seed, contribution.cohort, contribution.level) != (seed, tuple(cohort), level):
        raise BadRecord("wrong_round", "The contribution names another seed, cohort or level than the round's.")
    if contribution.engine not in engines:
        named = " and ".join(engines)
        raise BadRecord("wrong_engine", f"It was made by a {contribution.engine[:32]} engine in a run of {named}.")
    if tuple(content_id_of(batch) for batch in batches) != contribution.batches:
        raise BadRecord("wrong_rollouts", "The contribution names other batches than the published ones.")
    if rollouts_root(batches) != contribution.rollouts_root:
        raise BadRecord("wrong_rollouts", "The rollouts' Merkle root does not belong to the published batches.")
    if tuple(scores_milli) != contribution.scores_milli:
        raise BadRecord("false_scores", "The claimed scores are not what the rollouts score.")
    _check_contested(contribution.contested, shared or {})
    if state is not None and contribution.state_before != state:
        raise BadRecord("wrong_state", "The step does not start from the signer's last included state.")
    shown = (contribution.before is not None, contribution.after is not None)
    if shown != (is_replayable and contribution.state_before != genesis, is_replayable):
        raise BadRecord("wrong_state", "It does not say where its states are found, or says so where nobody can ask.")
    if not has_step and contribution.state_after != contribution.state_before:
        raise BadRecord("wrong_state", "Its state moved, and there was nothing to train on.")
    named = Commitments(contribution.step_program, contribution.step_data, contribution.draws)
    if named != commitments:
        raise BadRecord("wrong_program", "It names other programs, or other data for them, than its work has.")
    if contribution.work != work_of(contribution.state_before, contribution.state_after, named):
        raise BadRecord("wrong_program", "Its last field is not the hash of its states and programs.")


def _check_contested(contested: Sequence[Contested], shared: Mapping[ContentId, int]) -> None:
    if list(contested) != list(contested_in({one.batch: set(one.rollouts) for one in contested})):
        raise BadRecord("malformed", "What it contests is not sorted, each once.")
    for one in contested:
        if one.rollouts[-1] >= shared.get(one.batch, 0):
            raise BadRecord("false_scores", "It contests scores that are exact, or not of its lesson.")
