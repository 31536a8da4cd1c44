"""Why this module exists: a peer's numbers for Prometheus, under names that stay, made from its read-model alone.

``METRICS`` is the list of them: the dashboards in packaging/, the reference in docs/ and the tests read it. Base units;
totals are those of the peer's whole log, so they survive a restart. A scrape folds in what is new and runs a few
queries; the peer's own loop never waits for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric

from protocol.ids import STAGES
from swarm.observe.health import Health
from swarm.observe.money import credits_in
from swarm.observe.store import Store
from swarm.observe.text import plain
from swarm.observe.views import MICRO, TIME_PARTS

PHASES = ("starting", "joined", "open", *STAGES, "train", "contribute", "settle", "between rounds", "stopped")
"""Values of ``swarm_phase``; exactly one of them is 1."""

HEARD_ROUNDS = 2
"""A peer that was not heard of for so many lengths of a round counts as silent."""

Kind = Literal["counter", "gauge", "summary", "info"]


@dataclass(frozen=True)
class Described:
    """A metric: ``name`` as Prometheus stores it (a counter's ends in ``_total``), its labels, what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


METRICS: tuple[Described, ...] = (
    Described("swarm_peer_info", "info", ("nickname", "peer_id", "model", "engine", "version"), "Who this peer is."),
    Described("swarm_healthy", "gauge", (), "1 while the peer is well; what /healthz says."),
    Described("swarm_last_progress_timestamp_seconds", "gauge", (), "When the peer last got on."),
    Described("swarm_stale_after_seconds", "gauge", (), "Two lengths of a round: progress older than this is a stall."),
    Described("swarm_round", "gauge", (), "Round that the peer is in."),
    Described("swarm_phase", "gauge", ("phase",), "1 for the phase that the peer is in, 0 for the others."),
    Described("swarm_rounds_total", "counter", ("outcome",), "Rounds that ended for this peer."),
    Described("swarm_round_part_seconds_total", "counter", ("part",), "Where the time of ended rounds went."),
    Described("swarm_peers", "gauge", ("state",), "Other peers: cohort, other members, heard of, silent."),
    Described("swarm_rollouts_total", "counter", ("task",), "Completions that this peer sampled."),
    Described("swarm_tokens_total", "counter", (), "Tokens that this peer sampled."),
    Described("swarm_score_mean", "gauge", (), "Mean score of its completions in its latest round, 0 to 1."),
    Described("swarm_accuracy", "gauge", (), "Share of held-out questions answered rightly, 0 to 1."),
    Described("swarm_step_seconds", "summary", (), "Training steps, with how long they took."),
    Described("swarm_loss", "gauge", (), "Loss of the latest training step."),
    Described("swarm_steps_skipped_total", "counter", ("reason",), "Rounds without a training step, by reason."),
    Described("swarm_memory_shrunk_total", "counter", (), "How often memory ran out while sampling."),
    Described("swarm_dht_ops_total", "counter", ("op", "result"), "Operations on the network, told once a round."),
    Described("swarm_records_rejected_total", "counter", ("reason",), "Records of others that broke a rule."),
    Described("swarm_contributions_total", "counter", ("stage",), "Own contributions by how far they came; seen ones."),
    Described("swarm_audits_total", "counter", ("verdict",), "Checks of others' work by what this peer found."),
    Described("swarm_chain_tx_total", "counter", ("kind", "result"), "Transactions mined; intents held or refused."),
    Described("swarm_credits", "gauge", ("state",), "Credits: earned, settled and claimed, ever."),
    Described("swarm_pending_payout", "gauge", (), "Credits that are earned and not claimed."),
    Described("swarm_degraded", "gauge", ("reason",), "1 for every problem that lasts, by its class."),
    Described("swarm_restarts_total", "counter", (), "How often the peer was started, after the first time."),
)

BY_NAME = {one.name: one for one in METRICS}


@dataclass(frozen=True)
class Extra:
    """What the read-model does not hold: the run's ``task``, and intents by (kind, state) that wait or were refused."""

    task: Callable[[], str] = str
    unsent: Callable[[], dict[tuple[str, str], int]] = dict


def families(store: Store, found: Health, extra: Extra, now: float) -> Iterator[Metric]:
    """Every metric of ``METRICS``, in its order, from a refreshed read-model."""
    for one in METRICS:
        values = _VALUES[one.name](store, found, extra, now)
        yield _family(one, values)


Labelled = dict[tuple[str, ...], float]
Values = Callable[[Store, Health, Extra, float], Labelled]


def _family(one: Described, values: Labelled) -> Metric:
    if one.kind == "info":
        info = InfoMetricFamily(one.name.removesuffix("_info"), one.help)
        for labels in values:
            info.add_metric([], dict(zip(one.labels, labels, strict=True)))
        return info
    if one.kind == "summary":
        summary = SummaryMetricFamily(one.name, one.help)
        summary.add_metric([], count_value=int(values[("count",)]), sum_value=values[("sum",)])
        return summary
    family = (
        CounterMetricFamily(one.name, one.help, labels=one.labels)
        if one.kind == "counter"
        else GaugeMetricFamily(one.name, one.help, labels=one.labels)
    )
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _grouped(store: Store, query: str, *parameters: object) -> Labelled:
    """Rows of (label, …, value)."""
    return {tuple(plain(str(part), 64) for part in tuple(row)[:-1]): row[-1] for row in store.rows(query, *parameters)}


def _one(value: float | None) -> Labelled:
    return {} if value is None else {(): value}


def _scalar(store: Store, query: str, *parameters: object) -> float | None:
    row = store.row(query, *parameters)
    value: float | None = None if row is None else row[0]
    return value


def _self(store: Store) -> sqlite3.Row:
    row = store.row("SELECT * FROM self")
    assert row is not None
    return row


def _info(store: Store, *_: object) -> Labelled:
    me = _self(store)
    columns = ("peer" if name == "peer_id" else name for name in BY_NAME["swarm_peer_info"].labels)
    return {tuple(plain(me[column] or "", 120) for column in columns): 1}


def _phase(store: Store, *_: object) -> Labelled:
    phase = _self(store)["phase"] or "starting"
    return {(name,): float(name == phase) for name in PHASES}


def _peers(store: Store, found: Health, extra: Extra, now: float) -> Labelled:
    me = _self(store)["peer"] or ""
    current = store.row("SELECT members, cohort FROM rounds WHERE round = ?", found.round)
    members = _ids(store, "members", found.round) if current else set()
    cohort = _ids(store, "cohort", found.round) if current else set()
    since = now - HEARD_ROUNDS * found.limit_s
    known = {row["peer"]: row["last_at"] for row in store.rows("SELECT peer, last_at FROM peers_seen")}
    counts = dict.fromkeys(("cohort", "member", "heard", "silent"), 0)
    for peer in (known.keys() | members) - {me}:
        heard = known.get(peer, 0.0) >= since
        counts["cohort" if peer in cohort else "member" if peer in members else "heard" if heard else "silent"] += 1
    return {(state,): float(count) for state, count in counts.items()}


def _ids(store: Store, column: str, number: int) -> set[str]:
    return {
        row[0]
        for row in store.rows(f"SELECT value FROM rounds, json_each(rounds.{column}) WHERE rounds.round = ?", number)
    }


def _contributions(store: Store, *_: object) -> Labelled:
    row = store.row(
        "SELECT count(*) FILTER (WHERE own = 1) AS signed, count(*) FILTER (WHERE own = 0) AS seen,"
        " count(*) FILTER (WHERE own = 1 AND content IN (SELECT content FROM audits WHERE finding = 'match'"
        " AND level > 0)) AS verified,"
        " count(*) FILTER (WHERE own = 1 AND content IN (SELECT content FROM settled)) AS settled,"
        " count(*) FILTER (WHERE own = 1 AND content IN (SELECT content FROM struck)) AS struck FROM contributions"
    )
    assert row is not None
    return {(stage,): float(row[stage]) for stage in ("signed", "seen", "verified", "settled", "struck")}


def _transactions(store: Store, found: Health, extra: Extra, now: float) -> Labelled:
    mined = _grouped(store, "SELECT purpose, 'mined', count(*) FROM transactions GROUP BY purpose")
    return mined | {(plain(kind, 40), state): float(count) for (kind, state), count in extra.unsent().items()}


def _credits(store: Store, *_: object) -> Labelled:
    credits = credits_in(store)
    return {(name,): getattr(credits, name) for name in ("earned", "settled", "claimed")}


def _pending(store: Store, *_: object) -> Labelled:
    credits = credits_in(store)
    return {(): max(0, credits.earned_micro - credits.claimed_micro) / MICRO}


def _parts(store: Store, *_: object) -> Labelled:
    sums = store.row(f"SELECT {', '.join(f'total({part}_s) AS {part}' for part in TIME_PARTS)} FROM rounds")
    assert sums is not None
    return {(part,): sums[part] for part in TIME_PARTS}


def _steps(store: Store, *_: object) -> Labelled:
    row = store.row("SELECT count(step_s), total(step_s) FROM rounds")
    assert row is not None
    return {("count",): row[0], ("sum",): row[1]}


def _score(store: Store, *_: object) -> Labelled:
    milli = _scalar(
        store,
        "SELECT avg(mean_score_milli) FROM batches WHERE own = 1"
        " AND round = (SELECT max(round) FROM batches WHERE own = 1)",
    )
    return _one(None if milli is None else milli / 1000)


def _counted(query: str) -> Values:
    return lambda store, *_: _grouped(store, query)


def _number(query: str) -> Values:
    return lambda store, *_: _one(_scalar(store, query))


_VALUES: dict[str, Values] = {
    "swarm_peer_info": _info,
    "swarm_healthy": lambda store, found, *_: {(): float(found.ok)},
    "swarm_last_progress_timestamp_seconds": lambda store, found, *_: _one(found.last_progress_at),
    "swarm_stale_after_seconds": lambda store, found, *_: {(): found.limit_s},
    "swarm_round": lambda store, found, *_: {(): float(found.round)},
    "swarm_phase": _phase,
    "swarm_rounds_total": _counted("SELECT outcome, count(*) FROM rounds WHERE outcome IS NOT NULL GROUP BY outcome"),
    "swarm_round_part_seconds_total": _parts,
    "swarm_peers": _peers,
    "swarm_rollouts_total": lambda store, found, extra, now: {
        (plain(extra.task(), 64),): _scalar(store, "SELECT total(num_rollouts) FROM batches WHERE own = 1") or 0.0
    },
    "swarm_tokens_total": _number("SELECT total(num_tokens) FROM batches WHERE own = 1"),
    "swarm_score_mean": _score,
    "swarm_accuracy": _number(
        "SELECT 1.0 * num_correct / num_questions FROM evaluations WHERE num_questions > 0 ORDER BY at DESC LIMIT 1"
    ),
    "swarm_step_seconds": _steps,
    "swarm_loss": _number("SELECT loss FROM rounds WHERE loss IS NOT NULL ORDER BY round DESC LIMIT 1"),
    "swarm_steps_skipped_total": _counted("SELECT reason, count(*) FROM skipped GROUP BY reason"),
    "swarm_memory_shrunk_total": _number("SELECT count(*) FROM shrunk"),
    "swarm_dht_ops_total": _counted("SELECT op, result, count FROM network_ops"),
    "swarm_records_rejected_total": _counted("SELECT reason, sum(count) FROM rejections GROUP BY reason"),
    "swarm_contributions_total": _contributions,
    "swarm_audits_total": _counted(
        "SELECT finding, count(*) FROM audits WHERE by = (SELECT peer FROM self) GROUP BY finding"
    ),
    "swarm_chain_tx_total": _transactions,
    "swarm_credits": _credits,
    "swarm_pending_payout": _pending,
    "swarm_degraded": _counted("SELECT error, 1 FROM problems WHERE recovered_at IS NULL GROUP BY error"),
    "swarm_restarts_total": _number("SELECT max(0, num_starts - 1) FROM self"),
}
