"""Why this module exists: everything that a peer sends to the chain goes through its outbox, and is told in events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from chain.base import Chain, Claim, ClaimMany, Epoch, Intent, Receipt, Settle
from protocol.errors import ChainError, ChainUnreachable
from protocol.events import Claimed, TransactionSent
from protocol.ids import Address, PeerId
from protocol.messages import CreditTable
from rewards.outbox import Outbox
from rewards.settlement import claim_intent
from swarm.observe.eventlog import EventLog
from swarm.observe.troubles import Troubles

LOST_RACES = frozenset(
    {
        "RoundAlreadySettled",
        "PreviousRootStale",
        "RoundNotCurrent",
        "RoundStillOpen",
        "MemberNotAbsent",
        "MemberInGoodStanding",
        "NotAMember",
        "NotEnrolled",
        "PosterNotDrawn",
        "LineRejected",
        "EpochUndecided",
        "EpochNotDue",
        "EpochNotOpen",
        "TooEarly",
        "TooLate",
        "AlreadyProven",
    }
)
"""Refusals that only mean that somebody else was quicker, or that it is too early: ``NotAMember`` is said to a poster
whose signing account was changed in this very round (the signatures themselves were checked before)."""


CLAIM_TIMEOUT_S = 30.0
DRAIN_POLL_S = 0.3


class Settler:
    """Flushes the outbox and claims. ``wallet`` is where tokens arrive."""

    def __init__(self, chain: Chain, outbox: Outbox, wallet: Address, events: EventLog, troubles: Troubles) -> None:
        self._chain = chain
        self._outbox = outbox
        self._wallet = wallet
        self._events = events
        self._troubles = troubles
        self._quiet: dict[Intent, str] = {}

    async def flush(self) -> None:
        """Send what is due. A chain that is away or refuses is told, never raised."""
        if not self._outbox.pending:
            return
        flushed = await self._outbox.flush(self._chain)
        for intent, receipt in flushed.sent:
            self._tell(intent, receipt)
        for intent, error in flushed.refused:
            if error.reason not in LOST_RACES and self._quiet.pop(intent, "") != error.reason:
                self._troubles.report(error)
        for _, error in flushed.held:
            self._troubles.report(error)
        if flushed.unreachable is not None:
            self._troubles.report(flushed.unreachable)
        else:
            self._troubles.over(ChainUnreachable)

    async def drain(self, *, timeout_s: float, unsent_timeout_s: float | None = None) -> bool:
        """Flush until nothing is pending; returns whether that was reached in time. What is left stays on disk.

        ``timeout_s``: for what is mined and waits for more blocks. What is in no block yet is waited for longer, up to
        ``unsent_timeout_s``, where that is given: nobody sends it when this peer is gone."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._outbox.pending:
                    await self.flush()
                    await asyncio.sleep(DRAIN_POLL_S)
        except TimeoutError:
            pass
        try:
            async with asyncio.timeout(max(0.0, (unsent_timeout_s or 0.0) - timeout_s)):
                while unsent_timeout_s is not None and self._outbox.unsent:
                    await self.flush()
                    await asyncio.sleep(DRAIN_POLL_S)
        except TimeoutError:
            pass
        return not self._outbox.pending

    async def send_now(self, intent: Intent) -> None:
        """Send something that need not survive a crash, because it is looked at again, or anybody may send it."""
        try:
            receipt = await self._chain.send(intent)
        except ChainError as error:
            if error.reason not in LOST_RACES:
                self._troubles.report(error)
            return
        self._tell(intent, receipt)

    async def deliver(self, intent: Intent, *, quiet: str = "") -> None:
        """Write ``intent`` down, and send what is due. What is not mined now stays on disk and is sent again.

        ``quiet``: a reason for which it may be refused without that being anybody's trouble."""
        if quiet:
            self._quiet[intent] = quiet
        self._outbox.put(intent)
        await self.flush()

    def is_waiting(self, intent: Intent) -> bool:
        """Whether ``intent`` is still to be sent."""
        return intent in self._outbox.unsent

    def tell_paid(self, amount_wei: int, balance_wei: int, *, by_me: bool) -> None:
        """Tokens arrived, by the last claim of this peer or by one that another peer sent."""
        self._events.append(Claimed(amount_wei, balance_wei, self._last_claim if by_me else ""))

    async def claim(self, peer: PeerId, paid_by: Callable[[Epoch], CreditTable | None]) -> int:
        """Claim everything that is unlocked and unpaid; returns the amount in wei (0: nothing was due, the table is not
        here, or the chain is away). ``paid_by``: the credit table that an epoch pays."""
        try:
            epoch = (await self._chain.epochs()).claimable
            record = await self._chain.peer(peer)
            table = paid_by(epoch) if epoch is not None else None
            if record is None or epoch is None or table is None:
                return 0
            intent = claim_intent(table, peer, record.claimed_micro, epoch)
            if intent is None:
                return 0
            before = await self._chain.balance(self._wallet)
            self._outbox.put(intent)
            await self.drain(timeout_s=CLAIM_TIMEOUT_S)
            after = await self._chain.balance(self._wallet)
        except ChainError as error:
            self._troubles.report(error)
            return 0
        amount_wei = after.token_wei - before.token_wei
        if amount_wei > 0:
            self._events.append(Claimed(amount_wei, after.token_wei, self._last_claim))
        return amount_wei

    _last_claim = ""

    def _tell(self, intent: Intent, receipt: Receipt) -> None:
        if not receipt.transaction:
            return
        if isinstance(intent, Claim | ClaimMany):
            self._last_claim = receipt.transaction
        round_number = intent.result.round if isinstance(intent, Settle) else getattr(intent, "round", 0)
        purpose = re.sub(r"(?<!^)(?=[A-Z])", " ", type(intent).__name__).lower()
        self._events.append(TransactionSent(purpose, receipt.transaction, receipt.gas, round_number))
