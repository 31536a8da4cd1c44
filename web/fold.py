"""Why this module exists: totals are sums of facts, and one function says how: now, and when all is built anew.

``fold_events`` and ``fold_lines`` add what is new to the derived tables; ``rebuild`` empties those and folds all facts
again, and comes to the same rows. Nothing else writes to them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from protocol.ids import PeerId
from swarm.indexing.rows import ChainEvent
from swarm.observe.text import name_of
from web import fold_disputes
from web.database import inserted_once, put_over
from web.schema import DERIVED, LINE_COLUMNS, contributions, epochs, events, ledger, outcomes, payouts, peers, rounds

WEI_PER_MICRO = 10**12
CHUNK = 5_000

_Values = dict[str, Any]


def fold_events(connection: sa.Connection, rows: Iterable[ChainEvent]) -> None:
    """What chain events say of rounds, peers, epochs, payouts and disputes, in their order."""
    for event in rows:
        handler = _HANDLERS.get(event.name)
        if handler is not None:
            handler(connection, event, event.arguments)
        fold_disputes.fold(connection, event)


def fold_lines(connection: sa.Connection, lines: Sequence[_Values], settled_at: int) -> None:
    """Add ledger lines to their peers' totals; ``settled_at``: who contributed was there then."""
    if not lines:
        return
    know_peers(connection, [line["peer"] for line in lines])
    put = {name: peers.c[to] + sa.bindparam(f"b_{name}") for name, to in _TOTALS.items()}
    statement = (
        sa.update(peers)
        .where(peers.c.peer == sa.bindparam("b_peer"))
        .values(
            **{_TOTALS[name]: value for name, value in put.items()},
            standing_milli=sa.bindparam("b_standing"),
            is_listed=1,
            last_seen=sa.case(
                (peers.c.last_seen < sa.bindparam("b_at"), sa.bindparam("b_at")), else_=peers.c.last_seen
            ),
        )
    )
    connection.execute(
        statement,
        [
            {f"b_{name}": line[name] for name in LINE_COLUMNS}
            | {
                "b_peer": line["peer"],
                "b_standing": line["standing_milli"],
                "b_at": settled_at if line["contributed"] > 0 else 0,
            }
            for line in lines
        ],
    )


def fold_works(connection: sa.Connection, rows: Sequence[_Values]) -> None:
    """Add contributions that were scored here to their peers' means and token counts."""
    scored = [row for row in rows if row["score_milli"] is not None]
    if not scored:
        return
    know_peers(connection, [row["peer"] for row in scored])
    total, count = peers.c.score_sum + sa.bindparam("b_score"), peers.c.num_scored + 1
    statement = (
        sa.update(peers)
        .where(peers.c.peer == sa.bindparam("b_peer"))
        .values(
            score_sum=total,
            num_scored=count,
            mean_milli=sa.cast(total, sa.BigInteger) // count,
            num_tokens=peers.c.num_tokens + sa.bindparam("b_tokens"),
        )
    )
    connection.execute(
        statement,
        [{"b_peer": row["peer"], "b_score": row["score_milli"], "b_tokens": row["num_tokens"]} for row in scored],
    )


def summarise_rounds(connection: sa.Connection, numbers: Iterable[int] | None = None) -> None:
    """Counts and means of these rounds (``None``: of all) from their contributions, lines and outcomes."""
    within = None if numbers is None else list(numbers)

    def of(column: sa.Column[int], *values: Any) -> list[Any]:
        query = sa.select(column, *values).group_by(column)
        return list(connection.execute(query if within is None else query.where(column.in_(within))))

    c, o = contributions.c, outcomes.c
    works = of(c.round, sa.func.count(), sa.func.sum(c.num_tokens), sa.func.sum(c.score_milli),
               sa.func.count(c.score_milli))  # fmt: skip
    struck = dict(of(o.round, sa.func.sum(sa.case((o.outcome == "struck", 1), else_=0))))
    recorded = dict(of(o.round, sa.func.count()))
    paid = dict(of(ledger.c.round, sa.func.sum(ledger.c.paid_micro)))
    by_round = {row[0]: row for row in works}
    rows = []
    for number in sorted({*by_round, *recorded, *paid}):
        _, count, tokens, total, scored = by_round.get(number, (number, 0, 0, 0, 0))
        rows.append(
            {
                "round": number,
                "num_contributions": max(count, recorded.get(number, 0)),
                "num_tokens": int(tokens or 0),
                "mean_milli": int(total or 0) // scored if scored else None,
                "num_struck": int(struck.get(number) or 0),
                "paid_micro": int(paid.get(number) or 0),
            }
        )
    put_over(connection, rounds, rows, tuple(rows[0])[1:] if rows else ())


