"""Why this module exists: what a peer itself does in a round (sample, train, sign) in one place, each step resumable.

Before anything is published it is in the journal; what is found there is sent again instead of being made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from chain.base import Contracts
from identity.signer import Signer
from protocol.codec import content_id, decode, encode
from protocol.errors import BadRecord, IdentityError, OutOfMemory, StepFailed
from protocol.events import BatchProduced, ContributionPublished, ContributionSigned, StepSkipped, Trained
from protocol.ids import STAGES, ContentId, Stage
from protocol.messages import BatchHeader, BlobRef, Contribution, Envelope
from protocol.run import RunSpec
from swarm.audit.commitments import Clerk, Derived, Material
from swarm.audit.shelf import Shelf
from swarm.dht.counted import Tally
from swarm.dht.transport import Transport
from swarm.disputes.dossier import Dossier, dossier_of
from swarm.game.rescore import build_batch
from swarm.game.round_view import stage_requests, stage_sampling
from swarm.member.checkpoint import Checkpoints
from swarm.observe.eventlog import EventLog
from swarm.policy.base import Engine, StateParts, StepReport, TrainSample, parts_of
from swarm.rounds.checked import CheckedBatch
from swarm.rounds.contribution import Commitments, build_contribution, contested_in
from swarm.rounds.engine_room import EngineRoom
from swarm.rounds.inbox import CONTRIBUTION, Inbox
from swarm.rounds.journal import Journal
from swarm.rounds.lesson import step_seed
from swarm.rounds.timing import Activity, Now, Stopwatch
from verde.witness import NO_STEP

RECORD_TTL_S = 3600.0
"""How long a round's records stay in the DHT: long enough to settle late and for a newcomer to catch up."""

STEP_NOTE = "step"
"""Under which name a peer notes what its training step yielded."""


class Bench(msgspec.Struct, frozen=True):
    """What a peer works with, the same for all its rounds."""

    run: RunSpec
    contracts: Contracts
    signer: Signer
    engine: Engine
    engine_name: str
    profile: str
    room: EngineRoom
    clerk: Clerk
    transport: Transport
    checkpoints: Checkpoints
    shelf: Shelf
    journal: Journal
    events: EventLog
    watch: Stopwatch
    now: Now
    genesis: StateParts | None = None
    """The run's first state, where others can check the engine's work; ``None``: nothing can be spot-checked here."""

    poll_s: float = 0.2
    """Seconds between looks at the network and the chain while waiting for either."""

    tally: Tally | None = None
    """Counts what ``transport`` is asked, where somebody tells of it."""


class _Step(msgspec.Struct, frozen=True):
    """A training step that was taken: what is told of it, what it used, and where its states are found."""

    told: Trained
    material: Material
    derived: Derived
    consumed: tuple[ContentId, ...]
    before: BlobRef | None
    after: BlobRef | None


Keep = Callable[[Dossier], Awaitable[None]]
"""Puts away what a contribution needs if it is accused; called before it is signed for good."""


