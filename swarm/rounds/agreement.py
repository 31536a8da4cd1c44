"""Why this module exists: a round's result is what a majority recomputed, and this is how a peer gets there.

    poster    proposes a result over everything it verified,       proposal, in the DHT
              and over the verdicts on the round before
    members   recompute it from their own records, and sign        attestation, in the DHT
    poster    sends a quorum's signatures to the chain             Settle, by way of the outbox

A poster that falls silent is followed by the next one in the drawn order; the result that the chain records first
counts.

**Why this comes to an end with a hostile minority.** What each contribution earns depends on which ones are in the
proposal and on nothing else; whatever one honest peer could verify, the others can fetch and verify too. So the only
thing to disagree about is who must be in, and that is: whoever was here when this peer stopped waiting, or well before
the proposal came; but nobody who contradicts itself. A contribution that is shown late, to some only, or in two
versions can therefore spoil the turn that it falls into, and not those after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from chain.base import ClockView, Include, Settle
from chain.sortition import Quorum, doublings, quorum
from protocol.codec import decode, encode
from protocol.errors import BadRecord
from protocol.events import AttestationRefused, AttestationSeen, Attested, ResultProposed
from protocol.ids import ContentId, PeerId
from protocol.messages import Attestation, CreditTable, Envelope, Proposal, RoundResult
from rewards.economics import economics_of
from rewards.ledger import Terms, Verified
from rewards.levels import levels_of
from rewards.outbox import Outbox
from rewards.pending import losing, pending_in
from rewards.settlement import Refused, check_proposal, collect, propose, signed_by
from swarm.audit.oversight import Oversight
from swarm.dht.transport import RecordKey
from swarm.pay.earnings import verified
from swarm.pay.ledger_book import PROPOSAL, LedgerBook
from swarm.pay.testimony import Witnessed
from swarm.rounds.inbox import Inbox, Rejected
from swarm.rounds.work import RECORD_TTL_S, Bench

Message = TypeVar("Message", Attestation, Proposal)

ATTESTATION = "attestation"

GRACE_S = 3.0
"""What came after this peer stopped waiting must have been here this long before a proposal that leaves it out."""

INSIST_TURNS = 3
"""Turns of posters before the deadline at which a peer that every proposal leaves out says so on the chain."""

MAX_PER_POSTER = 2
"""Results that are attested for one poster: it must not use up the room that others have for attestations."""


class Proposed(msgspec.Struct, frozen=True):
    """A proposal that was recomputed here, and who made it."""

    proposal: Proposal
    poster: PeerId


class Agreement:
    """One peer's part in agreeing on one round. ``view``: the chain at the round's opening (its members)."""

    def __init__(
        self,
        bench: Bench,
        inbox: Inbox,
        oversight: Oversight,
        view: ClockView,
        book: LedgerBook,
        outbox: Outbox,
        rejected: Rejected,
    ) -> None:
        self._bench = bench
        self._inbox = inbox
        self._holding = oversight.holding
        self._audits = oversight.audits
        self._view = view
        self._book = book
        self._outbox = outbox
        run, members = bench.run, [member.peer for member in view.members]
        self._terms = Terms(members, run.model, economics_of(run), levels_of(run))
        self._mine: RoundResult | None = None
        self._rejected = rejected
        self._attested: dict[RoundResult, PeerId] = {}
        self._first_seen: dict[RoundResult, float] = {}
        self._judged: set[bytes] = set()
        self._refused: set[tuple[PeerId, str]] = set()
        self._attestations: dict[RoundResult, set[Attestation]] = {}
        self._named: set[ContentId] = set()
        self._testified: set[ContentId] = set()
        self.proposed: dict[ContentId, Proposed] = {}
        """Proposals recomputed here or recorded by the chain, by the credit table that they lead to."""

    def verified(self, among: Collection[ContentId] | None = None) -> dict[ContentId, Verified]:
        """Contributions of this round that were recomputed here, by content id, with what each earned (``earnings``).

        ``among``: as if only these had been made."""
        return verified(
            self._inbox,
            late_share_milli=self._terms.economics.late_share_milli,
            among=among,
        )

    async def propose(self, now_view: ClockView) -> bool:
        """Publish a result over everything verified and kept, with this peer's own attestation.

        Returns whether it did; with nothing to settle yet, or without the latest credit table, a later call may."""
        if not await self._book.sync(now_view, self._others()):
            return False
        previous, named = self._book.current, self._audits.counting()
        refuted = self._audits.refuted(previous)
        ruling = self._audits.ruling(named, previous, refuted)
        lost = losing(previous, ruling)
        counted = {peer for peer in self._inbox.contributions if self._holding.is_held(peer)} - lost
        verified = self.verified({self._inbox.contributions[peer].content for peer in counted})
        if not verified and not pending_in(previous):
            return False
        base = self._inbox.base
        works = verified.values()
        proposal, table = propose(base.run, base.round, works, previous, named, ruling, self._terms, refuted)
        self._remember(proposal, table, self._bench.signer.peer)
        self._mine = proposal.result
        self._named |= set(proposal.contributions)
        await self._publish(PROPOSAL, encode(proposal))
        await self._attest(proposal.result, self._bench.signer.peer)
        return True

    async def poll(self, now_view: ClockView, waited_since: float, due: Collection[PeerId]) -> None:
        """Read proposals and attest those that hold; read attestations and hand a quorum's signatures on.

        ``waited_since``: when this peer stopped waiting for contributions; ``due``: posters whose turn has come."""
        await self._read_proposals(now_view, waited_since, due)
        await self._read_attestations()
        if self._mine is not None:
            self._settle_if_enough(self._mine, now_view)

    async def look_back(self, now_view: ClockView) -> None:
        """Learn what is in a result that the chain recorded, and who signed it.

        Where few are drawn to sign a result, everybody else says now whether it holds, for when it is challenged."""
        data_hash, is_ours = now_view.data_hash, now_view.settled_round == self._inbox.base.round
        if data_hash not in self.proposed:
            for poster, envelope in await self._collect(PROPOSAL):
                proposal = self._payload(envelope, Proposal)
                if proposal is not None and proposal.result.data_hash == proposal.table.content == data_hash:
                    self.proposed[data_hash] = Proposed(proposal, poster)
                    break
        if not is_ours or data_hash in self._testified:
            return
        found = self.proposed.get(data_hash)
        if found is not None and found.proposal.result not in self._attested and not self._asks_all(now_view):
            await self._sign_late(found)
        await self._read_attestations()
        self._testified.add(data_hash)
        for result in set(self._attestations) | set(self._attested):
            testimony = Witnessed(
                result=result,
                members=self._view.members,
                attestations=tuple(sorted(self._attestations.get(result, ()), key=lambda one: one.signature)),
                recomputed=result in self._attested,
            )
            self._bench.journal.write_testimony(result.round, result.data_hash, encode(testimony))

    async def _sign_late(self, found: Proposed) -> None:
        """Attest a recorded result that this peer was not asked about in time, if it holds."""
        await self._answer(found, self._view, self._book.behind(self._view), {}, 0.0)

    async def _answer(
        self,
        found: Proposed,
        view: ClockView,
        previous: CreditTable | None,
        required: Mapping[ContentId, PeerId],
        in_time: float,
    ) -> None:
        """Attest a proposal that holds, or tell why not. ``in_time``: verdicts that were here by then must be named."""
        answer = check_proposal(
            found.proposal,
            run=self._inbox.base.run,
            verified=self._kept(self.verified(found.proposal.contributions)),
            previous=previous,
            view=view,
            required=required,
            judged=self._audits.judge(found.proposal, previous, in_time),
            terms=self._terms,
        )
        if isinstance(answer, Refused):
            self._tell_refusal(found.poster, answer)
            return
        self._remember(found.proposal, answer.table, found.poster)
        await self._attest(answer.result, found.poster)

    def self_inclusion(self, now_view: ClockView, content: ContentId | None) -> Include | None:
        """What puts this peer's own contribution (``None``: it has none) on the chain: shortly before the deadline,
        when there are proposals, all of them leave it out, and it does not stand there yet."""
        me, last_turns_s = self._bench.signer.peer, INSIST_TURNS * self._bench.run.time.poster_s
        is_omitted = bool(self._first_seen or self._mine) and content not in self._named
        is_stated = any(peer == me for peer, _ in now_view.inclusions)
        if content is None or not is_omitted or is_stated or now_view.block_at < now_view.closes_at - last_turns_s:
            return None
        return Include(self._inbox.base.round, me, content)

    def take_over(self, now_view: ClockView) -> None:
        """Send whatever result has a quorum, whoever proposed it: for a poster that died in between."""
        for result in list(self._attestations):
            if result in self._attested:
                self._settle_if_enough(result, now_view)

    def _asks_all(self, now_view: ClockView) -> bool:
        return self._quorum(now_view).asks_all

    def _quorum(self, now_view: ClockView) -> Quorum:
        run, opening = self._bench.run, self._view
        return quorum(
            opening.seed,
            opening.round,
            opening.members,
            quorum_size=run.economics.quorum_size,
            attempt=doublings(now_view.block_at - opening.opened_at, run.time.round_s),
        )

    def _settle_if_enough(self, result: RoundResult, now_view: ClockView) -> None:
        collected = collect(
            result,
            self._attestations.get(result, set()),
            self._view.members,
            self._bench.contracts,
            quorum=self._quorum(now_view),
            poster=self._bench.signer.peer,
        )
        if collected.enough and not any(isinstance(i, Settle) and i.result == result for i in self._outbox.pending):
            self._outbox.put(collected.settle)

    async def _read_attestations(self) -> None:
        for signer, envelope in await self._collect(ATTESTATION):
            attestation = self._payload(envelope, Attestation)
            if attestation is not None and self._holds(attestation, signer, envelope):
                known = self._attestations.setdefault(attestation.result, set())
                if attestation not in known and signer != self._bench.signer.peer:
                    root = attestation.result.credits_root
                    self._bench.events.append(AttestationSeen(attestation.result.round, signer, root))
                known.add(attestation)

    async def _read_proposals(self, now_view: ClockView, waited_since: float, due: Collection[PeerId]) -> None:
        for poster, envelope in await self._collect(PROPOSAL):
            proposal = self._payload(envelope, Proposal)
            if proposal is None or proposal.result in self._attested:
                continue
            seen_at = self._first_seen.setdefault(proposal.result, self._bench.now())
            self._named |= set(proposal.contributions)
            if poster not in due or list(self._attested.values()).count(poster) >= MAX_PER_POSTER:
                continue
            await self._book.sync(now_view, self._others())
            in_time = max(waited_since, seen_at - GRACE_S)
            required = self._required(in_time) | self._included(now_view)
            await self._answer(Proposed(proposal, poster), now_view, self._book.current, required, in_time)

    def _kept(self, verified: Mapping[ContentId, Verified]) -> dict[ContentId, Verified]:
        """Those that enough others keep."""
        return {content: work for content, work in verified.items() if self._holding.is_held(work.peer)}

    def _required(self, arrived_by: float) -> dict[ContentId, PeerId]:
        """Contributions that no honest poster leaves out: here in time, and kept by enough others in time."""
        return {
            checked.content: peer
            for peer, checked in self._inbox.contributions.items()
            if checked.arrived_at <= arrived_by
            and peer not in self._inbox.contradicting
            and self._holding.is_held(peer, by=arrived_by)
        }

    def _included(self, now_view: ClockView) -> dict[ContentId, PeerId]:
        """Contributions that their peers put on the chain: here, and kept by enough others, whenever they arrived."""
        stated = {content: peer for peer, content in now_view.inclusions}
        kept = self._kept(self.verified(stated)) if stated else {}
        return {content: work.peer for content, work in kept.items() if stated[content] == work.peer}

    def _payload(self, envelope: Envelope, kind: type[Message]) -> Message | None:
        """What a member signed, or ``None`` for bytes that are no such thing."""
        try:
            return decode(envelope.payload, kind)
        except BadRecord as bad:
            self._tell_once(bad, envelope)
            return None

    def _holds(self, attestation: Attestation, signer: PeerId, envelope: Envelope) -> bool:
        """Whether it is the signer's own signature under a result of this round."""
        if attestation in self._attestations.get(attestation.result, ()):
            return True
        members = [member for member in self._view.members if member.peer == signer]
        if attestation.result.round != self._inbox.base.round:
            bad = BadRecord("wrong_round", f"It attests a result of round {attestation.result.round}.")
        elif signed_by(attestation, members, self._bench.contracts):
            return True
        else:
            bad = BadRecord("wrong_signature", "Its signature is not the attesting member's.")
        self._tell_once(bad, envelope)
        return False

    def _tell_once(self, bad: BadRecord, envelope: Envelope) -> None:
        if envelope.signature not in self._judged:
            self._judged.add(envelope.signature)
            self._rejected(bad, envelope.peer, envelope.kind)

    def _remember(self, proposal: Proposal, table: CreditTable, poster: PeerId) -> None:
        result = proposal.result
        if result.data_hash not in self.proposed:
            told = ResultProposed(result.round, poster, result.credits_root, tuple(proposal.contributions))
            self._bench.events.append(told)
        self.proposed[result.data_hash] = Proposed(proposal, poster)
        self._book.keep(table)

    async def _attest(self, result: RoundResult, poster: PeerId) -> None:
        attestation = self._bench.signer.attest(result, self._bench.contracts)
        self._attestations.setdefault(result, set()).add(attestation)
        await self._publish(ATTESTATION, encode(attestation))  # when it fails, the next poll comes back here
        self._attested[result] = poster
        self._bench.events.append(Attested(result.round, poster, result.credits_root))

    def _tell_refusal(self, poster: PeerId, refused: Refused) -> None:
        if (poster, refused.reason) not in self._refused:
            self._refused.add((poster, refused.reason))
            self._bench.events.append(AttestationRefused(self._inbox.base.round, poster, refused.what))

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
