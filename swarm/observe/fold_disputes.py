"""Why this module exists: what events of disputes mean for the read-model. See ``swarm.observe.fold``."""

from __future__ import annotations

import sqlite3

import msgspec

from protocol.events import DisputeDecided, DisputeMove, DisputeOpened, EquivocationProven, LoggedEvent

_INT64 = 2**63 - 1


def opened(db: sqlite3.Connection, logged: LoggedEvent, event: DisputeOpened) -> None:
    """Fold."""
    db.execute(
        "INSERT INTO disputes (game, opened, opened_at) VALUES (?, ?, ?)"
        " ON CONFLICT (game) DO UPDATE SET opened = excluded.opened",
        (event.game, msgspec.json.encode(event), logged.at),
    )


def moved(db: sqlite3.Connection, logged: LoggedEvent, event: DisputeMove) -> None:
    """Fold."""
    db.execute(
        "REPLACE INTO dispute_moves VALUES (?, ?, ?, ?)",
        (event.game, event.number, msgspec.json.encode(event), logged.at),
    )


def decided(db: sqlite3.Connection, logged: LoggedEvent, event: DisputeDecided) -> None:
    """Fold."""
    db.execute(
        "UPDATE disputes SET decided = ?, decided_at = ? WHERE game = ?",
        (msgspec.json.encode(event), logged.at, event.game),
    )


def proven(db: sqlite3.Connection, _logged: LoggedEvent, event: EquivocationProven) -> None:
    """Fold. A chain that lost its last blocks may have taken it again, from another reporter: the last one counts."""
    db.execute(
        "REPLACE INTO equivocations VALUES (?, ?, ?)",
        (min(event.round, _INT64), event.peer, msgspec.json.encode(event)),
    )
