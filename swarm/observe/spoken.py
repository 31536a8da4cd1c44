"""Why this module exists: the newest events of a home's peers in words, for a screen that scrolls."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.observe.store import Store
from swarm.observe.text import plain
from swarm.observe.views import View

NUM_LINES = 1000


class SpokenLine(View, frozen=True):
    """``name``: whose. ``kind``: see ``lines.kind_of``. ``text`` is plain."""

    at: float
    name: str
    nickname: str
    kind: str
    text: str


def spoken(stores: Mapping[str, Store], num: int = NUM_LINES) -> tuple[SpokenLine, ...]:
    """The newest ``num`` lines of all these peers together, oldest first."""
    found: list[SpokenLine] = []
    for name, store in stores.items():
        me = store.row("SELECT nickname FROM self")
        nickname = plain((me["nickname"] if me else None) or name, 64)
        rows = store.rows("SELECT * FROM lines ORDER BY seq DESC LIMIT ?", num // max(1, len(stores)))
        found += [SpokenLine(row["at"], name, nickname, row["kind"], row["text"]) for row in reversed(rows)]
    return tuple(sorted(found, key=lambda line: line.at))
