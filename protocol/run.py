"""Why this module exists: a run is its rules. Whoever plays by other rules is in another run, by construction.

``RunSpec`` holds everything that a round depends on; its content id is the run id, which is part of every record key,
signature and seed. ``JoinToken`` is a run spec plus where to find the swarm.
"""

from __future__ import annotations

import base64
import zlib
from typing import Annotated

import msgspec

from protocol.codec import content_id_of, decode, encode
from protocol.errors import BadRecord, ConfigError
from protocol.ids import Address, ContentId
from protocol.messages import WIRE_VERSION, Natural, WireStruct

_TOKEN_PREFIX = "swarm1-"
_TOKEN_CAP = 64 * 1024

# Limits of what a host may ask of those who join: a token from a stranger must not cost a machine its memory or days.
Sizes = Annotated[int, msgspec.Meta(ge=1, le=8192)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=604_800)]
Nano = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


RUNNING_CHECKS = frozenset({"math", "code"})
"""Checks that run something under limits, so that two honest scorers may differ at their edge."""


MAX_LEVELS = 32
"""Of one task."""

Level = Annotated[int, msgspec.Meta(ge=1, le=MAX_LEVELS)]
"""How hard questions are; 1 is the easiest."""


class FamilySpec(WireStruct, frozen=True):
    """One family of questions: its name in the task library, its share (relative weight) among those of its ``level``,
    its parameters as JSON."""

    family: str
    weight: Natural
    parameters: str
    level: Level = 1


class QuestionSet(WireStruct, frozen=True):
    """Questions that somebody wrote down: a blob of ``size`` bytes with ``rows`` of them, named by its hash: all peers
    and auditors ask and judge the same. ``check``: how an answer is compared, a key of the verifiers, or one of
    ``RUNNING_CHECKS``; then an answer may take ``limit_s`` seconds of computing and ``memory_mb`` megabytes.
    ``levels``: how many rows, in their order, are of each level; empty: all are of one."""

    content: ContentId
    size: Natural
    rows: Natural
    check: str
    limit_s: Annotated[int, msgspec.Meta(ge=0, le=60)] = 0
    memory_mb: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    levels: Annotated[tuple[Natural, ...], msgspec.Meta(max_length=MAX_LEVELS)] = ()


class TaskSpec(WireStruct, frozen=True):
    """What is asked: ``families`` of generated questions, or ``data``. ``version`` names the scorer and generator code.

    ``held_out_one_in``: a question whose text hashes to 0 modulo this is never trained on, only used for evaluation.
    """

    name: str
    version: str
    families: tuple[FamilySpec, ...]
    held_out_one_in: Natural
    data: QuestionSet | None = None

    @property
    def is_exact(self) -> bool:
        """Whether the same answer has the same score on every machine: then a wrong claim is a lie."""
        return self.data is None or self.data.check not in RUNNING_CHECKS

    @property
    def num_levels(self) -> int:
        """How many levels its questions have, from easy to hard; 1 where none is harder than another."""
        if self.data is not None:
            return max(1, len(self.data.levels))
        return max((family.level for family in self.families), default=1)


class GameRules(WireStruct, frozen=True):
    """Per round: Q questions, G samples per question and stage, token limits per stage, and who plays with whom.

    ``temperature_milli``: sampling temperature in thousandths. ``cohort_size``: the most peers that read each other.
    Of a score's 1000, ``format_milli`` are for keeping to the form, and ``length_milli`` for being right and short:
    all of it up to ``length_free_milli`` thousandths of the stage's token limit, none at the limit, evenly between.
    ``skip_even``: a group whose scores are all the same has no part in the training step, not even in its means.
    ``follow_level``: of a task with levels, a round asks questions of one, which moves by the rule in
    ``rewards.levels`` between ``lowest_level``, where a run begins, and ``highest_level`` (0: the task's last).
    """

    num_questions: Sizes
    num_samples: Sizes
    answer_tokens: Sizes
    critique_tokens: Sizes
    decide_tokens: Sizes
    temperature_milli: Natural
    cohort_size: Sizes
    format_milli: Annotated[int, msgspec.Meta(ge=0, le=450)] = 200
    length_milli: Annotated[int, msgspec.Meta(ge=0, le=450)] = 0
    length_free_milli: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 500
    skip_even: bool = False
    follow_level: bool = True
    lowest_level: Level = 1
    highest_level: Annotated[int, msgspec.Meta(ge=0, le=MAX_LEVELS)] = 0
    level_up_milli: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 800
    level_down_milli: Annotated[int, msgspec.Meta(ge=0, le=999)] = 200


