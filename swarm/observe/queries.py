"""Why this module exists: ``swarm status``, ``rounds``, ``peers`` and ``credits`` ask the same few questions.

Each function reads one HOME and returns plain views; none writes anything but the read-model's cache. ``now`` and
``alive`` are handed in, so that the answers can be tested.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from protocol.events import Outcome
from protocol.ids import STAGES
from swarm.observe.money import credit_row, credits_in, state_of
from swarm.observe.store import Store
from swarm.observe.stores import Alive, Stores, is_running
from swarm.observe.text import name_of, plain
from swarm.observe.views import (
    TIME_PARTS,
    CreditRow,
    MemoryView,
    PeerRound,
    PeerStatus,
    ProblemView,
    ProgressView,
    RoundView,
    SeenPeer,
    State,
    TimeSplit,
    time_split,
)

NOT_COMPLETED = (Outcome.NOT_INCLUDED, Outcome.NO_QUORUM, Outcome.SKIPPED)
"""Rounds that ended so gave the peer nothing: they are not counted as completed."""

_WORST_FIRST = (
    Outcome.NOT_INCLUDED, Outcome.NO_QUORUM, Outcome.SKIPPED, Outcome.LATE, Outcome.ALONE, Outcome.PARTIAL,
    Outcome.COMPLETE,
)  # fmt: skip
_TIME_COLUMNS = ", ".join(f"{part}_s" for part in ("total", *TIME_PARTS))


def status(home: Path, now: float | None = None, alive: Alive = is_running) -> tuple[PeerStatus, ...]:
    """Every local peer at a glance, in order of their folders' names."""
    with Stores(home) as stores:
        at = time.time() if now is None else now
        return tuple(peer_status(name, store, at, alive) for name, store in stores.peers.items())


def rounds(home: Path, last: int | None = None) -> tuple[RoundView, ...]:
    """The ``last`` rounds (all when None) that any local peer knows, oldest first."""
    with Stores(home) as stores:
        known = sorted(
            {row["round"] for store in stores.peers.values() for row in store.rows("SELECT round FROM rounds")}
        )
        chosen = known if last is None else known[-last:] if last > 0 else []
        return tuple(_round_view(stores.peers.values(), number) for number in chosen)


def peers(home: Path, alive: Alive = is_running) -> tuple[SeenPeer, ...]:
    """Every peer that a local peer has heard of, the local ones first, then by nickname."""
    with Stores(home) as stores:
        return seen_peers(stores.peers.values(), alive)


def credits(home: Path, alive: Alive = is_running) -> tuple[CreditRow, ...]:
    """What each local peer earned, verified, settled and claimed, and what the rest waits for, by its log alone."""
    with Stores(home) as stores:
        return tuple(credit_row(name, store, alive) for name, store in stores.peers.items())


def peer_status(name: str, store: Store, now: float, alive: Alive) -> PeerStatus:
    """One local peer at a glance, from its refreshed read-model."""
    me = store.row("SELECT * FROM self")
    log = store.row("SELECT * FROM log")
    assert me is not None
    assert log is not None
    state = state_of(me["pid"], me["started_at"], me["stopped_at"], alive)
    closes_at = me["phase_closes_at"] if state is State.RUNNING else None
    (completed,) = store.rows(
        "SELECT count(*) FROM rounds WHERE outcome IS NOT NULL AND outcome NOT IN (?, ?, ?)", *NOT_COMPLETED
    )
    return PeerStatus(
        name=name,
        nickname=plain(me["nickname"] or name, 64),
        peer=me["peer"] or "",
        address=me["address"] or "",
        running=state is State.RUNNING,
        state=state,
        pid=me["pid"],
        model=plain(me["model"] or "", 120),
        engine=plain(me["engine"] or "", 40),
        registered=bool(me["registered"]),
        started_at=me["started_at"],
        stopped_at=me["stopped_at"],
        stop_why=plain(me["stop_why"] or "", 200),
        exit_code=me["exit_code"],
        peak_mb=me["peak_mb"],
        memory=_memory(me),
        round=me["round"],
        phase=plain(me["phase"], 40),
        phase_since=me["phase_since"],
        closes_at=closes_at,
        time_left_s=None if closes_at is None else round(max(0.0, closes_at - now), 3),
        rounds_completed=completed[0],
        credits=credits_in(store),
        last_event_at=log["last_at"],
        problem=_problem(store),
        progress=_progress(store),
        num_garbage=log["num_garbage"],
    )


