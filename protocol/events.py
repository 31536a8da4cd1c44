"""Why this module exists: a peer tells what happens to it in these words, once; every display reads them.

Events are local: they are appended to the peer's own log (one JSON object per line, ``type`` first) and never leave
the machine. The dashboard, ``swarm status`` and ``--no-tui`` lines are all derived from them, so a screen can never
know something that the log does not. ``at`` is unix seconds; durations end in ``_s``; credits are millionths.
"""

from __future__ import annotations

from enum import StrEnum
from typing import get_args

import msgspec

from protocol.event import Event as Event
from protocol.event_disputes import DisputeDecided as DisputeDecided
from protocol.event_disputes import DisputeMove as DisputeMove
from protocol.event_disputes import DisputeNotPossible as DisputeNotPossible
from protocol.event_disputes import DisputeOpened as DisputeOpened
from protocol.event_disputes import EquivocationEnded as EquivocationEnded
from protocol.event_disputes import EquivocationFound as EquivocationFound
from protocol.event_disputes import EquivocationProven as EquivocationProven
from protocol.event_disputes import WitnessDoubted as WitnessDoubted
from protocol.event_money import Claimed as Claimed
from protocol.event_money import CreditsChanged as CreditsChanged
from protocol.event_money import StakeChanged as StakeChanged
from protocol.event_money import TransactionSent as TransactionSent
from protocol.event_process import MemoryMeasured as MemoryMeasured
from protocol.event_process import MemoryPlanned as MemoryPlanned
from protocol.event_process import MemoryShrunk as MemoryShrunk
from protocol.event_process import NetworkUsed as NetworkUsed
from protocol.event_process import PeerSeen as PeerSeen
from protocol.event_process import Problem as Problem
from protocol.event_process import Recovered as Recovered
from protocol.event_process import Restarted as Restarted
from protocol.event_process import Serving as Serving
from protocol.event_process import StepSkipped as StepSkipped
from protocol.event_process import Stopped as Stopped
from protocol.event_process import TimesChosen as TimesChosen
from protocol.ids import Address, ContentId, PeerId, Stage
from protocol.messages import Finding


class Outcome(StrEnum):
    """How a stage or a round ended for this peer. Anything but ``COMPLETE`` is shown, counted and explained."""

    COMPLETE = "complete"
    ALONE = "alone"  # no other peer's work arrived in time
    PARTIAL = "partial"  # some peers' work did not arrive in time
    LATE = "late"  # this peer was late and skipped the stage
    NOT_INCLUDED = "not_included"  # the round closed without this peer's contribution; its step is undone
    NO_QUORUM = "no_quorum"  # the round ended by the clock: too few members attested the result
    SKIPPED = "skipped"  # this peer could not take the training step and made no contribution; its reason was told


class PeerStarted(Event, frozen=True):
    nickname: str
    peer: PeerId
    address: Address
    home: str
    model: str
    engine: str
    version: str
    pid: int


class Progress(Event, frozen=True):
    """Something long goes on (set-up, model load, stage): ``what`` in words, ``done`` of ``total`` (0: unknown)."""

    what: str
    done: int = 0
    total: int = 0


class Joined(Event, frozen=True):
    """The DHT answered through ``bootnodes``; ``addresses`` are where others reach this peer."""

    bootnodes: tuple[str, ...]
    addresses: tuple[str, ...]
    took_s: float


class Registered(Event, frozen=True):
    """The identity is bound to the wallet on the chain. ``transaction`` is empty when it already was."""

    address: Address
    transaction: str


class HeldBack(Event, frozen=True):
    """This peer was restored from a backup of ``made_at`` (unix seconds): in rounds up to ``until_round`` of this run
    it signs nothing, because it may have done so elsewhere."""

    until_round: int
    made_at: float


