"""Why this module exists: what was said in a round is scattered over its members; here an onlooker puts it together.

One ``RoundReading`` a round: an inbox for each cohort, which checks everything as a member's does, and the round's
proposals, verdicts and receipts. Small swarms are read while they play, so that nothing is missed when a peer leaves;
large ones cohort by cohort once the result is there, so that memory holds one cohort at a time. Who has to catch up
scores a drawn part again (``swarm.indexing.sampling``), and everything as soon as it has caught up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from protocol.codec import content_id, decode
from protocol.errors import BadRecord, NetworkError
from protocol.ids import STAGES, ContentId, PeerId
from protocol.messages import Contribution, CreditTable, Proposal, Receipt, Review, Verdict
from protocol.run import RunSpec
from protocol.seeds import derive_order
from rewards.ledger import Verified
from rewards.levels import level_at, levels_of
from swarm.dht.transport import RecordKey, Transport
from swarm.game.cohort import split_cohorts
from swarm.game.round_view import RoundView, round_questions
from swarm.indexing import said
from swarm.indexing.recompute import verified_in
from swarm.indexing.rows import AnyRow, RoundSeen, VerdictRow
from swarm.indexing.rows import Contribution as ContributionRow
from swarm.rounds.inbox import CONTRIBUTION, Inbox
from swarm.rounds.timing import Now
from swarm.tasks.base import Task

LIVE_MEMBERS = 64
"""Rounds of so many members are read while they are played."""

CLOSELY_READ = 1
"""Cohorts of a round that are scored again when many results wait; which ones, the round's seed draws."""

KINDS = (*STAGES, CONTRIBUTION)
POLL_S = 0.3

Message = TypeVar("Message")


