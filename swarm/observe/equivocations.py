"""Why this module exists: a peer that signed twice has no game that could be shown; what the contract took is its row.

    events  ->  a table of the read-model (``fold``)  ->  ``EquivocationView``s, beside the games (``disputes``)
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import msgspec

from protocol.events import EquivocationProven
from swarm.observe.store import Store
from swarm.observe.text import credits_text, name_of, plain
from swarm.observe.views import View

EQUIVOCATION = "equivocation"

_LAST_S = 253_402_300_799.0
"""The end of the year 9999: an endpoint may tell any number."""


class EquivocationView(View, frozen=True):
    """``peer`` signed ``first`` and ``second`` for ``round``, and ``reporter`` proved it to the contract in
    ``transaction`` (its id). ``kind`` is ``equivocation``. ``side``: the local peer's, ``reporter`` or ``accused``;
    empty: it looked on. ``award_micro``: what the reporter got of ``slashed_micro``; the rest was burned."""

    kind: str
    round: int
    peer: str
    nickname: str
    reporter: str
    side: str
    first: str
    second: str
    slashed_micro: int
    award_micro: int
    transaction: str
    block: int
    proven_at: float

    @property
    def id(self) -> str:
        """By which it is asked for: its transaction, without ``0x``."""
        return self.transaction.removeprefix("0x")


def equivocations_of(store: Store) -> tuple[EquivocationView, ...]:
    """All that one peer's log knows, newest first."""
    (me,) = store.rows("SELECT peer, address FROM self")
    rows = store.rows("SELECT proven FROM equivocations ORDER BY round DESC, peer")
    return tuple(_view(msgspec.json.decode(row["proven"], type=EquivocationProven), me) for row in rows)


def facts(one: EquivocationView) -> tuple[str, ...]:
    """All of it in lines for people, the heading first."""
    burned_micro = one.slashed_micro - one.award_micro
    money = (
        f"{credits_text(one.slashed_micro)} tokens of stake taken: {credits_text(one.award_micro)} to the reporter,"
        f" {credits_text(burned_micro)} burned"
    )
    at = datetime.fromtimestamp(min(one.proven_at, _LAST_S), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"Equivocation {one.id}",
        f"{one.nickname} ({one.peer}) signed two contributions for round {one.round}",
        f"first {one.first}",
        f"second {one.second}",
        f"reporter {one.reporter}",
        money if one.slashed_micro else "Nothing was at stake any more, so that nothing was taken.",
        f"transaction {one.transaction} in block {one.block}, {at}",
    )


def _view(proven: EquivocationProven, me: sqlite3.Row) -> EquivocationView:
    is_reporter = (me["address"] or "").lower() == proven.reporter.lower()
    return EquivocationView(
        kind=EQUIVOCATION,
        round=proven.round,
        peer=proven.peer,
        nickname=name_of(proven.peer),
        reporter=plain(proven.reporter, 80),
        side="accused" if me["peer"] == proven.peer else "reporter" if is_reporter else "",
        first=proven.first,
        second=proven.second,
        slashed_micro=proven.slashed_micro,
        award_micro=proven.award_micro,
        transaction=plain(proven.transaction, 80),
        block=proven.block,
        proven_at=proven.proven_at,
    )