class RoundOpened(Event, frozen=True):
    """``members`` are the round's enrolled peers; ``cohort`` those that this peer plays with. Unix seconds.

    ``level``: how hard the questions are, of ``num_levels``; 0 where they follow no level."""

    round: int
    seed: ContentId
    members: tuple[PeerId, ...]
    cohort: tuple[PeerId, ...]
    opened_at: float
    closes_at: float
    level: int = 0
    num_levels: int = 0


class StageStarted(Event, frozen=True):
    round: int
    stage: Stage
    closes_at: float


class BatchProduced(Event, frozen=True):
    """This peer sampled its completions of a stage. ``mean_score_milli`` is its own scoring of them."""

    round: int
    stage: Stage
    num_rollouts: int
    num_tokens: int
    mean_score_milli: int
    correct_milli: int
    took_s: float


class BatchSeen(Event, frozen=True):
    """Another peer's batch arrived, was checked and re-scored here."""

    round: int
    stage: Stage
    peer: PeerId
    num_rollouts: int
    mean_score_milli: int
    correct_milli: int
    took_s: float


class StageEnded(Event, frozen=True):
    round: int
    stage: Stage
    outcome: Outcome
    received: tuple[PeerId, ...]
    missing: tuple[PeerId, ...]
    waited_s: float


class Said(msgspec.Struct, frozen=True):
    """What one peer said in one stage about one question, with its re-computed score and why."""

    peer: PeerId
    label: str
    text: str
    score_milli: int
    why: str


class QuestionPlayed(Event, frozen=True):
    """One question of the round in full, for display: everybody's shown answer, critique and decision."""

    round: int
    question: str
    truth: str
    answers: tuple[Said, ...]
    critiques: tuple[Said, ...]
    decisions: tuple[Said, ...]


class Trained(Event, frozen=True):
    """The round's training step. ``loss`` and ``grad_norm`` are null in the log when they are not finite. ``num_even``
    of ``num_groups`` have one score throughout and teach nothing; ``num_void``: left out, as scorers do not agree."""

    round: int
    loss: float | None
    grad_norm: float | None
    num_own: int
    num_external: int
    num_tokens: int
    state_before: ContentId
    state_after: ContentId
    took_s: float
    num_groups: int = 0
    num_even: int = 0
    num_void: int = 0


class ContributionSigned(Event, frozen=True):
    round: int
    content: ContentId


class ContributionPublished(Event, frozen=True):
    """This peer's signed contribution stands where the others look for it."""

    round: int
    content: ContentId


class ContributionSeen(Event, frozen=True):
    """Another peer's contribution arrived, its claims were recomputed and agree."""

    round: int
    peer: PeerId
    content: ContentId
    micro_credits: int


class Held(Event, frozen=True):
    """This peer keeps another's contribution, ``num_bytes`` of state and rollouts, until its pay is settled."""

    round: int
    peer: PeerId
    content: ContentId
    num_bytes: int


class Audited(Event, frozen=True):
    """This peer checked a contribution that ``peer`` made in ``round``, and signed what it found.

    ``level``: 0 scores only (the run's engine cannot be replayed, or nobody serves what it takes), 1 sampled rollouts,
    2 the whole training step. ``what`` differs or is missing, in words; empty for a match. ``num_bytes``: of the
    batches and the state that the check read.
    """

    round: int
    peer: PeerId
    content: ContentId
    level: int
    finding: Finding
    what: str
    took_s: float
    num_bytes: int = 0


class DataAsked(Event, frozen=True):
    """This peer asked on the chain for a piece of ``peer``'s contribution to ``round`` that nobody serves.

    ``part``: 0 a chunk of the state before, 1 of the state after, 2 a rollout; ``index``: which."""

    round: int
    peer: PeerId
    part: int
    index: int


class DataAnswered(Event, frozen=True):
    """A request that concerns this peer is over: the piece of ``peer``'s contribution was ``shown``, or its stake is
    lost."""

    round: int
    peer: PeerId
    contribution: ContentId
    shown: bool


