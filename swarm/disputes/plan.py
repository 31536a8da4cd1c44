"""Why this module exists: what is to be done about a game follows from its record, this peer's part in it and the time.

Pure. The chain's own clock counts, since the contract decides by it.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from chain.games import GamePhase, GameRecord, GameSide, game_id
from protocol.ids import Address, PeerId
from swarm.disputes.archive import Suit


class Due(StrEnum):
    """What is to be done about a game."""

    MOVE = "move"  # it is this peer's turn
    EXPIRE = "expire"  # the other side let its deadline pass
    WAIT = "wait"  # it is the other side's turn
    LATE = "late"  # this peer let its own deadline pass: it can only lose
    NOTHING = "nothing"  # the game is over, or others play it


def side_in(record: GameRecord, peer: PeerId, wallet: Address) -> GameSide | None:
    """Which side of a game this peer plays: who accuses itself only defends."""
    if record.peer == peer:
        return GameSide.DEFENDER
    return GameSide.CHALLENGER if record.challenger.lower() == wallet.lower() else None


def due(record: GameRecord, side: GameSide | None, now: int) -> Due:
    """What ``side`` has to do at block time ``now``."""
    if side is None or record.phase is GamePhase.OVER:
        return Due.NOTHING
    is_past = now > record.deadline
    if record.phase.turn is side:
        return Due.LATE if is_past else Due.MOVE
    return Due.EXPIRE if is_past else Due.WAIT


class Opening(StrEnum):
    """Whether a suit is to become a game."""

    NOW = "now"  # there is a stake to be won, or pay that nothing but a game strikes any more
    LATER = "later"  # games that are open, or the quorum, may do without it
    NEVER = "never"  # nothing is left to be won or struck


def opening(
    games: Collection[GameRecord], suit: Suit, wallet: Address, stake_micro: int, *, is_last_chance: bool
) -> Opening:
    """Whether a suit that has no game yet is to become one. ``stake_micro``: what the accused has left to lose, leaving
    stake included. ``is_last_chance``: an epoch was opened that may pay the round, or who accuses is about to leave.

    A game takes the stake and strikes the pay. Stake that is gone, or that an open game is about, is worth no second
    bond and trace as long as nobody can be paid for the lie: the quorum strikes it for nothing. But neither another's
    game nor the quorum is trusted: what they leave undone when the last chance comes is done by a game."""
    if suit.is_ordered and (stake_micro or not suit.is_struck):
        return Opening.NOW
    rivals = [one for one in games if one.peer == suit.peer and one.phase is not GamePhase.OVER]
    if suit.is_struck and not stake_micro:
        return Opening.NEVER
    if suit.is_struck and any(one.challenger.lower() == wallet.lower() for one in rivals):
        return Opening.LATER  # only the stake is left to be won, and this peer is winning it already
    return Opening.LATER if (rivals or not stake_micro) and not is_last_chance else Opening.NOW


def is_refuted(games: Collection[GameRecord], suit: Suit) -> bool:
    """Whether somebody has shown already that the suit's contribution is a lie: then another game shows nothing new."""
    return any(one.content == suit.content and one.winner is GameSide.CHALLENGER for one in games)


def own_game(games: Collection[GameRecord], suit: Suit, wallet: Address) -> GameRecord | None:
    """The game that this peer opened for a suit. Another one's game about the same is none: it may be lost on
    purpose."""
    name = game_id(suit.content, suit.subject, wallet)
    return next((one for one in games if one.game == name), None)


def open_games(games: Collection[GameRecord], peer: PeerId, wallet: Address) -> list[GameRecord]:
    """Those of this peer that are not over."""
    return [one for one in games if one.phase is not GamePhase.OVER and side_in(one, peer, wallet) is not None]
