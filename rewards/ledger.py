"""Why this module exists: what everyone earned is a function of public records, in integers, so that all get the same.

The rule of pay. A peer earns at most one credit (1,000,000 micro-credits) a round. A third of it is each stage's; a
stage pays the share of it that its rollouts scored on average, and nothing when the peer did not play it:

    micro = floor(1_000_000 * (mean_answer + mean_critique + mean_decide) / 3 / 1000)        means in milli, exact

A stage that was late (``swarm.rounds.absence``) keeps ``late_share_milli`` of its mean, or of the mean of its author's
answers where that is lower: whoever chooses what to show its model must not gain by it.

Rounding happens once, downwards, at the end. Credits only grow; a table holds every peer's total since the run began.
A contribution enters as ``Verified``: something this member recomputed. Its pay is pending at first and is paid with a
later result, unless a spot-check strikes it (``rewards.pending``). Newcomers' floor, auditors' pay and the caps are in
``rewards.economics``, standing in ``rewards.reputation``. Nothing here reads a clock, a record or a claimed score.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec

from chain.base import ZERO_ROOT
from chain.credit_line import WIDTHS, CreditLine, pack
from chain.keys import peer_key
from protocol.codec import content_id_of
from protocol.errors import BadRecord
from protocol.ids import STAGES, ContentId, PeerId, Stage, parse_content_id, parse_peer_id
from protocol.merkle import MerkleTree
from protocol.messages import CreditRow, CreditTable, Pending, RoundResult
from rewards.economics import DEFAULT, MICRO_PER_CREDIT, Economics, allowed_micro, round_pay, tolerated_micro, within
from rewards.levels import LevelRules, difficulty_after
from rewards.pending import NOTHING_ACCUSED, Judge, Ruling, losing, over_cap, settle_row
from rewards.reputation import TOP, after_absence, after_contribution, after_strike

FULL_SCORE_MILLI = 1000
MAX_MICRO_CREDITS = 2**63 - 1
"""What a row may hold at most: more rounds than anybody plays."""


class Terms(msgspec.Struct, frozen=True):
    """What a round's ledger depends on besides the work: its members, the state that the run began with, its rules.

    ``levels``: how the level of its questions moves; ``None`` where they follow none."""

    members: Collection[PeerId] = ()
    genesis: ContentId = ZERO_ROOT
    economics: Economics = DEFAULT
    levels: LevelRules | None = None


NO_TERMS = Terms()
"""Nobody but who contributed gets a row, and the rules are those of ``rewards.economics``."""


class Verified(msgspec.Struct, frozen=True):
    """A contribution whose claims this member recomputed: whose, which record, what its scores earned, from where to
    where its state went, whether it played all three stages in time, and whether others can do it again.

    ``right_milli``: the share of its answers that were right, in thousandths; ``None`` where it gave none."""

    peer: PeerId
    content: ContentId
    micro_credits: int
    state_before: ContentId
    state_after: ContentId
    punctual: bool = False
    replayable: bool = True
    right_milli: int | None = None


def earned_micro(
    scores_milli: Mapping[Stage, Sequence[int]], late: Collection[Stage] = (), late_share_milli: int = 0
) -> int:
    """Micro-credits (0 to 1,000,000) of a peer's round from its rollouts' recomputed stage scores, 0 to 1000 each.

    A stage that is absent or has no rollouts pays nothing; one of ``late`` keeps ``late_share_milli`` of the mean of
    its scores or of the answers' scores, whichever is lower. Raises ``ValueError`` for a score outside 0 to 1000.
    """
    means: dict[Stage, Fraction] = {}
    for stage in STAGES:
        scores = scores_milli.get(stage, ())
        if any(not 0 <= score <= FULL_SCORE_MILLI for score in scores):
            raise ValueError(f"A {stage} score is outside 0 to {FULL_SCORE_MILLI}.")
        means[stage] = Fraction(sum(scores), len(scores) * FULL_SCORE_MILLI) if scores else Fraction(0)
    answers = means[Stage.ANSWER]
    for stage in late:
        means[stage] = min(means[stage], answers) * late_share_milli / FULL_SCORE_MILLI
    return int(sum(means.values(), Fraction(0)) / len(STAGES) * MICRO_PER_CREDIT)


def apply(
    previous: CreditTable | None,
    run: ContentId,
    round: int,
    verified: Iterable[Verified],
    ruling: Ruling = NOTHING_ACCUSED,
    terms: Terms = NO_TERMS,
) -> CreditTable:
    """The cumulative table after ``round``; ``previous`` is ``None`` before the first recorded round.

    In this order: what was pending is paid, struck or kept, as ``ruling`` and the caps say; verdicts are paid, and
    change their judges' standing; each contributor's state and counts move on, and what it earned is pending; other
    members of the round were absent, unless nobody contributed at all (a closing result) or what they built on was
    struck. Rows of who is no member stay. The level of the questions moves by what the contributors got right.

    Raises ``ValueError`` when ``previous`` is of another run or not older, when a peer contributes twice or does not
    start from its row's state (one that was struck, say), or when pay is outside 0 to 1 credit: callers have excluded
    all of these.
    """
    if previous is not None and (previous.run != run or previous.round >= round):
        raise ValueError(f"A table of round {previous.round} cannot be continued by round {round}.")
    rows = {row.peer: row for row in previous.rows} if previous is not None else {}
    for peer in terms.members:
        rows.setdefault(peer, CreditRow(peer, 0, 0, terms.genesis))
    credited = _credited(rows.values())
    allowed = allowed_micro(terms.economics, credited)
    waiting, excused = over_cap(rows.values(), ruling, allowed), losing(previous, ruling)
    rows = {peer: settle_row(row, ruling, waiting) for peer, row in rows.items()}
    left = credited + allowed - _credited(rows.values())
    _pay_judges(rows, ruling.judges, min(left, terms.economics.budget_micro - _promised(rows.values())))
    works = _in_order(verified)
    for work, micro in zip(works, _earnings(rows, works, terms.economics), strict=True):
        rows[work.peer] = _contributed(rows.get(work.peer), work, round, micro)
    if works:
        for peer in set(terms.members) - {work.peer for work in works} - excused:
            rows[peer] = _absent(rows[peer])
    difficulty = difficulty_after(previous, round, [work.right_milli for work in works], terms.levels)
    return CreditTable(run=run, round=round, rows=tuple(rows[peer] for peer in sorted(rows)), difficulty=difficulty)


def _credited(rows: Iterable[CreditRow]) -> int:
    return sum(row.micro_credits for row in rows)


def _promised(rows: Iterable[CreditRow]) -> int:
    return sum(row.micro_credits + sum(one.micro_credits for one in row.pending) for row in rows)


def _pay_judges(rows: dict[PeerId, CreditRow], judges: Sequence[Judge], allowed: int) -> None:
    """Pay verdicts from what ``allowed`` leaves, and enter in ``rows`` what they say of their judges. A judge without
    a row is a member that the caller did not name, and gets none."""
    known = [judge for judge in judges if judge.peer in rows]
    pays = within(allowed, [judge.micro_credits for judge in known])
    for judge, pay in zip(known, pays, strict=True):
        row = rows[judge.peer]
        standing = row.standing_milli
        for _ in range(judge.false):
            standing = after_strike(standing)
        for _ in range(judge.vain):
            standing = after_absence(standing)
        rows[judge.peer] = msgspec.structs.replace(
            row,
            micro_credits=row.micro_credits + pay,
            audit_micro_credits=row.audit_micro_credits + pay,
            standing_milli=standing,
        )


def _in_order(verified: Iterable[Verified]) -> list[Verified]:
    works = sorted(verified, key=lambda work: work.peer)
    twice = [one.peer for one, other in pairwise(works) if one.peer == other.peer]
    outside = [work.peer for work in works if not 0 <= work.micro_credits <= MICRO_PER_CREDIT]
    if twice or outside:
        raise ValueError(f"{[*twice, *outside][0]} contributes twice, or earns micro-credits outside 0 to 1 credit.")
    return works


def _earnings(rows: Mapping[PeerId, CreditRow], works: Sequence[Verified], economics: Economics) -> list[int]:
    """What each work earns: with the newcomers' floor, with the cap of what cannot be replayed, and so that all that is
    pending fits into the run's budget."""
    earned = [
        round_pay(
            economics,
            work.micro_credits,
            rows[work.peer].rounds if work.peer in rows else 0,
            punctual=work.punctual,
            replayable=work.replayable,
        )
        for work in works
    ]
    replayable = sum(micro for work, micro in zip(works, earned, strict=True) if work.replayable)
    capped = iter(
        within(
            tolerated_micro(economics, replayable),
            [micro for work, micro in zip(works, earned, strict=True) if not work.replayable],
        )
    )
    earned = [micro if work.replayable else next(capped) for work, micro in zip(works, earned, strict=True)]
    return within(allowed_micro(economics, _promised(rows.values())), earned)


