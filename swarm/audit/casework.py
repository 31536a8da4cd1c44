"""Why this module exists: to do somebody's work again takes its record, its batches and its state, wherever they are.

    record and batches    this peer's own inbox of that round, or else the DHT and whoever serves the blobs
    state before          the run's first one, which everybody has; or its peer, or else whoever held it

Used by auditors in a round and by ``swarm verify`` from outside: both see a contribution through the same eyes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

from protocol.codec import content_id, decode
from protocol.errors import BadRecord, VerificationError
from protocol.ids import STAGES, ContentId, PeerId
from protocol.messages import BlobRef, Contribution, Envelope, Finding
from protocol.run import RunSpec
from rewards.levels import is_level, levels_of
from swarm.audit.replay import Case
from swarm.audit.shipping import fetch_state, manifest_cap, read_manifest
from swarm.dht.transport import RecordKey, Transport
from swarm.game.round_view import RoundView, round_questions
from swarm.policy.base import StateParts
from swarm.rounds.checked import CheckedContribution
from swarm.rounds.contribution import void_of
from swarm.rounds.inbox import CONTRIBUTION, Derive, Inbox
from swarm.rounds.timing import Now
from swarm.tasks.base import Task
from verde.commit import Manifest

SERVING = frozenset({"unavailable", "stalled", "oversized", "hash_mismatch"})
"""Reasons that say something about who serves a blob, not about what its author did."""


def finding_of(error: BadRecord | VerificationError) -> Finding:
    """What it means for a contribution that its case could not be opened: a broken rule, or nothing to look at."""
    is_served = isinstance(error, BadRecord) and error.reason not in SERVING
    return Finding.MISMATCH if is_served else Finding.UNAVAILABLE


class StateMissing(BadRecord):
    """A contribution's state before is served by nobody."""


