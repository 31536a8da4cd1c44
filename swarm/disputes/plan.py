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
