"""Why this module exists: a round's result is what a majority recomputed, and this is how a peer gets there.

    poster    proposes a result over everything it verified        proposal, in the DHT
    members   recompute it from their own records, and sign        attestation, in the DHT
    poster    sends a majority's signatures to the chain           Settle, by way of the outbox

A poster that falls silent is followed by the next one in the drawn order; the result that the chain records first
counts.
"""

from __future__ import annotations

import msgspec

from chain.base import ClockView, Settle
from protocol.codec import decode, encode
from protocol.errors import BadRecord
from protocol.events import AttestationRefused, Attested
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import Attestation, CreditTable, Envelope, Proposal, RoundResult
from rewards.ledger import Verified, earned_micro
from rewards.outbox import Outbox
from rewards.settlement import Refused, check_proposal, collect, propose
from swarm.absence import uncounted
from swarm.dht.transport import RecordKey
from swarm.inbox import CheckedContribution, Inbox
from swarm.ledger_book import PROPOSAL, LedgerBook
from swarm.work import RECORD_TTL_S, Bench

ATTESTATION = "attestation"

GRACE_S = 3.0
"""A contribution must have been here this long before leaving it out is held against a poster."""


class Proposed(msgspec.Struct, frozen=True):
    """A proposal that was recomputed here, and who made it."""

    proposal: Proposal
    poster: PeerId