class LearnRules(WireStruct, frozen=True):
    """GRPO over own and shared rollouts; real-valued rules in units of 1e-9 (``_nano``), so that they hash exactly.

    Per question and stage, a peer trains on all its own samples and on ``num_external`` of the others' (SAPO's J).
    ``delta_nano`` 0 turns the second clip off, ``beta_nano`` 0 the KL term. ``num_updates``: optimiser steps per round,
    each on an equal share of the round's groups. ``lora_rank``: of the adapters that are trained in the model's place,
    0 where all of its weights are.
    """

    num_external: Natural
    num_updates: Sizes
    learning_rate_nano: Nano
    epsilon_low_nano: Nano
    epsilon_high_nano: Nano
    delta_nano: Nano
    beta_nano: Nano
    weight_decay_nano: Nano
    max_grad_norm_nano: Nano
    lora_rank: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0


class TimeRules(WireStruct, frozen=True):
    """Seconds. A stage waits ``stage_s`` at most, contributions ``contribute_s``, a poster ``poster_s`` before the next
    one takes over; the contract lets anybody open the next round after ``round_s``."""

    stage_s: Seconds
    contribute_s: Seconds
    poster_s: Seconds
    round_s: Seconds


TOLERANCE_CHECKED = frozenset({"native", "trl"})
"""Engines whose results differ in the last bits between machines: a prefill must agree with what they drew, their steps
are not repeated, and their contributions name no programs, so that nothing of them can be disputed."""


class AuditRules(WireStruct, frozen=True):
    """How work is checked after it was contributed, and by how many. Whatever is drawn is drawn among the members.

    ``engine``: the arithmetic of the run; a contribution of another one is refused, because nobody could replay it,
    unless it is one of ``tolerated`` (of ``TOLERANCE_CHECKED``). ``tolerance_ppm``: millionths of probability mass by
    which a token of such an engine may miss what its seed draws.
    ``num_holders``: others that keep a contribution's state and rollouts; ``num_auditors``: those that check it;
    ``num_attestors``: those whose majority makes an accusation count. ``rollouts_per_audit``: rollouts that an auditor
    checks; ``step_rate_ppm``: in how many of a million contributions it replays the training step, too.
    ``patience_rounds``: results that an accused, undecided contribution waits for before it is paid all the same.
    """

    engine: str
    num_holders: Natural
    num_auditors: Natural
    num_attestors: Natural
    rollouts_per_audit: Natural
    step_rate_ppm: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    patience_rounds: Natural
    tolerated: tuple[str, ...] = ()
    tolerance_ppm: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1000

    @property
    def engines(self) -> tuple[str, ...]:
        """All engines whose contributions count."""
        return (self.engine, *self.tolerated)


class EconomyRules(WireStruct, frozen=True):
    """What a run asks for and pays. Amounts in millionths of a token (``_micro``), times in seconds, spans in rounds.

    Enforced by the run's contracts: ``min_stake_micro``: a member's deposit for weight 1, 0: none is asked;
    ``bond_micro``: what a challenge risks; ``budget_micro``: the escrow that pays everybody, and the most that can ever
    be credited; ``round_emission_micro``: the most that one result may credit; ``quorum_size``: expected weight of the
    signers drawn for a result; ``epoch_rounds``: recorded rounds that are paid out together; an epoch can be challenged
    for ``challenge_s``, a challenged one must be affirmed within ``answer_s``, and a final one unlocks ``dispute_s``
    later; ``unbonding_s``: how long withdrawn stake stays liable; ``absence_rounds``: a member that contributed to none
    of so many recorded rounds may be dropped; ``barred_rounds``: how long one of bad standing stays out. In a
    dispute the accused has ``trace_s`` to commit to its trace, and each move after that may take ``move_s``; who opens
    one risks ``dispute_bond_micro``.

    Applied by the members: ``auditor_micro``: pay of a drawn verdict that matches the outcome; ``newcomer_rounds``:
    rounds in which a peer counts as new, and in which it earns ``newcomer_floor_milli`` of a full round at least;
    ``late_share_milli``: the share of its pay that late work keeps, ``unreplayable_share_milli``: that work keeps which
    nobody can do again bit for bit; ``tolerated_cap_milli``: the most that such work earns together of all that a round
    of an exact run earns.
    """

    min_stake_micro: Natural
    bond_micro: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    budget_micro: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    round_emission_micro: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    quorum_size: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    epoch_rounds: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    challenge_s: Seconds
    dispute_s: Seconds
    answer_s: Seconds
    unbonding_s: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)]
    absence_rounds: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    barred_rounds: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    auditor_micro: Natural
    newcomer_rounds: Natural
    newcomer_floor_milli: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    late_share_milli: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    unreplayable_share_milli: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    trace_s: Seconds
    move_s: Seconds
    dispute_bond_micro: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    tolerated_cap_milli: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 250