class RoundReading:
    """What can be known of one round. ``opening``: the latest credit table when it opened. ``in_haste``: other results
    wait, so only drawn cohorts are scored again."""

    def __init__(
        self,
        run: RunSpec,
        task: Task,
        transport: Transport,
        seen: RoundSeen,
        opening: CreditTable | None,
        now: Now,
        *,
        in_haste: bool = False,
    ) -> None:
        self.seen = seen
        self.tables: dict[ContentId, bytes] = {}
        self.proposals: dict[ContentId, Proposal] = {}
        self.verdicts: dict[ContentId, Verdict] = {}
        self.reviews: dict[ContentId, Review] = {}
        self._receipts: dict[ContentId, set[PeerId]] = {}
        self._claimed: dict[ContentId, tuple[PeerId, Contribution]] = {}
        self._refused: dict[PeerId, BadRecord] = {}
        self._run = run
        self._task = task
        self._transport = transport
        self._now = now
        self._states = {row.peer: row.state for row in opening.rows} if opening is not None else {}
        members = [PeerId(peer) for peer in seen.members]
        joined = {peer: joined for peer, (_, joined) in seen.members.items()}
        new = {peer for peer in members if seen.round - joined[peer] < run.economics.newcomer_rounds}
        seed, size = ContentId(seen.seed), run.game.cohort_size
        self._cohorts = split_cohorts(seed, members, size, new)
        self._deep = drawn_cohorts(seed, self._cohorts) if in_haste else self._cohorts
        self._level = level_at(opening, seen.round, levels_of(run))
        self._questions = round_questions(task, run.id, seen.round, seed, run.game.num_questions, self._level)
        is_live = len(members) <= LIVE_MEMBERS and not in_haste
        self._live = [self._inbox(cohort) for cohort in self._cohorts] if is_live else []

    @property
    def is_whole(self) -> bool:
        """Whether every contribution is scored again, not only those of drawn cohorts."""
        return len(self._deep) == len(self._cohorts)

    def authors(self, wanted: Proposal) -> dict[PeerId, ContentId]:
        """Who signed what ``wanted`` names, as far as it was seen."""
        claimed = ((content, self._claimed.get(content)) for content in wanted.contributions)
        return {claim[0]: content for content, claim in claimed if claim is not None}

    async def poll(self) -> None:
        """Look once for what is new. Raises ``NetworkError`` when the network cannot be asked."""
        for inbox in self._live:
            await inbox.poll(KINDS)
        await self._read_claims()
        await self._read_proposals()
        await self._read_verdicts()
        await self._read_receipts()

    async def works(self, wanted: Proposal, patience_s: float) -> tuple[list[AnyRow], dict[ContentId, Verified]]:
        """Rows of the contributions that ``wanted`` names, and what those that hold in every point earned: all of them,
        or those of the drawn cohorts.

        Waits ``patience_s`` for each cohort's records at most."""
        rows: list[AnyRow] = []
        verified: dict[ContentId, Verified] = {}
        for inbox in self._inboxes():
            await self._complete(inbox, set(wanted.contributions), patience_s)
            for checked in inbox.contributions.values():
                if checked.content in wanted.contributions:
                    rows += said.rows_of(inbox, checked, len(self._receipts.get(checked.content, ())))
            verified |= verified_in(inbox, wanted.contributions, self._run)
            if inbox not in self._live:
                await inbox.close()
        for content in set(wanted.contributions) - verified.keys():
            if content in self._claimed:
                peer, claim = self._claimed[content]
                refused, is_due = self._refused.get(peer), self.is_whole or peer in self.closely_read
                missing = "Not all of it is served." if is_due else "Its cohort was not drawn to be scored again here."
                rows.append(self._unchecked(peer, content, claim, refused.what if refused else missing))
        return rows, verified

    def verdict_rows(self) -> list[VerdictRow]:
        """Every verdict that a member signed in this round."""
        return [
            VerdictRow(
                content=content,
                round=self.seen.round,
                by=verdict.by,
                about=verdict.contribution,
                level=verdict.level,
                finding=verdict.finding.value,
                what=verdict.difference.what if verdict.difference is not None else "",
            )
            for content, verdict in self.verdicts.items()
        ]

    async def table(self, proposal: Proposal) -> bytes | None:
        """The credit table behind a proposal, from whoever serves it; ``None`` while nobody does."""
        ref = proposal.table
        if ref.content not in self.tables:
            members = [PeerId(peer) for peer in self.seen.members]
            try:
                self.tables[ref.content] = await self._transport.fetch(ref, members[0], *members[1:])
            except (BadRecord, NetworkError):
                return None
        return self.tables[ref.content]

    @property
    def closely_read(self) -> set[PeerId]:
        """Members of the cohorts that are scored again."""
        return {peer for cohort in self._deep for peer in cohort}

    async def close(self) -> None:
        for inbox in self._live:
            await inbox.close()

    # --- records ---------------------------------------------------------------------------------------------------

    async def _read_claims(self) -> None:
        for peer, content, payload in await self._payloads(CONTRIBUTION):
            if content not in self._claimed:
                claim = _decoded(payload, Contribution)
                if claim is not None:
                    self._claimed[content] = (peer, claim)

    async def _read_proposals(self) -> None:
        for _, _, payload in await self._payloads("proposal"):
            proposal = _decoded(payload, Proposal)
            if proposal is None or proposal.result.data_hash != proposal.table.content:
                continue
            if proposal.result.data_hash not in self.proposals and proposal.result.round == self.seen.round:
                self.proposals[proposal.result.data_hash] = proposal
                await self.table(proposal)

    async def _read_verdicts(self) -> None:
        for peer, content, payload in await self._payloads("verdict"):
            verdict = _decoded(payload, Verdict) if content not in self.verdicts else None
            if verdict is not None and verdict.by == peer:
                self.verdicts[content] = verdict
        for peer, content, payload in await self._payloads("review"):
            review = _decoded(payload, Review) if content not in self.reviews else None
            if review is not None and review.by == peer:
                self.reviews[content] = review

    async def _read_receipts(self) -> None:
        for holder, _, payload in await self._payloads("receipt"):
            receipt = _decoded(payload, Receipt)
            if receipt is not None and self._claimed.get(receipt.contribution, (holder,))[0] != holder:
                self._receipts.setdefault(receipt.contribution, set()).add(holder)

    async def _payloads(self, kind: str) -> list[tuple[PeerId, ContentId, bytes]]:
        """(signer, content id, payload) of every record of ``kind`` that a member of the round signed."""
        found = await self._transport.collect_all(RecordKey(self._run.id, kind, self.seen.round))
        return [
            (peer, content_id(envelope.payload), envelope.payload)
            for peer, envelopes in found.items()
            if peer in self.seen.members
            for envelope in envelopes
        ]

    # --- inboxes ---------------------------------------------------------------------------------------------------

    def _inboxes(self) -> Iterator[Inbox]:
        yield from self._live or (self._inbox(cohort) for cohort in self._deep)

    def _inbox(self, cohort: tuple[PeerId, ...]) -> Inbox:
        seen, run = self.seen, self._run
        seed, questions = ContentId(seen.seed), self._questions
        view = RoundView(run.id, seen.round, seed, run.game, cohort, questions, level=self._level)
        return Inbox(
            cohort[0],
            dict.fromkeys(cohort, view),
            run,
            self._task,
            self._transport,
            _no_tokenizer,
            lambda peer: self._states.get(peer, run.model),
            None,
            lambda bad, peer, _: self._refused.__setitem__(peer, bad),
            self._now,
            is_replayable=True,
        )

    async def _complete(self, inbox: Inbox, wanted: set[ContentId], patience_s: float) -> None:
        deadline = self._now() + patience_s
        cohort = set(inbox.base.cohort)
        due = {content for content in wanted if self._claimed.get(content, ("",))[0] in cohort}
        while not due <= {checked.content for checked in inbox.contributions.values()}:
            await inbox.poll(KINDS)
            if self._now() >= deadline:
                return
            await asyncio.sleep(POLL_S)

    def _unchecked(self, peer: PeerId, content: ContentId, claim: Contribution, why: str) -> ContributionRow:
        return ContributionRow(
            round=self.seen.round,
            peer=peer,
            content=content,
            is_checked=False,
            why=why,
            stages_milli=(None, None, None),
            num_rollouts=len(claim.scores_milli),
            num_tokens=0,
            engine=claim.engine,
            profile=claim.profile,
            state_after=claim.state_after,
            holders=len(self._receipts.get(content, ())),
        )


