"""Why this module exists: questions about a peer are answered from small tables instead of from its whole history.

The read-model is a cache of the event log: made from it alone, brought up to date from where it stopped, and thrown
away and made again when its version differs, when it is damaged, or when the log is another one.
Several readers may refresh the same file at once: the log position and the rows change in one transaction.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from swarm.observe import fold
from swarm.observe.eventlog import START, Chunk, Position, read_from
from swarm.observe.schema import TABLES, VERSION

READ_MODEL = "read.sqlite"
"""File name beside ``events.jsonl``."""

_BUSY_S = 10.0
_TABLES = (
    "log", "self", "progress", "rounds", "stages", "batches", "contributions", "attestations", "settlements",
    "settled", "credits", "audits", "struck", "rejections", "claims", "transactions", "evaluations", "peers_seen",
    "problems", "questions", "restarts", "shrunk", "skipped", "network_ops", "proposals", "attestors", "disputes",
    "dispute_moves", "equivocations", "lines", "paid",
)  # fmt: skip


class _Unusable(Exception):
    """The file is damaged, of another version, or no read-model at all."""


class Store:
    """The read-model of one log. Not for several threads at once; open one per thread instead.

    ``path`` defaults to ``read.sqlite`` beside the log. Where that folder cannot be written (somebody else's peer, a
    read-only mount) the same tables are kept in memory, made anew by each process.
    """

    def __init__(self, log: Path, path: Path | None = None) -> None:
        self.log = Path(log)
        self.path = Path(path) if path is not None else self.log.with_name(READ_MODEL)
        self._db = self._open()

    def refresh(self) -> bool:
        """Fold in what the log has since; True when anything changed."""
        try:
            return self._refresh()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise
            self._discard()
            return self._refresh() or True

    def rows(self, query: str, *parameters: Any) -> list[sqlite3.Row]:
        """Rows of a read-only query, columns by name."""
        return self._db.execute(query, parameters).fetchall()

    def row(self, query: str, *parameters: Any) -> sqlite3.Row | None:
        """The first row of a read-only query, or None."""
        found: sqlite3.Row | None = self._db.execute(query, parameters).fetchone()
        return found

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything in the read-model, for comparison."""
        return {table: [tuple(row) for row in self.rows(f"SELECT * FROM {table}")] for table in _TABLES}

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        if not os.access(self.path.parent, os.W_OK):
            return _connect(":memory:")
        with contextlib.suppress(_Unusable):
            return _connect(self.path)
        _remove(self.path)
        return _connect(self.path)

    def _discard(self) -> None:
        self._db.close()
        if str(self.path) != ":memory:":
            _remove(self.path)
        self._db = self._open()

    def _position(self) -> Position:
        offset, head, skipping = self._db.execute("SELECT offset, head, skipping FROM log").fetchone()
        return Position(offset, head, bool(skipping))

    def _refresh(self) -> bool:
        before = self._position()
        idle = read_from(self.log, before)
        if idle.position == before and not idle.restarted:
            return False
        changed = False
        while True:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                position = self._position()
                chunk = read_from(self.log, position)
                if chunk.restarted:
                    clear(self._db)
                if chunk.restarted or chunk.position != position:
                    self._fold(chunk)
                    changed = True
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            if not chunk.more:
                return changed

    def _fold(self, chunk: Chunk) -> None:
        num_garbage = chunk.num_garbage
        for logged in chunk.events:
            try:
                fold.apply(self._db, logged)
            except (OverflowError, UnicodeEncodeError):  # a number or a text that no column holds
                num_garbage += 1
        first_at = chunk.events[0].at if chunk.events else None
        last_at = chunk.events[-1].at if chunk.events else None
        self._db.execute(
            "UPDATE log SET offset = ?, head = ?, skipping = ?, num_events = num_events + ?,"
            " num_garbage = num_garbage + ?, first_at = coalesce(first_at, ?), last_at = coalesce(?, last_at)",
            (chunk.position.offset, chunk.position.head, chunk.position.skipping, len(chunk.events), num_garbage,
             first_at, last_at),
        )  # fmt: skip


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        # The log is the truth and survives by itself; a read-model lost in a power cut is made again.
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN IMMEDIATE")
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            _create(db)
        version = db.execute("SELECT version FROM made_by").fetchone()
        sound = db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        db.execute("COMMIT")
        if version is None or version[0] != VERSION or not sound:
            raise _Unusable
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise
        raise _Unusable from error
    except _Unusable:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection) -> None:
    for statement in TABLES.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute("CREATE TABLE made_by (version INTEGER NOT NULL)")
    db.execute("INSERT INTO made_by VALUES (?)", (VERSION,))


def clear(db: sqlite3.Connection) -> None:
    """An empty log again."""
    for table in _TABLES:
        db.execute(f"DELETE FROM {table}")
    log = START
    db.execute("INSERT INTO log VALUES (1, ?, ?, ?, 0, 0, NULL, NULL)", (log.offset, log.head, log.skipping))
    db.execute("INSERT INTO self (one) VALUES (1)")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