class Casework:
    """Builds cases of one run. ``archive``: own inboxes of earlier rounds; ``genesis``: the run's first state, or
    ``None`` where the engine cannot be replayed: then a case goes no further than level 0. ``derive``: as an inbox."""

    PATIENCE_S: ClassVar[float] = 8.0
    """How long records and blobs are looked for that are not there yet."""

    def __init__(
        self,
        run: RunSpec,
        task: Task,
        transport: Transport,
        text_of: Callable[[Sequence[int]], str],
        derive: Derive,
        genesis: StateParts | None,
        archive: Mapping[int, Inbox],
        now: Now,
        *,
        poll_s: float = 0.2,
    ) -> None:
        self._run = run
        self._task = task
        self._transport = transport
        self._text_of = text_of
        self._derive = derive
        self._genesis = genesis
        self._archive = archive
        self._now = now
        self._poll_s = poll_s

    async def find(self, round_number: int, peer: PeerId, content: ContentId | None = None) -> Envelope:
        """The record of ``peer``'s contribution of a round (the one named ``content``).

        Raises ``BadRecord``: ``unavailable`` when nobody has it, ``equivocation`` when there are several and none is
        asked for."""
        deadline = self._now() + self.PATIENCE_S
        while True:
            found = await self._transport.collect_all(RecordKey(self._run.id, CONTRIBUTION, round_number))
            signed = [one for one in found.get(peer, ()) if content in (None, content_id(one.payload))]
            if len(signed) > 1:
                raise BadRecord("equivocation", f"{peer} signed several contributions for round {round_number}.")
            if signed:
                return signed[0]
            if self._now() >= deadline:
                raise BadRecord("unavailable", f"Nobody has a contribution of {peer} to round {round_number}.")
            await asyncio.sleep(self._poll_s)

    async def open(self, round_number: int, peer: PeerId, content: ContentId, others: Collection[PeerId]) -> Case:
        """The case of a contribution that was recorded; ``others``: who may have what its peer does not serve.

        Raises ``BadRecord`` when a part of it cannot be had or breaks a rule, ``VerificationError`` when what is served
        as its state is not that state."""
        inbox = self._archive.get(round_number)
        known = inbox.contributions.get(peer) if inbox is not None else None
        if inbox is not None and known is not None and known.content == content:
            return await self._assemble(inbox, known, others)
        return await self.reopen(await self.find(round_number, peer, content), others)

    async def reopen(self, envelope: Envelope, others: Collection[PeerId]) -> Case:
        """The case of a contribution from its record alone: level 0 is done anew. Raises as ``open`` does."""
        contribution = decode(envelope.payload, Contribution)
        if contribution.run != self._run.id or envelope.peer not in contribution.cohort:
            raise BadRecord("wrong_run", "The contribution is of another run, or of nobody's cohort.")
        refused: dict[PeerId, BadRecord] = {}
        inbox = self._rebuilt(contribution, refused)
        deadline = self._now() + self.PATIENCE_S
        checked = None
        try:
            while checked is None:
                await inbox.poll(STAGES)
                checked = inbox.judge(envelope)
                if inbox.deriving:
                    deadline = self._now() + self.PATIENCE_S
                if checked is None and self._now() >= deadline:
                    missing = BadRecord("unavailable", "Not all batches that it names are served.")
                    raise refused.get(envelope.peer, missing)
                await asyncio.sleep(0 if checked is not None else self._poll_s)
        finally:
            await inbox.close()
        return await self._assemble(inbox, checked, others)

    def _rebuilt(self, contribution: Contribution, refused: dict[PeerId, BadRecord]) -> Inbox:
        """An inbox of the contribution's cohort, in its round, as far as the network still has it. Why it dropped
        somebody's record goes into ``refused``."""
        run, cohort, level = self._run, contribution.cohort, contribution.level
        number, seed = contribution.round, contribution.seed
        if not is_level(level, levels_of(run)):
            raise BadRecord("wrong_round", f"The run asks no questions of level {level}.")
        questions = round_questions(self._task, run.id, number, seed, run.game.num_questions, level)
        view = RoundView(run.id, number, seed, run.game, cohort, questions, level=level)
        return Inbox(
            contribution.peer,
            dict.fromkeys(cohort, view),
            run,
            self._task,
            self._transport,
            self._text_of,
            lambda peer: contribution.state_before if peer == contribution.peer else None,
            self._derive,
            lambda bad, peer, kind: refused.__setitem__(peer, bad),
            self._now,
            is_replayable=self._genesis is not None,
        )

    async def _assemble(self, inbox: Inbox, checked: CheckedContribution, others: Collection[PeerId]) -> Case:
        contribution = checked.contribution
        peer = contribution.peer
        own, shared = inbox.scored(peer, contribution.batches), inbox.shared(peer, contribution.consumed)
        if own is None or shared is None:
            raise BadRecord("unavailable", "Not all batches that it names are here.")
        material = inbox.material(peer, contribution.engine, own, shared, void_of(contribution))
        providers = (peer, *(other for other in others if other != peer))
        parts, after = self._genesis, None
        if self._genesis is not None and contribution.before is not None:
            before = contribution.before
            parts = await self._insist(before, contribution.state_before, self._genesis, providers)
        if self._genesis is not None and contribution.after is not None:
            after = await self._manifest(contribution.after, contribution.state_after, self._genesis, providers)
        return Case(
            content=checked.content,
            envelope=checked.envelope,
            contribution=contribution,
            view=material.view,
            batches=material.batches,
            prompts=material.prompts,
            parts=parts,
            after=after,
            num_bytes=sum(one.header.blob.size for one in (*own, *shared)) + _size(parts),
        )

    async def _insist(self, ref: BlobRef, state: ContentId, own: StateParts, providers: Sequence[PeerId]) -> StateParts:
        """A state, asked for again while there is patience: a stream that breaks once is nobody's fault."""
        deadline = self._now() + self.PATIENCE_S
        while True:
            try:
                return await fetch_state(self._transport, ref, state, own, providers)
            except BadRecord as error:
                if self._now() >= deadline:
                    raise StateMissing(error.reason, error.what) from error
            await asyncio.sleep(max(1.0, self._poll_s))

    async def _manifest(
        self, ref: BlobRef, state: ContentId, own: StateParts, providers: Sequence[PeerId]
    ) -> Manifest | None:
        """The manifest of the claimed state after. Without it the check is as good: only what differs has no name."""
        if ref.size > manifest_cap(own):
            return None
        try:
            return read_manifest(await self._transport.fetch(ref, *providers), state, own)
        except (BadRecord, VerificationError):
            return None


def _size(parts: StateParts | None) -> int:
    return sum(len(blob) for blob in (parts.manifest, *parts.chunks)) if parts is not None else 0
