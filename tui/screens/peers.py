"""Why this module exists: who is in this swarm, how well do they do, and who breaks the rules?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from textual import on
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Input

from swarm.observe.known import KnownPeer, PeerDetail, known_peers, patience_s, peer_detail
from swarm.observe.queries import peer_status
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from tui.feed import Gather
from tui.screens.base import Seen, SwarmScreen, Words
from tui.widgets.filter_line import FilterLine
from tui.widgets.listing import Listing
from tui.widgets.panel import row
from tui.widgets.peer_card import PeerCard
from tui.widgets.peer_table import COLUMNS, head, peer_line

WORDS: Words = (
    ("A line of the table", (
        ("doing", "the stage of its newest work here, else what it says; silent: nothing for as long as a round takes"),
        ("heard", "how long ago its last word of any kind arrived here"),
        ("work", "contributions of it that this peer recomputed"),
        ("checks", "verdicts by whoever did its sampled work again: the same + another result"),
        ("dropped", "its records that broke a rule (size, signature, round, scores) and were ignored"),
        ("trend, score", "mean over its rollouts, round by round and of the newest round, recomputed here"),
        ("credits", "what the recorded results in this peer's log credit it with"),
        ("▸, ·", "this peer; a peer of its cohort"),
    )),
    ("Keys here", (
        ("s, r", "sort by the next column; the other way round"),
        ("/", "only lines that contain what you type; enter keeps it, escape takes it away"),
        ("up, down", "another peer; its particulars are below"),
    )),
)  # fmt: skip


_REDRAW_S = 2.5
"""Without news, the column of seconds moves this often."""


class PeersView(msgspec.Struct, frozen=True):
    """All peers, and the marked one in detail."""

    peers: tuple[KnownPeer, ...]
    detail: PeerDetail | None
    patience_s: float


@dataclass(frozen=True)
class Asked:
    """All peers; one of them in detail."""

    alive: Alive
    marked: str

    def __call__(self, stores: Mapping[str, Store], name: str) -> PeersView:
        store = stores[name]
        status = peer_status(name, store, 0.0, self.alive)
        current = store.row("SELECT cohort FROM rounds WHERE round = ?", status.round)
        peers = known_peers(store, status, msgspec.json.decode(current["cohort"]) if current else [])
        marked = self.marked or (peers[0].peer if peers else "")
        return PeersView(peers, peer_detail(store, marked) if marked else None, patience_s(store))


class PeersScreen(SwarmScreen):
    """A table that can be sorted and filtered, and a card of the marked peer."""

    NAME, ABOUT, WORDS = "peers", "Who is in the swarm: sort, filter, and look closer", WORDS
    BINDINGS: ClassVar = [
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse"),
        Binding("slash", "filter", "Filter", key_display="/"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.column = "credits"
        self.reverse = True
        self._view: PeersView | None = None
        self._shown: list[KnownPeer] = []
        self._marked = ""
        self._now = 0.0

    def body(self) -> Iterable[Widget]:
        yield Listing(id="table", picks=True, title="Peers")
        yield FilterLine(id="filter", back_to="table")
        yield PeerCard(id="card")

    def on_mount(self) -> None:
        self.query_one("#table").focus()

    def gather(self) -> Gather:
        return Asked(self.app.alive, self._marked)  # type: ignore[attr-defined]

    def draw(self, seen: Seen) -> None:
        self._now = seen.now
        if seen.view is None and seen.peers and self._view is not None:
            return
        self._view = seen.view if isinstance(seen.view, PeersView) else None
        self._draw_table()

    def count_time(self, now: float) -> None:
        if abs(now - self._now) >= _REDRAW_S:
            self._now = now
            self._draw_table()

    @on(Listing.Resized)
    def _resized(self) -> None:
        self._draw_table()

    def action_sort(self) -> None:
        names = list(COLUMNS)
        self.column = names[(names.index(self.column) + 1) % len(names)]
        self.reverse = self.column not in ("name", "doing", "heard")
        self._draw_table()

    def action_reverse(self) -> None:
        self.reverse = not self.reverse
        self._draw_table()

    def action_filter(self) -> None:
        self.query_one(FilterLine).open()

    @on(Input.Changed)
    def _filtered(self) -> None:
        self._draw_table()

    @on(Listing.Picked)
    def _picked(self, message: Listing.Picked) -> None:
        if message.index < len(self._shown):
            self._marked = self._shown[message.index].peer
            self._draw_card()
            self.app.look_again()  # type: ignore[attr-defined]

    def _draw_table(self) -> None:
        listing = self.query_one("#table", Listing)
        width = listing.size.width
        peers = self._view.peers if self._view else ()
        wanted = self.query_one(FilterLine).wanted
        found = [one for one in peers if wanted in f"{one.nickname} {one.peer} {one.phase}".casefold()]
        self._marked = self._marked or (peers[0].peer if peers else "")
        self._shown = sorted(found, key=_key(self.column), reverse=self.reverse)
        note = row(("by ", "$faint"), (self.column + (" ↓" if self.reverse else " ↑"), "$accent"))
        listing.caption(f"Peers {len(found)} of {len(peers)}" if wanted else f"Peers {len(peers)}", note)
        places = [index for index, one in enumerate(self._shown) if one.peer == self._marked]
        patience = self._view.patience_s if self._view else 0.0
        lines = [peer_line(one, width, self._now, patience) for one in self._shown]
        listing.show_lines(lines, head(width, self.column, self.reverse), places[0] if places else None)
        if self._shown and not places:  # filtered away: the mark stands on another peer now
            self._marked = self._shown[listing.cursor].peer
            self.app.look_again()  # type: ignore[attr-defined]
        self._draw_card()

    def _draw_card(self) -> None:
        cursor = self.query_one("#table", Listing).cursor
        peer = self._shown[cursor] if cursor < len(self._shown) else None
        detail = self._view.detail if self._view else None
        card = self.query_one(PeerCard)
        card.detail = detail if detail is not None and peer is not None and detail.peer == peer.peer else None
        card.show(peer, self._now)


def _key(column: str) -> Callable[[KnownPeer], Any]:
    def value(one: KnownPeer) -> float | str:
        if column == "name":
            return one.nickname
        if column == "doing":
            return one.phase
        if column == "heard":
            return -(one.last_seen_at or 0.0)
        if column == "checks":
            return one.num_matches - 1000 * one.num_mismatches
        score = one.score_milli
        return {
            "work": one.num_contributions,
            "dropped": one.num_rejected,
            "score": -1 if score is None else score,
            "credits": one.micro_credits,
        }[column]

    return value
