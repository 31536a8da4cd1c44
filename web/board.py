"""Why this module exists: the table of peers is asked for far more often than it changes, in every order and by search.

A ``Board`` is the whole table at one version of the index; an order is made when it is first asked for. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from web.text import plain
from web.views import Peer, Standings

FIELDS = tuple(Peer.model_fields)
Row = Sequence[Any]
"""The values of ``FIELDS``, in their order."""

_at = {name: FIELDS.index(name) for name in FIELDS}


def _falling(name: str) -> Callable[[Row], tuple[bool, int]]:
    """The largest first, unknown ones last."""
    at = _at[name]
    return lambda row: (row[at] is None, -(row[at] or 0))


def _by_rank(row: Row) -> tuple[bool, int]:
    rank = row[_at["rank"]]
    return rank is None, rank or 0


SORTS: dict[str, Callable[[Row], Any]] = {
    "credits": _by_rank,
    "name": itemgetter(_at["nickname"]),
    "rounds": _falling("rounds"),
    "score": _falling("mean_milli"),
    "standing": _falling("standing_milli"),
    "seen": _falling("last_seen_at"),
}
"""What each order goes by; among equals, the one with the better rank comes first."""


class Board:
    """The table at one ``version``. ``found``: of each peer the text that a search looks in, and its row."""

    def __init__(self, version: int, found: Sequence[tuple[str, Row]]) -> None:
        self.version = version
        self._peers: dict[str, Peer] = {}
        self._orders = {"credits": sorted(found, key=lambda one: _by_rank(one[1]))}

    def standings(self, q: str, sort: str, page: int, size: int) -> Standings:
        """A page of the table. ``q``: a part of a nickname, peer id or address."""
        sort, wanted = sort if sort in SORTS else "credits", plain(q, 140).strip()
        text, rows = wanted.lower(), self._in_order(sort)
        if text:
            rows = [one for one in rows if text in one[0]]
        pages = max(1, -(-len(rows) // size))
        page = min(max(1, page), pages)
        shown = rows[(page - 1) * size : page * size]
        peers = [self._peer(row) for _, row in shown]
        return Standings.model_construct(
            peers=peers, total=len(rows), page=page, pages=pages, size=size, sort=sort, q=wanted
        )

    def _peer(self, row: Row) -> Peer:
        name = row[_at["peer"]]
        known = self._peers.get(name)
        if known is None:
            known = self._peers[name] = Peer.model_construct(**dict(zip(FIELDS, row, strict=True)))
        return known

    def _in_order(self, sort: str) -> list[tuple[str, Row]]:
        known = self._orders.get(sort)
        if known is None:
            key = SORTS[sort]
            known = self._orders[sort] = sorted(self._orders["credits"], key=lambda one: key(one[1]))
        return known
