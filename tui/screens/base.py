"""Why this module exists: all screens have the same head and foot, and learn of news in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from swarm.observe.views import PeerStatus, ProgressView
from tui.feed import Gather
from tui.playing import Deck
from tui.widgets.deck import DeckBar
from tui.widgets.navigation import Navigation
from tui.widgets.peer_tabs import PeerTabs
from tui.widgets.problem import ProblemBar

Words = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Definitions: (heading, ((word, meaning in one line), ...)), ..."""


class Seen(NamedTuple):
    """What a screen is shown. ``view``: what it asked for, None until it is there. ``deck``: in a replay.

    ``reading``: the logs are being read for the first time, which takes some seconds when they are long."""

    peers: tuple[PeerStatus, ...]
    selected: int
    view: object
    host_progress: ProgressView | None
    unreadable: str
    now: float
    deck: Deck | None
    reading: bool = False

    @property
    def status(self) -> PeerStatus | None:
        """The shown peer."""
        return self.peers[self.selected] if self.selected < len(self.peers) else None


class SwarmScreen(Screen[None]):
    """A screen of the dashboard. Compact below 120 columns or 36 lines.

    Subclasses name themselves (``NAME``, ``ABOUT``), explain their numbers (``WORDS``), compose ``body``, say what they
    want to know (``gather``) and draw it (``draw``).
    """

    NAME: ClassVar[str]
    ABOUT: ClassVar[str]
    WORDS: ClassVar[Words]

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 (declared as an instance variable by Textual)
        (0, "-narrow"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (36, "-tall"),
    ]

    is_ready = False
    """All of its widgets are there. Before that, news is kept by the dashboard and shown when they are."""

    def on_mount(self) -> None:
        self.is_ready = True
        self.app.show_news()  # type: ignore[attr-defined]

    def compose(self) -> ComposeResult:
        yield Navigation(self.NAME, id="navigation")
        yield PeerTabs(id="tabs")
        yield from self.body()
        yield ProblemBar(id="problem", brief=self.NAME != "overview")
        yield DeckBar(id="deck")
        yield Footer()

    def body(self) -> Iterable[Widget]:
        """The widgets between head and foot."""
        raise NotImplementedError

    def gather(self) -> Gather:
        """What the feed should make for this screen. Equal wishes must be equal values."""
        raise NotImplementedError

    def draw(self, seen: Seen) -> None:
        """Show ``seen``; its view is what ``gather`` asked for, or None."""
        raise NotImplementedError

    def count_time(self, now: float) -> None:
        """A second has passed: redraw what counts time."""

    def show(self, seen: Seen) -> None:
        """Show the news, in head, body and foot."""
        self.query_one(PeerTabs).show_all(seen.peers, seen.selected)
        problem = self.query_one(ProblemBar)
        problem.unreadable = seen.unreadable
        problem.show(seen.status, seen.now)
        self._show_deck(seen)
        self.draw(seen)

    def tick(self, seen: Seen) -> None:
        """A second has passed."""
        problem = self.query_one(ProblemBar)
        problem.now = seen.now
        problem.redraw()
        self._show_deck(seen)
        self.count_time(seen.now)

    def _show_deck(self, seen: Seen) -> None:
        bar = self.query_one(DeckBar)
        bar.display = seen.deck is not None
        if seen.deck is not None:
            bar.show(seen.deck, seen.now)