def rank_peers(connection: sa.Connection) -> None:
    """Everybody's place by credits; equal ones in the order of their ids."""
    order = sa.func.row_number().over(order_by=(peers.c.micro.desc(), peers.c.peer))
    placed = sa.select(peers.c.peer, order.label("place")).where(peers.c.is_listed == 1).subquery()
    connection.execute(
        sa.update(peers)
        .values(rank=placed.c.place)
        .where(peers.c.peer == placed.c.peer, sa.or_(peers.c.rank.is_(None), peers.c.rank != placed.c.place))
    )


def know_peers(connection: sa.Connection, names: Iterable[str]) -> None:
    """A row for each of these peers."""
    unique = sorted(set(names))
    known: set[str] = set()
    for start in range(0, len(unique), 500):
        part = unique[start : start + 500]
        known |= set(connection.execute(sa.select(peers.c.peer).where(peers.c.peer.in_(part))).scalars())
    inserted_once(connection, peers, [_new_peer(peer) for peer in unique if peer not in known])


def rebuild(connection: sa.Connection) -> None:
    """All derived tables anew, from the facts alone."""
    for table in DERIVED:
        connection.execute(sa.delete(table))
    found = connection.execute(sa.select(events).order_by(events.c.block, events.c.index)).mappings()
    for row in found:
        fold_events(connection, [event_of(row)])
    times = dict(connection.execute(sa.select(rounds.c.round, rounds.c.settled_at)).all())
    _in_chunks(connection, sa.select(ledger).order_by(ledger.c.seq), lambda part: _fold_mixed(connection, part, times))
    _in_chunks(
        connection,
        sa.select(contributions).order_by(contributions.c.round, contributions.c.peer),
        lambda part: fold_works(connection, part),
    )
    summarise_rounds(connection)
    rank_peers(connection)


def event_of(row: Any) -> ChainEvent:
    """A stored event as the row that it was."""
    return ChainEvent(
        row["block"], row["index"], row["tx"], row["at"], row["contract"], row["name"], row["peer"],
        json.loads(row["arguments"]),
    )  # fmt: skip


def _fold_mixed(connection: sa.Connection, lines: list[_Values], times: dict[int, int]) -> None:
    by_round: dict[int, list[_Values]] = {}
    for line in lines:
        by_round.setdefault(line["round"], []).append(line)
    for number, several in by_round.items():
        fold_lines(connection, several, times.get(number, 0))


def _in_chunks(connection: sa.Connection, query: Any, fold: Any) -> None:
    rows = [dict(row) for row in connection.execute(query).mappings()]
    for start in range(0, len(rows), CHUNK):
        fold(rows[start : start + CHUNK])


def _new_peer(peer: str) -> _Values:
    nickname = name_of(peer)
    return {"peer": peer, "nickname": nickname, "search": f"{nickname} {peer}".lower(), "standing_milli": 500}


def _change(connection: sa.Connection, event: ChainEvent, **values: Any) -> None:
    if not event.peer:
        return
    statement = sa.update(peers).where(peers.c.peer == event.peer).values(**values)
    if not connection.execute(statement).rowcount:
        know_peers(connection, [event.peer])
        connection.execute(statement)


# --- events ----------------------------------------------------------------------------------------------------------


