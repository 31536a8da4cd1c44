"""Why this module exists: what a peer earned becomes tokens only when it is unlocked, and somebody asks for it.

Credits are paid out in epochs (``swarm.epochs``), which stay locked for a while. A peer claims now and then, and before
it leaves it waits for its last pay, where that is a matter of seconds; otherwise `swarm claim` is for later.
"""

from __future__ import annotations

import asyncio

from chain.base import Chain
from protocol.errors import ChainError
from protocol.events import CreditsChanged, Progress, StakeChanged
from protocol.run import EconomyRules
from rewards.ledger import row_of
from swarm.epochs import is_due
from swarm.ledger_book import LedgerBook
from swarm.settling import Settler
from swarm.troubles import Troubles
from swarm.work import Bench

SLACK_S = 10.0
"""For blocks to be mined and transactions to be sent."""

MAX_WAIT_S = 60.0
"""A peer that leaves waits no longer than this for pay to be unlocked."""

LOOK_EVERY_S = 0.5


def unlocking_s(rules: EconomyRules) -> float:
    """How long the pay of the latest result stays locked, at most: behind an epoch that was opened just before it, and
    with both of them challenged."""
    return 2.0 * (rules.challenge_s + rules.answer_s) + rules.dispute_s + SLACK_S


class Payday:
    """Claims for one peer."""

    def __init__(self, bench: Bench, chain: Chain, settler: Settler, book: LedgerBook, troubles: Troubles) -> None:
        self._bench = bench
        self._chain = chain
        self._settler = settler
        self._book = book
        self._troubles = troubles
        self._told: StakeChanged | None = None

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
        return epochs.covered_round >= table.round or is_due(epochs, view, self._bench.run.economics)

    def _credited_micro(self) -> int:
        row = row_of(self._book.current, self._bench.signer.peer)
        return row.micro_credits if row is not None else 0
