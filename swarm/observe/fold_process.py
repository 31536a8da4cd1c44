"""Why this module exists: what a process tells of itself, for the read-model. See ``swarm.observe.fold``."""

from __future__ import annotations

import sqlite3

from protocol import events as e
from protocol.events import LoggedEvent
from swarm.observe.schema import NUM_PROBLEMS_KEPT

_INT64 = 2**63 - 1

MAX_NETWORK_OPS = 64
"""Kinds of operation and result that are counted apart; the program itself knows fewer."""


_HELD_BACK = "HeldBack"


def problem(db: sqlite3.Connection, logged: LoggedEvent, event: e.Problem) -> None:
    """Fold."""
    db.execute(
        "REPLACE INTO problems VALUES (?, ?, ?, ?, ?, ?, NULL)",
        (logged.seq, event.error, event.what, event.so_what, event.next_step, logged.at),
    )
    db.execute(
        "DELETE FROM problems WHERE seq NOT IN (SELECT seq FROM problems ORDER BY seq DESC LIMIT ?)",
        (NUM_PROBLEMS_KEPT,),
    )


def recovered(db: sqlite3.Connection, logged: LoggedEvent, event: e.Recovered) -> None:
    """Fold."""
    db.execute(
        "UPDATE problems SET recovered_at = ? WHERE error = ? AND recovered_at IS NULL", (logged.at, event.error)
    )


def held_back(db: sqlite3.Connection, logged: LoggedEvent, event: e.HeldBack) -> None:
    """Fold: a peer that signs nothing for a while earns nothing, and whoever looks must see that this is meant."""
    problem(
        db,
        logged,
        e.Problem(
            _HELD_BACK,
            f"Restored from a backup: signs nothing up to round {event.until_round}.",
            "It may have signed those rounds elsewhere, and two signatures for one round cost the stake.",
            f"Nothing to do: it plays from round {event.until_round + 1} on.",
        ),
    )


def signs_again(db: sqlite3.Connection, logged: LoggedEvent) -> None:
    """A contribution was signed: whatever held this peer back is over."""
    recovered(db, logged, e.Recovered(_HELD_BACK))


def serving(db: sqlite3.Connection, logged: LoggedEvent, event: e.Serving) -> None:
    """Fold."""
    db.execute("UPDATE self SET serving = ?", (event.url,))


def restarted(db: sqlite3.Connection, logged: LoggedEvent, event: e.Restarted) -> None:
    """Fold."""
    db.execute("REPLACE INTO restarts VALUES (?, ?, ?, ?)", (logged.seq, event.why[:400], event.count, logged.at))


def shrunk(db: sqlite3.Connection, logged: LoggedEvent, event: e.MemoryShrunk) -> None:
    """Fold."""
    db.execute("REPLACE INTO shrunk VALUES (?, ?, ?, ?)", (logged.seq, event.what[:400], event.megabytes, logged.at))


def memory_planned(db: sqlite3.Connection, logged: LoggedEvent, event: e.MemoryPlanned) -> None:
    """Fold."""
    db.execute(
        "UPDATE self SET memory_place = ?, memory_predicted = ?, memory_free = ?, memory_measured = NULL,"
        " memory_near = NULL",
        (event.place[:16], min(event.predicted, _INT64), min(event.free, _INT64)),
    )


def memory_measured(db: sqlite3.Connection, logged: LoggedEvent, event: e.MemoryMeasured) -> None:
    """Fold."""
    db.execute(
        "UPDATE self SET memory_measured = ?, memory_near = ?", (min(event.measured, _INT64), int(event.is_near))
    )


def skipped(db: sqlite3.Connection, logged: LoggedEvent, event: e.StepSkipped) -> None:
    """Fold."""
    db.execute(
        "REPLACE INTO skipped VALUES (?, ?, ?, ?)", (event.round, event.reason[:64], event.what[:400], logged.at)
    )


def network_used(db: sqlite3.Connection, logged: LoggedEvent, event: e.NetworkUsed) -> None:
    """Fold."""
    for name, count in sorted(event.ops.items())[:MAX_NETWORK_OPS]:
        op, _, result = name[:64].partition(" ")
        db.execute(
            "INSERT INTO network_ops VALUES (?, ?, ?)"
            " ON CONFLICT (op, result) DO UPDATE SET count = count + excluded.count",
            (op, result or "ok", min(count, 2**31)),
        )
