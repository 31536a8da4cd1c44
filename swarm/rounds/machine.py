"""Why this module exists: what a peer does next in a round is decided here, by a pure function, and nowhere else.

    ANSWER -> CRITIQUE -> DECIDE -> TRAIN -> CONTRIBUTE -> AGREE -> CLOSED
                                     a closing round:  CONTRIBUTE -> AGREE -> CLOSED

In a closing round a peer that is about to leave judges the round before, so that it is paid, and makes nothing new.

``advance(state, happening, now)`` returns the next state and the actions to perform. The node performs them and feeds
back what happened; it never decides. There is no clock, network or randomness in here, so any history of a round can
be replayed, and every time-out is tested by passing another ``now``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from protocol.events import Outcome
from protocol.ids import STAGES, PeerId, Stage
from protocol.run import TimeRules


class Phase(StrEnum):
    """Where a peer is in its round. The three stages are phases of the same name."""

    ANSWER = "answer"
    CRITIQUE = "critique"
    DECIDE = "decide"
    TRAIN = "train"
    CONTRIBUTE = "contribute"
    AGREE = "agree"
    CLOSED = "closed"


# --- what can happen -------------------------------------------------------------------------------------------------


class Produced(msgspec.Struct, frozen=True):
    """My batch of ``stage`` is sampled, signed and published."""

    stage: Stage


class Skipped(msgspec.Struct, frozen=True):
    """I was too late for ``stage``: most of the cohort is further already."""

    stage: Stage


class Received(msgspec.Struct, frozen=True):
    """``peer``'s batch of ``stage`` is here, checked and scored."""

    stage: Stage
    peer: PeerId


class Trained(msgspec.Struct, frozen=True):
    """My training step is done and its state is on disk."""


class GaveUp(msgspec.Struct, frozen=True):
    """I cannot take the training step, and said that I make no contribution."""


class Contributed(msgspec.Struct, frozen=True):
    """``peer``'s contribution is here, its claims were recomputed and others keep it (for mine: it is published)."""

    peer: PeerId


class Leaving(msgspec.Struct, frozen=True):
    """``peer`` says that it makes nothing in this round."""

    peer: PeerId


class Judged(msgspec.Struct, frozen=True):
    """Every check that can be expected of the round before is here, and others keep my contribution."""


class Recorded(msgspec.Struct, frozen=True):
    """The chain left this round. ``settled``: it recorded a result; ``included``: my contribution is in it."""

    settled: bool
    included: bool


class Tick(msgspec.Struct, frozen=True):
    """Time passed."""


Happening = Produced | Skipped | Received | Trained | GaveUp | Contributed | Leaving | Judged | Recorded | Tick


# --- what to do ------------------------------------------------------------------------------------------------------


class Generate(msgspec.Struct, frozen=True):
    """Sample and publish my batch of ``stage``, from what was received of the stages before."""

    stage: Stage
    closes_at: float


class EndStage(msgspec.Struct, frozen=True):
    """Tell how ``stage`` ended."""

    stage: Stage
    outcome: Outcome
    received: tuple[PeerId, ...]
    missing: tuple[PeerId, ...]


class Train(msgspec.Struct, frozen=True):
    """Take the training step on everything received."""


class Contribute(msgspec.Struct, frozen=True):
    """Sign and publish my contribution."""


class Propose(msgspec.Struct, frozen=True):
    """It is my turn to propose the round's result and to post it once a majority attested."""


class Finish(msgspec.Struct, frozen=True):
    """The round is over for me."""

    outcome: Outcome


Action = Generate | EndStage | Train | Contribute | Propose | Finish


# --- state -----------------------------------------------------------------------------------------------------------


