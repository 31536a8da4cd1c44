"""Why this module exists: what arrives in a round is believed only after it was recomputed, and this is where.

    record (signed, in the DHT) -> blob (fetched, hashed) -> batch (parsed) -> scores (recomputed here)

Each step may fail; then the record is dropped, counted and named, and the round goes on. Blobs are fetched in the
background, so that a peer that stalls its stream delays nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from protocol.codec import BLOB_CAP, content_id, decode
from protocol.errors import BadRecord
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import BatchHeader, Contribution, Envelope, RolloutBatch
from swarm.contribution import check_contribution
from swarm.dht.transport import RecordKey, Transport
from swarm.game.rescore import Scores, check_batch, rescore, scores_milli
from swarm.game.round_view import Batches, RoundView, with_batches
from swarm.tasks.base import Task
from swarm.timing import Now

CONTRIBUTION = "contribution"


class CheckedBatch(msgspec.Struct, frozen=True):
    """A batch that was recomputed here: its content id, what it holds, and its scores, question by question."""

    content: ContentId
    header: BatchHeader
    batch: RolloutBatch
    scores: Scores
    arrived_at: float
    took_s: float

    @property
    def scores_milli(self) -> tuple[int, ...]:
        return scores_milli(self.scores)

    @property
    def mean_score_milli(self) -> int:
        """Mean stage score of its rollouts, rounded down."""
        return sum(self.scores_milli) // len(self.scores_milli)

    @property
    def correct_milli(self) -> int:
        """Share of right rollouts, in thousandths, rounded down."""
        flags = [score.correct for row in self.scores for score in row]
        return 1000 * sum(flags) // len(flags)


class CheckedContribution(msgspec.Struct, frozen=True):
    """A contribution whose every claim was recomputed here."""

    content: ContentId
    contribution: Contribution
    arrived_at: float


Rejected = Callable[[BadRecord, PeerId, str], None]
"""Called once per dropped record with the reason, who signed it, and the record's kind."""


