"""Why this module exists: what a command, a screen or a web page may know about a swarm, as plain values.

All are frozen and made of plain parts, so ``msgspec.to_builtins`` gives the ``--json`` form. Text in them that came
from outside has passed ``text.plain``. Units are in the names; credits are decimal for reading, ``_micro`` their exact
millionths for computing; times that end in ``_at`` are unix seconds; ``None`` means that the log does not say.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from protocol.events import Outcome

MICRO = 1_000_000
"""Micro-credits in a credit."""

TIME_PARTS = ("generate", "train", "wait", "network", "chain")


class View(msgspec.Struct, frozen=True):
    """Base of all views."""


class TimeSplit(View, frozen=True):
    """Where time went. ``other_s`` is what the parts leave of the total; ``overhead_share`` is 1 - (generate + train)
    / total, between 0 and 1 (0 when there is no time at all); ``shares`` holds each part's share of the total."""

    total_s: float
    generate_s: float
    train_s: float
    wait_s: float
    network_s: float
    chain_s: float
    other_s: float
    shares: dict[str, float]
    overhead_share: float


def time_split(total: float, generate: float, train: float, wait: float, network: float, chain: float) -> TimeSplit:
    """A ``TimeSplit`` from seconds."""
    parts = dict(zip(TIME_PARTS, (generate, train, wait, network, chain), strict=True))
    other = max(0.0, total - sum(parts.values()))
    shares = {name: round(part / total, 4) if total > 0 else 0.0 for name, part in (*parts.items(), ("other", other))}
    overhead = min(1.0, max(0.0, 1.0 - (generate + train) / total)) if total > 0 else 0.0
    rounded = {f"{name}_s": round(part, 3) for name, part in parts.items()}
    return TimeSplit(
        total_s=round(total, 3), other_s=round(other, 3), shares=shares, overhead_share=round(overhead, 4), **rounded
    )


class Credits(View, frozen=True):
    """What a peer earned (results it knows of), what the chain has settled, what it claimed as tokens."""

    earned: float
    settled: float
    claimed: float
    earned_micro: int
    settled_micro: int
    claimed_micro: int


def credits_of(earned_micro: int, settled_micro: int, claimed_micro: int) -> Credits:
    """``Credits`` from micro-credits."""
    return Credits(
        earned=earned_micro / MICRO,
        settled=settled_micro / MICRO,
        claimed=claimed_micro / MICRO,
        earned_micro=earned_micro,
        settled_micro=settled_micro,
        claimed_micro=claimed_micro,
    )


class ProblemView(View, frozen=True):
    """The newest problem, in words. ``recovered_at`` is None while it lasts."""

    error: str
    what: str
    so_what: str
    next_step: str
    at: float
    recovered_at: float | None


class ProgressView(View, frozen=True):
    """Something long under way: ``done`` of ``total`` (0: unknown)."""

    what: str
    done: int
    total: int
    at: float


class MemoryView(View, frozen=True):
    """What the peer was predicted to take, what was free then, and what it took at most (``None``: not measured yet),
    in bytes of ``place``. ``is_near``: within a fifth."""

    place: str
    predicted: int
    free: int
    measured: int | None
    is_near: bool | None


class State(StrEnum):
    """Whether the peer's process lives, and if not, how it ended."""

    RUNNING = "running"
    STOPPED = "stopped"  # in an orderly way
    DIED = "died"  # the process is gone without a last word
    NEW = "new"  # never started


class PeerStatus(View, frozen=True):
    """One local peer at a glance. ``name`` is its folder. ``phase`` is a stage name or another word of the log."""

    name: str
    nickname: str
    peer: str
    address: str
    running: bool
    state: State
    pid: int | None
    model: str
    engine: str
    registered: bool
    started_at: float | None
    stopped_at: float | None
    stop_why: str
    exit_code: int | None
    peak_mb: int
    memory: MemoryView | None
    round: int
    phase: str
    phase_since: float | None
    closes_at: float | None
    time_left_s: float | None
    rounds_completed: int
    credits: Credits
    last_event_at: float | None
    problem: ProblemView | None
    progress: ProgressView | None
    num_garbage: int