class RoundState(msgspec.Struct, frozen=True):
    """One peer's view of one round. ``posters``: all members in the drawn order of whose turn it is to propose.

    ``closes_at``: when the current phase stops waiting for others. ``missed``: who made me wait until then, in a stage
    that I had ``produced_at`` an earlier moment. ``leaving``: who makes nothing in this round. ``closing``: I am one of
    them, and wait for ``cohort``. ``gave_up``: I make no contribution, and judge those of the others. ``worst``: the
    least good stage outcome so far.
    """

    me: PeerId
    cohort: frozenset[PeerId]
    posters: tuple[PeerId, ...]
    rules: TimeRules
    phase: Phase
    closes_at: float
    produced: frozenset[Stage] = frozenset()
    skipped: frozenset[Stage] = frozenset()
    received: frozenset[tuple[Stage, PeerId]] = frozenset()
    contributed: frozenset[PeerId] = frozenset()
    produced_at: float = 0.0
    missed: frozenset[PeerId] = frozenset()
    leaving: frozenset[PeerId] = frozenset()
    judged: bool = False
    closing: bool = False
    gave_up: bool = False
    agree_since: float = 0.0
    proposed: bool = False
    worst: Outcome = Outcome.COMPLETE


_SEVERITY = (
    Outcome.COMPLETE, Outcome.PARTIAL, Outcome.ALONE, Outcome.LATE, Outcome.SKIPPED, Outcome.NO_QUORUM,
    Outcome.NOT_INCLUDED,
)  # fmt: skip


def _worse(a: Outcome, b: Outcome) -> Outcome:
    return max(a, b, key=_SEVERITY.index)


def begin(
    me: PeerId, cohort: frozenset[PeerId], posters: tuple[PeerId, ...], rules: TimeRules, now: float
) -> tuple[RoundState, list[Action]]:
    """A fresh round for a member: it starts with its answers."""
    closes_at = now + rules.stage_s
    state = RoundState(me, cohort, posters, rules, Phase.ANSWER, closes_at)
    return state, [Generate(Stage.ANSWER, closes_at)]


def resume(
    me: PeerId, cohort: frozenset[PeerId], posters: tuple[PeerId, ...], rules: TimeRules, now: float
) -> tuple[RoundState, list[Action]]:
    """A round that this peer contributed to before it was stopped: it sends the same bytes and goes on to agree."""
    state = RoundState(
        me, cohort, posters, rules, Phase.CONTRIBUTE, now + rules.contribute_s, produced=frozenset(STAGES)
    )
    return state, [Contribute()]


def close(
    me: PeerId, expected: frozenset[PeerId], posters: tuple[PeerId, ...], rules: TimeRules, now: float
) -> tuple[RoundState, list[Action]]:
    """A round in which this peer only judges the one before. ``expected``: whoever may have something to say in it."""
    closes_at = now + rules.contribute_s
    cohort = expected | {me}
    state = RoundState(
        me, cohort, posters, rules, Phase.CONTRIBUTE, closes_at, produced=frozenset(STAGES), closing=True
    )
    return state, []


def expected(state: RoundState, stage: Stage) -> frozenset[PeerId]:
    """The others whose batch of ``stage`` is worth waiting for: who missed a stage is not waited for in the next.

    Not even when its batch came after all: whoever is always a moment late would cost the others every stage's time.
    """
    others = state.cohort - {state.me} - state.missed - state.leaving
    if stage is Stage.ANSWER:
        return others
    before = STAGES[STAGES.index(stage) - 1]
    return frozenset(peer for peer in others if (before, peer) in state.received)


def advance(state: RoundState, happening: Happening, now: float) -> tuple[RoundState, list[Action]]:
    """The next state and what to do. Happenings that come too late or twice change nothing."""
    if state.phase is Phase.CLOSED:
        return state, []
    match happening:
        case Recorded(settled=settled, included=included):
            return _close(state, settled, included)
        case Produced(stage=stage):
            state = msgspec.structs.replace(state, produced=state.produced | {stage}, produced_at=now)
        case Skipped(stage=stage):
            state = msgspec.structs.replace(state, produced=state.produced | {stage}, skipped=state.skipped | {stage})
        case Received(stage=stage, peer=peer) if peer != state.me:
            state = msgspec.structs.replace(state, received=state.received | {(stage, peer)})
            if state.closing:  # somebody plays on: its work belongs into the result
                plays_until = now + state.rules.stage_s + state.rules.contribute_s
                state = msgspec.structs.replace(state, closes_at=max(state.closes_at, plays_until))
        case Contributed(peer=peer):
            state = msgspec.structs.replace(state, contributed=state.contributed | {peer})
        case Leaving(peer=peer):
            state = msgspec.structs.replace(state, leaving=state.leaving | {peer})
        case Judged():
            state = msgspec.structs.replace(state, judged=True)
        case Trained() if state.phase is Phase.TRAIN:
            closes_at = now + state.rules.contribute_s
            return msgspec.structs.replace(state, phase=Phase.CONTRIBUTE, closes_at=closes_at), [Contribute()]
        case GaveUp() if state.phase is Phase.TRAIN:
            closes_at, worst = now + state.rules.contribute_s, _worse(state.worst, Outcome.SKIPPED)
            state = msgspec.structs.replace(
                state, phase=Phase.CONTRIBUTE, closes_at=closes_at, gave_up=True, worst=worst
            )
        case _:
            pass
    return _settle_phase(state, now)


