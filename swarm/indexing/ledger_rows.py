"""Why this module exists: a credit table tells what everybody has; a ledger must tell what came when, and add up.

A table is believed because the chain recorded its hash and its root. The difference of two tables is one line for each
peer that it changed something for; lines are only ever added, so their sum is the newest table, which is checked.
"""

from __future__ import annotations

from chain.base import ZERO_ROOT
from protocol.codec import BLOB_CAP, content_id, decode
from protocol.errors import BadRecord
from protocol.ids import ContentId
from protocol.messages import CreditRow, CreditTable
from rewards.ledger import check_table, credits_tree, total_micro
from rewards.pending import change_between
from swarm.indexing.rows import LedgerLine, Outcome


def recorded_table(
    blob: bytes, run: ContentId, *, round: int, data_hash: str, credits_root: str, total: int
) -> CreditTable:
    """The table in ``blob``, which must be the one that the chain recorded.

    Raises ``BadRecord``: ``hash_mismatch`` when hash, root, round or total are others, and what ``check_table`` raises.
    """
    if content_id(blob) != data_hash:
        raise BadRecord("hash_mismatch", "It is not the credit table that the chain recorded.")
    table = decode(blob, CreditTable, cap=BLOB_CAP)
    check_table(table, run)
    if table.round != round or total_micro(table) != total:
        raise BadRecord("hash_mismatch", f"The credit table of round {round} is one of another round, or total.")
    if credits_tree(table).root != credits_root:
        raise BadRecord("hash_mismatch", "The credit table's root is not the one that the chain recorded.")
    return table


def lines_between(before: CreditTable | None, after: CreditTable, data_hash: str) -> list[LedgerLine]:
    """What the step from ``before`` (``None``: the beginning) to ``after`` changed, one line a peer, sorted by peer.

    The tables need not be of neighbouring results: what lies between them is then in the lines of the later one. For
    counts that went back (the chain undid results) differences are negative."""
    struck: dict[str, int] = {}
    for peer, pending in change_between(before, after).struck:
        struck[peer] = struck.get(peer, 0) + pending.micro_credits
    old_rows = _rows(before)
    lines = []
    for row in after.rows:
        old = old_rows.pop(row.peer, None) or CreditRow(row.peer, 0, 0, ZERO_ROOT)
        lines.append(_line(old, row, after.round, data_hash, struck.get(row.peer, 0)))
    for old in old_rows.values():  # rows only disappear when results were undone
        lines.append(_line(old, CreditRow(old.peer, 0, 0, old.state), after.round, data_hash, 0))
    return sorted((line for line in lines if line is not None), key=lambda line: line.peer)


def outcomes(before: CreditTable | None, after: CreditTable) -> list[Outcome]:
    """What became of each contribution whose pay was pending in either table."""
    struck = {pending.contribution for _, pending in change_between(before, after).struck}
    new_rows, found = _rows(after), []
    for peer, old in _rows(before).items():
        kept = {one.contribution for one in new_rows[peer].pending} if peer in new_rows else set()
        for one in old.pending:
            if one.contribution not in kept:
                outcome = "struck" if one.contribution in struck else "paid"
                found.append(Outcome(one.round, peer, one.contribution, one.micro_credits, outcome, after.round))
    for peer, row in new_rows.items():
        for one in row.pending:
            found.append(Outcome(one.round, peer, one.contribution, one.micro_credits, "pending", after.round))
    return found


def _rows(table: CreditTable | None) -> dict[str, CreditRow]:
    return {row.peer: row for row in table.rows} if table is not None else {}


def _line(old: CreditRow, new: CreditRow, round: int, data_hash: str, struck_micro: int) -> LedgerLine | None:
    paid, judged = new.micro_credits - old.micro_credits, new.audit_micro_credits - old.audit_micro_credits
    waiting = sum(one.micro_credits for one in new.pending) - sum(one.micro_credits for one in old.pending)
    line = LedgerLine(
        round=round,
        peer=new.peer,
        data_hash=data_hash,
        earned_micro=paid - judged + waiting + struck_micro,
        paid_micro=paid,
        judged_micro=judged,
        struck_micro=struck_micro,
        contributed=new.rounds - old.rounds,
        passed=new.audits_passed - old.audits_passed,
        failed=new.audits_failed - old.audits_failed,
        late=new.late_rounds - old.late_rounds,
        standing_milli=new.standing_milli,
    )
    nothing = LedgerLine(round, new.peer, data_hash, standing_milli=old.standing_milli)
    return None if line == nothing else line
