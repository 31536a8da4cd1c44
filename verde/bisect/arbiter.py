"""Why this module exists: a chain without contracts plays by the same rules, and refuses with the same names.

``chain.fake`` knows money and deadlines of a dispute; what a move makes of the game is said here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from chain.abi import Refusal
from chain.games import GamePhase, GameRecord, GameSide, Played
from chain.refusals import chain_error
from verde.bisect.calldata import StrangeCall, decode, encode, shown_by, state_of, terms_of
from verde.bisect.errors import BadMove, NothingShown, SearchBegun, TooLate, Unfit, WrongTurn
from verde.bisect.game import Dispute, Side, open_dispute, play
from verde.bisect.moves import Leaf, PickPart

_NAMES: tuple[tuple[type[BadMove], str], ...] = (
    (NothingShown, "NothingShown"),
    (SearchBegun, "SearchBegun"),
    (WrongTurn, "WrongMove"),
    (TooLate, "TooLate"),
    (Unfit, "Unfit"),
    (BadMove, "BadOpening"),
)


@dataclass(frozen=True)
class _Table:
    """A game and its record, as it was when it was opened: the record's parties and terms do not change."""

    record: GameRecord
    game: Dispute


class Arbiter:
    """``chain.games.GameRule`` by ``verde.bisect.game``."""

    def begin(self, game: GameRecord) -> _Table:
        return _Table(game, open_dispute(terms_of(game), game.opened_at))

    def play(self, state: _Table, side: GameSide, call: bytes, now: int) -> Played:
        record, game = state.record, state.game
        try:
            number, words, move = decode(call)
        except StrangeCall:
            _refuse("WrongMove")
        if number != record.game or words != state_of(record, game):
            _refuse("StateStale")
        if isinstance(move, Leaf | PickPart) and encode(record, game, move) != call:
            _refuse("BadOpening")  # it shows another node, or other parts, than the game is about
        mover = Side.DEFENDER if side is GameSide.DEFENDER else Side.CHALLENGER
        try:
            after = play(game, mover, move, now)
        except BadMove as bad:
            _refuse(next(name for kind, name in _NAMES if isinstance(bad, kind)))
        name, choice, shown = shown_by(game, move)
        return Played(
            state=_Table(record, after),
            name=name,
            choice=choice,
            shown=shown,
            phase=GamePhase(after.phase.value[1]),
            deadline=after.deadline,
            winner=GameSide(after.winner.value) if after.winner is not None else None,
        )


def _refuse(name: str) -> NoReturn:
    raise chain_error(Refusal(name, {}))
