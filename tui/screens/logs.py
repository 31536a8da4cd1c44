"""Why this module exists: sometimes one wants to read what happened, line by line, and find a word in it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from textual import on
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from swarm.observe.spoken import SpokenLine, spoken
from swarm.observe.store import Store
from tui.feed import Gather
from tui.screens.base import Seen, SwarmScreen, Words
from tui.widgets.filter_line import FilterLine
from tui.widgets.listing import Listing
from tui.widgets.panel import row

WORDS: Words = (
    ("A line", (
        ("time", "UTC, as the peer's clock had it"),
        ("name", "whose log it stands in; in colour where several are shown"),
        ("red", "problems, dropped records, refused results, struck pay"),
        ("green", "what the chain recorded or paid"),
        ("blue", "spot-checks and disputes"),
    )),
    ("Keys here", (
        ("/", "only lines that contain what you type; enter keeps it, escape takes it away"),
        ("p", "only problems, or everything"),
        ("a", "all peers of this machine, or only the shown one"),
        ("up, down, page, home", "scroll; new lines no longer move the text"),
        ("end", "the newest lines, and follow them again"),
    )),
)  # fmt: skip

_STYLES = {"problem": "$error", "chain": "$success", "check": "$primary", "round": "$foreground", "peer": "$faint"}
_NAME_STYLES = ("$accent", "$secondary", "$primary", "$warning", "$success")


@dataclass(frozen=True)
class Lines:
    """The newest lines."""

    lines: tuple[SpokenLine, ...]


@dataclass(frozen=True)
class Asked:
    """The newest lines of all local peers, or of the shown one."""

    all_peers: bool

    def __call__(self, stores: Mapping[str, Store], name: str) -> Lines:
        return Lines(spoken(stores if self.all_peers else {name: stores[name]}))


class LogsScreen(SwarmScreen):
    """Lines that follow what happens until somebody scrolls."""

    NAME, ABOUT, WORDS = "logs", "What happened, in words; filter with /", WORDS
    BINDINGS: ClassVar = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("p", "problems", "Problems"),
        Binding("a", "all_peers", "All peers"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.all_peers = True
        self.only_problems = False
        self._lines: tuple[SpokenLine, ...] | None = None

    def body(self) -> Iterable[Widget]:
        yield Listing(id="lines", title="Log", follows=True)
        yield FilterLine(id="filter", back_to="lines")

    def on_mount(self) -> None:
        self.query_one("#lines").focus()

    def gather(self) -> Gather:
        return Asked(self.all_peers)

    def draw(self, seen: Seen) -> None:
        if seen.view is None and seen.peers and self._lines is not None:
            return
        self._lines = seen.view.lines if isinstance(seen.view, Lines) else ()
        self._draw()

    @on(Listing.Resized)
    def _resized(self) -> None:
        self._draw()

    def action_filter(self) -> None:
        self.query_one(FilterLine).open()

    def action_problems(self) -> None:
        self.only_problems = not self.only_problems
        self._draw()

    def action_all_peers(self) -> None:
        self.all_peers = not self.all_peers
        self.app.look_again()  # type: ignore[attr-defined]

    @on(Input.Changed)
    def _filtered(self) -> None:
        self._draw()

    def _draw(self) -> None:
        listing = self.query_one("#lines", Listing)
        wanted = self.query_one(FilterLine).wanted
        lines = [
            one
            for one in self._lines or ()
            if (not self.only_problems or one.kind == "problem") and wanted in f"{one.nickname} {one.text}".casefold()
        ]
        names = list(dict.fromkeys(one.name for one in self._lines or ()))
        whose = f"all {len(names)} peers" if self.all_peers else "this peer"
        listing.caption("Problems" if self.only_problems else "Log", f"{len(lines):,} lines, {whose}")
        if not lines:
            listing.show_lines(
                [row((" Nothing to show." if wanted or self.only_problems else " Nothing yet.", "$faint"))]
            )
            return
        styles = {name: _NAME_STYLES[index % len(_NAME_STYLES)] for index, name in enumerate(names)}
        room = 14 if listing.size.width < 110 else 24
        width = listing.size.width
        listing.show_lines([part for one in lines for part in _drawn(one, styles[one.name], room, width)])


@lru_cache(maxsize=4096)
def _drawn(one: SpokenLine, style: str, room: int, width: int) -> tuple[Content, ...]:
    """A line, wrapped behind its name where it is longer than the screen. Lines never change, so they are kept."""
    name = one.nickname if len(one.nickname) <= room else one.nickname[: room - 1] + "…"
    start = row((time.strftime(" %H:%M:%S ", time.gmtime(one.at)), "$faint"), (name.ljust(room + 1), style))
    words = row((one.text, _STYLES.get(one.kind, "$foreground")))
    left = max(20, width - start.cell_length - 1)
    if words.cell_length <= left:
        return (row(start, words),)
    first, *rest = words.wrap(left)
    return (row(start, first), *(row(" " * start.cell_length, line) for line in rest))
