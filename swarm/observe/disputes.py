"""Why this module exists: a dispute is a search that narrows; who watches wants to see by how much, and who wins."""

from __future__ import annotations

import sqlite3

from swarm.observe.store import Store
from swarm.observe.text import name_of, plain
from swarm.observe.views import View


class MoveView(View, frozen=True):
    """A recorded move, and what is still searched after it: [``first``, ``first + count``) of ``total``."""

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
    closes_at: float
    at: float


class DisputeView(View, frozen=True):
    """A game. ``winner`` is empty while it is played; ``closes_at``: when whoever has to move loses."""

    game: str
    round: int
    peer: str
    nickname: str
    subject: str
    challenger: str
    defender: str
    role: str
    bond_micro: int
    stake_micro: int
    opened_at: float
    closes_at: float
    decided_at: float | None
    winner: str
    by: str
    why: str
    slashed_micro: int
    reward_micro: int
    moves: tuple[MoveView, ...]

    @property
    def turn_of(self) -> str:
        """Whose move is waited for: the other side of the last mover's, the defender at first; empty when over."""
        if self.winner:
            return ""
        if not self.moves:
            return "defender"
        phase = self.moves[-1].phase
        if phase in ("trace", "reveal", "chunk", "parts"):
            return "defender"
        return "challenger" if phase in ("pick", "element", "leaf") else ""


def disputes(store: Store) -> tuple[DisputeView, ...]:
    """All games that the log knows, newest first; those still played before those decided."""
    games = store.rows("SELECT * FROM disputes ORDER BY decided_at IS NOT NULL, opened_at DESC, game")
    moves: dict[str, list[MoveView]] = {}
    for row in store.rows("SELECT * FROM dispute_moves ORDER BY game, turn"):
        moves.setdefault(row["game"], []).append(_move(row))
    return tuple(_game(row, tuple(moves.get(row["game"], ()))) for row in games)


def _move(row: sqlite3.Row) -> MoveView:
    total = max(1, row["total"])
    first = min(max(0, row["first"]), total - 1)
    return MoveView(
        turn=row["turn"],
        side=plain(row["side"], 12),
        move=plain(row["move"], 40),
        phase=plain(row["phase"], 20),
        search=plain(row["search"], 20),
        first=first,
        count=min(max(1, row["count"]), total - first),
        total=total,
        what=plain(row["what"], 400),
        gas=row["gas"],
        closes_at=row["closes_at"],
        at=row["at"],
    )


def _game(row: sqlite3.Row, moves: tuple[MoveView, ...]) -> DisputeView:
    return DisputeView(
        game=plain(row["game"], 24),
        round=row["round"],
        peer=row["peer"],
        nickname=name_of(row["peer"]),
        subject=plain(row["subject"], 60),
        challenger=row["challenger"],
        defender=row["defender"],
        role=plain(row["role"], 20),
        bond_micro=row["bond_micro"],
        stake_micro=row["stake_micro"],
        opened_at=row["opened_at"],
        closes_at=moves[-1].closes_at if moves else row["closes_at"],
        decided_at=row["decided_at"],
        winner=plain(row["winner"] or "", 12),
        by=plain(row["by"] or "", 12),
        why=plain(row["why"] or "", 500),
        slashed_micro=row["slashed_micro"] or 0,
        reward_micro=row["reward_micro"] or 0,
        moves=moves,
    )
