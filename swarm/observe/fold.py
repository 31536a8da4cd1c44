"""Why this module exists: what each event means for the read-model, one small function per event.

``apply`` depends on the event and on the tables only, so folding a log in one go or line by line gives the same rows.
An event that comes twice (a round played again after a crash) replaces what it said before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from protocol import events as e
from protocol.events import LoggedEvent
from protocol.ids import PeerId
from swarm.observe import fold_disputes, fold_process
from swarm.observe.lines import kind_of, words
from swarm.observe.schema import (
    NUM_LINES_KEPT,
    NUM_QUESTIONS_KEPT,
    NUM_REJECTED_PEERS_PER_ROUND,
)

OTHERS = "(others)"

_INT64 = 2**63 - 1


def apply(db: sqlite3.Connection, logged: LoggedEvent) -> None:
    """Fold one event into the tables. The caller owns the transaction."""
    handler = _HANDLERS.get(type(logged.event))
    if handler is not None:
        handler(db, logged, logged.event)
    if type(logged.event) in PROGRESS:
        db.execute("UPDATE self SET progress_at = ?", (logged.at,))
    _say(db, logged)


def _say(db: sqlite3.Connection, logged: LoggedEvent) -> None:
    """Keep the newest events in words."""
    text = words(logged.event)
    if text is not None:
        db.execute("REPLACE INTO lines VALUES (?, ?, ?, ?)", (logged.seq, logged.at, kind_of(logged.event), text))
        db.execute("DELETE FROM lines WHERE seq <= ?", (logged.seq - NUM_LINES_KEPT,))


def _json(items: tuple[Any, ...]) -> str:
    return msgspec.json.encode(items).decode()


def _own_peer(db: sqlite3.Connection) -> str:
    return db.execute("SELECT peer FROM self").fetchone()[0] or ""


def _seen(db: sqlite3.Connection, peer: PeerId, at: float) -> None:
    db.execute(
        "INSERT INTO peers_seen (peer, last_at) VALUES (?, ?)"
        " ON CONFLICT (peer) DO UPDATE SET last_at = excluded.last_at",
        (peer, at),
    )


def _phase(db: sqlite3.Connection, logged: LoggedEvent, phase: str, closes_at: float | None = None) -> None:
    """The peer turned to something else, so whatever long thing it told of before is over."""
    db.execute("UPDATE self SET phase = ?, phase_since = ?, phase_closes_at = ?", (phase, logged.at, closes_at))
    db.execute("DELETE FROM progress")


def _started(db: sqlite3.Connection, logged: LoggedEvent, event: e.PeerStarted) -> None:
    db.execute(
        "UPDATE self SET nickname = ?, peer = ?, address = ?, model = ?, engine = ?, version = ?, pid = ?,"
        " started_at = ?, num_starts = num_starts + 1, joined_at = NULL, stopped_at = NULL, stop_why = NULL,"
        " exit_code = NULL, opened_since_start = 0, serving = ''",
        (event.nickname, event.peer, event.address, event.model, event.engine, event.version, event.pid, logged.at),
    )
    db.execute("UPDATE problems SET recovered_at = ? WHERE recovered_at IS NULL", (logged.at,))
    _phase(db, logged, "starting")


def _progress(db: sqlite3.Connection, logged: LoggedEvent, event: e.Progress) -> None:
    db.execute("REPLACE INTO progress VALUES (1, ?, ?, ?, ?)", (event.what, event.done, event.total, logged.at))


def _joined(db: sqlite3.Connection, logged: LoggedEvent, event: e.Joined) -> None:
    db.execute("UPDATE self SET joined_at = ?", (logged.at,))
    _phase(db, logged, "joined")


def _registered(db: sqlite3.Connection, logged: LoggedEvent, event: e.Registered) -> None:
    db.execute("UPDATE self SET registered = 1, address = ?", (event.address,))


def _round_opened(db: sqlite3.Connection, logged: LoggedEvent, event: e.RoundOpened) -> None:
    db.execute(
        "INSERT INTO rounds (round, seed, members, cohort, opened_at, closes_at, level, num_levels)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (round) DO UPDATE SET seed = excluded.seed, members = excluded.members, cohort = excluded.cohort,"
        " opened_at = excluded.opened_at, closes_at = excluded.closes_at, level = excluded.level,"
        " num_levels = excluded.num_levels",
        (event.round, event.seed, _json(event.members), _json(event.cohort), event.opened_at, event.closes_at,
         event.level, event.num_levels),
    )  # fmt: skip
    db.execute("UPDATE self SET round = ?, opened_since_start = 1", (event.round,))
    _phase(db, logged, "open", event.closes_at)


def _stage_started(db: sqlite3.Connection, logged: LoggedEvent, event: e.StageStarted) -> None:
    db.execute(
        "REPLACE INTO stages (round, stage, started_at, closes_at) VALUES (?, ?, ?, ?)",
        (event.round, event.stage, logged.at, event.closes_at),
    )
    _phase(db, logged, event.stage, event.closes_at)


def _batch_produced(db: sqlite3.Connection, logged: LoggedEvent, event: e.BatchProduced) -> None:
    db.execute(
        "REPLACE INTO batches VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?)",
        (event.round, event.stage, _own_peer(db), event.num_rollouts, event.num_tokens, event.mean_score_milli,
         event.correct_milli, event.took_s, logged.at),
    )  # fmt: skip


def _batch_seen(db: sqlite3.Connection, logged: LoggedEvent, event: e.BatchSeen) -> None:
    db.execute(
        "REPLACE INTO batches VALUES (?, ?, ?, 0, ?, NULL, ?, ?, ?, ?)",
        (event.round, event.stage, event.peer, event.num_rollouts, event.mean_score_milli, event.correct_milli,
         event.took_s, logged.at),
    )  # fmt: skip
    _seen(db, event.peer, logged.at)


def _stage_ended(db: sqlite3.Connection, logged: LoggedEvent, event: e.StageEnded) -> None:
    db.execute(
        "INSERT INTO stages (round, stage, outcome, num_received, missing, waited_s) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (round, stage) DO UPDATE SET outcome = excluded.outcome, num_received = excluded.num_received,"
        " missing = excluded.missing, waited_s = excluded.waited_s",
        (event.round, event.stage, event.outcome, len(event.received), _json(event.missing), event.waited_s),
    )
    if event.stage == "decide":
        _phase(db, logged, "train")


def _question(db: sqlite3.Connection, logged: LoggedEvent, event: e.QuestionPlayed) -> None:
    db.execute("REPLACE INTO questions VALUES (?, ?, ?)", (logged.seq, event.round, msgspec.json.encode(event)))
    db.execute(
        "DELETE FROM questions WHERE seq NOT IN (SELECT seq FROM questions ORDER BY seq DESC LIMIT ?)",
        (NUM_QUESTIONS_KEPT,),
    )


def _trained(db: sqlite3.Connection, logged: LoggedEvent, event: e.Trained) -> None:
    db.execute("INSERT OR IGNORE INTO rounds (round) VALUES (?)", (event.round,))
    db.execute(
        "UPDATE rounds SET loss = ?, grad_norm = ?, num_own = ?, num_external = ?, num_tokens = ?, step_s = ?,"
        " state_before = ?, state_after = ? WHERE round = ?",
        (event.loss, event.grad_norm, event.num_own, event.num_external, event.num_tokens, event.took_s,
         event.state_before, event.state_after, event.round),
    )  # fmt: skip
    _phase(db, logged, "contribute")


def _contribution_signed(db: sqlite3.Connection, logged: LoggedEvent, event: e.ContributionSigned) -> None:
    db.execute(
        "REPLACE INTO contributions (round, peer, content, own, produced_at) VALUES (?, ?, ?, 1, ?)",
        (event.round, _own_peer(db), event.content, logged.at),
    )
    _phase(db, logged, "settle")
    fold_process.signs_again(db, logged)


def _contribution_published(db: sqlite3.Connection, logged: LoggedEvent, event: e.ContributionPublished) -> None:
    db.execute(
        "UPDATE contributions SET published_at = coalesce(published_at, ?) WHERE round = ? AND own = 1",
        (logged.at, event.round),
    )


def _contribution_seen(db: sqlite3.Connection, logged: LoggedEvent, event: e.ContributionSeen) -> None:
    db.execute(
        "REPLACE INTO contributions (round, peer, content, own, seen_at, micro_credits) VALUES (?, ?, ?, 0, ?, ?)",
        (event.round, event.peer, event.content, logged.at, event.micro_credits),
    )
    _seen(db, event.peer, logged.at)


def _audited(db: sqlite3.Connection, logged: LoggedEvent, event: e.Audited) -> None:
    _verdict(db, logged, event, _own_peer(db))


def _verdict_seen(db: sqlite3.Connection, logged: LoggedEvent, event: e.VerdictSeen) -> None:
    _verdict(db, logged, event, event.by)


def _verdict(db: sqlite3.Connection, logged: LoggedEvent, event: e.Audited | e.VerdictSeen, by: str) -> None:
    db.execute(
        "REPLACE INTO audits VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (event.round, event.content, event.peer, by, event.level, event.finding, event.what[:400], logged.at),
    )


def _struck(db: sqlite3.Connection, logged: LoggedEvent, event: e.Struck) -> None:
    """What it had earned is earned no more."""
    db.execute(
        "REPLACE INTO struck VALUES (?, ?, ?, ?, ?)",
        (event.content, event.round, event.peer, event.micro_credits, logged.at),
    )
    db.execute("DELETE FROM credits WHERE round = ? AND peer = ?", (event.round, event.peer))


def _rejected(db: sqlite3.Connection, logged: LoggedEvent, event: e.RecordRejected) -> None:
    peer = event.peer[:128]
    round = min(event.round, _INT64)  # the round a stranger claims
    known = db.execute("SELECT 1 FROM rejections WHERE round = ? AND peer = ?", (round, peer)).fetchone()
    if known is None:
        (num,) = db.execute("SELECT count(DISTINCT peer) FROM rejections WHERE round = ?", (round,)).fetchone()
        peer = peer if num < NUM_REJECTED_PEERS_PER_ROUND else OTHERS
    db.execute(
        "INSERT INTO rejections VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT (round, peer, kind, reason) DO UPDATE SET"
        " count = count + 1, detail = excluded.detail, last_at = excluded.last_at",
        (round, peer, event.kind[:32], event.reason[:32], event.detail[:400], logged.at),
    )


def _attested(db: sqlite3.Connection, logged: LoggedEvent, event: e.Attested) -> None:
    db.execute(
        "REPLACE INTO attestations VALUES (?, ?, ?, NULL, ?)",
        (event.round, event.poster, event.credits_root, logged.at),
    )
    _attestor(db, logged, event.round, _own_peer(db), event.credits_root)


def _attestation_seen(db: sqlite3.Connection, logged: LoggedEvent, event: e.AttestationSeen) -> None:
    _attestor(db, logged, event.round, event.by, event.credits_root)
    _seen(db, event.by, logged.at)


def _attestor(db: sqlite3.Connection, logged: LoggedEvent, round: int, by: str, credits_root: str) -> None:
    db.execute("INSERT OR IGNORE INTO attestors VALUES (?, ?, ?, ?)", (round, by, credits_root, logged.at))


def _proposed(db: sqlite3.Connection, logged: LoggedEvent, event: e.ResultProposed) -> None:
    db.execute(
        "INSERT OR IGNORE INTO proposals VALUES (?, ?, ?, ?, ?)",
        (event.round, event.poster, event.credits_root, _json(event.contributions), logged.at),
    )


def _attestation_refused(db: sqlite3.Connection, logged: LoggedEvent, event: e.AttestationRefused) -> None:
    db.execute("REPLACE INTO attestations VALUES (?, ?, NULL, ?, ?)", (event.round, event.poster, event.why, logged.at))


def _transaction(db: sqlite3.Connection, logged: LoggedEvent, event: e.TransactionSent) -> None:
    db.execute(
        "INSERT OR IGNORE INTO transactions VALUES (?, ?, ?, ?, ?)",
        (event.transaction, event.purpose, event.gas, event.round, logged.at),
    )


def _settled(db: sqlite3.Connection, logged: LoggedEvent, event: e.RoundSettled) -> None:
    db.execute(
        "REPLACE INTO settlements VALUES (?, ?, ?, ?, ?)",
        (event.round, event.contributions_root, event.credits_root, event.poster, logged.at),
    )
    db.execute("DELETE FROM settled WHERE round = ?", (event.round,))
    db.executemany(
        "INSERT OR IGNORE INTO settled VALUES (?, ?)", [(event.round, content) for content in event.contributions]
    )
    db.execute("DELETE FROM credits WHERE round = ?", (event.round,))
    db.executemany(
        "INSERT INTO credits VALUES (?, ?, ?)",
        [(event.round, peer, min(micro, _INT64)) for peer, micro in event.micro_credits.items()],
    )
    for_work = {peer: micro - event.paid_for_verdicts.get(peer, 0) for peer, micro in event.paid.items()}
    db.execute("DELETE FROM paid WHERE round = ?", (event.round,))
    db.executemany(
        "INSERT INTO paid VALUES (?, ?, ?)",
        [(event.round, peer, min(micro, _INT64)) for peer, micro in for_work.items() if micro > 0],
    )


def _round_ended(db: sqlite3.Connection, logged: LoggedEvent, event: e.RoundEnded) -> None:
    db.execute("INSERT OR IGNORE INTO rounds (round) VALUES (?)", (event.round,))
    db.execute(
        "UPDATE rounds SET ended_at = ?, outcome = ?, stages_played = ?, total_s = ?, generate_s = ?, train_s = ?,"
        " wait_s = ?, network_s = ?, chain_s = ? WHERE round = ?",
        (logged.at, event.outcome, _json(event.stages_played), event.total_s, event.generate_s, event.train_s,
         event.wait_s, event.network_s, event.chain_s, event.round),
    )  # fmt: skip
    _phase(db, logged, "between rounds")


def _credits(db: sqlite3.Connection, logged: LoggedEvent, event: e.CreditsChanged) -> None:
    db.execute("UPDATE self SET settled_micro = ?, claimed_micro = ?", (event.settled_micro, event.claimed_micro))


def _stake(db: sqlite3.Connection, logged: LoggedEvent, event: e.StakeChanged) -> None:
    db.execute(
        "UPDATE self SET stake_micro = ?, exiting_micro = ?, exit_ready_at = ?",
        (event.stake_micro, event.exiting_micro, event.exit_ready_at or None),
    )


def _claimed(db: sqlite3.Connection, logged: LoggedEvent, event: e.Claimed) -> None:
    db.execute(
        "REPLACE INTO claims VALUES (?, ?, ?, ?)",
        (
            event.transaction or f"by another peer at {logged.at:.3f}",
            str(event.amount_wei),
            str(event.balance_wei),
            logged.at,
        ),
    )
    db.execute("UPDATE self SET balance_wei = ?", (str(event.balance_wei),))


def _evaluated(db: sqlite3.Connection, logged: LoggedEvent, event: e.Evaluated) -> None:
    db.execute(
        "REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?)",
        (event.round, event.num_questions, event.num_correct, event.took_s, logged.at),
    )


def _peer_seen(db: sqlite3.Connection, logged: LoggedEvent, event: e.PeerSeen) -> None:
    db.execute(
        "REPLACE INTO peers_seen VALUES (?, ?, ?, ?)",
        (event.peer, event.phase[:64], min(event.round, _INT64), logged.at),
    )


def _stopped(db: sqlite3.Connection, logged: LoggedEvent, event: e.Stopped) -> None:
    db.execute(
        "UPDATE self SET stopped_at = ?, stop_why = ?, exit_code = ?, peak_mb = max(peak_mb, ?), serving = ''",
        (logged.at, event.why, event.exit_code, event.peak_mb),
    )
    _phase(db, logged, "stopped")


PROGRESS = frozenset(
    {
        e.PeerStarted, e.Joined, e.Registered, e.RoundOpened, e.StageStarted, e.BatchProduced, e.StageEnded, e.Trained,
        e.StepSkipped, e.ContributionSigned, e.ContributionSeen, e.Attested, e.RoundSettled, e.RoundEnded,
        e.CreditsChanged, e.Claimed, e.Evaluated,
    }
)  # fmt: skip
"""What shows that a peer gets on. Waiting, presence and problems do not."""


_HANDLERS: dict[type, Callable[[sqlite3.Connection, LoggedEvent, Any], None]] = {
    e.PeerStarted: _started,
    e.Progress: _progress,
    e.Joined: _joined,
    e.Registered: _registered,
    e.RoundOpened: _round_opened,
    e.StageStarted: _stage_started,
    e.BatchProduced: _batch_produced,
    e.BatchSeen: _batch_seen,
    e.StageEnded: _stage_ended,
    e.QuestionPlayed: _question,
    e.Trained: _trained,
    e.ContributionSigned: _contribution_signed,
    e.ContributionSeen: _contribution_seen,
    e.Audited: _audited,
    e.VerdictSeen: _verdict_seen,
    e.Struck: _struck,
    e.DisputeOpened: fold_disputes.opened,
    e.DisputeMove: fold_disputes.moved,
    e.DisputeDecided: fold_disputes.decided,
    e.EquivocationProven: fold_disputes.proven,
    e.RecordRejected: _rejected,
    e.Attested: _attested,
    e.AttestationRefused: _attestation_refused,
    e.TransactionSent: _transaction,
    e.RoundSettled: _settled,
    e.RoundEnded: _round_ended,
    e.CreditsChanged: _credits,
    e.Claimed: _claimed,
    e.Evaluated: _evaluated,
    e.PeerSeen: _peer_seen,
    e.HeldBack: fold_process.held_back,
    e.Problem: fold_process.problem,
    e.Recovered: fold_process.recovered,
    e.Stopped: _stopped,
    e.Serving: fold_process.serving,
    e.Restarted: fold_process.restarted,
    e.MemoryPlanned: fold_process.memory_planned,
    e.MemoryMeasured: fold_process.memory_measured,
    e.MemoryShrunk: fold_process.shrunk,
    e.StepSkipped: fold_process.skipped,
    e.NetworkUsed: fold_process.network_used,
    e.ContributionPublished: _contribution_published,
    e.ResultProposed: _proposed,
    e.AttestationSeen: _attestation_seen,
    e.StakeChanged: _stake,
}
