"""Why this module exists: a dispute is played on the chain, and both sides see it as the same plain records.

``Games`` has a real adapter (``chain.web3_games``) and a shipped fake (``chain.fake.disputes``). What moves mean is not
known here: a move is call data, made and read by ``verde.bisect.calldata``, which also turns records back into the
state machine of ``verde.bisect.game``. Moves are sent as intents: ``OpenDispute``, ``PlayMove``, ``ExpireDispute``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol

import msgspec
from eth_abi.abi import encode
from eth_hash.auto import keccak

from protocol.ids import Address, ContentId, PeerId

WHOLE_STEP = -1
"""``subject`` of a game about a training step; from 0 on: about the draw with this index."""


class GameSide(StrEnum):
    """Who."""

    DEFENDER = "defender"
    CHALLENGER = "challenger"


class GamePhase(StrEnum):
    """What a game waits for, in the order of the contract's numbers (``verde.bisect.game.Phase``)."""

    TRACE = "trace"
    PICK = "pick"
    REVEAL = "reveal"
    CHUNK = "chunk"
    ELEMENT = "element"
    PARTS = "parts"
    LEAF = "leaf"
    OVER = "over"

    @property
    def turn(self) -> GameSide | None:
        """Who is to move."""
        if self is GamePhase.OVER:
            return None
        is_defenders = self in (GamePhase.TRACE, GamePhase.REVEAL, GamePhase.CHUNK, GamePhase.PARTS)
        return GameSide.DEFENDER if is_defenders else GameSide.CHALLENGER


class MoveName(StrEnum):
    """Kinds of moves, in the order of the contract's numbers."""

    POST_TRACE = "post_trace"
    SHOW_RESULT = "show_result"
    SHOW_STEP = "show_step"
    PICK = "pick"
    REVEAL = "reveal"
    REVEAL_CHUNK = "reveal_chunk"
    PICK_ELEMENT = "pick_element"
    REVEAL_PARTS = "reveal_parts"
    PICK_PART = "pick_part"
    LEAF = "leaf"


class GameTerms(msgspec.Struct, frozen=True):
    """What the run asks of a game: seconds to post a trace and for every later move, and the challenger's bond."""

    trace_s: int
    move_s: int
    bond_micro: int


class GameRecord(msgspec.Struct, frozen=True):
    """A game as it stands on the chain.

    ``peer``: the accused, whose wallet defends; ``content``: the contribution; ``subject``: ``WHOLE_STEP`` or a draw's
    index. ``program_root`` … ``state_after``: what the game is about, ``state_after`` ``None`` for a draw. ``moves``:
    how many were made; ``deadline``: unix seconds until which the next one may be; ``winner``: once it is over, and
    ``by_clock``: because the other side let a deadline pass. ``slashed_micro``: what the accused lost by it.
    """

    game: ContentId
    peer: PeerId
    challenger: Address
    round: int
    content: ContentId
    subject: int
    program_root: ContentId
    data_root: ContentId
    state_before: ContentId
    state_after: ContentId | None
    terms: GameTerms
    opened_at: int
    opened_block: int
    phase: GamePhase
    deadline: int
    moves: int = 0
    winner: GameSide | None = None
    by_clock: bool = False
    slashed_micro: int = 0
    ended_at: int = 0
    ended_block: int = 0


class MoveRecord(msgspec.Struct, frozen=True):
    """One move. ``turn``: how many came before it.

    ``choice``: which hash, element or part was chosen. ``shown``: what the next one to move must see, whoever sent the
    move in whatever way (``verde.bisect.calldata`` reads it). ``call``: its call data, empty where another contract
    sent it: for people. ``phase`` and ``deadline``: of the game after it. ``gas``: of the whole transaction.
    """

    game: ContentId
    turn: int
    side: GameSide
    name: MoveName
    choice: int
    shown: bytes
    phase: GamePhase
    deadline: int
    at_s: int
    block: int
    gas: int = 0
    sender: Address = Address("")
    transaction: str = ""
    call: bytes = b""


class GameStatus(msgspec.Struct, frozen=True):
    """What the chain knows of a game without its history."""

    deadline: int
    moves: int
    phase: GamePhase
    is_over: bool

    @property
    def exists(self) -> bool:
        return self.deadline > 0


class Games(Protocol):
    """Every method raises ``ChainUnreachable`` when no endpoint answers, ``ChainError`` for a foreign contract."""

    async def terms(self) -> GameTerms:
        """The run's."""
        ...

    async def games(self, since_block: int = 0) -> tuple[GameRecord, ...]:
        """All games that were opened in or after ``since_block``, in order, each as it stands now."""
        ...

    async def moves(self, game: ContentId) -> tuple[MoveRecord, ...]:
        """The moves of a game in order; none for a game that is not there."""
        ...


class Played(msgspec.Struct, frozen=True):
    """What a move makes of a game: its next state, and what the record of the move says."""

    state: Any
    name: MoveName
    choice: int
    shown: bytes
    phase: GamePhase
    deadline: int
    winner: GameSide | None


class GameRule(Protocol):
    """The rules of a game, for a chain that has no contract (``verde.bisect.arbiter``)."""

    def begin(self, game: GameRecord) -> object:
        """The state of a game that was just opened."""
        ...

    def play(self, state: Any, side: GameSide, call: bytes, now: int) -> Played:
        """The game after a move. Raises ``ChainError`` with the contract's reason for one that it does not take."""
        ...


def game_id(content: ContentId, subject: int, challenger: Address) -> ContentId:
    """The name of a game, known before it is opened: there is one per contribution, subject and challenger."""
    words = encode(["bytes32", "int256", "address"], [bytes.fromhex(content), subject, challenger])
    return ContentId(keccak(words).hex())
