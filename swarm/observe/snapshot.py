"""Why this module exists: a dashboard shows one peer at a time, and draws from one consistent value, never from tables.

A snapshot is made from the peer's own log alone: what it shows of other peers is what this peer saw and recomputed.
"""

from __future__ import annotations

import sqlite3

import msgspec

from protocol.events import Outcome
from protocol.ids import STAGES
from swarm.observe.known import NUM_ROUNDS_SHOWN, KnownPeer, known_peers, patience_s
from swarm.observe.queries import peer_status, round_times
from swarm.observe.rollouts import QuestionView, latest_question
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from swarm.observe.text import name_of, plain
from swarm.observe.views import PeerStatus, TimeSplit, View

NUM_TIMED_ROUNDS = 10
"""The time split covers the last this many rounds."""


class StageView(View, frozen=True):
    """A stage of the current round. ``outcome`` is None while it is played."""

    stage: str
    outcome: Outcome | None
    missing: tuple[str, ...]
    started: bool


class Custody(View, frozen=True):
    """Where this peer's newest contribution stands; each step is True once it happened.

    ``verified``: somebody did a part of it again and found the same. ``struck``: its pay was refused.
    """

    round: int
    signed: bool
    attested: bool
    settled: bool
    verified: bool
    struck: bool
    others_seen: int


class Snapshot(View, frozen=True):
    """Everything a dashboard shows of one local peer. ``accuracy``: (round, held-out accuracy in milli). ``level``: how
    hard the round's questions are, of ``num_levels``; 0 where they follow no level."""

    status: PeerStatus
    opened_at: float | None
    closes_at: float | None
    last_outcome: Outcome | None
    last_round: int
    stages: tuple[StageView, ...]
    peers: tuple[KnownPeer, ...]
    accuracy: tuple[tuple[int, int], ...]
    num_held_out: int
    losses: tuple[tuple[int, float], ...]
    question: QuestionView | None
    custody: Custody | None
    time: TimeSplit
    num_rejected: int
    last_rejection: str
    patience_s: float
    level: int = 0
    num_levels: int = 0


def snapshot(name: str, store: Store, now: float, alive: Alive) -> Snapshot:
    """One peer's dashboard from its refreshed read-model."""
    status = peer_status(name, store, now, alive)
    current = store.row("SELECT * FROM rounds WHERE round = ?", status.round)
    ended = store.row("SELECT round, outcome FROM rounds WHERE ended_at IS NOT NULL ORDER BY round DESC LIMIT 1")
    since = status.round - NUM_ROUNDS_SHOWN
    tests = store.rows(
        "SELECT round, num_questions, num_correct FROM evaluations WHERE round > ? ORDER BY round", since
    )
    rejections = store.rows("SELECT * FROM rejections ORDER BY last_at DESC LIMIT 1")
    (num_rejected,) = store.rows("SELECT coalesce(sum(count), 0) FROM rejections")[0]
    return Snapshot(
        status=status,
        opened_at=current["opened_at"] if current else None,
        closes_at=current["closes_at"] if current else None,
        last_outcome=Outcome(ended["outcome"]) if ended else None,
        last_round=ended["round"] if ended else 0,
        stages=stages_of(store, status.round),
        peers=known_peers(store, status, msgspec.json.decode(current["cohort"]) if current else []),
        accuracy=tuple(
            (row["round"], 1000 * row["num_correct"] // row["num_questions"])
            for row in tests
            if row["num_questions"] > 0
        ),
        num_held_out=tests[-1]["num_questions"] if tests else 0,
        losses=tuple(
            (row["round"], row["loss"])
            for row in store.rows(
                "SELECT round, loss FROM rounds WHERE loss IS NOT NULL AND round > ? ORDER BY round", since
            )
        ),
        question=latest_question(store),
        custody=_custody(store),
        time=round_times(store, NUM_TIMED_ROUNDS),
        num_rejected=num_rejected,
        last_rejection=_rejection(rejections[0]) if rejections else "",
        patience_s=patience_s(store),
        level=current["level"] if current else 0,
        num_levels=current["num_levels"] if current else 0,
    )


def stages_of(store: Store, number: int) -> tuple[StageView, ...]:
    rows = {row["stage"]: row for row in store.rows("SELECT * FROM stages WHERE round = ?", number)}
    views = []
    for stage in STAGES:
        row = rows.get(stage)
        outcome = Outcome(row["outcome"]) if row is not None and row["outcome"] else None
        missing = tuple(name_of(peer) for peer in msgspec.json.decode(row["missing"])) if row is not None else ()
        views.append(StageView(stage, outcome, missing, row is not None))
    return tuple(views)


def _custody(store: Store) -> Custody | None:
    own = store.row("SELECT * FROM contributions WHERE own = 1 ORDER BY round DESC LIMIT 1")
    if own is None:
        return None
    number = own["round"]
    attested = store.row("SELECT 1 FROM attestations WHERE round = ? AND credits_root IS NOT NULL", number)
    settled = store.row("SELECT 1 FROM settled WHERE round = ? AND content = ?", number, own["content"])
    verified = store.row("SELECT 1 FROM audits WHERE content = ? AND finding = 'match' AND level > 0", own["content"])
    struck = store.row("SELECT 1 FROM struck WHERE content = ?", own["content"])
    (others,) = store.rows("SELECT count(*) FROM contributions WHERE round = ? AND own = 0", number)[0]
    return Custody(
        round=number,
        signed=own["produced_at"] is not None,
        attested=attested is not None,
        settled=settled is not None,
        verified=verified is not None,
        struck=struck is not None,
        others_seen=others,
    )


def _rejection(row: sqlite3.Row) -> str:
    return f"{plain(row['kind'], 32)} of {name_of(row['peer'])}: {plain(row['reason'], 32).replace('_', ' ')}"