def drawn_cohorts(seed: ContentId, cohorts: Sequence[tuple[PeerId, ...]]) -> tuple[tuple[PeerId, ...], ...]:
    """The cohorts of a round that are scored again in haste."""
    drawn = derive_order("leaderboard", range(len(cohorts)), seed)[:CLOSELY_READ]
    return tuple(cohorts[number] for number in sorted(drawn))


async def find_table(
    transport: Transport, run: ContentId, round: int, data_hash: str, others: Collection[PeerId]
) -> bytes | None:
    """The credit table with this hash, by any proposal of its round that names it, from its poster or ``others``.

    ``None`` when nobody serves it. Who proposed it need not be believed: the hash is the chain's."""
    found = await transport.collect_all(RecordKey(run, "proposal", round))
    for poster, envelopes in found.items():
        for envelope in envelopes:
            proposal = _decoded(envelope.payload, Proposal)
            if proposal is None or proposal.table.content != data_hash:
                continue
            try:
                return await transport.fetch(proposal.table, poster, *(peer for peer in others if peer != poster))
            except BadRecord:
                continue
    return None


_no_tokenizer: Callable[..., str] = None  # type: ignore[assignment]  # ``check_batch`` then leaves texts unchecked


def _decoded(payload: bytes, kind: type[Message]) -> Message | None:
    try:
        return decode(payload, kind)
    except BadRecord:
        return None