class Work:
    """One peer's own work in one round. ``keep``: ``None`` where nothing can be accused."""

    def __init__(
        self,
        bench: Bench,
        inbox: Inbox,
        state_before: ContentId,
        round_is_sure: Callable[[], Awaitable[None]],
        keep: Keep | None = None,
    ) -> None:
        self._bench = bench
        self._inbox = inbox
        self._state_before = state_before
        self._round_is_sure = round_is_sure
        self._keep = keep
        self._step: _Step | None = None

    async def produce(self, stage: Stage) -> CheckedBatch:
        """Sample, sign, keep and publish this peer's batch of ``stage`` (or send the one signed before a restart)."""
        bench, base = self._bench, self._inbox.base
        kept = bench.journal.read(base.round, stage)
        self._require_only_signer(stage, kept)
        if kept is not None and kept[1] is not None:
            envelope, blob = kept[0], kept[1]
            await self._publish(envelope, blob)
            return await self._inbox.add_own(envelope, blob)
        started_at = bench.now()
        view, consumed = self._inbox.view(), self._inbox.consumed(stage)
        requests = stage_requests(view, stage, bench.signer.peer)
        with bench.watch.during(Activity.GENERATE):
            completions = await bench.room.call(bench.engine.generate, requests, stage_sampling(view.game, stage))
        took_s = bench.now() - started_at
        await self._round_is_sure()
        bench.journal.note(base.round, stage, [completion.digest for completion in completions])
        batch = build_batch(view, stage, bench.signer.peer, completions)
        blob = encode(await self._inbox.weighing.claimed(batch, view))
        header = BatchHeader(stage, bench.transport.offer(blob), consumed)
        envelope = self._seal(stage, encode(header))
        bench.journal.write(envelope, blob)
        checked = await self._inbox.add_own(envelope, blob)
        bench.events.append(
            BatchProduced(
                round=base.round,
                stage=stage,
                num_rollouts=len(completions),
                num_tokens=sum(len(row.tokens) for row in completions),
                mean_score_milli=checked.mean_score_milli,
                correct_milli=checked.correct_milli,
                took_s=took_s,
            )
        )
        await self._publish(envelope, None)
        return checked

    async def train(self) -> None:
        """One GRPO step on own and shared rollouts; the new state is on disk when this returns.

        Raises ``OutOfMemory`` when it does not fit this machine, and ``StepFailed`` when a process of it was lost; then
        the state is the one before, and that is told.
        """
        bench, base = self._bench, self._inbox.base
        me = bench.signer.peer
        own = [self._inbox.batches[stage][me] for stage in STAGES if me in self._inbox.batches[stage]]
        shared = [
            checked
            for stage in STAGES
            for peer, checked in self._inbox.batches[stage].items()
            if peer != me and peer in base.cohort
        ]
        void = {checked.content: checked.contested for checked in shared if checked.contested}
        material = self._inbox.material(me, bench.engine_name, own, shared, void)
        taught = material.lesson(bench.run.learn.num_external)
        deriving = asyncio.ensure_future(bench.clerk.derive(material))
        started_at = bench.now()
        loss = grad_norm = 0.0
        num_tokens, digest = 0, NO_STEP
        with bench.watch.during(Activity.TRAIN):
            is_first = self._state_before == bench.run.model
            before = None if is_first else await self._ship(self._state_before)
            if taught.samples:
                report = await self._step_or_undo(taught.samples, step_seed(base, me))
                loss, grad_norm, num_tokens = report.loss, report.grad_norm, report.num_tokens
                digest = report.digest
            bench.journal.note(base.round, STEP_NOTE, [digest])
            state_after = await bench.room.call(bench.checkpoints.save, bench.engine)
            after = await self._ship(state_after)
            derived = await deriving
        told = Trained(
            round=base.round,
            loss=loss,
            grad_norm=grad_norm,
            num_own=taught.num_own,
            num_external=len(taught.samples) - taught.num_own,
            num_tokens=num_tokens,
            state_before=self._state_before,
            state_after=state_after,
            took_s=bench.now() - started_at,
            num_groups=taught.num_groups,
            num_even=taught.num_even,
            num_void=taught.num_void,
        )
        consumed = tuple(sorted(checked.content for checked in shared))
        self._step = _Step(told, material, derived, consumed, before, after)
        bench.events.append(told)

    async def _step_or_undo(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        """The engine's step, or its ``OutOfMemory`` or ``StepFailed`` with the state before in the engine again."""
        bench = self._bench
        try:
            return await bench.room.call(bench.engine.step, samples, seed)
        except (OutOfMemory, StepFailed) as error:
            bench.events.append(StepSkipped(self._inbox.base.round, type(error).__name__, error.what))
            await bench.room.call(bench.checkpoints.restore, bench.engine, self._state_before)
            raise

    async def _ship(self, state: ContentId) -> BlobRef | None:
        """Keep the engine's present state, which is ``state``, for others; where its manifest is found."""
        bench = self._bench
        parts = await bench.room.call(parts_of, bench.engine)
        if parts is None:
            return None
        blobs = (parts.manifest, *parts.chunks)
        await asyncio.to_thread(bench.shelf.write, self._inbox.base.round, state, blobs)
        return BlobRef(content_id(parts.manifest), len(parts.manifest))

    async def contribute(self) -> None:
        """Sign this round's contribution once, keep it, publish it; after a restart, publish the kept one."""
        bench, base = self._bench, self._inbox.base
        kept = bench.journal.read(base.round, CONTRIBUTION)
        self._require_only_signer(CONTRIBUTION, kept)
        if kept is not None:
            await self._resend()
            await self._publish(kept[0], None)
            bench.events.append(ContributionPublished(base.round, content_id(kept[0].payload)))
            return
        if self._step is None:
            raise AssertionError("A contribution is signed after the training step.")
        me = bench.signer.peer
        own = [self._inbox.batches[stage][me] for stage in STAGES if me in self._inbox.batches[stage]]
        named = self._step.derived.commitments
        contribution = build_contribution(
            run=base.run,
            round_number=base.round,
            peer=me,
            seed=base.seed,
            cohort=base.cohort,
            state_before=self._state_before,
            state_after=self._step.told.state_after,
            before=self._step.before,
            after=self._step.after,
            batches=[checked.batch for checked in own],
            consumed=self._step.consumed,
            scores_milli=[milli or 0 for checked in own for milli in checked.claims_milli],
            engine=bench.engine_name,
            profile=bench.profile,
            commitments=named,
            contested=contested_in(self._step.material.void),
            level=base.level,
        )
        envelope = self._seal(CONTRIBUTION, encode(contribution))
        if self._keep is not None and named != Commitments():
            await self._keep(dossier_of(envelope, self._step.material, bench.run.learn.num_external))
        bench.journal.write(envelope)
        bench.events.append(ContributionSigned(base.round, content_id(envelope.payload)))
        await self._publish(envelope, None)
        bench.events.append(ContributionPublished(base.round, content_id(envelope.payload)))

    def state_after(self) -> ContentId | None:
        """The state that this round's signed contribution ends in, from the journal; ``None`` before it is signed."""
        kept = self._bench.journal.read(self._inbox.base.round, CONTRIBUTION)
        return decode(kept[0].payload, Contribution).state_after if kept else None

    def contribution(self) -> ContentId | None:
        """This round's signed contribution, from the journal; ``None`` before it is signed."""
        kept = self._bench.journal.read(self._inbox.base.round, CONTRIBUTION)
        return content_id(kept[0].payload) if kept else None

    async def _resend(self) -> None:
        """Serve and publish again whatever batches this round's kept contribution stands on."""
        for stage in STAGES:
            kept = self._bench.journal.read(self._inbox.base.round, stage)
            if kept is None or kept[1] is None:
                continue
            await self._publish(*kept)
            if self._bench.signer.peer not in self._inbox.batches[stage]:
                try:
                    await self._inbox.add_own(kept[0], kept[1])
                except BadRecord:
                    continue  # it shows batches that nobody serves any more; the others judge it by what they hold

    def _require_only_signer(self, kind: str, kept: tuple[Envelope, bytes | None] | None) -> None:
        """Raises ``IdentityError`` before a second, different record of one round is signed."""
        if self._inbox.signed_elsewhere(kind, kept[0] if kept is not None else None):
            raise IdentityError(
                f"Another process of this peer published its {kind} of round {self._inbox.base.round} already.",
                "A second one would cost the whole stake, so none was signed; this process stopped.",
                "Stop the other machine that runs this peer, or this one; start again after the round.",
            )

    def _seal(self, kind: str, payload: bytes) -> Envelope:
        bench, base = self._bench, self._inbox.base
        return bench.signer.seal(base.run, kind, base.round, payload, bench.contracts)

    async def _publish(self, envelope: Envelope, blob: bytes | None) -> None:
        with self._bench.watch.during(Activity.NETWORK):
            if blob is not None:
                self._bench.transport.offer(blob)
            await self._bench.transport.publish(envelope, ttl_s=RECORD_TTL_S)