def least_unbonding_s(time: TimeRules, audit: AuditRules, economics: EconomyRules) -> int:
    """How long withdrawn stake must stay liable, at least, so that no lie outlives it (seconds).

    A peer may ask for its stake back in the round of its lie. That is checked in the next round, and an accusation may
    wait for ``patience_rounds`` more. Whoever accuses does the work again first, for which it gets the time of a move;
    and what was put off becomes a game until the pay unlocks. An open game, or request for data, holds the stake itself
    for as long as it lasts, so ``trace_s`` is not in it.
    """
    checked_s = (2 + audit.patience_rounds) * time.round_s
    return checked_s + economics.move_s + economics.challenge_s + economics.answer_s + economics.dispute_s


class RunSpec(WireStruct, frozen=True):
    """Everything a round depends on. ``model``: content id of the genesis state; ``seed``: the run's own salt."""

    name: str
    chain_id: Natural
    model: ContentId
    task: TaskSpec
    game: GameRules
    learn: LearnRules
    time: TimeRules
    audit: AuditRules
    economics: EconomyRules
    seed: Natural
    wire_version: Natural = WIRE_VERSION

    @property
    def id(self) -> ContentId:
        return content_id_of(self)

    def require_liable_stake(self) -> None:
        """Raise ``ConfigError`` where a peer's stake can be gone before a lie of that peer is found."""
        least_s, given_s = least_unbonding_s(self.time, self.audit, self.economics), self.economics.unbonding_s
        if given_s < least_s:
            raise ConfigError(
                f"In the run {self.name!r} stake that is asked back is liable for {given_s} s, and a lie may be found"
                f" up to {least_s} s later: liars would keep theirs.",
                "Nothing was started.",
                "Join a run whose economics.unbonding_s is at least that long, or found one with `swarm host`.",
            )


class RunContracts(WireStruct, frozen=True):
    """Addresses of a run's contracts on its chain; the first three serve all runs of the chain."""

    registry: Address
    token: Address
    factory: Address
    clock: Address
    contributions: Address
    settlement: Address
    vault: Address
    reputation: Address
    equivocation: Address
    disputes: Address
    requests: Address


class JoinToken(WireStruct, frozen=True):
    """All that a newcomer needs: the run, its contracts, who to dial, which RPC endpoints to ask.

    ``model_name``: a path or hub name that the host used, as a hint; the hash in ``run.model`` decides.
    """

    run: RunSpec
    contracts: RunContracts
    bootnodes: tuple[str, ...]
    rpc: tuple[str, ...]
    model_name: str


def format_token(token: JoinToken) -> str:
    """One line of text that can be pasted into a shell."""
    return _TOKEN_PREFIX + base64.urlsafe_b64encode(zlib.compress(encode(token), 9)).decode().rstrip("=")


def parse_token(text: str) -> JoinToken:
    """The token in ``text``. Raises ``ConfigError`` when it is cut off, altered or of another version."""
    line = "".join(text.split())  # a terminal or a mail may have wrapped it
    body = line.removeprefix(_TOKEN_PREFIX)
    try:
        if body == line:
            raise ValueError("it does not start with " + _TOKEN_PREFIX)
        if len(body) > 2 * _TOKEN_CAP:
            raise ValueError("it is too long")
        unpacker = zlib.decompressobj()
        packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        raw = unpacker.decompress(packed, _TOKEN_CAP)
        if unpacker.unconsumed_tail or unpacker.unused_data or not unpacker.eof:
            raise ValueError("it is cut off, too long, or has something added")
        token = decode(raw, JoinToken, cap=_TOKEN_CAP)
    except (ValueError, zlib.error, BadRecord, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"This join token cannot be read: {error}.",
            "Nothing was started.",
            "Copy the whole line that `swarm host` printed, and use the same version of this program as the host.",
        ) from error
    if token.run.wire_version != WIRE_VERSION:
        raise ConfigError(
            f"This swarm speaks wire version {token.run.wire_version}, this program speaks {WIRE_VERSION}.",
            "Your records would be dropped by everyone.",
            "Install the version of this program that the host runs.",
        )
    return token