def _settle_phase(state: RoundState, now: float) -> tuple[RoundState, list[Action]]:
    if state.phase in (Phase.ANSWER, Phase.CRITIQUE, Phase.DECIDE):
        return _stage(state, Stage(state.phase.value), now)
    if state.phase is Phase.CONTRIBUTE:
        return _contribute(state, now)
    if state.phase is Phase.AGREE:
        return _agree(state, now)
    return state, []


def _stage(state: RoundState, stage: Stage, now: float) -> tuple[RoundState, list[Action]]:
    if stage not in state.produced:
        return state, []
    others = expected(state, stage)
    received = frozenset(peer for peer in state.cohort if (stage, peer) in state.received)
    waiting_for = others - received
    if waiting_for and now < state.closes_at and stage not in state.skipped:
        return state, []
    if stage not in state.skipped and state.produced_at < state.closes_at:  # whoever is late itself blames nobody
        state = msgspec.structs.replace(state, missed=state.missed | waiting_for)
    missing = state.cohort - {state.me} - received
    if stage in state.skipped or now >= state.closes_at + state.rules.stage_s:
        outcome = Outcome.LATE
    elif missing and not received:
        outcome = Outcome.ALONE
    else:
        outcome = Outcome.PARTIAL if missing else Outcome.COMPLETE
    actions: list[Action] = [EndStage(stage, outcome, tuple(sorted(received)), tuple(sorted(missing)))]
    state = msgspec.structs.replace(state, worst=_worse(state.worst, outcome))
    if stage is STAGES[-1]:
        return msgspec.structs.replace(state, phase=Phase.TRAIN), [*actions, Train()]
    following = STAGES[STAGES.index(stage) + 1]
    closes_at = now + state.rules.stage_s
    state = msgspec.structs.replace(state, phase=Phase(following.value), closes_at=closes_at)
    return state, [*actions, Generate(following, closes_at)]


def _contribute(state: RoundState, now: float) -> tuple[RoundState, list[Action]]:
    if state.me not in state.contributed and not state.closing and not state.gave_up:
        return state, []
    last = STAGES[-1]
    worth_waiting = {peer for stage, peer in state.received if stage is last or state.closing}
    if state.closing:
        worth_waiting |= state.cohort - {state.me}
    worth_waiting -= state.leaving
    if (worth_waiting - state.contributed or not state.judged) and now < state.closes_at:
        return state, []
    return _agree(msgspec.structs.replace(state, phase=Phase.AGREE, agree_since=now), now)


def _agree(state: RoundState, now: float) -> tuple[RoundState, list[Action]]:
    if state.proposed or state.me not in state.posters:
        return state, []
    my_turn_at = state.agree_since + state.posters.index(state.me) * state.rules.poster_s
    if now < my_turn_at:
        return state, []
    return msgspec.structs.replace(state, proposed=True), [Propose()]


def _close(state: RoundState, settled: bool, included: bool) -> tuple[RoundState, list[Action]]:
    outcome = state.worst
    if not settled:
        outcome = _worse(outcome, Outcome.NO_QUORUM)
    elif not included and not state.gave_up:
        outcome = _worse(outcome, Outcome.NOT_INCLUDED)
    return msgspec.structs.replace(state, phase=Phase.CLOSED, worst=outcome), [Finish(outcome)]