class VerdictSeen(Event, frozen=True):
    """Another peer (``by``) says what it found when it checked ``peer``'s contribution of ``round``."""

    round: int
    peer: PeerId
    content: ContentId
    by: PeerId
    level: int
    finding: Finding
    what: str


class Struck(Event, frozen=True):
    """A recorded result refuses the pay of ``peer``'s contribution of ``round``; ``micro_credits`` are lost to it."""

    round: int
    peer: PeerId
    content: ContentId
    micro_credits: int


class RecordRejected(Event, frozen=True):
    """A record broke a rule and was dropped. ``reason``: ``BadRecord.reason``; ``peer``: who it claims to be from."""

    round: int
    peer: str
    kind: str
    reason: str
    detail: str


class Attested(Event, frozen=True):
    """This peer recomputed the result proposed by ``poster`` and signed it."""

    round: int
    poster: PeerId
    credits_root: ContentId


class AttestationRefused(Event, frozen=True):
    round: int
    poster: PeerId
    why: str


class ResultProposed(Event, frozen=True):
    """``poster`` proposes a result of ``round``: these contributions, and the credits that they lead to."""

    round: int
    poster: PeerId
    credits_root: ContentId
    contributions: tuple[ContentId, ...]


class AttestationSeen(Event, frozen=True):
    """Another peer signed a result: it has recomputed whatever is in it."""

    round: int
    by: PeerId
    credits_root: ContentId


class RoundSettled(Event, frozen=True):
    """The chain recorded the round's result. ``micro_credits`` is what each peer earned in this round: it is paid with
    a later result unless a spot-check strikes it. ``paid``: what this result pays each peer, for earlier rounds and for
    verdicts; ``paid_for_verdicts``: the part for those.

    ``poster``: whose proposal it was, and ``contributions``: what is in it; unknown to a peer that came too late to
    recompute it.
    """

    round: int
    contributions_root: ContentId
    credits_root: ContentId
    contributions: tuple[ContentId, ...]
    micro_credits: dict[PeerId, int]
    poster: PeerId | None
    paid: dict[PeerId, int] = msgspec.field(default_factory=dict)
    paid_for_verdicts: dict[PeerId, int] = msgspec.field(default_factory=dict)


class RoundEnded(Event, frozen=True):
    """The last word on a round for this peer, with where its time went (seconds; they add up to ``total_s``)."""

    round: int
    outcome: Outcome
    stages_played: tuple[Stage, ...]
    total_s: float
    generate_s: float
    train_s: float
    wait_s: float
    network_s: float
    chain_s: float


class Evaluated(Event, frozen=True):
    """Greedy accuracy on held-out questions after ``round`` rounds (0: before any training)."""

    round: int
    num_questions: int
    num_correct: int
    took_s: float


AnyEvent = (
    PeerStarted | Progress | Joined | Registered | HeldBack | RoundOpened | StageStarted | BatchProduced | BatchSeen
    | StageEnded | QuestionPlayed | Trained | ContributionSigned | ContributionSeen | Held | Audited | DataAsked
    | DataAnswered | VerdictSeen | Struck | DisputeOpened | DisputeMove | DisputeDecided | DisputeNotPossible
    | RecordRejected | Attested | AttestationRefused | TransactionSent | RoundSettled | RoundEnded
    | CreditsChanged | Claimed | Evaluated | PeerSeen | Problem | Recovered | Stopped | Serving | Restarted
    | MemoryPlanned | MemoryMeasured | MemoryShrunk | StepSkipped | NetworkUsed | ContributionPublished
    | ResultProposed | AttestationSeen | StakeChanged | WitnessDoubted | TimesChosen
    | EquivocationFound | EquivocationEnded | EquivocationProven
)  # fmt: skip
"""The tagged union that a log line decodes to."""

EVENT_TYPES: tuple[type[Event], ...] = get_args(AnyEvent)


class LoggedEvent(msgspec.Struct, frozen=True):
    """One line of the log: when it was written, its number in this log (from 1, no gaps), and the event."""

    at: float
    seq: int
    event: AnyEvent