class Inbox:
    """Everything received in one round.

    ``views`` gives each member the empty view of its cohort; ``me`` plays only with its own cohort, but checks and
    scores everybody. ``states`` tells a member's last included state (the run's genesis for a newcomer).
    """

    def __init__(
        self,
        me: PeerId,
        views: Mapping[PeerId, RoundView],
        task: Task,
        transport: Transport,
        text_of: Callable[[Sequence[int]], str],
        states: Callable[[PeerId], ContentId],
        rejected: Rejected,
        now: Now,
    ) -> None:
        self.base = views[me]
        self.batches: dict[Stage, dict[PeerId, CheckedBatch]] = {stage: {} for stage in STAGES}
        self.contributions: dict[PeerId, CheckedContribution] = {}
        self._me = me
        self._views = views
        self._task = task
        self._transport = transport
        self._text_of = text_of
        self._states = states
        self._rejected = rejected
        self._now = now
        self._by_content: dict[ContentId, CheckedBatch] = {}
        self._envelopes: dict[tuple[str, PeerId], Envelope] = {}
        self._fetches: dict[tuple[Stage, PeerId], asyncio.Task[bytes]] = {}
        self._dropped: set[ContentId] = set()
        self._closed: set[tuple[str, PeerId]] = set()

    async def poll(self, kinds: Collection[str]) -> list[CheckedBatch | CheckedContribution]:
        """Look for new records of ``kinds``; returns what was checked and accepted since the last call.

        Raises ``NetworkError`` when the network cannot be asked at all.
        """
        for kind in kinds:
            key = RecordKey(self.base.run, kind, self.base.round)
            for peer, envelope in (await self._transport.collect(key)).items():
                if (kind, peer) not in self._closed:
                    self._envelopes.setdefault((kind, peer), envelope)
        accepted: list[CheckedBatch | CheckedContribution] = []
        for stage in STAGES:
            if stage in kinds:
                accepted += await self._check_batches(stage)
        if CONTRIBUTION in kinds:
            accepted += self._check_contributions()
        return accepted

    def add_own(self, envelope: Envelope, blob: bytes) -> CheckedBatch:
        """Enter this peer's own batch, by the same checks as everybody's."""
        header = decode(envelope.payload, BatchHeader)
        checked = self._check_batch(envelope, header, blob)
        self._accept(checked, envelope.peer)
        return checked

    def scored(self, peer: PeerId, contents: Collection[ContentId]) -> list[CheckedBatch] | None:
        """The peer's batches of these content ids in stage order, or ``None`` when one of them is not here."""
        wanted = set(contents)
        found = [self.batches[stage][peer] for stage in STAGES if peer in self.batches[stage]]
        found = [checked for checked in found if checked.content in wanted]
        return found if len(found) == len(wanted) == len(contents) else None

    def view(self) -> RoundView:
        """What this peer's own prompts are made from: its cohort's batches received so far."""
        return self.view_of(self._me, None)

    def view_of(self, peer: PeerId, contents: Collection[ContentId] | None) -> RoundView:
        """The view of ``peer``'s cohort that shows the batches named by ``contents`` (``None``: all received ones)."""
        view = self._views[peer]
        for stage in STAGES[:-1]:
            shown: Batches = {
                author: checked.batch
                for author, checked in self.batches[stage].items()
                if contents is None or checked.content in contents
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

    def cohorts(self) -> set[tuple[PeerId, ...]]:
        """All cohorts of the round."""
        return {view.cohort for view in self._views.values()}

    def overtaken(self, stage: Stage) -> bool:
        """Whether most of the cohort's others already published a later stage."""
        later = {peer for after in STAGES[STAGES.index(stage) + 1 :] for peer in self.batches[after]}
        others = set(self.base.cohort) - {self._me}
        return bool(others) and 2 * len(later & others) > len(others)

    async def close(self) -> None:
        """Give up what is still under way; an unfinished blob is counted as unavailable."""
        for (stage, peer), task in self._fetches.items():
            if not task.done():
                task.cancel()
                self._rejected(BadRecord("unavailable", "The blob never arrived."), peer, stage)
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        self._fetches.clear()

    # --- batches ---------------------------------------------------------------------------------------------------

    async def _check_batches(self, stage: Stage) -> list[CheckedBatch | CheckedContribution]:
        accepted: list[CheckedBatch | CheckedContribution] = []
        for (kind, peer), envelope in list(self._envelopes.items()):
            if kind != stage or peer in self.batches[stage]:
                continue
            checked = await self._guarded(envelope, self._take_batch(stage, envelope))
            if checked is not None:
                self._accept(checked, peer)
                accepted.append(checked)
        return accepted

    async def _take_batch(self, stage: Stage, envelope: Envelope) -> CheckedBatch | None:
        self._require_member(envelope)
        header = decode(envelope.payload, BatchHeader)
        if header.stage is not stage:
            raise BadRecord("malformed", f"A {header.stage} batch was published as {stage}.")
        if header.blob.size > BLOB_CAP:
            raise BadRecord("oversized", f"A batch of {header.blob.size} bytes was announced.")
        slot = (stage, envelope.peer)
        if slot not in self._fetches:
            self._fetches[slot] = asyncio.create_task(self._fetch(header, envelope.peer))
            await asyncio.sleep(0)
        task = self._fetches[slot]
        if not task.done():
            return None
        blob = task.result()
        if not self.holds(header.consumed):
            return None  # what it builds on may still arrive; it is not counted before
        return self._check_batch(envelope, header, blob)

    def _fetch(self, header: BatchHeader, provider: PeerId) -> Coroutine[Any, Any, bytes]:
        return self._transport.fetch(header.blob, provider)

    def _check_batch(self, envelope: Envelope, header: BatchHeader, blob: bytes) -> CheckedBatch:
        started_at = self._now()
        batch = decode(blob, RolloutBatch, cap=BLOB_CAP)
        if (batch.stage, batch.peer) != (header.stage, envelope.peer):
            raise BadRecord("wrong_rollouts", "The batch is of another stage or peer than its record.")
        view = self.view_of(envelope.peer, header.consumed)
        check_batch(batch, view, text_of=self._text_of)
        scores = rescore(batch, view, self._task)
        now = self._now()
        return CheckedBatch(content_id(blob), header, batch, scores, arrived_at=now, took_s=now - started_at)

    def _accept(self, checked: CheckedBatch, peer: PeerId) -> None:
        self.batches[checked.header.stage][peer] = checked
        self._by_content[checked.content] = checked

    # --- contributions ---------------------------------------------------------------------------------------------

    def _check_contributions(self) -> list[CheckedBatch | CheckedContribution]:
        accepted: list[CheckedBatch | CheckedContribution] = []
        for (kind, peer), envelope in list(self._envelopes.items()):
            if kind != CONTRIBUTION or peer in self.contributions:
                continue
            try:
                checked = self._take_contribution(envelope)
            except BadRecord as bad:
                self._drop(bad, envelope)
                continue
            if checked is not None:
                self.contributions[peer] = checked
                accepted.append(checked)
        return accepted

    def _take_contribution(self, envelope: Envelope) -> CheckedContribution | None:
        self._require_member(envelope)
        contribution = decode(envelope.payload, Contribution)
        batches = self.scored(envelope.peer, contribution.batches)
        if batches is None:
            return None
        scores = [milli for checked in batches for milli in checked.scores_milli]
        check_contribution(
            contribution,
            run=self.base.run,
            round_number=self.base.round,
            peer=envelope.peer,
            batches=[checked.batch for checked in batches],
            scores_milli=scores,
            state=self._states(envelope.peer),
        )
        return CheckedContribution(content_id(envelope.payload), contribution, self._now())

    # --- rejecting -------------------------------------------------------------------------------------------------

    def _require_member(self, envelope: Envelope) -> None:
        if envelope.peer not in self._views:
            raise BadRecord("not_a_member", "Its signer is not enrolled in this round.")

    async def _guarded(
        self, envelope: Envelope, checking: Coroutine[Any, Any, CheckedBatch | None]
    ) -> CheckedBatch | None:
        try:
            return await checking
        except BadRecord as bad:
            self._drop(bad, envelope)
            return None

    def _drop(self, bad: BadRecord, envelope: Envelope) -> None:
        """Tell once per record. What could not be fetched is tried again; anything else closes the signer's slot, so
        that nobody gets a second try with other bytes in this round."""
        slot = (envelope.kind, envelope.peer)
        if bad.reason in ("unavailable", "stalled"):
            self._fetches.pop((Stage(envelope.kind), envelope.peer), None)
        else:
            self._closed.add(slot)
            del self._envelopes[slot]
        name = content_id(envelope.signature + envelope.payload)
        if name not in self._dropped:
            self._dropped.add(name)
            self._rejected(bad, envelope.peer, envelope.kind)
