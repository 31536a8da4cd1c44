"""Why this module exists: what arrives in a round is believed only after it was recomputed, and this is where.

    record (signed, in the DHT) -> blob (fetched, hashed) -> batch (parsed) -> scores (recomputed here)

Each step may fail; then the record is dropped, counted and named, and the round goes on. Blobs are fetched in the
background (``swarm.rounds.parcels``), so that a peer that stalls its stream delays nobody.

**Who contradicts itself.** Of an author's batches of one stage the first one seen counts here. Another peer may have
seen another one first and built on it in good faith: so what somebody else's batch consumed is checked, too, and known
by its content id, but counts for nothing else. ``contradicting`` tells who signed several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from protocol.codec import content_id, decode
from protocol.errors import BadRecord
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import BatchHeader, Contribution, Envelope
from protocol.run import RunSpec
from swarm.audit.commitments import Commitments, Derived, Material
from swarm.dht.transport import RecordKey, Transport
from swarm.game.rescore import batch_cap
from swarm.game.round_view import Batches, RoundView, stage_prompts, with_batches
from swarm.rounds.checked import Checked, CheckedBatch, CheckedContribution
from swarm.rounds.contribution import check_contribution, void_of
from swarm.rounds.parcels import Parcels
from swarm.rounds.timing import Now
from swarm.rounds.weighing import Weighing
from swarm.tasks.base import Task

CONTRIBUTION = "contribution"

DERIVING_S = 0.5
"""How long one look at the records waits for what contributions must name; then it comes with a later look."""

Rejected = Callable[[BadRecord, PeerId, str], None]
"""Called once per dropped record with the reason, who signed it, and the record's kind."""

Derive = Callable[[Material], Awaitable[Derived]]
"""What a contribution must name, from what it stands on (``swarm.audit.commitments.Clerk``)."""


