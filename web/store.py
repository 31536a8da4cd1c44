"""Why this module exists: an indexer's rows become tables here, each ``put`` in one transaction or not at all.

``Store`` is the ``Sink`` of ``swarm.indexing.rows``. Facts are inserted once under their own keys; what they add to the
derived tables is added in the same transaction, so a process that is killed between two puts leaves whole puts.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from protocol.errors import ConfigError
from swarm.indexing.rows import (
    AnyRow,
    ChainEvent,
    Contribution,
    Cursor,
    LedgerLine,
    Outcome,
    Present,
    RoundChecked,
    RoundSeen,
    Run,
    Said,
    Trouble,
    VerdictRow,
)
from web import fold, schema
from web.database import inserted_once, put_over
from web.rosters import round_from_events
from web.undoing import forget, undo_results

KEPT_TABLES, KEPT_CURSORS = 64, 32
KEPT_SAID = 50_000
"""Rollouts in the feed; the oldest rounds' go first."""


class Store:
    """The index in a database; see ``web.database.open_database``. One writer; not for several threads at once."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, rows: Sequence[AnyRow], *, cursor: Cursor | None = None, table: bytes | None = None) -> None:
        kinds: dict[type, list[Any]] = {}
        for row in rows:
            kinds.setdefault(type(row), []).append(row)
        with self._engine.begin() as connection:
            self._put_chain(connection, kinds.get(ChainEvent, []), cursor)
            self._put_state(connection, kinds)
            touched = self._put_works(connection, kinds)
            touched |= self._put_lines(connection, kinds.get(LedgerLine, []))
            for row in kinds.get(RoundChecked, []):
                _set_check(connection, row)
            if touched:
                fold.summarise_rounds(connection, touched)
            if kinds.get(LedgerLine) or kinds.get(ChainEvent):
                fold.rank_peers(connection)
            if table is not None:
                _keep_table(connection, kinds[RoundChecked][-1].round, table)
            if rows:
                _count_up(connection)

    def begin(self, run: Run, *, replace: bool) -> None:
        """Say which run is indexed. What is here of another run is dropped with ``replace``; else ``ConfigError``."""
        known = self._meta("run")
        old = msgspec.json.decode(known, type=Run) if known else run
        if (old.run, old.contracts) != (run.run, run.contracts):
            if not replace:
                raise ConfigError(
                    f"The database holds the index of another run, {old.name!r} ({old.run[:16]}…).",
                    "Nothing was written.",
                    "Give each run a database of its own: --db.",
                )
            with self._engine.begin() as connection:
                for table in schema.metadata.sorted_tables:
                    if table is not schema.meta:
                        connection.execute(sa.delete(table))
                connection.execute(sa.delete(schema.meta).where(schema.meta.c.name.not_in(("schema", "version"))))
        self.put([run])

    def cursors(self) -> tuple[Cursor, ...]:
        query = sa.select(schema.cursors).order_by(schema.cursors.c.block.desc())
        return tuple(Cursor(*row) for row in self._all(query))

    def table(self) -> bytes | None:
        name = self._meta("table")
        return self.table_of(name) if name else None

    def table_of(self, data_hash: str) -> bytes | None:
        query = sa.select(schema.tables.c.blob).where(schema.tables.c.data_hash == data_hash)
        found = self._all(query)
        return zlib.decompress(found[0][0]) if found else None

    def round_seen(self, round: int) -> RoundSeen | None:
        seen = schema.seen_rounds
        found = self._all(sa.select(seen).where(seen.c.round == round))
        if not found:
            with self._engine.connect() as connection:
                return round_from_events(connection, round)
        number, seed, opened_at, closes_at, text = found[0]
        members = {peer: (weight, joined) for peer, (weight, joined) in json.loads(text).items()}
        return RoundSeen(number, seed, opened_at, closes_at, members)

    def table_at_opening(self, round: int) -> str | None:
        c = schema.events.c
        opened = self._all(
            sa.select(c.block).where(c.name == "RoundOpened", c.round == round).order_by(c.block.desc()).limit(1)
        )
        if not opened:
            return None
        before = self._all(
            sa.select(c.name, c.arguments)
            .where(c.name.in_(("RoundSettled", "RolledBack")), c.block <= opened[0][0])
            .order_by(c.block.desc(), c.index.desc())
            .limit(1)
        )
        if not before:
            return ""
        name, arguments = before[0]
        return str(json.loads(arguments)["dataHash"]) if name == "RoundSettled" else None

    def peer_of(self, peer_key: str) -> str:
        found = self._all(sa.select(schema.peers.c.peer).where(schema.peers.c.peer_key == peer_key))
        return str(found[0][0]) if found else ""

    def unread_rounds(self) -> tuple[ChainEvent, ...]:
        c, rounds = schema.events.c, schema.rounds.c
        query = (
            sa.select(schema.events)
            .join(schema.rounds, sa.and_(rounds.round == c.round, rounds.settled_tx == c.tx))
            .where(c.name == "RoundSettled", rounds.check_level == "")
            .order_by(c.block, c.index)
        )
        with self._engine.connect() as connection:
            return tuple(fold.event_of(row) for row in connection.execute(query).mappings())

    def forget_after(self, block: int) -> None:
        with self._engine.begin() as connection:
            forget(connection, block)
            fold.rebuild(connection)
            _restore_checks(connection)
            _count_up(connection)

    def beat(self, at: int) -> None:
        with self._engine.begin() as connection:
            _set_meta(connection, "fresh_at", str(at))

    def reindex(self) -> None:
        """Build everything derived anew from the facts."""
        with self._engine.begin() as connection:
            fold.rebuild(connection)
            _restore_checks(connection)
            _count_up(connection)

    def _put_chain(self, connection: sa.Connection, rows: list[ChainEvent], cursor: Cursor | None) -> None:
        if rows:
            c = schema.events.c
            low = min(row.block for row in rows)
            known = {tuple(one) for one in connection.execute(sa.select(c.block, c.index).where(c.block >= low))}
            new = [row for row in rows if (row.block, row.index) not in known]
            inserted_once(connection, schema.events, [_event(row) for row in new])
            for event in new:
                fold.fold_events(connection, [event])
                if event.name == "RolledBack":
                    undo_results(connection, event)
        if cursor is not None:
            put_over(connection, schema.cursors, [msgspec.structs.asdict(cursor)], ("block_hash", "at"))
            newest = sa.select(schema.cursors.c.block).order_by(schema.cursors.c.block.desc()).limit(KEPT_CURSORS)
            kept = list(connection.execute(newest).scalars())
            connection.execute(sa.delete(schema.cursors).where(schema.cursors.c.block < kept[-1]))

    def _put_state(self, connection: sa.Connection, kinds: dict[type, list[Any]]) -> None:
        for run in kinds.get(Run, []):
            _set_meta(connection, "run", _json(run))
        for trouble in kinds.get(Trouble, []):
            _set_meta(connection, "trouble", _json(trouble))
        for seen in kinds.get(RoundSeen, []):
            row = msgspec.structs.asdict(seen) | {"members": json.dumps(seen.members)}
            put_over(connection, schema.seen_rounds, [row], ("seed", "opened_at", "closes_at", "members"))
        present = [msgspec.structs.asdict(row) for row in kinds.get(Present, [])]
        put_over(connection, schema.presence, present, ("at",))
        for row in present:
            c = schema.peers.c
            connection.execute(
                sa.update(schema.peers)
                .where(c.peer == row["peer"], c.last_seen < row["at"])
                .values(last_seen=row["at"])
            )

    def _put_works(self, connection: sa.Connection, kinds: dict[type, list[Any]]) -> set[int]:
        works = [_work(row) for row in kinds.get(Contribution, [])]
        table = schema.contributions
        known = _known(connection, table.c.content, [row["content"] for row in works])
        new = [row for row in works if row["content"] not in known]
        inserted_once(connection, table, new)
        fold.fold_works(connection, new)
        ended = [msgspec.structs.asdict(row) for row in kinds.get(Outcome, [])]
        put_over(connection, schema.outcomes, ended, ("micro", "outcome", "by_round"))
        said = [_clean(msgspec.structs.asdict(row)) for row in kinds.get(VerdictRow, [])]
        inserted_once(connection, schema.verdicts, said)
        told = [_clean(msgspec.structs.asdict(row)) for row in kinds.get(Said, [])]
        inserted_once(connection, schema.said, told)
        if told:
            _drop_old_said(connection)
        return {row["round"] for row in new} | {row["round"] for row in ended}

    def _put_lines(self, connection: sa.Connection, lines: list[LedgerLine]) -> set[int]:
        rows = [msgspec.structs.asdict(line) for line in lines]
        hashes = sorted({row["data_hash"] for row in rows})
        known = _known(connection, schema.ledger.c.data_hash, hashes)
        new = [row for row in rows if row["data_hash"] not in known]
        if not new:
            return set()
        connection.execute(sa.insert(schema.ledger), new)
        touched = {row["round"] for row in new}
        query = sa.select(schema.rounds.c.settled_at).where(schema.rounds.c.round == max(touched))
        fold.fold_lines(connection, new, int(connection.execute(query).scalar() or 0))
        return touched

    def _all(self, query: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def _meta(self, name: str) -> str:
        found = self._all(sa.select(schema.meta.c.value).where(schema.meta.c.name == name))
        return str(found[0][0]) if found else ""


def _known(connection: sa.Connection, column: sa.Column[Any], values: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(values), 500):
        found |= set(connection.execute(sa.select(column).where(column.in_(values[start : start + 500]))).scalars())
    return found


def _event(event: ChainEvent) -> dict[str, Any]:
    round = event.arguments.get("round")
    return {
        "block": event.block, "index": event.index, "tx": event.transaction, "at": event.at,
        "contract": event.contract, "name": event.name, "peer": event.peer,
        "round": round if isinstance(round, int) and round < 2**62 else None,
        "arguments": json.dumps(event.arguments),
    }  # fmt: skip


def _work(row: Contribution) -> dict[str, Any]:
    values = msgspec.structs.asdict(row)
    stages = values.pop("stages_milli")
    values |= dict(zip(("answer_milli", "critique_milli", "decide_milli"), stages, strict=True))
    values["is_checked"] = int(row.is_checked)
    values["score_milli"] = sum(one or 0 for one in stages) // len(stages) if row.is_checked else None
    return _clean(values)


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    """NUL and lone surrogates are in no text of any database."""
    return {
        name: value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in values.items()
    }


def _json(row: Run | Trouble) -> str:
    return msgspec.json.encode(msgspec.structs.replace(row, **_clean(msgspec.structs.asdict(row)))).decode()


def _set_meta(connection: sa.Connection, name: str, value: str) -> None:
    put_over(connection, schema.meta, [{"name": name, "value": value}], ("value",))


def _count_up(connection: sa.Connection) -> None:
    found = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "version")).scalar()
    _set_meta(connection, "version", str(int(found or 0) + 1))


def _set_check(connection: sa.Connection, row: RoundChecked) -> None:
    values = {"round": row.round, "check_level": row.level, "check_why": row.why}
    put_over(connection, schema.rounds, [values], ("check_level", "check_why"))
    _set_meta(connection, f"check/{row.round}", msgspec.json.encode(row).decode())


def _restore_checks(connection: sa.Connection) -> None:
    """Checks are conclusions, not facts; they outlive a rebuild for the results that are still recorded."""
    query = sa.select(schema.meta.c.value).where(schema.meta.c.name.like("check/%"))
    for value in connection.execute(query).scalars():
        row = msgspec.json.decode(value, type=RoundChecked)
        c = schema.rounds.c
        connection.execute(
            sa.update(schema.rounds)
            .where(c.round == row.round, c.settled_at > 0, c.check_level != "undone")
            .values(check_level=row.level, check_why=row.why)
        )
    at_hand = sa.select(schema.presence)
    for peer, at in connection.execute(at_hand):
        p = schema.peers.c
        connection.execute(sa.update(schema.peers).where(p.peer == peer, p.last_seen < at).values(last_seen=at))


def _keep_table(connection: sa.Connection, round: int, blob: bytes) -> None:
    name = hashlib.sha256(blob).hexdigest()
    newest = connection.execute(sa.select(sa.func.max(schema.tables.c.seq))).scalar() or 0
    row = {"data_hash": name, "seq": newest + 1, "blob": zlib.compress(blob, 1)}
    put_over(connection, schema.tables, [row], ("seq",))
    connection.execute(sa.delete(schema.tables).where(schema.tables.c.seq <= newest + 1 - KEPT_TABLES))
    _set_meta(connection, "table", name)


def _drop_old_said(connection: sa.Connection) -> None:
    count = connection.execute(sa.select(sa.func.count()).select_from(schema.said)).scalar() or 0
    if count > KEPT_SAID:
        oldest = sa.select(sa.func.min(schema.said.c.round)).scalar_subquery()
        connection.execute(sa.delete(schema.said).where(schema.said.c.round == oldest))
