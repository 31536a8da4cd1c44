"""Why this module exists: what a peer earned becomes tokens only when it is unlocked, and somebody asks for it.

Credits are paid out in epochs (``swarm.pay.epochs``), which stay locked for a while. Every so many rounds peers claim,
many at once, taking turns (``rewards.payouts``). Before a peer leaves it waits for its last pay, where that is a matter
of seconds, and claims it alone; otherwise `swarm claim` is for later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, NoReturn

import msgspec

from chain.base import WEI_PER_MICRO, Chain, Claim, ClaimMany, Epoch, EpochsView
from protocol.errors import ChainError
from protocol.events import CreditsChanged, Progress, StakeChanged
from protocol.ids import PeerId
from protocol.messages import CreditTable
from protocol.run import EconomyRules
from rewards.ledger import row_of
from rewards.payouts import Group, claims, group_of, payout_of
from swarm.observe.troubles import Troubles
from swarm.pay.epochs import is_time
from swarm.pay.ledger_book import LedgerBook
from swarm.pay.settling import Settler
from swarm.rounds.work import Bench

SLACK_S = 10.0
"""For blocks to be mined and transactions to be sent."""

MAX_WAIT_S = 60.0
"""A peer that leaves waits no longer than this for pay to be unlocked."""

LOOK_EVERY_S = 0.5

TURN_EVERY_S = 15.0
"""How often a peer looks whether it is its turn to claim."""

FORGIVEN_AFTER = 100
"""Payouts after which a peer that let its turn pass is claimed for again."""


def unlocking_s(rules: EconomyRules) -> float:
    """How long the pay of the latest result stays locked, at most: behind an epoch that was opened just before it, and
    with both of them challenged."""
    return 2.0 * (rules.challenge_s + rules.answer_s) + rules.dispute_s + SLACK_S


class _Payout(msgspec.Struct):
    """The payout that is going on: its number, since when (block time), this peer's group, and what it sent."""

    number: int
    since: int
    group: Group
    claim: Claim | ClaimMany | None = None


