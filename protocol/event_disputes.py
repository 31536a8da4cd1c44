"""Why this module exists: what a peer tells of disputes on the chain, its own and those that it sees.

They are events like those of ``protocol.events``.
"""

from __future__ import annotations

from protocol.event import Event
from protocol.ids import Address, ContentId, PeerId


class DisputeOpened(Event, frozen=True):
    """A game about ``peer``'s contribution of ``round`` was opened on the chain.

    ``subject``: what of it, in words. ``side``: which one this peer plays, ``defender`` or ``challenger``; empty: it
    looks on. ``deadline_at``: until when the defender may commit to a trace. ``bond_micro``: what the challenger risks,
    ``stake_micro``: what the accused does.
    """

    game: ContentId
    round: int
    peer: PeerId
    content: ContentId
    subject: str
    challenger: Address
    defender: Address
    side: str
    deadline_at: float
    bond_micro: int = 0
    stake_micro: int = 0


class DisputeMove(Event, frozen=True):
    """Move ``number`` (from 1) of a game was made by ``side``.

    ``name``: its kind, ``what`` it says in words; ``phase``: what is waited for from now on. Of ``total`` things called
    ``searched`` (``nodes``, ``elements``, ``terms``) ``count`` are still in question, from ``first`` on.
    """

    game: ContentId
    number: int
    side: str
    name: str
    what: str
    phase: str
    searched: str
    first: int
    count: int
    total: int
    deadline_at: float
    gas: int
    transaction: str


class DisputeDecided(Event, frozen=True):
    """A game is over. ``winner``: ``challenger`` when the contribution is proven false, else ``defender``; ``why`` in
    words; ``by_clock``: the other side let a deadline pass. ``gas``: of all its moves. ``slashed_micro``: what the
    accused peer lost by it."""

    game: ContentId
    round: int
    peer: PeerId
    content: ContentId
    winner: str
    why: str
    by_clock: bool
    num_moves: int
    gas: int
    slashed_micro: int
    side: str


class DisputeNotPossible(Event, frozen=True):
    """This peer found a contribution to be false and does not, or cannot, take it before the contract."""

    round: int
    peer: PeerId
    content: ContentId
    why: str


class EquivocationFound(Event, frozen=True):
    """``peer`` signed two different contributions for ``round``, and this peer holds both. It, or another member, shows
    them to the contract."""

    round: int
    peer: PeerId
    first: ContentId
    second: ContentId


class EquivocationEnded(Event, frozen=True):
    """This peer has nothing more to do with that. ``why`` nobody shows it any more; empty: it was proven to the
    contract, by a transaction of this peer's where ``by_me``, and ``slashed_micro`` was taken, as far as known here."""

    round: int
    peer: PeerId
    slashed_micro: int
    by_me: bool
    why: str = ""


class EquivocationProven(Event, frozen=True):
    """``reporter`` showed the contract that ``peer`` signed both ``first`` and ``second`` for ``round``, in
    ``transaction``: every peer of the run tells that, whether it held both or not. ``slashed_micro`` was taken, of
    which ``award_micro`` went to the reporter; the rest was burned. ``proven_at``: time of the block, unix seconds."""

    round: int
    peer: PeerId
    reporter: Address
    first: ContentId
    second: ContentId
    slashed_micro: int
    award_micro: int
    transaction: str
    block: int
    proven_at: float


class WitnessDoubted(Event, frozen=True):
    """``by`` says that ``judge`` made up what it found in ``peer``'s contribution of ``round``. The attestors look."""

    round: int
    peer: PeerId
    content: ContentId
    judge: PeerId
    by: PeerId
