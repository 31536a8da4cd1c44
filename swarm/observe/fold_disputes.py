"""Why this module exists: what the events of a dispute mean for the read-model; all words in them may be hostile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from protocol import events as e
from protocol.events import LoggedEvent

NUM_DISPUTES_KEPT = 200
_MAX_WORDS = 600


def _opened(db: sqlite3.Connection, logged: LoggedEvent, event: e.DisputeOpened) -> None:
    db.execute(
        "INSERT OR IGNORE INTO disputes (game, round, peer, content, subject, challenger, defender, role, bond_micro,"
        " stake_micro, opened_at, closes_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (event.game, event.round, event.peer, event.content, event.subject[:80], event.challenger, event.defender,
         event.role[:20], event.bond_micro, event.stake_micro, logged.at, event.closes_at),
    )  # fmt: skip
    old = (
        "SELECT game FROM disputes ORDER BY decided_at IS NULL DESC, opened_at DESC LIMIT -1 OFFSET ?",
        (NUM_DISPUTES_KEPT,),
    )
    for (game,) in db.execute(*old).fetchall():
        db.execute("DELETE FROM disputes WHERE game = ?", (game,))
        db.execute("DELETE FROM dispute_moves WHERE game = ?", (game,))


def _moved(db: sqlite3.Connection, logged: LoggedEvent, event: e.DisputeMove) -> None:
    db.execute(
        "REPLACE INTO dispute_moves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (event.game, event.turn, event.side[:20], event.move[:40], event.phase[:40], event.search[:20], event.first,
         event.count, event.total, event.what[:_MAX_WORDS], event.gas, event.closes_at, logged.at),
    )  # fmt: skip


def _decided(db: sqlite3.Connection, logged: LoggedEvent, event: e.DisputeDecided) -> None:
    db.execute(
        "UPDATE disputes SET decided_at = ?, winner = ?, by = ?, why = ?, slashed_micro = ?, reward_micro = ?"
        " WHERE game = ?",
        (logged.at, event.winner[:20], event.by[:20], event.why[:_MAX_WORDS], event.slashed_micro, event.reward_micro,
         event.game),
    )  # fmt: skip


DISPUTE_HANDLERS: dict[type, Callable[[sqlite3.Connection, LoggedEvent, Any], None]] = {
    e.DisputeOpened: _opened,
    e.DisputeMove: _moved,
    e.DisputeDecided: _decided,
}
