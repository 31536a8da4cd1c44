"""Why this module exists: whoever may have to play a game about a contribution keeps what it was computed from.

A dossier is small: the signed record, and the words of the lesson and of every rollout as the engine takes them. The
states are kept beside it (``swarm.disputes.archive``). Programs, data and proofs follow from it again at any time.
"""

from __future__ import annotations

import msgspec

from chain.games import WHOLE_STEP
from chain.intents import OpenDispute
from protocol.codec import content_id, decode, encode
from protocol.errors import BadRecord, NumericsError, SwarmError
from protocol.ids import ZERO_ROOT, ContentId, PeerId
from protocol.merkle import MerkleTree
from protocol.messages import Contribution, Difference, Envelope
from swarm.audit.commitments import Material, draw_line
from swarm.game.round_view import stage_sampling
from swarm.policy.base import Provable, Replayable, SampleRequest, Sampling, StateParts, TrainSample
from swarm.rounds.lesson import step_seed
from verde.program.computation import Computation

DOSSIER_CAP = 1 << 30


class StepWork(msgspec.Struct, frozen=True):
    """A training step as an engine takes it."""

    samples: tuple[TrainSample, ...]
    seed: int


class DrawWork(msgspec.Struct, frozen=True):
    """A rollout that is to be drawn, and what was drawn."""

    request: SampleRequest
    sampling: Sampling
    tokens: tuple[int, ...]


class Dossier(msgspec.Struct, frozen=True):
    """A contribution, its states aside. ``step``: ``None`` where there was nothing to train on."""

    envelope: Envelope
    step: StepWork | None
    draws: tuple[DrawWork, ...]

    @property
    def content(self) -> ContentId:
        return content_id(self.envelope.payload)

    @property
    def peer(self) -> PeerId:
        return self.envelope.peer

    @property
    def round(self) -> int:
        return self.envelope.round

    @property
    def contribution(self) -> Contribution:
        return decode(self.envelope.payload, Contribution)

    def computation(self, engine: Provable, subject: int) -> Computation:
        """What a game about ``subject`` is about.

        Raises ``NotBuiltYet`` where there is no program, ``SwarmError`` where there is no such step or rollout.
        """
        if subject == WHOLE_STEP:
            if self.step is None:
                raise _nothing("it has no training step")
            return engine.step_computation(self.step.samples, self.step.seed)
        if not 0 <= subject < len(self.draws):
            raise _nothing(f"it has {len(self.draws)} rollouts, and none with the number {subject}")
        return self._draw(engine, subject)

    def opening(self, engine: Provable, subject: int) -> OpenDispute:
        """What opens a game about ``subject``. Raises as ``computation``."""
        contribution, computation = self.contribution, self.computation(engine, subject)
        intent = OpenDispute(
            peer=self.peer,
            round=self.round,
            contribution=self.envelope.payload,
            signature=self.envelope.signature,
            state_before=contribution.state_before,
            state_after=contribution.state_after,
            step_program=contribution.step_program,
            step_data=contribution.step_data,
            draws=contribution.draws,
            subject=subject,
        )
        if subject == WHOLE_STEP:
            return intent
        lines = [draw_line(number, self._draw(engine, number)) for number in range(len(self.draws))]
        return msgspec.structs.replace(
            intent,
            draw_program=computation.program_root,
            draw_data=computation.data_root,
            draw_proof=MerkleTree(lines).proof(*lines[subject]),
        )

    def _draw(self, engine: Provable, number: int) -> Computation:
        work = self.draws[number]
        return engine.draw_computation(work.request, work.sampling, work.tokens)


def dossier_of(envelope: Envelope, material: Material, num_external: int) -> Dossier:
    """The dossier of a contribution that was verified."""
    view, samples = material.view, material.lesson(num_external).samples
    draws = [
        DrawWork(material.request(place), stage_sampling(view.game, place.stage), place.rollout.tokens)
        for place in material.places
    ]
    step = StepWork(samples, step_seed(view, material.peer)) if samples else None
    return Dossier(envelope, step, tuple(draws))


def subject_of(material: Material, level: int, difference: Difference) -> int | None:
    """What to dispute when a check at ``level`` found ``difference``; ``None`` where it named nothing that can be."""
    if level >= 2:
        return WHOLE_STEP
    if level < 1 or difference.stage is None:
        return None
    places = [(one.stage, one.question, one.sample) for one in material.places]
    place = (difference.stage, difference.question, difference.sample)
    return places.index(place) if place in places else None


def ends_otherwise(engine: Replayable, before: StateParts, step: StepWork, claimed: ContentId) -> bool:
    """Whether the step does not lead to the state ``claimed``, as the engine's own kernels compute it: the program has
    the same bits. A step that ends in no number leads nowhere."""
    replica = engine.replica(before)
    try:
        replica.step(step.samples, step.seed)
    except NumericsError:
        return True
    return replica.state_hash() != claimed


def is_disputable(contribution: Contribution, subject: int) -> bool:
    """Whether the contribution names a program for it."""
    return (contribution.step_program if subject == WHOLE_STEP else contribution.draws) != ZERO_ROOT


def dossier_bytes(dossier: Dossier) -> bytes:
    """For the disk."""
    return encode(dossier)


def read_dossier(raw: bytes) -> Dossier:
    """From the disk. Raises ``BadRecord`` where it is damaged."""
    dossier = decode(raw, Dossier, cap=DOSSIER_CAP)
    if dossier.envelope.kind != "contribution":
        raise BadRecord("malformed", "A dossier is about a contribution.")
    return dossier


def _nothing(why: str) -> SwarmError:
    return SwarmError(
        f"There is nothing to dispute about this contribution: {why}.",
        "No game was opened, and no bond was put up.",
        "See what `swarm verify ROUND PEER` finds.",
    )