class Agreement:
    """One peer's part in agreeing on one round. ``view``: the chain at the round's opening (its members)."""

    def __init__(self, bench: Bench, inbox: Inbox, view: ClockView, book: LedgerBook, outbox: Outbox) -> None:
        self._bench = bench
        self._inbox = inbox
        self._view = view
        self._book = book
        self._outbox = outbox
        self._mine: RoundResult | None = None
        self._attested: set[RoundResult] = set()
        self._refused: set[tuple[PeerId, str]] = set()
        self._attestations: dict[RoundResult, set[Attestation]] = {}
        self.proposed: dict[ContentId, Proposed] = {}
        """Proposals recomputed here, by the content id of the credit table that they lead to."""

    def verified(self) -> dict[ContentId, Verified]:
        """Contributions of this round that were recomputed here, by content id, with what each earned."""
        unpaid = self._uncounted()
        works = [self._earned(peer, checked, unpaid) for peer, checked in self._inbox.contributions.items()]
        return {work.content: work for work in works}

    async def propose(self, now_view: ClockView) -> bool:
        """Publish a result over everything verified, with this peer's own attestation.

        Returns whether it did; with nothing verified yet, or without the latest credit table, a later call may."""
        verified = self.verified()
        if not verified or not await self._book.sync(now_view, self._others()):
            return False
        proposal, table = propose(self._inbox.base.run, self._inbox.base.round, verified.values(), self._book.current)
        self._remember(proposal, table, self._bench.signer.peer)
        self._mine = proposal.result
        await self._publish(PROPOSAL, encode(proposal))
        await self._attest(proposal.result, self._bench.signer.peer)
        return True

    async def poll(self, now_view: ClockView) -> None:
        """Read proposals and attest those that hold; read attestations and hand a majority's signatures on."""
        await self._read_proposals(now_view)
        for _, envelope in await self._collect(ATTESTATION):
            try:
                attestation = decode(envelope.payload, Attestation)
            except BadRecord:
                continue
            self._attestations.setdefault(attestation.result, set()).add(attestation)
        if self._mine is not None:
            self._settle_if_enough(self._mine)

    def take_over(self) -> None:
        """Send whatever result has a majority, whoever proposed it: for a poster that died in between."""
        for result in list(self._attestations):
            if result in self._attested:
                self._settle_if_enough(result)

    def _settle_if_enough(self, result: RoundResult) -> None:
        attestations = self._attestations.get(result, set())
        collected = collect(result, attestations, self._view.members, self._bench.contracts)
        if collected.enough and not any(isinstance(i, Settle) and i.result == result for i in self._outbox.pending):
            self._outbox.put(collected.settle)

    async def _read_proposals(self, now_view: ClockView) -> None:
        for poster, envelope in await self._collect(PROPOSAL):
            try:
                proposal = decode(envelope.payload, Proposal)
            except BadRecord:
                continue
            if proposal.result in self._attested:
                continue
            await self._book.sync(now_view, self._others())
            verified = self.verified()
            answer = check_proposal(
                proposal,
                run=self._inbox.base.run,
                verified=verified,
                previous=self._book.current,
                view=now_view,
                required=self._required(),
            )
            if isinstance(answer, Refused):
                self._tell_refusal(poster, answer)
                continue
            self._remember(proposal, answer.table, poster)
            await self._attest(answer.result, poster)

    def _required(self) -> list[ContentId]:
        """Contributions that no honest poster can have missed by now."""
        latest = self._bench.now() - GRACE_S
        return [checked.content for checked in self._inbox.contributions.values() if checked.arrived_at <= latest]

    def _remember(self, proposal: Proposal, table: CreditTable, poster: PeerId) -> None:
        self.proposed[proposal.result.data_hash] = Proposed(proposal, poster)
        self._book.keep(table)

    async def _attest(self, result: RoundResult, poster: PeerId) -> None:
        attestation = self._bench.signer.attest(result, self._bench.contracts)
        self._attested.add(result)
        self._attestations.setdefault(result, set()).add(attestation)
        await self._publish(ATTESTATION, encode(attestation))
        self._bench.events.append(Attested(result.round, poster, result.credits_root))

    def _tell_refusal(self, poster: PeerId, refused: Refused) -> None:
        if (poster, refused.reason) not in self._refused:
            self._refused.add((poster, refused.reason))
            self._bench.events.append(AttestationRefused(self._inbox.base.round, poster, refused.what))

    def _uncounted(self) -> frozenset[ContentId]:
        unpaid: set[ContentId] = set()
        for cohort in self._inbox.cohorts():
            consumed = {
                stage: {
                    peer: (checked.content, frozenset(checked.header.consumed))
                    for peer, checked in self._inbox.batches[stage].items()
                    if peer in cohort and self._names(peer, checked.content)
                }
                for stage in STAGES
            }
            unpaid |= uncounted(consumed)
        return frozenset(unpaid)

    def _names(self, peer: PeerId, batch: ContentId) -> bool:
        checked = self._inbox.contributions.get(peer)
        return checked is not None and batch in checked.contribution.batches

    def _earned(self, peer: PeerId, checked: CheckedContribution, unpaid: frozenset[ContentId]) -> Verified:
        scores: dict[Stage, tuple[int, ...]] = {}
        for stage in STAGES:
            batch = self._inbox.batches[stage].get(peer)
            if batch is not None and self._names(peer, batch.content) and batch.content not in unpaid:
                scores[stage] = batch.scores_milli
        return Verified(peer, checked.content, earned_micro(scores), checked.contribution.state_after)

    def _others(self) -> list[PeerId]:
        return [member.peer for member in self._view.members if member.peer != self._bench.signer.peer]

    async def _collect(self, kind: str) -> list[tuple[PeerId, Envelope]]:
        """Every record of ``kind`` that a member signed; one member may have signed several."""
        found = await self._bench.transport.collect_all(RecordKey(self._inbox.base.run, kind, self._inbox.base.round))
        members = {member.peer for member in self._view.members}
        return [(peer, envelope) for peer, signed in found.items() if peer in members for envelope in signed]

    async def _publish(self, kind: str, payload: bytes) -> None:
        base = self._inbox.base
        envelope = self._bench.signer.seal(base.run, kind, base.round, payload, self._bench.contracts)
        await self._bench.transport.publish(envelope, ttl_s=RECORD_TTL_S)
