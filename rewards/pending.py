"""Why this module exists: pay waits one recorded result, so that a spot-check can still strike it.

    recorded in round r   pending      ──►  the next result   paid        nobody accuses it, or the accusation fell
                                                              struck      the accusation was confirmed
                                                              pending     accused and not decided yet

A struck contribution takes with it whatever its peer built on it: later pending pay, and the contribution of the very
round. The peer's state goes back to where the struck step began. Pay keeps its order: what came after something
undecided waits, too.

A verdict that agrees with the outcome is paid in the same result: nothing can strike it any more. What does not fit
under the caps of a result waits for the next one, oldest first. All pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate

import msgspec

from protocol.ids import ContentId, PeerId
from protocol.messages import CreditRow, CreditTable, Pending
from rewards.reputation import after_strike


class Judge(msgspec.Struct, frozen=True):
    """What the verdicts of one drawn peer came to in one result: the pay for those that agree with the outcome, how
    many claim the opposite of it, and how many say ``unavailable`` of what the others could get."""

    peer: PeerId
    micro_credits: int = 0
    false: int = 0
    vain: int = 0


class Ruling(msgspec.Struct, frozen=True):
    """What the verdicts on a table's pending contributions come to; what is neither struck nor undecided is paid.

    ``passed``: those that somebody drawn checked and that are as claimed. ``judges``: sorted by peer, each once."""

    struck: frozenset[ContentId] = frozenset()
    undecided: frozenset[ContentId] = frozenset()
    passed: frozenset[ContentId] = frozenset()
    judges: tuple[Judge, ...] = ()


NOTHING_ACCUSED = Ruling()


def with_refuted(ruling: Ruling, refuted: Collection[ContentId]) -> Ruling:
    """``ruling``, and struck besides what was proven false on the chain: a proof needs no majority."""
    if not refuted:
        return ruling
    return msgspec.structs.replace(
        ruling,
        struck=ruling.struck | frozenset(refuted),
        undecided=ruling.undecided - set(refuted),
        passed=ruling.passed - set(refuted),
    )


def pending_in(table: CreditTable | None) -> dict[ContentId, tuple[PeerId, Pending]]:
    """All contributions whose pay is pending, by content id, with whose they are."""
    rows = table.rows if table is not None else ()
    return {pending.contribution: (row.peer, pending) for row in rows for pending in row.pending}


def settle_row(row: CreditRow, ruling: Ruling, waiting: Collection[ContentId] = ()) -> CreditRow:
    """``row`` after one more result: its pending pay paid, kept or struck, and what that says of its peer.

    ``waiting``: what the caps leave no room for in this result (``over_cap``)."""
    kept: list[Pending] = []
    paid, state, standing = row.micro_credits, row.state, row.standing_milli
    passed, failed = row.audits_passed, row.audits_failed
    for pending in row.pending:
        if pending.contribution in ruling.struck:
            state, standing, failed = pending.state_before, after_strike(standing), failed + 1
            break
        if kept or pending.contribution in ruling.undecided or pending.contribution in waiting:
            waited = pending.waited + (pending.contribution in ruling.undecided)
            kept.append(msgspec.structs.replace(pending, waited=waited))
        else:
            paid += pending.micro_credits
            passed += pending.contribution in ruling.passed
    return msgspec.structs.replace(
        row,
        micro_credits=paid,
        state=state,
        pending=tuple(kept),
        standing_milli=standing,
        audits_passed=passed,
        audits_failed=failed,
    )


def over_cap(rows: Iterable[CreditRow], ruling: Ruling, cap_micro: int) -> frozenset[ContentId]:
    """Pending contributions that a result which may credit ``cap_micro`` cannot pay yet: beginning with the first that
    does not fit, oldest round first."""
    due: list[tuple[int, ContentId, int]] = []
    for row in rows:
        for pending in row.pending:
            if pending.contribution in ruling.struck or pending.contribution in ruling.undecided:
                break
            due.append((pending.round, pending.contribution, pending.micro_credits))
    due.sort()
    sums = accumulate(micro for _, _, micro in due)
    return frozenset(content for (_, content, _), total in zip(due, sums, strict=True) if total > cap_micro)


def struck_in(table: CreditTable | None, ruling: Ruling) -> dict[ContentId, tuple[PeerId, Pending]]:
    """What is never paid by this ruling: the struck contributions, and the pending ones that were built on them."""
    lost: dict[ContentId, tuple[PeerId, Pending]] = {}
    for row in table.rows if table is not None else ():
        struck = [number for number, one in enumerate(row.pending) if one.contribution in ruling.struck]
        lost |= {one.contribution: (row.peer, one) for one in row.pending[min(struck, default=len(row.pending)) :]}
    return lost


def losing(table: CreditTable | None, ruling: Ruling) -> frozenset[PeerId]:
    """Peers whose contribution to this very result cannot count, because it was built on a struck one."""
    return frozenset(peer for peer, _ in struck_in(table, ruling).values())


def overdue(table: CreditTable | None, patience_rounds: int) -> Collection[ContentId]:
    """Pending contributions that waited for a decision as long as they may: they are paid unless they are struck."""
    return [content for content, (_, pending) in pending_in(table).items() if pending.waited >= patience_rounds]


class Change(msgspec.Struct, frozen=True):
    """What one result did, by peer: micro-credits earned (pending from now on), paid, and pay that was struck.

    ``paid`` includes ``judged``, the pay for verdicts."""

    earned: dict[PeerId, int]
    paid: dict[PeerId, int]
    struck: tuple[tuple[PeerId, Pending], ...]
    judged: dict[PeerId, int] = {}


def change_between(before: CreditTable | None, after: CreditTable) -> Change:
    """What the result that made ``after`` out of ``before`` did, from the two tables alone."""
    earned: dict[PeerId, int] = {}
    paid: dict[PeerId, int] = {}
    judged: dict[PeerId, int] = {}
    struck: list[tuple[PeerId, Pending]] = []
    old_rows = {row.peer: row for row in before.rows} if before is not None else {}
    for row in after.rows:
        old = old_rows.get(row.peer) or CreditRow(row.peer, 0, 0, row.state)
        for pending in row.pending:
            if pending.round == after.round:
                earned[row.peer] = pending.micro_credits
        if row.micro_credits > old.micro_credits:
            paid[row.peer] = row.micro_credits - old.micro_credits
        if row.audit_micro_credits > old.audit_micro_credits:
            judged[row.peer] = row.audit_micro_credits - old.audit_micro_credits
        if row.audits_failed > old.audits_failed:
            for_work = paid.get(row.peer, 0) - judged.get(row.peer, 0)
            struck += [(row.peer, pending) for pending in _unpaid(old.pending, for_work)]
    return Change(earned, paid, tuple(struck), judged)


def _unpaid(pending: Sequence[Pending], paid_micro: int) -> list[Pending]:
    """What of ``pending`` was struck when the first of it were paid, with ``paid_micro`` in all; never nothing."""
    sums = accumulate(one.micro_credits for one in pending)
    num_paid = sum(total <= paid_micro for total in sums)
    return list(pending[max(0, min(num_paid, len(pending) - 1)) :])