def _memory(me: sqlite3.Row) -> MemoryView | None:
    if me["memory_predicted"] is None:
        return None
    return MemoryView(
        place=me["memory_place"],
        predicted=me["memory_predicted"],
        free=me["memory_free"],
        measured=me["memory_measured"],
        is_near=None if me["memory_near"] is None else bool(me["memory_near"]),
    )


def round_times(store: Store, last: int) -> TimeSplit:
    """Where the time of the last ``last`` ended rounds went."""
    sums = store.rows(
        f"SELECT {', '.join(f'total({part}_s)' for part in ('total', *TIME_PARTS))} FROM"
        " (SELECT * FROM rounds WHERE ended_at IS NOT NULL ORDER BY round DESC LIMIT ?)",
        last,
    )[0]
    return time_split(*sums)


def seen_peers(stores: Iterable[Store], alive: Alive) -> tuple[SeenPeer, ...]:
    """Every peer that one of ``stores`` has heard of, merged: the newest word counts, counts are the largest seen."""
    stores = list(stores)
    running: dict[str, bool] = {}
    found: dict[str, list[Store]] = {}
    for store in stores:
        me = store.row("SELECT peer, pid, started_at, stopped_at FROM self")
        if me is not None and me["peer"]:
            running[me["peer"]] = state_of(me["pid"], me["started_at"], me["stopped_at"], alive) is State.RUNNING
            found.setdefault(me["peer"], [])
        known = store.rows(
            "SELECT peer FROM peers_seen UNION SELECT peer FROM rejections UNION SELECT peer FROM credits"
        )
        for row in known:
            found.setdefault(row["peer"], []).append(store)
    merged = [_seen_peer(peer, where, stores, running.get(peer)) for peer, where in found.items()]
    return tuple(sorted(merged, key=lambda one: (not one.local, one.nickname, one.peer)))


def _problem(store: Store) -> ProblemView | None:
    row = store.row("SELECT * FROM problems ORDER BY recovered_at IS NOT NULL, seq DESC LIMIT 1")
    if row is None:
        return None
    what, so_what, next_step = (plain(row[column], 400) for column in ("what", "so_what", "next_step"))
    return ProblemView(plain(row["error"], 64), what, so_what, next_step, row["at"], row["recovered_at"])


def _progress(store: Store) -> ProgressView | None:
    row = store.row("SELECT * FROM progress")
    return None if row is None else ProgressView(plain(row["what"], 120), row["done"], row["total"], row["at"])


def _round_view(stores: Iterable[Store], number: int) -> RoundView:
    played = [one for store in stores if (one := _peer_round(store, number)) is not None]
    views = [view for view, _ in played]
    outcomes = {view.outcome for view in views if view.outcome is not None}
    opened = [row["opened_at"] for _, row in played if row["opened_at"] is not None]
    ended = [view.ended_at for view in views if view.ended_at is not None]
    times = [view.time for view in views if view.time is not None]
    parts = ("total_s", *(f"{part}_s" for part in TIME_PARTS))
    return RoundView(
        round=number,
        outcome=next((outcome for outcome in _WORST_FIRST if outcome in outcomes), None),
        opened_at=min(opened, default=None),
        ended_at=max(ended) if ended and len(ended) == len(views) else None,
        num_members=max((len(msgspec.json.decode(row["members"])) for _, row in played), default=0),
        num_settled=max((row["num_settled"] for _, row in played), default=0),
        micro_credits=max((row["round_micro"] for _, row in played), default=0),
        settled=any(row["settled_at"] is not None for _, row in played),
        num_rejected=sum(view.num_rejected for view in views),
        time=time_split(*(sum(getattr(one, part) for one in times) for part in parts)),
        peers=tuple(views),
        level=max((row["level"] for _, row in played), default=0),
        num_levels=max((row["num_levels"] for _, row in played), default=0),
    )


