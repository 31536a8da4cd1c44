"""Why this module exists: games about contributions on the simulated chain, with the rules of ``DisputeGame``.

How a move changes a game is handed in (``chain.games.GameRule``): this part knows money, deadlines and who may move.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from chain.base import ExpireDispute, OpenDispute, PlayMove
from chain.fake.escrow import Escrow
from chain.fake.ground import Ground, is_proved, refuse
from chain.fake.registry import Registry
from chain.fake.roster import Roster
from chain.fake.vault import Vault
from chain.games import (
    WHOLE_STEP,
    GamePhase,
    GameRecord,
    GameRule,
    GameSide,
    GameTerms,
    MoveRecord,
    game_id,
)
from chain.typed_data import record_digest
from protocol.ids import ZERO_ROOT, Address, ContentId

WORK_MARK = b"\xc4\x20"
"""What msgpack writes before 32 bytes: a contribution ends with it and its ``work``."""


class _Game(msgspec.Struct):
    record: GameRecord
    state: Any
    moves: list[MoveRecord]


class Disputes:
    """All games. ``rule`` must be set before one is opened."""

    def __init__(self, ground: Ground, registry: Registry, roster: Roster, vault: Vault, escrow: Escrow) -> None:
        self._ground = ground
        self._registry = registry
        self._roster = roster
        self._vault = vault
        self._escrow = escrow
        self._games: dict[ContentId, _Game] = {}
        self.rule: GameRule | None = None

    # --- looking -----------------------------------------------------------------------------------------------------

    @property
    def terms(self) -> GameTerms:
        rules = self._ground.rules
        return GameTerms(rules.trace_s, rules.move_s, rules.dispute_bond_micro)

    def records(self, since_block: int) -> tuple[GameRecord, ...]:
        return tuple(game.record for game in self._games.values() if game.record.opened_block >= since_block)

    def moves(self, game: ContentId) -> tuple[MoveRecord, ...]:
        found = self._games.get(game)
        return tuple(found.moves) if found is not None else ()

    def is_open(self, wallet: Address, intent: OpenDispute) -> bool:
        return game_id(_content(intent), intent.subject, wallet) in self._games

    def is_past(self, game: ContentId, turn: int | None) -> bool:
        """Whether the game is over or, with a ``turn``, has more moves than that."""
        found = self._games.get(game)
        if found is None:
            return False
        return found.record.phase is GamePhase.OVER or (turn is not None and found.record.moves > turn)

    # --- changing ----------------------------------------------------------------------------------------------------

    def open(self, wallet: Address, intent: OpenDispute) -> None:
        assert self.rule is not None, "set world.disputes.rule before a game is opened"
        content, ground = _content(intent), self._ground
        game = game_id(content, intent.subject, wallet)
        if game in self._games:
            refuse("DisputeExists", game=game)
        paid_round = self._escrow.paid_round
        if intent.round < paid_round:
            refuse("RoundPaid", round=intent.round, paidRound=paid_round)
        words = (intent.state_before, intent.state_after, intent.step_program, intent.step_data, intent.draws)
        work = hashlib.sha256(b"".join(map(bytes.fromhex, words))).digest()
        if not intent.contribution.endswith(WORK_MARK + work):
            refuse("BadOpening")
        digest = record_digest(ground.contracts, ground.run, "contribution", intent.round, content)
        self._roster.require_signed(intent.peer, intent.round, digest, intent.signature)
        ground.take(wallet, ground.rules.dispute_bond_micro)
        self._vault.hold(intent.peer, 1)
        program, data = _subject(intent)
        record = GameRecord(
            game=game,
            peer=intent.peer,
            challenger=wallet,
            round=intent.round,
            content=content,
            subject=intent.subject,
            program_root=program,
            data_root=data,
            state_before=intent.state_before,
            state_after=intent.state_after if intent.subject == WHOLE_STEP else None,
            terms=self.terms,
            opened_at=ground.now,
            opened_block=ground.block + 1,
            phase=GamePhase.TRACE,
            deadline=ground.now + ground.rules.trace_s,
        )
        self._games[game] = _Game(record, self.rule.begin(record), [])

    def play(self, wallet: Address, intent: PlayMove) -> None:
        assert self.rule is not None
        game = self._live(intent.game)
        record, side = game.record, game.record.phase.turn
        assert side is not None
        mover = self._registry.owner_of(record.peer) if side is GameSide.DEFENDER else record.challenger
        if wallet != mover:
            refuse("NotYourTurn", caller=wallet)
        if intent.turn != record.moves:
            refuse("StateStale", game=intent.game)
        if self._ground.now > record.deadline:
            refuse("TooLate", until=record.deadline)
        played = self.rule.play(game.state, side, intent.call, self._ground.now)
        game.moves.append(
            MoveRecord(
                game=record.game,
                turn=record.moves,
                side=side,
                name=played.name,
                choice=played.choice,
                shown=played.shown,
                phase=played.phase,
                deadline=played.deadline,
                at_s=self._ground.now,
                block=self._ground.block + 1,
                gas=80_000,
                sender=wallet,
                call=intent.call,
            )
        )
        game.state = played.state
        game.record = msgspec.structs.replace(
            record, phase=played.phase, deadline=played.deadline, moves=record.moves + 1
        )
        if played.winner is not None:
            self._end(game, played.winner, by_clock=False)

    def expire(self, intent: ExpireDispute) -> None:
        game = self._live(intent.game)
        if self._ground.now <= game.record.deadline:
            refuse("TooEarly", until=game.record.deadline)
        is_defenders = game.record.phase.turn is GameSide.DEFENDER
        self._end(game, GameSide.CHALLENGER if is_defenders else GameSide.DEFENDER, by_clock=True)

    def _live(self, number: ContentId) -> _Game:
        game = self._games.get(number)
        if game is None:
            refuse("DisputeUnknown", game=number)
        if game.record.phase is GamePhase.OVER:
            refuse("DisputeOver", game=number)
        return game

    def _end(self, game: _Game, winner: GameSide, *, by_clock: bool) -> None:
        record, ground = game.record, self._ground
        peer, bond_micro = record.peer, record.terms.bond_micro
        self._vault.hold(peer, -1)
        slashed_micro = 0
        if winner is GameSide.CHALLENGER:
            slashed_micro = self._vault.take_all(peer, record.challenger)
            ground.pay(record.challenger, bond_micro)
            self._escrow.strike(peer, record.round)
            self._roster.eject(peer, self._roster.round + ground.rules.barred_rounds)
        else:
            owner = self._registry.owner_of(peer)
            assert owner is not None
            ground.pay(owner, bond_micro // 2)
        game.record = msgspec.structs.replace(
            record,
            phase=GamePhase.OVER,
            winner=winner,
            by_clock=by_clock,
            slashed_micro=slashed_micro,
            ended_at=ground.now,
            ended_block=ground.block + 1,
        )


class FakeGames:
    """``chain.games.Games`` on a ``FakeWorld``'s disputes."""

    def __init__(self, disputes: Disputes) -> None:
        self._disputes = disputes

    async def terms(self) -> GameTerms:
        return self._disputes.terms

    async def games(self, since_block: int = 0) -> tuple[GameRecord, ...]:
        return self._disputes.records(since_block)

    async def moves(self, game: ContentId) -> tuple[MoveRecord, ...]:
        return self._disputes.moves(game)


def _content(intent: OpenDispute) -> ContentId:
    return ContentId(hashlib.sha256(intent.contribution).hexdigest())


def _subject(intent: OpenDispute) -> tuple[ContentId, ContentId]:
    """Program and data of what is disputed. Refuses a draw that the contribution does not have."""
    if intent.subject == WHOLE_STEP:
        if intent.step_program == ZERO_ROOT:
            refuse("BadOpening")
        return intent.step_program, intent.step_data
    pair = bytes.fromhex(intent.draw_program) + bytes.fromhex(intent.draw_data)
    value = int.from_bytes(hashlib.sha256(pair).digest(), "big")
    is_index = 0 <= intent.subject < 1 << 64
    if not is_index or not is_proved(intent.draws, intent.subject.to_bytes(32, "big"), value, intent.draw_proof):
        refuse("BadOpening")
    return intent.draw_program, intent.draw_data
