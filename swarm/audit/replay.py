"""Why this module exists: a spot-check does a part of somebody's work again and says where it came out different first.

    level 1    drawn rollouts: would the claimed state have drawn these very tokens?        one prefill each
    level 2    the training step: does the claimed lesson lead to the claimed state?
    tolerance  level 1 of an engine without exact results: does a prefill agree with these tokens?

Both run on a replica of the engine in the claimed state; the engine itself is not touched. Level 0 (schema, signatures,
scores) is the inbox's. Blocking: runs on the engine's thread. Knows no network and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from protocol.errors import ConfigError, NumericsError, VerificationError
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import Contribution, Difference, Envelope
from protocol.run import TOLERANCE_CHECKED
from swarm.audit.commitments import Material, Place
from swarm.game.round_view import RoundView, stage_sampling
from swarm.policy.base import Completion, Engine, Prompt, Replayable, SampleRequest, StateParts, Tolerant
from swarm.rounds.checked import CheckedBatch
from swarm.rounds.contribution import void_of
from swarm.rounds.lesson import step_seed
from verde.commit import Manifest, parse_manifest
from verde.witness import NO_STEP, Yield


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
        made = self.contribution
        return Material(self.view, made.peer, made.engine, self.batches, self.prompts, void)

    @property
    def num_rollouts(self) -> int:
        return len(self.material.places)

    @property
    def evidence(self) -> tuple[ContentId, ...]:
        """Content ids of the batches that the check reads: the peer's own."""
        return self.contribution.batches


@dataclass(frozen=True)
class Replayed:
    """The level that a check reached, what differs first, and what the check came across."""

    level: int
    difference: Difference | None
    found: Yield


def replay(
    engine: Engine, case: Case, numbers: Sequence[int], num_external: int, *, level: int, tolerance_ppm: int = 0
) -> Replayed:
    """Check a case up to ``level`` (1 or 2).

    Of an engine whose last bits nobody can repeat only rollouts are checked, within ``tolerance_ppm``, whatever the
    level, and nothing is come across. ``numbers``: which rollouts; ``num_external``: the run's rule. What cannot be
    computed from the claimed state at all (a prompt that does not fit, a step that ends in NaN) cannot have been done
    so by anybody, and differs. Raises ``VerificationError`` when what was served as the state before is not that
    state."""
    digests: tuple[bytes, ...] = ()
    reached, step = 1, b""
    try:
        if case.contribution.engine in TOLERANCE_CHECKED:
            agreement = check_agreement(replica_of(engine, case), case, numbers, tolerance_ppm)
            return Replayed(reached, agreement, Yield())
        difference, digests = check_rollouts(replica_of(engine, case), case, numbers)
        if difference is None and level > 1:
            reached = 2
            difference, step = check_step(replica_of(engine, case), case, num_external)
    except (ConfigError, NumericsError) as error:
        difference = Difference(error.what[:300])
    return Replayed(reached, difference, Yield(digests, step))


def replica_of(engine: Engine, case: Case) -> Engine:
    """An engine in the state before. Raises ``VerificationError`` when what was served is not that state."""
    if not isinstance(engine, Replayable | Tolerant) or case.parts is None:
        raise VerificationError("This engine cannot do anybody's work again.", "Nothing was checked.", "")
    replica = engine.replica(case.parts)
    if replica.state_hash() != case.contribution.state_before:
        raise VerificationError(
            f"What is served as the state {case.contribution.state_before[:16]}… is another one.",
            "Nothing was computed from it; your own state and credits are not touched.",
            "Ask another holder for it.",
        )
    return replica


def check_rollouts(replica: Engine, case: Case, numbers: Sequence[int]) -> tuple[Difference | None, tuple[bytes, ...]]:
    """Level 1 on the rollouts of these numbers (ascending, in the order of the contribution's batches): the first
    difference, and up to there a digest of each rollout's logits."""
    digests: list[bytes] = []
    for stage, drawn, requests in _asked(case, numbers):
        assert isinstance(replica, Replayable)
        claimed = [_claim(place) for place in drawn]
        found = replica.redraw(requests, stage_sampling(case.view.game, stage), claimed)
        digests += [redrawn.digest for redrawn in found]
        for place, redrawn in zip(drawn, found, strict=True):
            position = redrawn.position
            if position is not None:
                difference = Difference(
                    what=f"Token {position} of its {stage} {place.sample} to question {place.question} was not drawn"
                    " from the claimed state.",
                    stage=stage,
                    question=place.question,
                    sample=place.sample,
                    position=position,
                )
                return difference, tuple(digests)
    return None, tuple(digests)


def check_agreement(replica: Engine, case: Case, numbers: Sequence[int], tolerance_ppm: int) -> Difference | None:
    """Level 1 for an engine without exact results: the first of these rollouts that a prefill does not agree with."""
    for stage, drawn, requests in _asked(case, numbers):
        assert isinstance(replica, Tolerant)
        claimed = [_claim(place) for place in drawn]
        for place, miss in zip(
            drawn, replica.misses(requests, stage_sampling(case.view.game, stage), claimed), strict=True
        ):
            if miss * 1_000_000 > tolerance_ppm:
                return Difference(
                    what=f"Its {stage} {place.sample} to question {place.question} misses what its seed draws from the"
                    f" claimed state by {miss:.6f} of the probability, where {tolerance_ppm / 1e6:.6f} is allowed.",
                    stage=stage,
                    question=place.question,
                    sample=place.sample,
                )
    return None


def _asked(case: Case, numbers: Sequence[int]) -> Iterator[tuple[Stage, list[Place], list[SampleRequest]]]:
    """The rollouts of these numbers by stage, with what was to be drawn for each."""
    material = case.material
    everywhere = material.places
    places = [everywhere[number] for number in numbers]
    for stage in STAGES:
        drawn = [place for place in places if place.stage is stage]
        if drawn:
            yield stage, drawn, [material.request(place) for place in drawn]


def _claim(place: Place) -> Completion:
    return Completion(place.rollout.tokens, place.rollout.text, place.rollout.ended)


def check_step(replica: Engine, case: Case, num_external: int) -> tuple[Difference | None, bytes]:
    """Level 2: take the training step on ``replica``, which must be in the state before; where it ends differently, and
    a digest of its gradients."""
    contribution = case.contribution
    taught, digest = case.material.lesson(num_external), NO_STEP
    if taught.samples:
        digest = replica.step(taught.samples, step_seed(case.view, contribution.peer)).digest
    mine = replica.state_hash()
    if mine == contribution.state_after:
        return None, digest
    chunk = _first_chunk(replica, case.after)
    difference = Difference(
        what=f"The training step ends in the state {mine[:16]}…, not in {contribution.state_after[:16]}…"
        + ("" if chunk is None else f"; chunk {chunk} is the first that differs."),
        chunk=chunk,
    )
    return difference, digest


def _first_chunk(replica: Engine, after: Manifest | None) -> int | None:
    if after is None:
        return None
    assert isinstance(replica, Replayable)
    mine = parse_manifest(replica.parts().manifest)
    pairs = enumerate(zip(mine.chunks, after.chunks, strict=False))
    return next((number for number, (one, other) in pairs if one != other), None)
