"""Why this module exists: pay waits one recorded result, so that a spot-check can still strike it.

    recorded in round r   pending      ──►  the next result   paid        nobody accuses it, or the accusation fell
                                                              struck      the accusation was confirmed
                                                              pending     accused and not decided yet

A struck contribution takes with it whatever its peer built on it: later pending pay, and the contribution of the very
round. The peer's state goes back to where the struck step began. Pay keeps its order: what came after something
undecided waits, too. All pure.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from protocol.ids import ContentId, PeerId
from protocol.messages import CreditRow, CreditTable, Pending


class Ruling(msgspec.Struct, frozen=True):
    """What the verdicts on a table's pending contributions come to; those in neither set are paid."""

    struck: frozenset[ContentId] = frozenset()
    undecided: frozenset[ContentId] = frozenset()


NOTHING_ACCUSED = Ruling()


def pending_in(table: CreditTable | None) -> dict[ContentId, tuple[PeerId, Pending]]:
    """All contributions whose pay is pending, by content id, with whose they are."""
    rows = table.rows if table is not None else ()
    return {pending.contribution: (row.peer, pending) for row in rows for pending in row.pending}


def settle_row(row: CreditRow, ruling: Ruling) -> CreditRow:
    """``row`` after one more result: its pending pay paid, kept or struck."""
    kept: list[Pending] = []
    paid, state = row.micro_credits, row.state
    for pending in row.pending:
        if pending.contribution in ruling.struck:
            state = pending.state_before
            break
        if kept or pending.contribution in ruling.undecided:
            waited = pending.waited + (pending.contribution in ruling.undecided)
            kept.append(msgspec.structs.replace(pending, waited=waited))
        else:
            paid += pending.micro_credits
    return msgspec.structs.replace(row, micro_credits=paid, state=state, pending=tuple(kept))


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
    """What one result did, by peer: micro-credits earned (pending from now on), paid, and pay that was struck."""

    earned: dict[PeerId, int]
    paid: dict[PeerId, int]
    struck: tuple[tuple[PeerId, Pending], ...]


def change_between(before: CreditTable | None, after: CreditTable) -> Change:
    """What the result that made ``after`` out of ``before`` did, from the two tables alone."""
    earned: dict[PeerId, int] = {}
    paid: dict[PeerId, int] = {}
    struck: list[tuple[PeerId, Pending]] = []
    old_rows = {row.peer: row for row in before.rows} if before is not None else {}
    for row in after.rows:
        old = old_rows.get(row.peer) or CreditRow(row.peer, 0, 0, row.state)
        for pending in row.pending:
            if pending.round == after.round:
                earned[row.peer] = pending.micro_credits
        left = row.micro_credits - old.micro_credits
        if left:
            paid[row.peer] = left
        kept = {pending.contribution for pending in row.pending}
        for pending in old.pending:
            if pending.contribution in kept:
                continue
            if pending.micro_credits <= left:  # pay keeps its order: what is paid comes before what is struck
                left -= pending.micro_credits
            else:
                struck.append((row.peer, pending))
                left = -1
    return Change(earned, paid, tuple(struck))
