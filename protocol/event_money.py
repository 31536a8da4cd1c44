"""Why this module exists: what a peer tells about the chain and its money: transactions, credits, stake, claims.

They are events like those of ``protocol.events``.
"""

from __future__ import annotations

from protocol.event import Event


class TransactionSent(Event, frozen=True):
    """A transaction of this peer was mined. ``purpose``: register, enrol, settle, advance, claim."""

    purpose: str
    transaction: str
    gas: int
    round: int = 0


class CreditsChanged(Event, frozen=True):
    """Cumulative micro-credits of this peer: settled on the chain, and claimed as tokens."""

    settled_micro: int
    claimed_micro: int


class StakeChanged(Event, frozen=True):
    """What this peer has at stake on the chain, and what of it is on its way out (from ``exit_ready_at``, unix s)."""

    stake_micro: int
    exiting_micro: int
    exit_ready_at: float


class Claimed(Event, frozen=True):
    """Tokens arrived in the wallet. ``amount_wei`` of this claim; ``balance_wei`` of the wallet afterwards.

    ``transaction`` is empty when another peer sent the claim."""

    amount_wei: int
    balance_wei: int
    transaction: str