class PeerRound(View, frozen=True):
    """How one local peer fared in one round. Scores are means over its own rollouts, in thousandths, per stage."""

    nickname: str
    peer: str
    round: int
    outcome: Outcome | None
    stages_played: tuple[str, ...]
    scores_milli: dict[str, int]
    correct_milli: dict[str, int]
    loss: float | None
    num_own: int | None
    num_external: int | None
    micro_credits: int | None
    num_rejected: int
    ended_at: float | None
    time: TimeSplit | None


class RoundView(View, frozen=True):
    """One round of the local peers. ``outcome`` is the worst of theirs, None while it is played; ``time`` their sum.

    ``level``: how hard its questions are, of ``num_levels``; 0 where they follow no level."""

    round: int
    outcome: Outcome | None
    opened_at: float | None
    ended_at: float | None
    num_members: int
    num_settled: int
    micro_credits: int
    settled: bool
    num_rejected: int
    time: TimeSplit
    peers: tuple[PeerRound, ...]
    level: int = 0
    num_levels: int = 0


class SeenPeer(View, frozen=True):
    """A peer as the local peers know it. ``rejected`` counts its dropped records by reason."""

    peer: str
    nickname: str
    local: bool
    running: bool | None
    phase: str
    round: int
    last_seen_at: float | None
    seen_by: int
    mean_score_milli: int | None
    num_contributions: int
    micro_credits: int
    num_rejected: int
    rejected: dict[str, int]


class ClaimView(View, frozen=True):
    """Tokens that arrived in the wallet; wei as decimal text."""

    transaction: str
    amount_wei: str
    balance_wei: str
    at: float


class Stage(StrEnum):
    """How far a part of what a peer earned has come on its way into the wallet."""

    EARNED = "earned"  # recorded in a round's result; may still be spot-checked and struck
    VERIFIED = "verified"  # spot-checked and the same; not paid by a recorded result yet
    SETTLED = "settled"  # paid by a result that the chain recorded; locked until its epoch is final and unlocked
    UNLOCKED = "unlocked"  # can be claimed


class Waiting(View, frozen=True):
    """A part of what a peer earned that is not claimed: how much, how far it is, and what it waits for, in words.

    ``until`` (unix seconds): when the wait ends by itself at the earliest, where a time decides. ``rounds``: whose pay
    it is, where that is known.
    """

    stage: Stage
    amount: float
    micro: int
    waits_for: str
    until: float | None = None
    rounds: tuple[int, ...] = ()


def waiting(
    stage: Stage, micro: int, waits_for: str, *, until: float | None = None, rounds: tuple[int, ...] = ()
) -> Waiting:
    """A ``Waiting`` from micro-credits."""
    return Waiting(stage, micro / MICRO, micro, waits_for, until, rounds)


class CreditRow(View, frozen=True):
    """One local peer's money: earned >= verified >= settled >= unlocked >= claimed.

    ``unlocked`` is None where only the chain could tell and was not asked. ``waiting``: what lies between earned and
    claimed. ``by_round``: micro-credits per settled round, newest last. ``staked`` and ``exiting`` likewise.
    """

    name: str
    nickname: str
    peer: str
    address: str
    credits: Credits
    unclaimed: float
    balance_wei: str | None
    claims: tuple[ClaimView, ...]
    by_round: dict[int, int]
    running: bool = False
    verified: float = 0.0
    verified_micro: int = 0
    unlocked: float | None = None
    unlocked_micro: int | None = None
    waiting: tuple[Waiting, ...] = ()
    staked_micro: int | None = None
    exiting_micro: int | None = None
    exit_ready_at: float | None = None
    last_event_at: float | None = None