class Inbox:
    """Everything received in one round.

    ``views`` gives each member the empty view of its cohort; ``me`` plays only with its own cohort, but checks and
    scores everybody. ``states`` tells a member's last included state as of the round's opening (the run's genesis for a
    newcomer); ``None`` while that is not known here. ``derive``: what a contribution must say of its programs; ``None``
    for a reader without the model, who takes them as they are named. ``is_replayable``: work is for
    others to check, so states are shipped.
    """

    def __init__(
        self,
        me: PeerId,
        views: Mapping[PeerId, RoundView],
        run: RunSpec,
        task: Task,
        transport: Transport,
        text_of: Callable[[Sequence[int]], str],
        states: Callable[[PeerId], ContentId | None],
        derive: Derive | None,
        rejected: Rejected,
        now: Now,
        *,
        is_replayable: bool,
    ) -> None:
        self.base = views[me]
        self.batches: dict[Stage, dict[PeerId, CheckedBatch]] = {stage: {} for stage in STAGES}
        self.contributions: dict[PeerId, CheckedContribution] = {}
        self.contradicting: set[PeerId] = set()
        self._me = me
        self._views = views
        self._run = run
        self._is_replayable = is_replayable
        self._transport = transport
        self._parcels = Parcels(transport, now)
        self.weighing = Weighing(run, task, text_of, now)
        self._states = states
        self._derive = derive
        self._derived: dict[ContentId, asyncio.Future[Derived]] = {}
        self.rejected = rejected
        self._now = now
        self._by_content: dict[ContentId, CheckedBatch] = {}
        self._envelopes: dict[tuple[str, PeerId], Envelope] = {}
        self._contradictions: dict[tuple[str, PeerId], dict[bytes, Envelope]] = {}
        self._wanted: set[ContentId] = set()
        self._lacking: set[Stage] = set()
        self._dropped: set[ContentId] = set()
        self._closed: set[tuple[str, PeerId]] = set()

    async def poll(self, kinds: Collection[str], deriving_s: float = DERIVING_S) -> list[Checked]:
        """Look for new records of ``kinds``; returns what was checked and accepted since the last call.

        ``deriving_s``: how long to wait for what contributions must name. Raises ``NetworkError`` if none can be asked.
        """
        for kind in {*kinds, *self._lacking}:
            key = RecordKey(self.base.run, kind, self.base.round)
            for peer, versions in (await self._transport.collect_all(key)).items():
                self._enter(kind, peer, versions)
        stages = [stage for stage in STAGES if stage in kinds or stage in self._lacking]
        self._lacking.clear()
        accepted: list[Checked] = []
        for stage in STAGES:
            if stage in stages:
                accepted += await self._check_batches(stage)
        await self._check_contradictions()
        if CONTRIBUTION in kinds:
            accepted += self._check_contributions()
            if self.deriving and deriving_s:
                await asyncio.wait(self.deriving, timeout=deriving_s, return_when=asyncio.FIRST_COMPLETED)
                accepted += self._check_contributions()
        return accepted

    async def add_own(self, envelope: Envelope, blob: bytes) -> CheckedBatch:
        """Enter this peer's own batch, by the same checks as everybody's."""
        header = decode(envelope.payload, BatchHeader)
        view = self.view_of(envelope.peer, header.consumed)
        checked = await self.weighing.weigh_now(envelope, header, blob, view)
        self.batches[checked.header.stage][envelope.peer] = checked
        self._by_content[checked.content] = checked
        return checked

    def scored(self, peer: PeerId, contents: Collection[ContentId]) -> list[CheckedBatch] | None:
        """The peer's batches of these content ids, or ``None`` when one of them is not here.

        Raises ``BadRecord('wrong_rollouts')`` when one is another's, or when they are not in stage order, each once.
        """
        found = [self._by_content[content] for content in contents if content in self._by_content]
        if any(checked.batch.peer != peer for checked in found):
            raise BadRecord("wrong_rollouts", "It names a batch of somebody else.")
        places = [STAGES.index(checked.header.stage) for checked in found]
        if places != sorted(set(places)):
            raise BadRecord("wrong_rollouts", "It does not name one batch a stage, in their order.")
        return found if len(found) == len(contents) else None

    def shared(self, peer: PeerId, consumed: Collection[ContentId]) -> list[CheckedBatch] | None:
        """The others' batches that ``peer`` says it trained on, or ``None`` when one of them is not here.

        Raises ``BadRecord('wrong_rollouts')`` when they are not sorted, each once, not of others of its cohort, or when
        several are of one author and stage."""
        if list(consumed) != sorted(set(consumed)):
            raise BadRecord("wrong_rollouts", "What it trained on is not sorted, each once.")
        found = [self._by_content[content] for content in consumed if content in self._by_content]
        mates = set(self._views[peer].cohort) - {peer}
        if not {checked.batch.peer for checked in found} <= mates:
            raise BadRecord("wrong_rollouts", "It trained on batches from outside of its cohort, or on its own.")
        if len({(checked.batch.peer, checked.header.stage) for checked in found}) < len(found):
            raise BadRecord("wrong_rollouts", "It trained on several batches of one author and stage.")
        return found if len(found) == len(consumed) else None

    def view(self) -> RoundView:
        """What this peer's own prompts are made from: its cohort's batches received so far."""
        return self.view_of(self._me, None)

    def empty_view_of(self, peer: PeerId) -> RoundView:
        """The round as ``peer`` sees it before it received anything."""
        return self._views[peer]

    def view_of(self, peer: PeerId, contents: Collection[ContentId] | None) -> RoundView:
        """The view of ``peer``'s cohort that shows the batches named by ``contents`` (``None``: all received ones)."""
        view = self._views[peer]
        for stage in STAGES[:-1]:
            received: Iterable[CheckedBatch] = self.batches[stage].values()
            if contents is not None:
                received = (self._by_content[content] for content in contents if content in self._by_content)
            shown: Batches = {
                checked.batch.peer: checked.batch for checked in received if checked.header.stage is stage
            }
            view = with_batches(view, stage, shown)
        return view

    def consumed(self, stage: Stage) -> tuple[ContentId, ...]:
        """Content ids of the batches that prompts of ``stage`` show now, sorted."""
        shown = STAGES[: STAGES.index(stage)]
        return tuple(
            sorted(
                checked.content
                for earlier in shown
                for peer, checked in self.batches[earlier].items()
                if peer in self.base.cohort
            )
        )

    def holds(self, contents: Collection[ContentId]) -> bool:
        """Whether all these batches are here."""
        return all(content in self._by_content for content in contents)

    def place_of(self, content: ContentId) -> tuple[PeerId, Stage]:
        """Author and stage of a batch that is here. Raises ``KeyError`` for any other."""
        checked = self._by_content[content]
        return checked.batch.peer, checked.header.stage

    def cohorts(self) -> set[tuple[PeerId, ...]]:
        """All cohorts of the round."""
        return {view.cohort for view in self._views.values()}

    def signed_elsewhere(self, kind: str, kept: Envelope | None) -> bool:
        """Whether the network has a record of this peer's that is not ``kept``: another process of it signed one."""
        found = self._envelopes.get((kind, self._me))
        return found is not None and (kept is None or found.payload != kept.payload)

    def overtaken(self, stage: Stage) -> bool:
        """Whether most of the cohort's others already published a later stage."""
        later = {peer for after in STAGES[STAGES.index(stage) + 1 :] for peer in self.batches[after]}
        others = set(self.base.cohort) - {self._me}
        return bool(others) and 2 * len(later & others) > len(others)

    async def close(self) -> None:
        """Give up what is still under way; a record that could not be checked until now is counted as unavailable."""
        await self._parcels.close()
        for derived in self._derived.values():
            derived.cancel()
        self.weighing.close()
        for (kind, peer), envelope in list(self._envelopes.items()):
            if peer not in (self.contributions if kind == CONTRIBUTION else self.batches[Stage(kind)]):
                self._tell(BadRecord("unavailable", "What it announces or builds on never arrived."), envelope)

    # --- batches ---------------------------------------------------------------------------------------------------

    def _enter(self, kind: str, peer: PeerId, versions: Sequence[Envelope]) -> None:
        """Take up what a peer signed as ``kind``; of several versions the first one ever seen here counts."""
        slot = (kind, peer)
        if slot not in self._closed:
            self._envelopes.setdefault(slot, versions[0])
        if len(versions) > 1 and peer in self._views:
            self.contradicting.add(peer)
            others = self._contradictions.setdefault(slot, {})
            others.update((other.payload, other) for other in versions)

    async def _check_batches(self, stage: Stage) -> list[CheckedBatch]:
        accepted: list[CheckedBatch] = []
        for (kind, peer), envelope in list(self._envelopes.items()):
            if kind != stage or peer in self.batches[stage]:
                continue
            try:
                checked = await self._take_batch(stage, envelope)
            except BadRecord as bad:
                self._drop(bad, envelope)
                continue
            if checked is not None:
                self.batches[stage][peer] = checked
                self._by_content[checked.content] = checked
                accepted.append(checked)
        return accepted

    async def _check_contradictions(self) -> None:
        """Check what a contradicting author signed and somebody else has built on."""
        for (kind, _), others in tuple(self._contradictions.items()):
            for envelope in tuple(others.values()) if kind in STAGES else ():
                try:
                    content = decode(envelope.payload, BatchHeader).blob.content
                    if content not in self._wanted or content in self._by_content:
                        continue
                    checked = await self._take_batch(Stage(kind), envelope)
                except BadRecord:
                    continue  # the equivocation is told already; who built on this cannot be checked
                if checked is not None:
                    self._by_content[checked.content] = checked
        self._wanted.clear()

    async def _take_batch(self, stage: Stage, envelope: Envelope) -> CheckedBatch | None:
        if envelope.peer not in self._views:
            raise BadRecord("not_a_member", "Its signer is not enrolled in this round.")
        header = decode(envelope.payload, BatchHeader)
        if header.stage is not stage:
            raise BadRecord("malformed", f"A {header.stage} batch was published as {stage}.")
        cap = batch_cap(self.base.game, stage)
        if header.blob.size > cap:
            raise BadRecord("oversized", f"A batch of {header.blob.size} bytes was announced; none has above {cap}.")
        if list(header.consumed) != sorted(set(header.consumed)):
            raise BadRecord("malformed", "What it consumed is not sorted, each once.")
        missing = {content for content in header.consumed if content not in self._by_content}
        if missing:  # it may still arrive, or be what a contradicting author told somebody else
            self._wanted |= missing
            self._lacking |= set(STAGES[: STAGES.index(stage)])
        mates = [peer for peer in self._views[envelope.peer].cohort if peer not in (envelope.peer, self._me)]
        blob = await self._parcels.take(header.blob, envelope.peer, mates)
        if blob is None or missing:
            return None
        return self.weighing.weigh(envelope, header, blob, self.view_of(envelope.peer, header.consumed))

    # --- contributions ---------------------------------------------------------------------------------------------

    def _check_contributions(self) -> list[CheckedContribution]:
        accepted: list[CheckedContribution] = []
        for (kind, peer), envelope in list(self._envelopes.items()):
            if kind != CONTRIBUTION or peer in self.contributions:
                continue
            try:
                checked = self.judge(envelope)
            except BadRecord as bad:
                self._drop(bad, envelope)
                continue
            if checked is not None:
                self.contributions[peer] = checked
                accepted.append(checked)
        return accepted

    def judge(self, envelope: Envelope) -> CheckedContribution | None:
        """A contribution whose every claim holds; ``None`` while something that it names is not here, or while what it
        must name is still being derived (``deriving``).

        Raises ``BadRecord`` for one that breaks a rule."""
        if envelope.peer not in self._views:
            raise BadRecord("not_a_member", "Its signer is not enrolled in this round.")
        contribution = decode(envelope.payload, Contribution)
        batches = self.scored(envelope.peer, contribution.batches)
        shared = self.shared(envelope.peer, contribution.consumed)
        state = self._states(envelope.peer)
        if batches is None or shared is None:
            self._wanted |= set(contribution.batches) | set(contribution.consumed)
            self._lacking |= set(STAGES)
        if batches is None or shared is None or state is None:
            return None
        view = self._views[envelope.peer]
        derived = self._derived_of(envelope, contribution, batches, shared)
        if derived is None:
            return None
        check_contribution(
            contribution,
            run=self.base.run,
            round_number=self.base.round,
            peer=envelope.peer,
            seed=view.seed,
            cohort=view.cohort,
            engines=self._run.audit.engines,
            batches=[checked.batch for checked in batches],
            scores_milli=[milli or 0 for checked in batches for milli in checked.claims_milli],
            state=state,
            genesis=self._run.model,
            is_replayable=self._is_replayable,
            commitments=derived.commitments,
            has_step=derived.has_step,
            shared={one.content: len(one.batch.claims) for one in shared},
            level=view.level,
        )
        return CheckedContribution(content_id(envelope.payload), contribution, self._now(), envelope)

    @property
    def deriving(self) -> list[asyncio.Future[Derived]]:
        """What some contributions must name, where it is being computed just now."""
        return [derived for derived in self._derived.values() if not derived.done()]

    def material(
        self,
        peer: PeerId,
        engine: str,
        own: Sequence[CheckedBatch],
        shared: Sequence[CheckedBatch],
        void: Mapping[ContentId, frozenset[int]],
    ) -> Material:
        """What ``peer``'s contribution, made with ``engine``, stands on: these batches, and ``void`` is contested."""
        batches: dict[Stage, dict[PeerId, CheckedBatch]] = {stage: {} for stage in STAGES}
        for checked in (*own, *shared):
            batches[checked.header.stage][checked.batch.peer] = checked
        prompts = {
            checked.header.stage: stage_prompts(self.view_of(peer, checked.header.consumed), checked.header.stage)
            for checked in own
        }
        return Material(self._views[peer], peer, engine, batches, prompts, void)

    def _derived_of(
        self,
        envelope: Envelope,
        contribution: Contribution,
        batches: Sequence[CheckedBatch],
        shared: Sequence[CheckedBatch],
    ) -> Derived | None:
        """Raises ``BadRecord`` where nothing can be derived."""
        if self._derive is None:
            named = Commitments(contribution.step_program, contribution.step_data, contribution.draws)
            return Derived(named, contribution.state_before != contribution.state_after)
        content = content_id(envelope.payload)
        derived = self._derived.get(content)
        if derived is None:
            material = self.material(envelope.peer, contribution.engine, batches, shared, void_of(contribution))
            derived = self._derived[content] = asyncio.ensure_future(self._derive(material))
        return derived.result() if derived.done() else None

    # --- rejecting -------------------------------------------------------------------------------------------------

    def _drop(self, bad: BadRecord, envelope: Envelope) -> None:
        """What could not be fetched is tried again; anything else closes the signer's slot, so that nobody gets a
        second try with other bytes in this round."""
        if bad.reason not in ("unavailable", "stalled"):
            slot = (envelope.kind, envelope.peer)
            self._closed.add(slot)
            del self._envelopes[slot]
        self._tell(bad, envelope)

    def _tell(self, bad: BadRecord, envelope: Envelope) -> None:
        """Once per record."""
        name = content_id(envelope.signature + envelope.payload)
        if name not in self._dropped:
            self._dropped.add(name)
            self.rejected(bad, envelope.peer, envelope.kind)
