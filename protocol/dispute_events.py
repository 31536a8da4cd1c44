"""Why this module exists: a dispute is a game of many moves; these events tell it so that it can be drawn later."""

from __future__ import annotations

from protocol.event_base import Event
from protocol.ids import Address, ContentId, PeerId


class DisputeOpened(Event, frozen=True):
    """A game about a contribution of ``peer`` began on the chain.

    ``game``: its id, as text. ``subject``: ``step``, or ``draw`` and a rollout's number. ``role``: this peer's part in
    it: challenger, defender or onlooker. ``bond_micro`` and ``stake_micro``: what challenger and defender risk.
    ``closes_at``: the deadline of the first move, unix seconds.
    """

    game: str
    round: int
    peer: PeerId
    content: ContentId
    subject: str
    challenger: Address
    defender: Address
    role: str
    bond_micro: int
    stake_micro: int
    closes_at: float


class DisputeMove(Event, frozen=True):
    """A move was recorded. ``side``: challenger or defender; ``phase``: what is waited for next.

    ``search``: what is searched after it (nodes, chunks, elements, terms; empty where nothing is): the difference lies
    in [``first``, ``first + count``) of ``total``. ``what`` was found or shown, in words. ``closes_at``: the deadline
    of the next move, unix seconds.
    """

    game: str
    turn: int
    side: str
    move: str
    phase: str
    search: str
    first: int
    count: int
    total: int
    what: str
    gas: int
    transaction: str
    closes_at: float


class DisputeDecided(Event, frozen=True):
    """A game is over. ``winner``: the side; ``by``: leaf, clock or result; ``why`` in words."""

    game: str
    winner: str
    by: str
    why: str
    slashed_micro: int
    reward_micro: int
    transaction: str
