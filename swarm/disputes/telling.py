"""Why this module exists: every peer tells what happens in its run's games, once, in words that any display can show.

Pure: records of a game, and how far it was told already  ->  events.
"""

from __future__ import annotations

from collections.abc import Sequence

from chain.games import GamePhase, GameRecord, GameSide, MoveRecord
from protocol.errors import VerificationError
from protocol.events import DisputeDecided, DisputeMove, DisputeOpened, Event
from protocol.ids import Address
from swarm.disputes.words import Range, in_question, move_words, subject_words, verdict_words
from verde.bisect import calldata
from verde.bisect.game import Dispute
from verde.bisect.moves import Move

UNTOLD = -1
"""How many moves were told of a game that was not told of at all."""


def name_of(name: str) -> str:
    """A kind of move as ``verde.bisect.moves`` spells it."""
    return "".join(word.capitalize() for word in name.split("_"))


def opened(record: GameRecord, side: GameSide | None, defender: Address, stake_micro: int) -> DisputeOpened:
    """That a game began. ``defender``: the accused peer's owner; ``stake_micro``: what it risks."""
    return DisputeOpened(
        game=record.game,
        round=record.round,
        peer=record.peer,
        content=record.content,
        subject=subject_words(record.subject),
        challenger=record.challenger,
        defender=defender,
        side=side or "",
        deadline_at=float(record.opened_at + record.terms.trace_s),
        bond_micro=record.terms.bond_micro,
        stake_micro=stake_micro,
    )


def news(record: GameRecord, moves: Sequence[MoveRecord], told: int, side: GameSide | None) -> list[Event]:
    """What happened since ``told`` moves were told (one more than there are: the end was, too)."""
    events: list[Event] = [_moved(record, moves[: number + 1]) for number in range(max(0, told), len(moves))]
    if record.phase is GamePhase.OVER and told <= len(moves):
        events.append(_decided(record, moves, side))
    return events


def told_after(record: GameRecord, moves: Sequence[MoveRecord]) -> int:
    """How far a game is told once its ``news`` are."""
    return len(moves) + (record.phase is GamePhase.OVER)


def _moved(record: GameRecord, moves: Sequence[MoveRecord]) -> DisputeMove:
    last = moves[-1]
    before, move = _replayed(record, moves[:-1]), _read(last)
    after = _replayed(record, moves)
    left = in_question(after or before) if after or before else Range("", 0, 0, 0)  # type: ignore[arg-type]
    return DisputeMove(
        game=record.game,
        number=last.turn + 1,
        side=last.side,
        name=name_of(last.name),
        what=move_words(before, move) if before is not None and move is not None else "",
        phase=last.phase,
        searched=left.searched,
        first=left.first,
        count=left.count,
        total=left.total,
        deadline_at=float(last.deadline),
        gas=last.gas,
        transaction=last.transaction,
    )


def _decided(record: GameRecord, moves: Sequence[MoveRecord], side: GameSide | None) -> DisputeDecided:
    winner = record.winner or GameSide.DEFENDER
    before = _replayed(record, moves[:-1]) if moves else None
    move = _read(moves[-1]) if moves else None
    return DisputeDecided(
        game=record.game,
        round=record.round,
        peer=record.peer,
        content=record.content,
        winner=winner,
        why=verdict_words(before, move, winner, by_clock=record.by_clock),
        by_clock=record.by_clock,
        num_moves=len(moves),
        gas=sum(one.gas for one in moves),
        slashed_micro=record.slashed_micro,
        side=side or "",
    )


def _replayed(record: GameRecord, moves: Sequence[MoveRecord]) -> Dispute | None:
    """The game after these moves; ``None`` where they do not tell enough."""
    try:
        return calldata.dispute_of(record, moves)
    except VerificationError:
        return None


def _read(move: MoveRecord) -> Move | None:
    """``None`` where another contract sent it, whose call data nobody sees."""
    if not move.call:
        return None
    try:
        return calldata.decode(move.call)[2]
    except VerificationError:
        return None