class Payday:
    """Claims for one peer. ``claim_every``: rounds between payouts; 0: it claims at the end only.

    ``PATIENCE_S``: how long a peer whose turn it is may take before the next one claims."""

    PATIENCE_S: ClassVar[float] = 60.0

    def __init__(
        self,
        bench: Bench,
        chain: Chain,
        settler: Settler,
        book: LedgerBook,
        troubles: Troubles,
        *,
        claim_every: int = 0,
    ) -> None:
        self._bench = bench
        self._chain = chain
        self._settler = settler
        self._book = book
        self._troubles = troubles
        self._told: StakeChanged | None = None
        self._claim_every = claim_every
        self._payout: _Payout | None = None
        self._over: int | None = None  # the last payout that this peer has nothing more to do with
        self._left_out: dict[PeerId, int] = {}
        self._paid_micro: int | None = None

    async def watch(self) -> NoReturn:
        """Look after payouts until cancelled."""
        while True:
            await self.tend()
            await asyncio.sleep(TURN_EVERY_S)

    async def tend(self) -> None:
        """Claim for this peer's group if it is its turn. A chain that is away is told, never raised."""
        if not self._claim_every:
            return
        try:
            await self._tend(await self._chain.epochs())
        except ChainError as error:
            self._troubles.report(error)

    async def _tend(self, epochs: EpochsView) -> None:
        epoch, me = epochs.claimable, self._bench.signer.peer
        number = payout_of(epoch, self._claim_every) if epoch is not None else 0
        if self._over is None:
            self._over = number  # what an earlier process of this peer did is not known: the next one, then
        table = self._book.paid_by(epoch) if epoch is not None and number > self._over else None
        if epoch is None or table is None:
            return
        if self._payout is None or self._payout.number != number:
            self._payout = _Payout(number, epochs.block_at, group_of(table, me, number))
        payout, row = self._payout, row_of(table, me)
        is_owed = row is not None and await self._paid_now(by_me=payout.claim is not None) < row.micro_credits
        passed = int((epochs.block_at - payout.since) // self.PATIENCE_S)
        rank = payout.group.rank_of(me)
        if is_owed and payout.claim is None:
            self._left_out |= dict.fromkeys(payout.group.payers[: min(passed, rank)], number)
        if payout.claim is not None:
            if is_owed and self._settler.is_waiting(payout.claim):
                return
            await self._claim_for(table, epoch, payout, [me] if is_owed else [])
        elif passed >= rank:
            await self._claim_for(table, epoch, payout, payout.group.peers)
            return
        elif is_owed:
            return
        self._over = number

    async def _claim_for(self, table: CreditTable, epoch: Epoch, payout: _Payout, peers: Sequence[PeerId]) -> None:
        """Claim for those of ``peers`` who are owed something; for this one alone where money is short."""
        me, since = self._bench.signer.peer, payout.number - FORGIVEN_AFTER
        self._left_out = {peer: number for peer, number in self._left_out.items() if number > since}
        claimed = dict(zip(peers, await self._chain.claimed(peers), strict=True))
        intent = claims(table, epoch, me, claimed, self._left_out)
        if isinstance(intent, ClaimMany) and not await self._can_afford(intent):
            intent = claims(table, epoch, me, {me: claimed[me]})
        if intent is None or (isinstance(intent, Claim) and intent.peer != me):
            self._over = payout.number  # whoever is owed so little company claims alone
            return
        payout.claim = intent
        await self._settler.deliver(intent)

    async def _can_afford(self, intent: ClaimMany) -> bool:
        """Whether the wallet has the gas money twice over, and the contract would not refuse."""
        cost = await self._chain.estimate(intent)
        return (await self._chain.balance(self._bench.signer.wallet)).gas_wei >= 2 * cost.fee_wei

    async def _paid_now(self, *, by_me: bool) -> int:
        """What was paid to this peer so far; told when it became more."""
        (micro,) = await self._chain.claimed([self._bench.signer.peer])
        before, self._paid_micro = self._paid_micro, micro
        if before is not None and micro > before:
            balance = await self._chain.balance(self._bench.signer.wallet)
            self._settler.tell_paid((micro - before) * WEI_PER_MICRO, balance.token_wei, by_me=by_me)
            self._bench.events.append(CreditsChanged(self._credited_micro(), micro))
        return micro

    async def claimed_micro(self) -> int:
        """What was paid to this peer so far; 0 while the chain is away."""
        try:
            record = await self._chain.peer(self._bench.signer.peer)
        except ChainError as error:
            self._troubles.report(error)
            return 0
        if record is None:
            return 0
        stake = StakeChanged(record.stake_micro, record.exiting_micro, float(record.exit_ready_at))
        if stake != self._told:
            self._told = stake
            self._bench.events.append(stake)
        return record.claimed_micro

    async def claim(self) -> None:
        """Claim what is unlocked now."""
        if await self._settler.claim(self._bench.signer.peer, self._book.paid_by):
            self._bench.events.append(CreditsChanged(self._credited_micro(), await self.claimed_micro()))

    async def claim_last(self) -> None:
        """Claim everything that the latest result pays, waiting until it is unlocked where that takes seconds."""
        self._claim_every = 0
        wait_s = unlocking_s(self._bench.run.economics)
        deadline = self._bench.now() + (wait_s if wait_s <= MAX_WAIT_S else 0.0)
        is_told = False
        while await self._is_coming() and self._bench.now() < deadline:
            if not is_told:
                is_told = True
                self._bench.events.append(Progress("waiting until the latest pay is unlocked"))
            await self._settler.flush()
            await asyncio.sleep(LOOK_EVERY_S)
        await self.claim()
        if self._credited_micro() > await self.claimed_micro():
            self._bench.events.append(Progress("the latest pay is still locked; `swarm claim` fetches it later"))

    async def _is_coming(self) -> bool:
        """Whether the latest result pays this peer something that is locked, and will not be for ever."""
        table = self._book.current
        if table is None or self._credited_micro() <= await self.claimed_micro():
            return False
        try:
            epochs, view = await self._chain.epochs(), await self._chain.clock()
        except ChainError as error:
            self._troubles.report(error)
            return True
        if epochs.claimable is not None and epochs.claimable.round >= table.round:
            return False
        return epochs.covered_round >= table.round or is_time(epochs, view, self._bench.run.economics)

    def _credited_micro(self) -> int:
        row = row_of(self._book.current, self._bench.signer.peer)
        return row.micro_credits if row is not None else 0
