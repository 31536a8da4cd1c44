"""Why this module exists: the life of a peer, from registering to the last claim, is one readable loop.

    register, enrol -> take up the included state -> [ wait for a round -> play it -> keep or undo its step ]
                    -> close: judge the last round, so that it is paid -> claim

Everything it needs is handed in (``swarm.app`` builds it); everything that happens is an event in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from chain.base import ZERO_ROOT, Advance, Chain, ClockView
from protocol.codec import content_id_of
from protocol.errors import BadRecord, ChainUnreachable, OutOfMemory
from protocol.events import CreditsChanged, Evaluated, NetworkUsed, Outcome, Progress, RecordRejected, Struck
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import CreditTable
from rewards.ledger import row_of
from rewards.outbox import Outbox
from rewards.pending import pending_in
from swarm.audit.auditing import Audits
from swarm.audit.casework import Casework
from swarm.audit.summons import Summons
from swarm.disputes.equivocation import Equivocations
from swarm.disputes.evidence import Evidence
from swarm.disputes.player import Disputes
from swarm.member.duties import CLAIMS, DISPUTES, EPOCHS, EVIDENCE, REQUESTS, Duty, kept_up
from swarm.member.entering import close_signed_elsewhere, register, require_state, take_up_state
from swarm.member.membership import Membership
from swarm.member.opening import look_up_table, views_of_round
from swarm.member.presence import Present, beside
from swarm.observe.health import LOBBY
from swarm.observe.troubles import Troubles
from swarm.pay.epochs import EpochWatch
from swarm.pay.ledger_book import LedgerBook
from swarm.pay.payday import Payday
from swarm.pay.settling import Settler
from swarm.rounds.exam import Exam
from swarm.rounds.inbox import Inbox
from swarm.rounds.outcomes import round_ended, round_settled
from swarm.rounds.play import RoundPlay, RoundVanished
from swarm.rounds.timing import Activity
from swarm.rounds.work import Bench
from swarm.tasks.base import Task

ENROL_AGAIN_S = 2.0
"""A peer that is no member of the open round asks so often to be one of the next."""

KEEP_ROUNDS = 2
"""Rounds before the oldest pending one whose states and batches are kept: it began in one of them, and whoever checks
from outside may come a little later."""

UNSENT_TIMEOUT_S = 120.0
"""How long a peer that leaves tries to get what is in no block yet into one; the rest waits for its next start."""

FORGOTTEN_S = 5.0
"""A chain that shows a round which it had left for so long is not just late: it lost its last blocks."""

SetMembers = Callable[[list[PeerId], Mapping[PeerId, Address], int], None]
"""Tells the network who the members of a round are, and which account signs for each of them."""


def _final_round(num_rounds: int | None, first_round: int | None) -> int | None:
    return None if num_rounds is None or first_round is None else first_round + num_rounds - 1


class Node:
    """One peer. ``run`` returns when its rounds are over; cancelling it stops the peer at any point."""

    def __init__(
        self,
        bench: Bench,
        chain: Chain,
        task: Task,
        outbox: Outbox,
        settler: Settler,
        troubles: Troubles,
        exam: Exam,
        evidence: Evidence,
        *,
        eval_every: int,
        claim_every: int,
        set_members: SetMembers | None = None,
        presence: Present | None = None,
        disputes: Disputes | None = None,
    ) -> None:
        self._bench = bench
        self._chain = chain
        self._task = task
        self._outbox = outbox
        self._settler = settler
        self._troubles = troubles
        self._exam = exam
        self._eval_every = eval_every
        self._set_members = set_members
        self._presence = presence
        self._disputes = disputes
        self._book = LedgerBook(bench.run, bench.journal, bench.transport)
        self._epochs = EpochWatch(bench, chain, settler, troubles)
        self._membership = Membership(bench, chain, settler, self._book, troubles)
        self._payday = Payday(bench, chain, settler, self._book, troubles, claim_every=claim_every)
        self._summons = Summons(bench, chain, chain.requests, settler, troubles)
        self._equivocations = Equivocations(bench, chain, outbox, settler, troubles, evidence)
        self._archive: dict[int, Inbox] = {}
        self._played = 0

    async def run(self, num_rounds: int | None, first_round: int | None = None) -> None:
        """Play ``num_rounds`` rounds, missed ones included, counted from ``first_round``: that of an earlier process of
        this peer which was killed (``None``: the first one played now).

        Raises ``IdentityError``, ``ChainError`` or ``ConfigError`` when this peer cannot take part at all, and
        ``IdentityError`` when another machine turns out to run the same peer.
        """
        duties = [
            Duty(*EPOCHS, self._epochs.watch),
            Duty(*CLAIMS, self._payday.watch),
            Duty(*REQUESTS, self._summons.watch),
            Duty(*EVIDENCE, self._equivocations.watch),
            *([Duty(*DISPUTES, self._disputes.watch)] if self._disputes is not None else []),
        ]
        try:
            async with kept_up(duties, self._troubles):
                await beside(self._presence, self._live(num_rounds, first_round))
        finally:
            if self._disputes is not None:
                await self._disputes.close()

    async def _live(self, num_rounds: int | None, first_round: int | None) -> None:
        await register(self._bench, self._chain)
        await close_signed_elsewhere(self._bench, self._chain)
        await take_up_state(self._bench, self._chain, self._book, lambda: self._evaluate(0))
        await self._use_included_state()
        final, last = _final_round(num_rounds, first_round), 0
        while final is None or last < final:
            view = await self._wait_for_round(last)
            final = final or _final_round(num_rounds, view.round)
            if final is not None and view.round > final:
                break
            is_final = view.round == final
            try:
                await self._play(view, is_final=is_final)
            except RoundVanished as error:
                self._bench.events.append(Progress(f"{error} Starting that round again."))
                last = 0
                continue
            last = view.round
            self._played += 1
        await self._close_out(last)
        if self._disputes is not None:
            await self._disputes.finish()
        await self._equivocations.leave()
        if self._disputes is not None:
            await self._disputes.hear()
        await self._settler.drain(timeout_s=20.0, unsent_timeout_s=UNSENT_TIMEOUT_S)
        await self._summons.leave()
        await self._payday.claim_last()

    async def _close_out(self, last: int) -> None:
        """Judge what is still pending, in rounds in which this peer makes nothing, and see it paid.

        It stays while its own pay is pending, or anybody's that nobody plays on to settle; and no longer than accused
        pay may wait, or than enough others are there to agree on anything."""
        for _ in range(1 + self._bench.run.audit.patience_rounds):
            view = await self._wait_for_round(last)
            await look_up_table(view, self._book, self._bench.signer.peer, self._troubles)
            table = self._book.current
            pending = pending_in(table).values()
            is_mine = any(peer == self._bench.signer.peer for peer, _ in pending)
            is_abandoned = table is not None and all(pay.round < table.round for _, pay in pending)
            if not pending or not (is_mine or is_abandoned):
                return
            try:
                await self._play(view, is_final=False, is_closing=True)
            except RoundVanished as error:
                self._bench.events.append(Progress(f"{error} Starting that round again."))
                last = 0
                continue
            last = view.round
            if self._book.current is None or self._book.current.round < view.round:
                return

    # --- rounds -------------------------------------------------------------------------------------------------------

    async def _use_included_state(self) -> None:
        """Make the engine's state the one that the chain included last, whatever happened since: a step that was not
        included, a round that vanished, a contribution that an earlier process of this peer signed."""
        bench, state = self._bench, self._book.state_of(self._bench.signer.peer)
        if await bench.room.call(bench.engine.state_hash) != state:
            await require_state(bench, self._chain, self._book, state)
            await bench.room.call(bench.checkpoints.restore, bench.engine, state)

    async def _wait_for_round(self, last: int) -> ClockView:
        """The chain's view of the next round that this peer is a member of, once its seed is known.

        A chain that stays in a round that it had left forgot how it ended: that round is played once more.
        """
        told = ""
        since = began_at = self._bench.now()
        self._bench.watch.switch(Activity.CHAIN)
        while True:
            try:
                view = await self._chain.clock()
                self._troubles.over(ChainUnreachable)
            except ChainUnreachable as error:
                self._troubles.report(error)
                await asyncio.sleep(1.0)
                continue
            is_member = any(member.peer == self._bench.signer.peer for member in view.members)
            is_held_back = 0 < view.round <= self._held_back_until()
            is_new = view.round > last or self._bench.now() - began_at > FORGOTTEN_S
            if is_new and view.seed and is_member and not is_held_back:
                return view
            waiting_for = self._waiting_for(view, is_member, is_held_back)
            if waiting_for != told:
                told = waiting_for
                self._bench.events.append(Progress(waiting_for))
            await self._settler.flush()
            if (not is_member or is_held_back) and self._is_overdue(view, began_at):
                await self._settler.send_now(Advance(view.round))
            if view.round > 0 and not is_member and self._bench.now() - since > ENROL_AGAIN_S:
                await self._membership.renew()
                since = self._bench.now()
            await asyncio.sleep(self._bench.poll_s)

    def _is_overdue(self, view: ClockView, since: float) -> bool:
        """Whether a round that others play, or the lobby, was left open: they had time to end it and did not."""
        patience_s = 3 * self._bench.run.time.poster_s
        return view.block_at > view.closes_at + patience_s and self._bench.now() - since > patience_s

    def _held_back_until(self) -> int:
        """The last round in which this peer, restored from a backup, may have signed elsewhere."""
        fence = self._bench.signer.fence
        return 0 if fence is None else fence.closed(self._bench.run.id)

    def _waiting_for(self, view: ClockView, is_member: bool, is_held_back: bool) -> str:
        if view.round == 0:
            return LOBBY
        if is_held_back:
            return f"restored from a backup: round {view.round} may be signed elsewhere, waiting for the next one"
        if not is_member:
            return f"waiting for round {view.round + 1}: enrolled during round {view.round}"
        return f"waiting for round {view.round} to open" if not view.seed else f"waiting for round {view.round + 1}"

    async def _play(self, view: ClockView, *, is_final: bool, is_closing: bool = False) -> None:
        bench, me = self._bench, self._bench.signer.peer
        members = [member.peer for member in view.members]
        accounts = {member.peer: member.signer for member in view.members}
        if self._set_members is not None:
            self._set_members(members, accounts, view.round)
        bench.signer.act_as(accounts.get(me, bench.signer.address))
        views = await views_of_round(bench, self._chain, view, self._book, self._task, self._troubles)
        if views is None:
            return
        await self._use_included_state()
        before = self._book.current
        inbox = Inbox(
            me,
            views,
            bench.run,
            self._task,
            bench.transport,
            bench.engine.text_of,
            lambda peer: self._book.state_at(view, peer),
            bench.clerk.derive,
            self._rejection(view.round),
            bench.now,
            is_replayable=bench.genesis is not None,
        )
        self._equivocations.attend(view, inbox)
        due = is_final or bool(self._eval_every and (self._played + 1) % self._eval_every == 0)
        exam = (lambda: self._evaluate(view.round)) if due and not is_closing else None
        play = RoundPlay(
            bench,
            self._chain,
            inbox,
            view,
            self._book,
            self._outbox,
            self._settler,
            self._troubles,
            self._audits(view),
            exam,
            self._disputes.keep_own if self._disputes is not None else None,
            is_closing=is_closing,
        )
        outcome = await play.run()
        self._archive[view.round] = inbox
        await self._conclude(view, play, inbox, before, outcome, is_closing=is_closing)

    def _audits(self, view: ClockView) -> Audits:
        """The checks of what is pending as this round opens."""
        bench = self._bench
        casework = None
        if bench.genesis is not None:
            casework = Casework(
                bench.run,
                self._task,
                bench.transport,
                bench.engine.text_of,
                bench.clerk.derive,
                bench.genesis,
                self._archive,
                bench.now,
                poll_s=bench.poll_s,
            )
        table = self._book.current
        return Audits(
            bench,
            casework,
            view.round,
            ContentId(view.seed),
            {member.peer: member.weight for member in view.members},
            table,
            content_id_of(table) if table is not None else ZERO_ROOT,
            self._rejection(view.round),
            self._disputes.accusations.accuse if self._disputes is not None else None,
            self._disputes.refuted if self._disputes is not None else dict,
            self._summons,
        )

    def _rejection(self, round_number: int) -> Callable[[BadRecord, PeerId, str], None]:
        def tell(bad: BadRecord, peer: PeerId, kind: str) -> None:
            self._bench.events.append(RecordRejected(round_number, peer, kind, bad.reason, bad.what))

        return tell

    async def _conclude(
        self,
        view: ClockView,
        play: RoundPlay,
        inbox: Inbox,
        before: CreditTable | None,
        outcome: Outcome,
        *,
        is_closing: bool,
    ) -> None:
        """Keep the round's step if the chain included it (else the next round undoes it); tell how the round ended."""
        bench, me = self._bench, self._bench.signer.peer
        table = self._book.current
        state_after = play.state_after()
        if state_after is not None and self._book.state_of(me) == state_after:
            row = row_of(table, me)
            returns = {pending.state_before for pending in row.pending} if row is not None else set()
            bench.checkpoints.include(state_after, view.round, may_return_to=returns)
        if table is not None and table.round == view.round:
            told = round_settled(table, before, play.agreed(content_id_of(table)))
            for event in told:
                bench.events.append(event)
            if self._disputes is not None:
                self._disputes.accusations.note_struck({one.content for one in told if isinstance(one, Struck)})
        await self._membership.renew()
        await self._membership.drop_absent(view, inbox.contributions)
        row = row_of(table, me)
        bench.events.append(CreditsChanged(row.micro_credits if row else 0, await self._payday.claimed_micro()))
        if self._epochs.oldest_needed is not None:
            bench.journal.forget_old(view.round, unpaid_from=self._epochs.oldest_needed)
        oldest = min([view.round, *(pay.round for _, pay in pending_in(table).values())]) - KEEP_ROUNDS
        bench.shelf.forget_old(oldest)
        self._archive = {number: kept for number, kept in self._archive.items() if number >= oldest}
        if bench.tally is not None:
            bench.events.append(NetworkUsed(view.round, bench.tally.take()))
        if is_closing:
            return
        total_s, parts = bench.watch.lap()
        bench.events.append(round_ended(view.round, outcome, play.stages_played, total_s, parts))

    # --- the rest --------------------------------------------------------------------------------------------------

    async def _evaluate(self, round_number: int) -> None:
        started_at = self._bench.now()
        try:
            num_correct = await self._bench.room.call(self._exam.take, self._bench.engine)
        except OutOfMemory as error:
            self._troubles.report(error)  # a curve with a gap, and no more
            return
        took_s = self._bench.now() - started_at
        self._bench.events.append(Evaluated(round_number, self._exam.num_questions, num_correct, took_s))
