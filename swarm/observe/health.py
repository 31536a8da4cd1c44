"""Why this module exists: whether a peer gets on is one question, and everybody who asks must hear the same answer.

``/healthz``, ``swarm health``, the supervisor and systemd's watchdog all ask here. A peer is stalled when nothing of
its own life moved for two lengths of a round; waiting for a swarm to begin is no stall. Reads the read-model only.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from swarm.observe.money import state_of
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from swarm.observe.text import plain, seconds_text
from swarm.observe.views import State, View

STALE_ROUNDS = 2
"""No progress for so many lengths of a round is a stall."""

DEFAULT_ROUND_S = 300.0
"""A round's length where neither the log nor anybody else says it."""

DEAF_S = 60.0
"""The peer's loop answers several times a second; one that is silent for so long hangs."""

LOBBY = "waiting for enough peers to enrol"
"""What a peer says while its run has not begun."""

ELSEWHERE = frozenset({"ChainUnreachable", "NetworkError"})
"""Problems that lie outside of the peer: starting it again does not help."""


class Condition(StrEnum):
    """What a peer's health is called. Only ``PLAYING``, ``WAITING`` and ``STARTING`` are well."""

    PLAYING = "playing"
    WAITING = "waiting"  # the run has not begun: too few peers
    STARTING = "starting"
    STALLED = "stalled"
    DEAF = "deaf"  # the process lives, its loop does not answer
    STOPPED = "stopped"
    DIED = "died"
    NEW = "new"  # never started


WELL = frozenset({Condition.PLAYING, Condition.WAITING, Condition.STARTING})


class Health(View, frozen=True):
    """One peer's health. ``why`` in words. ``age_s``: since its last progress; ``limit_s``: two rounds.

    ``elsewhere``: the cause lies outside of the peer (chain, network), so that starting it again cannot help.
    """

    ok: bool
    condition: Condition
    why: str
    round: int
    phase: str
    last_progress_at: float | None
    age_s: float | None
    limit_s: float
    elsewhere: bool = False


def health(store: Store, now: float, alive: Alive, *, round_s: float | None = None, silent_s: float = 0.0) -> Health:
    """One peer's health from its refreshed read-model at ``now`` (unix s).

    ``round_s``: length of a round; without it the last opened round's, else ``DEFAULT_ROUND_S``. ``silent_s``: for how
    long the peer's own loop has not answered, where somebody in its process can tell.
    """
    me = store.row("SELECT * FROM self")
    assert me is not None
    limit_s = STALE_ROUNDS * (round_s or _round_s(store))
    state = state_of(me["pid"], me["started_at"], me["stopped_at"], alive)
    last_at = me["progress_at"]
    age_s = None if last_at is None else max(0.0, now - last_at)
    problem = store.row("SELECT * FROM problems WHERE recovered_at IS NULL ORDER BY seq DESC LIMIT 1")
    doing = store.row("SELECT what FROM progress")
    what = plain(doing["what"], 120) if doing is not None else ""
    phase = plain(me["phase"], 40)

    def found(condition: Condition, why: str) -> Health:
        return Health(
            ok=condition in WELL,
            condition=condition,
            why=why,
            round=me["round"],
            phase=phase,
            last_progress_at=last_at,
            age_s=None if age_s is None else round(age_s, 3),
            limit_s=limit_s,
            elsewhere=problem is not None and problem["error"] in ELSEWHERE,
        )

    if state is State.NEW:
        return found(Condition.NEW, "It was never started.")
    if state is State.DIED:
        return found(Condition.DIED, f"Its process {me['pid']} is gone without a last word.")
    if state is State.STOPPED:
        return found(Condition.STOPPED, f"It was stopped: {plain(me['stop_why'] or '', 200)}.")
    if silent_s > DEAF_S:
        return found(Condition.DEAF, f"Its process lives, but its loop has not answered for {seconds_text(silent_s)}.")
    in_words = f" Problem: {plain(problem['what'], 300)}" if problem is not None else ""
    busy = what or f"in phase {phase or 'starting'}"
    if not me["opened_since_start"] and what == LOBBY and problem is None:
        return found(Condition.WAITING, f"{LOBBY.capitalize()}.")
    if age_s is not None and age_s > limit_s:
        told = f"No progress for {seconds_text(age_s)}; two rounds are {seconds_text(limit_s)}. Last known: {busy}."
        return found(Condition.STALLED, told + in_words)
    if not me["opened_since_start"]:
        return found(Condition.STARTING, f"Starting: {busy}.{in_words}")
    return found(Condition.PLAYING, f"Round {me['round']}: {busy}.{in_words}")


def as_json(found: Health) -> bytes:
    """For ``/healthz`` and ``--json``."""
    return msgspec.json.encode(found)


def _round_s(store: Store) -> float:
    row = store.row(
        "SELECT closes_at - opened_at AS length FROM rounds WHERE opened_at IS NOT NULL ORDER BY round DESC LIMIT 1"
    )
    return float(row["length"]) if row is not None and row["length"] and row["length"] > 0 else DEFAULT_ROUND_S
