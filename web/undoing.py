"""Why this module exists: chains take things back, and a ledger that is only added to must say so with new lines.

RolledBack   an epoch was void, and its results with it: a line for each peer that cancels the undone ones
lost blocks  what stood in them never happened: their events and what was concluded from them are removed
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from swarm.indexing.rows import ChainEvent
from web import fold, schema
from web.database import put_over
from web.schema import LINE_COLUMNS, events, ledger, meta, outcomes, tables


def undo_results(connection: sa.Connection, event: ChainEvent) -> None:
    """Cancel the lines of all rounds after ``toRound``, if that round's table is kept; otherwise the next result that
    is seen accounts for the difference."""
    to_round = int(event.arguments["toRound"])
    target = _table_of_round(connection, to_round, event)
    if target is None:
        return
    sums = [sa.func.sum(ledger.c[name]).label(name) for name in LINE_COLUMNS]
    undone = connection.execute(
        sa.select(ledger.c.peer, *sums).where(ledger.c.round > to_round).group_by(ledger.c.peer)
    ).mappings()
    lines = []
    for row in list(undone):
        before = sa.select(ledger.c.standing_milli).where(ledger.c.peer == row["peer"], ledger.c.round <= to_round)
        standing = connection.execute(before.order_by(ledger.c.seq.desc()).limit(1)).scalar()
        line: dict[str, Any] = {name: -int(row[name]) for name in LINE_COLUMNS}
        line |= {
            "round": to_round + 1,
            "peer": row["peer"],
            "data_hash": f"undo {event.block} {event.index}",
            "standing_milli": 500 if standing is None else standing,
        }
        lines.append(line)
    label = f" undone {event.block} {event.index}"  # the very same result may be recorded again
    connection.execute(sa.update(ledger).where(ledger.c.round > to_round).values(data_hash=ledger.c.data_hash + label))
    connection.execute(
        sa.delete(meta).where(meta.c.name.in_([f"check/{n}" for n in _rounds_after(connection, to_round)]))
    )
    if lines:
        connection.execute(sa.insert(ledger), lines)
        fold.fold_lines(connection, lines, 0)
        fold.summarise_rounds(connection, {to_round + 1})
    connection.execute(
        sa.update(outcomes).where(outcomes.c.round > to_round).values(outcome="undone", by_round=to_round)
    )
    put_over(connection, meta, [{"name": "table", "value": target}], ("value",))


def forget(connection: sa.Connection, block: int) -> None:
    """Remove everything that was concluded from blocks after ``block``. The derived tables must be rebuilt then."""
    gone = _hashes(connection, events.c.block > block)
    left = _hashes(connection, events.c.block <= block)
    connection.execute(sa.delete(events).where(events.c.block > block))
    connection.execute(sa.delete(schema.cursors).where(schema.cursors.c.block > block))
    lost = [data_hash for _, data_hash in gone if data_hash not in {known for _, known in left}]
    if not gone:
        return
    newest = left[-1][1] if left else ""
    is_kept = connection.execute(sa.select(tables.c.data_hash).where(tables.c.data_hash == newest)).first() is not None
    if left and not is_kept:
        # What the remaining lines add up to cannot be told from a table any more: the next one accounts for all.
        connection.execute(sa.delete(ledger))
        connection.execute(sa.delete(meta).where(meta.c.name.like("check/%")))
        newest = ""
    else:
        connection.execute(sa.delete(ledger).where(ledger.c.data_hash.in_(lost)))
        for round, _ in gone:
            connection.execute(sa.delete(meta).where(meta.c.name == f"check/{round}"))
    rounds = [round for round, _ in gone]
    connection.execute(sa.delete(outcomes).where(outcomes.c.round.in_(rounds)))
    connection.execute(sa.delete(schema.contributions).where(schema.contributions.c.round.in_(rounds)))
    connection.execute(sa.delete(schema.seen_rounds).where(schema.seen_rounds.c.round > min(rounds)))
    connection.execute(sa.delete(schema.said).where(schema.said.c.round.in_(rounds)))
    put_over(connection, meta, [{"name": "table", "value": newest}], ("value",))


def _rounds_after(connection: sa.Connection, round: int) -> list[int]:
    c = schema.rounds.c
    return list(connection.execute(sa.select(c.round).where(c.round > round)).scalars())


def _hashes(connection: sa.Connection, where: Any) -> list[tuple[int, str]]:
    query = sa.select(events.c.round, events.c.arguments).where(events.c.name == "RoundSettled", where)
    found = connection.execute(query.order_by(events.c.block, events.c.index))
    return [(int(round), str(json.loads(arguments)["dataHash"])) for round, arguments in found]


def _table_of_round(connection: sa.Connection, round: int, event: ChainEvent) -> str | None:
    """The kept table of the last result up to ``round``; empty for the beginning, ``None`` when it is not kept."""
    before = [one for one in _hashes(connection, events.c.block <= event.block) if one[0] <= round]
    if round == 0:
        return ""
    if not before:
        return None
    data_hash = before[-1][1]
    is_kept = connection.execute(sa.select(tables.c.data_hash).where(tables.c.data_hash == data_hash)).first()
    return data_hash if is_kept is not None else None
