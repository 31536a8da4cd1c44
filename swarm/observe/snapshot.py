"""Why this module exists: a dashboard shows one peer at a time, and draws from one consistent value, never from tables.

A snapshot is made from the peer's own log alone: what it shows of other peers is what this peer saw and recomputed.
"""

from __future__ import annotations

import sqlite3

import msgspec

from protocol.events import Outcome, QuestionPlayed, Said
from protocol.ids import STAGES
from swarm.observe.queries import peer_status, round_times
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from swarm.observe.text import name_of, plain
from swarm.observe.views import PeerStatus, TimeSplit, View

NUM_TIMED_ROUNDS = 10
"""The time split covers the last this many rounds."""

NUM_ROUNDS_SHOWN = 400
"""Curves cover the last this many rounds; a dashboard has fewer columns than that."""

_TEXT = 600


class SaidView(View, frozen=True):
    """What one peer said in one stage, as plain text, with its re-computed score and why."""

    peer: str
    nickname: str
    label: str
    text: str
    score_milli: int
    why: str


class QuestionView(View, frozen=True):
    """The latest question in full."""

    round: int
    question: str
    truth: str
    answers: tuple[SaidView, ...]
    critiques: tuple[SaidView, ...]
    decisions: tuple[SaidView, ...]


class StageView(View, frozen=True):
    """A stage of the current round. ``outcome`` is None while it is played."""

    stage: str
    outcome: Outcome | None
    missing: tuple[str, ...]
    started: bool


class KnownPeer(View, frozen=True):
    """A peer of the swarm as this one knows it; itself included (``me``). ``scores``: (round, mean score in milli).

    ``phase``: what its newest work of this round belongs to, else what it says it does.
    ``cohort``: plays with this peer now. ``num_rejected``: its dropped records, the last at ``last_rejected_at``.
    """

    peer: str
    nickname: str
    me: bool
    phase: str
    round: int
    last_seen_at: float | None
    cohort: bool
    scores: tuple[tuple[int, int], ...]
    micro_credits: int
    num_rejected: int
    last_rejected_at: float | None


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
    """Everything a dashboard shows of one local peer. ``accuracy``: (round, held-out accuracy in milli)."""

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
        stages=_stages(store, status.round),
        peers=_peers(store, status, msgspec.json.decode(current["cohort"]) if current else []),
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
        question=_question(store),
        custody=_custody(store),
        time=round_times(store, NUM_TIMED_ROUNDS),
        num_rejected=num_rejected,
        last_rejection=_rejection(rejections[0]) if rejections else "",
    )


def _stages(store: Store, number: int) -> tuple[StageView, ...]:
    rows = {row["stage"]: row for row in store.rows("SELECT * FROM stages WHERE round = ?", number)}
    views = []
    for stage in STAGES:
        row = rows.get(stage)
        outcome = Outcome(row["outcome"]) if row is not None and row["outcome"] else None
        missing = tuple(name_of(peer) for peer in msgspec.json.decode(row["missing"])) if row is not None else ()
        views.append(StageView(stage, outcome, missing, row is not None))
    return tuple(views)


def _peers(store: Store, status: PeerStatus, cohort: list[str]) -> tuple[KnownPeer, ...]:
    scores: dict[str, list[tuple[int, int]]] = {}
    query = (
        "SELECT peer, round, avg(mean_score_milli) AS score FROM batches WHERE round > ? GROUP BY round, peer"
        " ORDER BY round"
    )
    for row in store.rows(query, status.round - NUM_ROUNDS_SHOWN):
        scores.setdefault(row["peer"], []).append((row["round"], round(row["score"])))
    credits = {
        row["peer"]: row["total"]
        for row in store.rows("SELECT peer, sum(micro_credits) AS total FROM credits GROUP BY peer")
    }
    rejected = {
        row["peer"]: (row["num"], row["last_at"])
        for row in store.rows("SELECT peer, sum(count) AS num, max(last_at) AS last_at FROM rejections GROUP BY peer")
    }
    work = {
        row["peer"]: row["stage"]
        for row in store.rows("SELECT peer, stage, max(at) FROM batches WHERE round = ? GROUP BY peer", status.round)
    }
    done = store.rows("SELECT peer FROM contributions WHERE round = ? AND own = 0", status.round)
    work |= {row["peer"]: "contribute" for row in done}
    words = {row["peer"]: row for row in store.rows("SELECT * FROM peers_seen")}
    known = {peer for peer in (status.peer, *words, *scores, *credits, *rejected, *cohort) if peer}
    peers = []
    for peer in known:
        word, me = words.get(peer), peer == status.peer
        peers.append(
            KnownPeer(
                peer=plain(peer, 128),
                nickname=status.nickname if me else name_of(peer),
                me=me,
                phase=status.phase if me else work.get(peer) or (plain(word["phase"], 40) if word else ""),
                round=status.round if me else word["round"] if word else 0,
                last_seen_at=status.last_event_at if me else word["last_at"] if word else None,
                cohort=peer in cohort,
                scores=tuple(scores.get(peer, ())),
                micro_credits=credits.get(peer, 0),
                num_rejected=rejected.get(peer, (0, None))[0],
                last_rejected_at=rejected.get(peer, (0, None))[1],
            )
        )
    return tuple(sorted(peers, key=lambda one: (not one.me, not one.cohort, -one.micro_credits, one.nickname)))


def _question(store: Store) -> QuestionView | None:
    row = store.row("SELECT played FROM questions ORDER BY seq DESC LIMIT 1")
    if row is None:
        return None
    played = msgspec.json.decode(row["played"], type=QuestionPlayed)
    return QuestionView(
        round=played.round,
        question=plain(played.question, _TEXT),
        truth=plain(played.truth, _TEXT),
        answers=tuple(_said(one) for one in played.answers),
        critiques=tuple(_said(one) for one in played.critiques),
        decisions=tuple(_said(one) for one in played.decisions),
    )


def _said(one: Said) -> SaidView:
    return SaidView(
        peer=plain(one.peer, 128),
        nickname=name_of(one.peer),
        label=plain(one.label, 4),
        text=plain(one.text, _TEXT),
        score_milli=one.score_milli,
        why=plain(one.why, 200),
    )


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