def _peer_round(store: Store, number: int) -> tuple[PeerRound, sqlite3.Row] | None:
    row = store.row(
        f"SELECT members, opened_at, level, num_levels, ended_at, outcome, stages_played, loss, num_own, num_external,"
        f" {_TIME_COLUMNS},"
        " self.nickname, self.peer,"
        " (SELECT at FROM settlements s WHERE s.round = r.round) AS settled_at,"
        " (SELECT count(*) FROM settled s WHERE s.round = r.round) AS num_settled,"
        " (SELECT coalesce(sum(micro_credits), 0) FROM credits c WHERE c.round = r.round) AS round_micro,"
        " (SELECT micro_credits FROM credits c WHERE c.round = r.round AND c.peer = self.peer) AS micro_credits,"
        " (SELECT coalesce(sum(count), 0) FROM rejections j WHERE j.round = r.round) AS num_rejected"
        " FROM rounds r, self WHERE r.round = ?",
        number,
    )
    if row is None:
        return None
    own = {batch["stage"]: batch for batch in store.rows("SELECT * FROM batches WHERE round = ? AND own = 1", number)}
    seconds = tuple(row[f"{part}_s"] for part in ("total", *TIME_PARTS))
    view = PeerRound(
        nickname=plain(row["nickname"] or "", 64),
        peer=row["peer"] or "",
        round=number,
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        stages_played=tuple(msgspec.json.decode(row["stages_played"])),
        scores_milli={stage: own[stage]["mean_score_milli"] for stage in STAGES if stage in own},
        correct_milli={stage: own[stage]["correct_milli"] for stage in STAGES if stage in own},
        loss=row["loss"],
        num_own=row["num_own"],
        num_external=row["num_external"],
        micro_credits=row["micro_credits"],
        num_rejected=row["num_rejected"],
        ended_at=row["ended_at"],
        time=None if None in seconds else time_split(*seconds),
    )
    return view, row


def _seen_peer(peer: str, where: list[Store], stores: list[Store], running: bool | None) -> SeenPeer:
    words = [row for store in where for row in store.rows("SELECT * FROM peers_seen WHERE peer = ?", peer)]
    newest = max(words, key=lambda row: row["last_at"], default=None)
    rejected: dict[str, int] = {}
    for store in where:
        for row in store.rows("SELECT reason, sum(count) AS num FROM rejections WHERE peer = ? GROUP BY reason", peer):
            rejected[plain(row["reason"], 32)] = rejected.get(plain(row["reason"], 32), 0) + row["num"]
    scores = [
        (row["round"], row["score"])
        for store in stores
        for row in store.rows(
            "SELECT round, avg(mean_score_milli) AS score FROM batches WHERE peer = ? GROUP BY round"
            " ORDER BY round DESC LIMIT 1",
            peer,
        )
    ]
    counts = [
        store.rows(
            "SELECT (SELECT count(*) FROM contributions WHERE peer = ?), (SELECT total(micro_credits) FROM credits"
            " WHERE peer = ?)",
            peer, peer,
        )[0]
        for store in stores
    ]  # fmt: skip
    return SeenPeer(
        peer=plain(peer, 128),
        nickname=name_of(peer),
        local=running is not None,
        running=running,
        phase=plain(newest["phase"], 40) if newest else "",
        round=newest["round"] if newest else 0,
        last_seen_at=newest["last_at"] if newest else None,
        seen_by=len({id(store) for store in where}),
        mean_score_milli=round(max(scores)[1]) if scores else None,
        num_contributions=max((count[0] for count in counts), default=0),
        micro_credits=int(max((count[1] for count in counts), default=0)),
        num_rejected=sum(rejected.values()),
        rejected=dict(sorted(rejected.items())),
    )
