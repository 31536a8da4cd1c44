"""Why this module exists: the pure round machine says what to do; this performs it and tells the machine what happened.

One ``RoundPlay`` is one peer in one round, from the opening on the chain to the chain's moving on. It decides nothing:
phases, time-outs and turns are the machine's (``swarm.rounds.machine``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from chain.base import Advance, Chain, ClockView
from chain.sortition import poster_order
from protocol.codec import decode
from protocol.errors import BadRecord, ChainUnreachable, ConfigError, NetworkError, OutOfMemory, StepFailed
from protocol.events import BatchSeen, ContributionSeen, Outcome, Progress, StageEnded, StageStarted
from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import BatchHeader
from rewards.ledger import row_of
from rewards.outbox import Outbox
from rewards.settlement import posters_due
from swarm.audit.auditing import Audits
from swarm.audit.oversight import Oversight
from swarm.game.recap import Scored, recap
from swarm.observe.troubles import Troubles
from swarm.pay.ledger_book import LedgerBook
from swarm.pay.settling import Settler
from swarm.rounds import machine
from swarm.rounds.agreement import Agreement, Proposed
from swarm.rounds.checked import CheckedBatch, CheckedContribution
from swarm.rounds.inbox import CONTRIBUTION, DERIVING_S, Inbox
from swarm.rounds.machine import Phase, RoundState
from swarm.rounds.outcomes import round_opened
from swarm.rounds.timing import Activity
from swarm.rounds.work import Bench, Keep, Work

CHAIN_POLL_S = 2.0
"""Seconds between looks at the chain while nothing depends on it."""

LOOK_AT_ALL_S = 2.0
"""Seconds between looks at all records of the round while agreeing on it."""

PATIENCE_S = 15.0
"""How long something is looked for that somebody must have: batches that a kept one was built on, a credit table."""

SURE_BLOCKS = 3
"""A dev chain that is killed forgets its last second or two, a public one now and then its last block."""


class RoundVanished(Exception):
    """The chain went back behind this round, or gave it another seed: a killed dev chain forgets its last second."""


class RoundPlay:
    """``run()`` plays the round; afterwards ``outcome`` says how it ended."""

    def __init__(
        self,
        bench: Bench,
        chain: Chain,
        inbox: Inbox,
        view: ClockView,
        book: LedgerBook,
        outbox: Outbox,
        settler: Settler,
        troubles: Troubles,
        audits: Audits,
        after_contributing: Callable[[], Awaitable[None]] | None = None,
        keep: Keep | None = None,
        *,
        is_closing: bool = False,
    ) -> None:
        self._bench = bench
        self._chain = chain
        self._inbox = inbox
        self._view = view
        self._book = book
        self._settler = settler
        self._troubles = troubles
        self._after_contributing = after_contributing
        self._work = Work(bench, inbox, book.state_of(bench.signer.peer), self._round_is_sure, keep)
        self._oversight = Oversight(bench, inbox, audits, [member.peer for member in view.members])
        self._agreement = Agreement(bench, inbox, self._oversight, view, book, outbox, inbox.rejected)
        self._is_closing = is_closing
        self._looked_at_chain = self._looked_at_all = 0.0
        self._is_sure = False
        self._my_turn = False
        self._left_at = 0.0
        self._had_second_turn = False
        self._heard: list[machine.Happening] = []
        self._spare: asyncio.Task[None] | None = None
        self.outcome = Outcome.COMPLETE
        self.stages_played: list[Stage] = []

    async def run(self) -> Outcome:
        """Play until the chain leaves the round. Raises ``RoundVanished`` when the chain forgot it."""
        state, actions = self._open()
        queue = deque(actions)
        try:
            if state.closing:
                await self._persist(self._oversight.say_goodbye)
            while state.phase is not Phase.CLOSED:
                own = await (self._perform(queue.popleft()) if queue else self._observe(state))
                heard, self._heard = self._heard, []
                for happening in (*heard, *own):
                    state, new = machine.advance(state, happening, self._bench.now())
                    if new and state.phase is Phase.CLOSED:
                        queue.clear()  # what was still to be done has no round any more
                    queue.extend(new)
            for action in queue:
                await self._perform(action)
            if self._spare is not None:
                with self._bench.watch.during(Activity.GENERATE):
                    await self._spare
        finally:
            if self._spare is not None:
                self._spare.cancel()
            await self._oversight.close()
            await self._inbox.close()
        return self.outcome

    def state_after(self) -> ContentId | None:
        """The state that this peer's contribution of the round ends in; ``None`` when it signed none."""
        return self._work.state_after()

    def agreed(self, data_hash: ContentId) -> Proposed | None:
        """The proposal behind a recorded credit table, where this peer recomputed it."""
        return self._agreement.proposed.get(data_hash)

    # --- opening ---------------------------------------------------------------------------------------------------

    def _open(self) -> tuple[RoundState, list[machine.Action]]:
        bench, base, view = self._bench, self._inbox.base, self._view
        posters = poster_order(base.seed, base.round, view.members)
        opened = round_opened(base, view, bench.run.task.num_levels)
        bench.events.append(Progress("waiting for the last checks") if self._is_closing else opened)
        kept = bench.journal.read(base.round, CONTRIBUTION)
        me, rules, now = bench.signer.peer, bench.run.time, bench.now()
        if self._is_closing and kept is None:
            return machine.close(me, self._oversight.expected(), posters, rules, now)
        start = machine.resume if kept is not None else machine.begin
        return start(me, frozenset(base.cohort), posters, rules, now)

    # --- performing ------------------------------------------------------------------------------------------------

    async def _perform(self, action: machine.Action) -> list[machine.Happening]:
        match action:
            case machine.Generate(stage=stage, closes_at=closes_at):
                return await self._generate(stage, closes_at)
            case machine.EndStage():
                self._end_stage(action)
            case machine.Train():
                return await self._train()
            case machine.Contribute():
                await self._poll([CONTRIBUTION], wait_s=0)  # only whether one of this peer is there already
                await self._persist(self._work.contribute)
                await self._poll([CONTRIBUTION])
                if self._after_contributing is not None:
                    self._spare = asyncio.ensure_future(self._after_contributing())
                return [machine.Contributed(self._bench.signer.peer)]
            case machine.Propose():
                self._my_turn = True
            case machine.Finish(outcome=outcome):
                self.outcome = outcome
        return []

    async def _generate(self, stage: Stage, closes_at: float) -> list[machine.Happening]:
        bench = self._bench
        bench.events.append(StageStarted(self._inbox.base.round, stage, closes_at))
        kept = bench.journal.read(self._inbox.base.round, stage)
        if kept is not None:
            await self._wait_for(decode(kept[0].payload, BatchHeader))
        else:
            await self._poll([*STAGES[STAGES.index(stage) :]])
            if self._inbox.overtaken(stage):
                return [machine.Skipped(stage)]
        try:
            await self._persist(lambda: self._work.produce(stage))
        except (BadRecord, ConfigError, OutOfMemory) as error:
            # A kept batch stands on batches that nobody serves any more, or a prompt outgrew the context or the memory.
            self._troubles.report(error)
            return [machine.Skipped(stage)]
        self.stages_played.append(stage)
        return [machine.Produced(stage)]

    async def _train(self) -> list[machine.Happening]:
        self._bench.events.append(Progress("training"))
        try:
            await self._work.train()
        except (OutOfMemory, StepFailed) as error:
            self._troubles.report(error)
            await self._persist(self._oversight.say_goodbye)
            return [machine.GaveUp()]
        for kind in (OutOfMemory, StepFailed):
            self._troubles.over(kind)
        return [machine.Trained()]

    async def _wait_for(self, header: BatchHeader) -> None:
        """Collect what a kept batch was built on, as far as it is still served."""
        deadline = self._bench.now() + PATIENCE_S
        with self._bench.watch.during(Activity.NETWORK):
            while not self._inbox.holds(header.consumed) and self._bench.now() < deadline:
                await self._poll(STAGES)
                await asyncio.sleep(self._bench.poll_s)

    def _end_stage(self, action: machine.EndStage) -> None:
        base = self._inbox.base
        own = self._inbox.batches[action.stage].get(self._bench.signer.peer)
        waited_s = max(0.0, self._bench.now() - own.arrived_at) if own is not None else 0.0
        ended = StageEnded(base.round, action.stage, action.outcome, action.received, action.missing, waited_s)
        self._bench.events.append(ended)
        if action.stage is STAGES[-1]:
            answers, critiques, decisions = (self._scored(stage) for stage in STAGES)
            self._bench.events.append(recap(self._inbox.view(), 0, answers, critiques, decisions))

    def _scored(self, stage: Stage) -> Scored:
        cohort, found = self._inbox.base.cohort, self._inbox.batches[stage].items()
        return {peer: (checked.batch, checked.scores) for peer, checked in found if peer in cohort}

    async def _persist(self, doing: Callable[[], Awaitable[object]]) -> None:
        """Do something that publishes; while the network cannot be reached, say so and try again."""
        while True:
            try:
                await doing()
            except NetworkError as error:
                self._troubles.report(error)
                await asyncio.sleep(1.0)
            else:
                self._troubles.over(NetworkError)
                return

    # --- observing -------------------------------------------------------------------------------------------------

    async def _observe(self, state: RoundState) -> list[machine.Happening]:
        agreeing = state.phase is Phase.AGREE
        with self._bench.watch.during(Activity.CHAIN if agreeing else Activity.WAIT):
            self._oversight.audits.start()  # there is waiting to be done
            await self._poll(self._kinds(state), state)
            if agreeing or self._bench.now() - self._looked_at_chain >= CHAIN_POLL_S:
                view = await self._look_at_chain()
                if view is not None:
                    recorded = await self._follow_chain(state, view)
                    if recorded is not None:
                        return [recorded]
            if not self._heard:
                await asyncio.sleep(self._bench.poll_s)
        return [machine.Tick()]

    def _kinds(self, state: RoundState) -> list[str]:
        """Record kinds worth asking for now: the stages reached so far that somebody has not published, and later on
        contributions. While agreeing, everything now and then: who contradicts itself may show it late."""
        members = {member.peer for member in self._view.members}
        stages = STAGES
        if state.phase in (Phase.ANSWER, Phase.CRITIQUE, Phase.DECIDE):
            stages = STAGES[: STAGES.index(Stage(state.phase.value)) + 1]
        if state.phase is Phase.AGREE and self._bench.now() - self._looked_at_all >= LOOK_AT_ALL_S:
            self._looked_at_all = self._bench.now()
            return [*STAGES, CONTRIBUTION]
        kinds: list[str] = [stage for stage in stages if members - self._inbox.batches[stage].keys()]
        if state.phase is Phase.AGREE or (
            state.phase is Phase.CONTRIBUTE and members - self._inbox.contributions.keys()
        ):
            kinds.append(CONTRIBUTION)
        return kinds

    async def _poll(self, kinds: Sequence[str], state: RoundState | None = None, wait_s: float = DERIVING_S) -> None:
        """Look for new records, and after contributions where ``state`` says how far the round is. The inbox names
        each record only once, so it is kept until the machine has heard of it."""
        try:
            accepted = await self._inbox.poll(kinds, wait_s)
        except NetworkError as error:
            self._troubles.report(error)
            return
        self._troubles.over(NetworkError)
        for checked in accepted:
            if isinstance(checked, CheckedBatch):
                self._heard.append(machine.Received(checked.header.stage, checked.batch.peer))
                self._tell_batch(checked)
            else:
                self._tell_contribution(checked)
        if state is not None:
            try:
                self._heard += await self._oversight.poll(state)
            except NetworkError as error:
                self._troubles.report(error)

    def _tell_batch(self, checked: CheckedBatch) -> None:
        if checked.batch.peer == self._bench.signer.peer:
            return
        self._bench.events.append(
            BatchSeen(
                round=checked.batch.round,
                stage=checked.header.stage,
                peer=checked.batch.peer,
                num_rollouts=len(checked.scores_milli),
                mean_score_milli=checked.mean_score_milli,
                correct_milli=checked.correct_milli,
                took_s=checked.took_s,
            )
        )

    def _tell_contribution(self, checked: CheckedContribution) -> None:
        earned = self._agreement.verified().get(checked.content)
        if checked.contribution.peer != self._bench.signer.peer and earned is not None:
            self._bench.events.append(
                ContributionSeen(
                    checked.contribution.round, checked.contribution.peer, checked.content, earned.micro_credits
                )
            )

    # --- the chain -------------------------------------------------------------------------------------------------

    async def _look_at_chain(self) -> ClockView | None:
        self._looked_at_chain = self._bench.now()
        try:
            view = await self._chain.clock()
        except ChainUnreachable as error:
            self._troubles.report(error)
            return None
        self._troubles.over(ChainUnreachable)
        base = self._inbox.base
        if view.round < base.round or (view.round == base.round and view.seed not in ("", base.seed)):
            raise RoundVanished(f"The chain is back in round {view.round}.")
        return view

    async def _round_is_sure(self) -> None:
        """Wait until the block that seeds this round is deep enough to survive a crash of the chain's node.

        Nothing is signed before: what is signed once for a round could not be signed again for the same round opened
        anew, with another seed and so other questions. Sampling the answers usually takes longer than this.
        """
        with self._bench.watch.during(Activity.CHAIN):
            while not self._is_sure:
                view = await self._look_at_chain()
                self._is_sure = view is not None and view.block >= self._view.block + SURE_BLOCKS
                if not self._is_sure:
                    await asyncio.sleep(self._bench.poll_s)

    async def _follow_chain(self, state: RoundState, view: ClockView) -> machine.Recorded | None:
        base = self._inbox.base
        if view.round > base.round:
            return await self._recorded(view)
        if state.phase is not Phase.AGREE:
            return None
        try:
            self._my_turn = self._my_turn or self._has_second_turn(state)
            if self._my_turn:
                self._my_turn = not await self._agreement.propose(view)
            await self._agreement.poll(view, state.agree_since, self._due(state))
        except NetworkError as error:
            self._troubles.report(error)
        waited_s = self._bench.now() - state.agree_since
        if waited_s > 2 * self._bench.run.time.poster_s:
            self._agreement.take_over(view)
        insisting = self._agreement.self_inclusion(view, self._work.contribution())
        if insisting is not None:
            await self._settler.send_now(insisting)
        await self._settler.flush()
        # A round may be past its deadline when it begins here (the swarm was off): it gets its chance to agree first.
        turn_s = state.posters.index(state.me) * self._bench.run.time.poster_s if state.me in state.posters else 0
        if (
            waited_s >= 2 * self._bench.run.time.poster_s + turn_s
            and view.block_at >= view.closes_at
            and self._bench.now() >= view.closes_at + turn_s
        ):
            await self._settler.send_now(Advance(base.round))
        return None

    def _due(self, state: RoundState) -> tuple[PeerId, ...]:
        """Posters whose turn has come; one turn early, since others may have stopped waiting before this peer did."""
        poster_s = self._bench.run.time.poster_s
        return posters_due(state.posters, self._bench.now() - state.agree_since + poster_s, poster_s)

    def _has_second_turn(self, state: RoundState) -> bool:
        """Once more, in the same order, after everybody's turn: this peer may have verified something else by now."""
        if self._had_second_turn or not state.proposed:
            return False
        turn = len(state.posters) + state.posters.index(state.me)
        self._had_second_turn = self._bench.now() - state.agree_since >= turn * self._bench.run.time.poster_s
        return self._had_second_turn

    async def _recorded(self, view: ClockView) -> machine.Recorded | None:
        """How the round ended on the chain; ``None`` while the credit table that says so is still looked for."""
        settled = view.settled_round >= self._inbox.base.round
        others: list[PeerId] = [member.peer for member in self._view.members]
        self._left_at = self._left_at or self._bench.now()
        try:
            is_known = await self._book.sync(view, others)
            await self._agreement.look_back(view)
        except NetworkError as error:
            self._troubles.report(error)
            is_known = False
        if not is_known:
            if self._bench.now() - self._left_at < PATIENCE_S:
                return None
            return machine.Recorded(settled=settled, included=False)
        row = row_of(self._book.current, self._bench.signer.peer)
        included = settled and row is not None and row.state == self.state_after()
        return machine.Recorded(settled=settled, included=included)
