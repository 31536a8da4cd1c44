"""Why this module exists: a spot-check does a part of somebody's work again and says where it came out different first.

    level 1    drawn rollouts: would the claimed state have drawn these very tokens?        one prefill each
    level 2    the training step: does the claimed lesson lead to the claimed state?

Both run on a replica of the engine in the claimed state; the engine itself is not touched. Level 0 (schema, signatures,
scores) is the inbox's. Blocking: runs on the engine's thread. Knows no network and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.errors import ConfigError, NumericsError, VerificationError
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import Contribution, Difference, Envelope, Rollout
from swarm.audit.commitments import Material
from swarm.game.round_view import RoundView, sample_seed, stage_sampling
from swarm.policy.base import Completion, Engine, Prompt, Replayable, SampleRequest, StateParts
from swarm.rounds.checked import CheckedBatch
from swarm.rounds.contribution import void_of
from swarm.rounds.lesson import step_seed
from verde.commit import Manifest, parse_manifest


@dataclass(frozen=True)
class Case:
    """A contribution with everything that it is a function of. ``envelope``: the signed record.

    ``view``: its peer's round, before anything was received. ``batches``: its peer's own and those that it trained on,
    by stage. ``prompts``: what its peer asked itself, by stage and question. ``parts``: the state before (``None``
    where it cannot be replayed). ``after``: the manifest of the claimed state after, where it could be had; it only
    serves to name what differs.
    """

    content: ContentId
    envelope: Envelope
    contribution: Contribution
    view: RoundView
    batches: Mapping[Stage, Mapping[PeerId, CheckedBatch]]
    prompts: Mapping[Stage, Sequence[Prompt]]
    parts: StateParts | None
    after: Manifest | None = None
    num_bytes: int = 0

    @property
    def material(self) -> Material:
        """What the work follows from, its states aside."""
        void = void_of(self.contribution)
        return Material(self.view, self.contribution.peer, self.batches, self.prompts, void)

    @property
    def num_rollouts(self) -> int:
        return len(_places(self))

    @property
    def evidence(self) -> tuple[ContentId, ...]:
        """Content ids of the batches that the check reads: the peer's own."""
        return self.contribution.batches


@dataclass(frozen=True)
class _Place:
    stage: Stage
    question: int
    sample: int
    rollout: Rollout


def replay(
    engine: Engine, case: Case, numbers: Sequence[int], num_external: int, *, level: int
) -> tuple[int, Difference | None]:
    """Check a case up to ``level`` (1 or 2): the level reached, and what differs first.

    ``numbers``: which rollouts; ``num_external``: the run's rule. What cannot be computed at all from the claimed state
    (a prompt that does not fit, a step that ends in NaN) cannot have been done so by anybody, and differs. Raises
    ``VerificationError`` when what was served as the state before is not that state."""
    reached = 1
    try:
        difference = check_rollouts(replica_of(engine, case), case, numbers)
        if difference is None and level > 1:
            reached = 2
            difference = check_step(replica_of(engine, case), case, num_external)
    except (ConfigError, NumericsError) as error:
        difference = Difference(error.what[:300])
    return reached, difference


def replica_of(engine: Engine, case: Case) -> Engine:
    """An engine in the state before. Raises ``VerificationError`` when what was served is not that state."""
    if not isinstance(engine, Replayable) or case.parts is None:
        raise VerificationError("This engine cannot do anybody's work again.", "Nothing was checked.", "")
    replica = engine.replica(case.parts)
    if replica.state_hash() != case.contribution.state_before:
        raise VerificationError(
            f"What is served as the state {case.contribution.state_before[:16]}… is another one.",
            "Nothing was computed from it; your own state and credits are not touched.",
            "Ask another holder for it.",
        )
    return replica


def check_rollouts(replica: Engine, case: Case, numbers: Sequence[int]) -> Difference | None:
    """Level 1 on the rollouts of these numbers (in the order of the contribution's batches); the first difference."""
    places = [_places(case)[number] for number in numbers]
    for stage in STAGES:
        drawn = [place for place in places if place.stage is stage]
        if not drawn:
            continue
        requests = [
            SampleRequest(
                case.prompts[stage][place.question],
                sample_seed(case.view, stage, case.contribution.peer, place.question, place.sample),
            )
            for place in drawn
        ]
        claimed = [Completion(one.rollout.tokens, one.rollout.text, one.rollout.ended) for one in drawn]
        assert isinstance(replica, Replayable)
        found = replica.first_differences(requests, stage_sampling(case.view.game, stage), claimed)
        for place, position in zip(drawn, found, strict=True):
            if position is not None:
                return Difference(
                    what=f"Token {position} of its {stage} {place.sample} to question {place.question} was not drawn"
                    " from the claimed state.",
                    stage=stage,
                    question=place.question,
                    sample=place.sample,
                    position=position,
                )
    return None


def check_step(replica: Engine, case: Case, num_external: int) -> Difference | None:
    """Level 2: take the training step on ``replica``, which must be in the state before; where it ends differently."""
    contribution = case.contribution
    taught = case.material.lesson(num_external)
    if taught.samples:
        replica.step(taught.samples, step_seed(case.view, contribution.peer))
    mine = replica.state_hash()
    if mine == contribution.state_after:
        return None
    chunk = _first_chunk(replica, case.after)
    return Difference(
        what=f"The training step ends in the state {mine[:16]}…, not in {contribution.state_after[:16]}…"
        + ("" if chunk is None else f"; chunk {chunk} is the first that differs."),
        chunk=chunk,
    )


def _places(case: Case) -> list[_Place]:
    peer = case.contribution.peer
    return [
        _Place(stage, group.question, sample, rollout)
        for stage in STAGES
        if peer in case.batches[stage]
        for group in case.batches[stage][peer].batch.groups
        for sample, rollout in enumerate(group.rollouts)
    ]


def _first_chunk(replica: Engine, after: Manifest | None) -> int | None:
    if after is None:
        return None
    assert isinstance(replica, Replayable)
    mine = parse_manifest(replica.parts().manifest)
    pairs = enumerate(zip(mine.chunks, after.chunks, strict=False))
    return next((number for number, (one, other) in pairs if one != other), None)