def _contributed(row: CreditRow | None, work: Verified, round: int, micro: int) -> CreditRow:
    old = row or CreditRow(work.peer, 0, 0, work.state_before)
    if old.state != work.state_before:
        raise ValueError(f"{work.peer} does not start from the state that its row ends in.")
    return msgspec.structs.replace(
        old,
        rounds=1 + old.rounds,
        state=work.state_after,
        pending=(*old.pending, Pending(round, work.content, micro, work.state_before)),
        standing_milli=after_contribution(old.standing_milli),
        last_round=round,
    )


def _absent(row: CreditRow) -> CreditRow:
    return msgspec.structs.replace(
        row, standing_milli=after_absence(row.standing_milli), late_rounds=1 + row.late_rounds
    )


def check_table(table: CreditTable, run: ContentId) -> None:
    """Raise ``BadRecord`` unless a table from the network is one that ``apply`` could have made.

    ``wrong_run``; ``malformed`` for rows out of order or twice, ids that are none, or totals, counts and standing that
    no history of rounds explains. Does not say whether its numbers are right: compare hash and root with the chain's.
    """
    if table.run != run:
        raise BadRecord("wrong_run", f"The credit table belongs to run {table.run[:16]}.")
    before = ""
    for row in table.rows:
        parse_peer_id(row.peer)
        parse_content_id(row.state)
        if row.peer <= before:
            raise BadRecord("malformed", "The credit table's rows are not sorted by peer, each once.")
        problem = _impossible(row, table.round)
        if problem:
            raise BadRecord("malformed", f"The credit table's row of {row.peer} is impossible: {problem}.")
        before = row.peer