def _registered(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    search = f"{name_of(PeerId(event.peer))} {event.peer} {facts['owner']} {facts['signer']}".lower()
    _change(
        connection, event, peer_key=facts["peerKey"], owner=facts["owner"], signer=facts["signer"], search=search,
        registered_at=event.at, registered_tx=event.transaction,
    )  # fmt: skip


def _owned(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    values = {"owner": facts["to"]} if "to" in facts else {"signer": facts["signer"]}
    _change(connection, event, **values)
    row = connection.execute(sa.select(peers).where(peers.c.peer == event.peer)).mappings().first()
    if row is not None:
        search = f"{row['nickname']} {row['peer']} {row['owner']} {row['signer']}".lower()
        _change(connection, event, search=search)


def _opened(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    row = {
        "round": facts["round"], "opened_at": facts["openedAt"], "closes_at": facts["closesAt"],
        "num_members": facts["numMembers"],
    }  # fmt: skip
    put_over(connection, rounds, [row], tuple(row)[1:])


def _seeded(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    put_over(connection, rounds, [{"round": facts["round"], "seed": facts["seed"]}], ("seed",))


def _settled(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    row = {
        "round": facts["round"], "settled_at": event.at, "settled_tx": event.transaction,
        "total_micro": facts["totalMicroCredits"], "poster": event.peer, "num_attesters": facts["numAttesters"],
        "contributions_root": facts["contributionsRoot"], "credits_root": facts["creditsRoot"],
        "data_hash": facts["dataHash"], "check_level": "", "check_why": "",
    }  # fmt: skip
    put_over(connection, rounds, [row], tuple(row)[1:])


def _undone(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    connection.execute(
        sa.update(rounds)
        .where(rounds.c.round > facts["toRound"], rounds.c.settled_at > 0)
        .values(check_level="undone", check_why="The chain took this result back: nobody affirmed it in time.")
    )


def _epoch(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    row = {
        "epoch": facts["epoch"], "round": facts["round"], "total_micro": facts["totalMicro"], "state": "open",
        "opened_at": event.at, "unlocks_at": facts["unlocksAt"], "tx": event.transaction,
    }  # fmt: skip
    put_over(connection, epochs, [row], tuple(row)[1:])


def _epoch_moved(state: str) -> Any:
    def handler(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
        values = {"state": state} | ({"unlocks_at": facts["unlocksAt"]} if "unlocksAt" in facts else {})
        connection.execute(sa.update(epochs).where(epochs.c.epoch == facts["epoch"]).values(**values))

    return handler


def _claimed(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    before = connection.execute(sa.select(peers.c.claimed_micro).where(peers.c.peer == event.peer)).scalar() or 0
    row = {
        "block": event.block, "index": event.index, "peer": event.peer, "owner": facts["owner"],
        "micro": facts["amountMicro"], "cumulative_micro": before + facts["amountMicro"], "tx": event.transaction,
        "at": event.at,
    }  # fmt: skip
    inserted_once(connection, payouts, [row])
    _change(connection, event, claimed_micro=row["cumulative_micro"])


def _stake(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    if event.name == "StakeSlashed":
        lost = (facts["burnedWei"] + facts["rewardWei"]) // WEI_PER_MICRO
        _change(connection, event, slashed_micro=peers.c.slashed_micro + lost, stake_micro=peers.c.stake_micro - lost)
    else:
        sign = 1 if event.name == "StakeDeposited" else -1
        _change(connection, event, stake_micro=peers.c.stake_micro + sign * (facts["amountWei"] // WEI_PER_MICRO))


def _member(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    values: _Values = {"is_member": int(event.name == "MemberEnrolled")}
    if event.name == "MemberEnrolled":
        values["is_listed"] = 1
    if "barredUntilRound" in facts:
        values["barred_until"] = facts["barredUntilRound"]
    _change(connection, event, **values)


def _seat(connection: sa.Connection, event: ChainEvent, facts: _Values) -> None:
    _change(connection, event, weight=facts["weight"])


_TOTALS = {
    "earned_micro": "earned_micro", "paid_micro": "micro", "judged_micro": "judged_micro",
    "struck_micro": "struck_micro", "contributed": "rounds", "passed": "passed", "failed": "failed", "late": "late",
}  # fmt: skip
_HANDLERS = {
    "PeerRegistered": _registered, "PeerTransferred": _owned, "SignerRotated": _owned, "RoundOpened": _opened,
    "SeedFixed": _seeded, "RoundSettled": _settled, "RolledBack": _undone, "EpochOpened": _epoch,
    "EpochChallenged": _epoch_moved("challenged"), "EpochAffirmed": _epoch_moved("final"),
    "EpochVoided": _epoch_moved("void"), "RewardClaimed": _claimed, "StakeDeposited": _stake,
    "StakeWithdrawn": _stake, "StakeSlashed": _stake, "MemberEnrolled": _member, "MemberResigned": _member,
    "MemberUnstaked": _member, "MemberPruned": _member, "MemberEjected": _member, "SeatChanged": _seat,
}  # fmt: skip
