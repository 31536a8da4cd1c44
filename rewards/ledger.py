"""Why this module exists: what everyone earned is a function of public records, in integers, so that all get the same.

The rule of pay. A peer earns at most one credit (1,000,000 micro-credits) a round. A third of it is each stage's; a
stage pays the share of it that its rollouts scored on average, and nothing when the peer did not play it:

    micro = floor(1_000_000 * (mean_answer + mean_critique + mean_decide) / 3 / 1000)        means in milli, exact

Rounding happens once, downwards, at the end. Credits only grow; a table holds every peer's total since the run began.
A contribution enters as ``Verified``: something this member recomputed. Its pay is pending at first and is paid with a
later result, unless a spot-check strikes it (``rewards.pending``). Nothing here reads a clock, a record or a claimed
score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec

from chain.base import ZERO_ROOT
from chain.credit_line import CreditLine, pack
from chain.keys import peer_key
from protocol.codec import content_id_of
from protocol.errors import BadRecord
from protocol.ids import STAGES, ContentId, PeerId, Stage, parse_content_id, parse_peer_id
from protocol.merkle import MerkleTree
from protocol.messages import CreditRow, CreditTable, Pending, RoundResult
from rewards.pending import NOTHING_ACCUSED, Ruling, settle_row

MICRO_PER_CREDIT = 1_000_000
FULL_SCORE_MILLI = 1000
MAX_MICRO_CREDITS = 2**63 - 1
"""What a row may hold at most: more rounds than anybody plays."""


class Verified(msgspec.Struct, frozen=True):
    """A contribution whose claims this member recomputed: whose, which record, what it earned, from where to where its
    state went."""

    peer: PeerId
    content: ContentId
    micro_credits: int
    state_before: ContentId
    state_after: ContentId


def earned_micro(scores_milli: Mapping[Stage, Sequence[int]]) -> int:
    """Micro-credits (0 to 1,000,000) of a peer's round from its rollouts' recomputed stage scores, 0 to 1000 each.

    A stage that is absent or has no rollouts pays nothing. Raises ``ValueError`` for a score outside 0 to 1000.
    """
    share = Fraction(0)
    for stage in STAGES:
        scores = scores_milli.get(stage, ())
        if any(not 0 <= score <= FULL_SCORE_MILLI for score in scores):
            raise ValueError(f"A {stage} score is outside 0 to {FULL_SCORE_MILLI}.")
        if scores:
            share += Fraction(sum(scores), len(scores) * FULL_SCORE_MILLI * len(STAGES))
    return int(share * MICRO_PER_CREDIT)


def apply(
    previous: CreditTable | None,
    run: ContentId,
    round: int,
    verified: Iterable[Verified],
    ruling: Ruling = NOTHING_ACCUSED,
) -> CreditTable:
    """The cumulative table after ``round``; ``previous`` is ``None`` before the first recorded round.

    What was pending is paid, struck or kept, as ``ruling`` says; then each contributor's state and number of rounds
    move on, and what it earned is pending; everybody else's row stays. Raises ``ValueError`` when ``previous`` is of
    another run or not older, when a peer contributes twice or does not start from its row's state (one that was struck,
    say), or when pay is outside 0 to 1 credit: callers have excluded all of these.
    """
    if previous is not None and (previous.run != run or previous.round >= round):
        raise ValueError(f"A table of round {previous.round} cannot be continued by round {round}.")
    rows = {row.peer: settle_row(row, ruling) for row in previous.rows} if previous is not None else {}
    seen: set[PeerId] = set()
    for work in verified:
        if work.peer in seen or not 0 <= work.micro_credits <= MICRO_PER_CREDIT:
            raise ValueError(f"{work.peer} contributes twice, or earns {work.micro_credits} micro in a round.")
        seen.add(work.peer)
        old = rows.get(work.peer) or CreditRow(work.peer, 0, 0, work.state_before)
        if old.state != work.state_before:
            raise ValueError(f"{work.peer} does not start from the state that its row ends in.")
        rows[work.peer] = CreditRow(
            peer=work.peer,
            micro_credits=old.micro_credits,
            rounds=1 + old.rounds,
            state=work.state_after,
            pending=(*old.pending, Pending(round, work.content, work.micro_credits, work.state_before)),
        )
    return CreditTable(run=run, round=round, rows=tuple(rows[peer] for peer in sorted(rows)))


def check_table(table: CreditTable, run: ContentId) -> None:
    """Raise ``BadRecord`` unless a table from the network is one that ``apply`` could have made.

    ``wrong_run``; ``malformed`` for rows out of order or twice, ids that are none, or totals that no number of rounds
    explains. Does not say whether its numbers are right: compare its hash and root with the chain's.
    """
    if table.run != run:
        raise BadRecord("wrong_run", f"The credit table belongs to run {table.run[:16]}.")
    before = ""
    for row in table.rows:
        parse_peer_id(row.peer)
        parse_content_id(row.state)
        if row.peer <= before:
            raise BadRecord("malformed", "The credit table's rows are not sorted by peer, each once.")
        earned = row.micro_credits + sum(pending.micro_credits for pending in row.pending)
        if not 1 <= row.rounds <= table.round or not row.micro_credits <= earned <= row.rounds * MICRO_PER_CREDIT:
            raise BadRecord("malformed", f"{row.peer} cannot have {earned} in {row.rounds} rounds.")
        numbers = [0, *(pending.round for pending in row.pending), table.round + 1]
        if any(one >= other for one, other in pairwise(numbers)):
            raise BadRecord("malformed", f"The pending pay of {row.peer} is not of different rounds up to this one.")
        if any(pending.micro_credits > MICRO_PER_CREDIT for pending in row.pending):
            raise BadRecord("malformed", f"The pending pay of {row.peer} is above one credit a round.")
        if not 0 <= row.micro_credits <= MAX_MICRO_CREDITS:
            raise BadRecord("malformed", "A total in the credit table does not fit.")
        before = row.peer


def row_of(table: CreditTable | None, peer: PeerId) -> CreditRow | None:
    """A peer's row, or ``None`` when it never contributed to a recorded round."""
    return next((row for row in table.rows if row.peer == peer), None) if table is not None else None


def total_micro(table: CreditTable) -> int:
    """All micro-credits ever paid in the run."""
    return sum(row.micro_credits for row in table.rows)


def line_of(row: CreditRow) -> int:
    """What a row says to the contracts, as one number (``chain.credit_line``)."""
    return pack(CreditLine(micro=row.micro_credits, rounds=row.rounds))


def credits_tree(table: CreditTable) -> MerkleTree:
    """The tree that claims are proved against: (peer key, credit line), one a row."""
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