def _impossible(row: CreditRow, round: int) -> str:
    """Why ``apply`` cannot have made this row by ``round``; empty when it can."""
    for_work = row.micro_credits - row.audit_micro_credits
    earned = for_work + sum(pending.micro_credits for pending in row.pending)
    numbers = [0, *(pending.round for pending in row.pending), round + 1]
    if any(one >= other for one, other in pairwise(numbers)):
        return "its pending pay is not of different rounds up to this one"
    if (
        row.rounds + row.late_rounds > round
        or row.rounds > row.last_round
        or (row.rounds == 0) != (row.last_round == 0)
    ):
        return f"{row.rounds} contributions up to round {row.last_round} and {row.late_rounds} missed rounds"
    if row.last_round > round or (row.pending and row.pending[-1].round > row.last_round):
        return f"it contributed last in round {row.last_round}"
    if not 0 <= for_work <= earned <= row.rounds * MICRO_PER_CREDIT:
        return f"it cannot have earned {earned} by work in {row.rounds} rounds"
    if any(not 0 <= pending.micro_credits <= MICRO_PER_CREDIT for pending in row.pending):
        return "its pending pay is above one credit a round"
    if any(pending.waited > round - pending.round for pending in row.pending):
        return "its pending pay waited for longer than it is old"
    if row.audits_passed + row.audits_failed + len(row.pending) > row.rounds:
        return f"{row.audits_passed + row.audits_failed} checked contributions of {row.rounds}"
    if not 0 <= row.standing_milli <= TOP:
        return f"a standing of {row.standing_milli}"
    if max(row.last_round, row.late_rounds) >= min(1 << WIDTHS["late_rounds"], 1 << WIDTHS["last_round"]):
        return "a count does not fit"
    if not 0 <= row.micro_credits <= MAX_MICRO_CREDITS:
        return "its total does not fit"
    return ""


def line_of(row: CreditRow) -> int:
    """What the chain may learn of a row, as one number of 256 bits; it grows with the row's pay."""
    return pack(
        CreditLine(
            micro=row.micro_credits,
            standing_milli=row.standing_milli,
            last_round=row.last_round,
            rounds=row.rounds,
            audits_passed=row.audits_passed,
            audits_failed=row.audits_failed,
            late_rounds=row.late_rounds,
        )
    )


def row_of(table: CreditTable | None, peer: PeerId) -> CreditRow | None:
    """A peer's row, or ``None`` when it was never a member of a recorded round."""
    return next((row for row in table.rows if row.peer == peer), None) if table is not None else None


def total_micro(table: CreditTable) -> int:
    """All micro-credits ever paid in the run."""
    return _credited(table.rows)


def credits_tree(table: CreditTable) -> MerkleTree:
    """The tree that claims and reputation are proved against: (peer key, line), one a row."""
    return MerkleTree((peer_key(row.peer), line_of(row)) for row in table.rows)


def contributions_tree(pairs: Iterable[tuple[PeerId, ContentId]]) -> MerkleTree:
    """The tree over a round's contributions: (peer key, content id of the signed record)."""
    return MerkleTree((peer_key(peer), bytes.fromhex(content)) for peer, content in pairs)


def round_result(table: CreditTable, verified: Iterable[Verified], previous: CreditTable | None) -> RoundResult:
    """What the members sign: the roots of this round's contributions and of the table that they lead to.

    ``previous`` is the table that ``table`` was made from; without one, the chain of roots starts at ``ZERO_ROOT``.
    """
    return RoundResult(
        round=table.round,
        contributions_root=contributions_tree((work.peer, work.content) for work in verified).root,
        data_hash=content_id_of(table),
        previous_credits_root=credits_tree(previous).root if previous is not None else ZERO_ROOT,
        credits_root=credits_tree(table).root,
        total_micro_credits=total_micro(table),
    )
