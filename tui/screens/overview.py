"""Why this module exists: one screen answers who am I, what happens, does it learn, what do I earn, what is wrong."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer

from swarm.observe.snapshot import Snapshot
from swarm.observe.views import ProgressView
from tui.widgets.credits import CreditsPanel
from tui.widgets.identity import Identity
from tui.widgets.panel import Panel
from tui.widgets.peer_tabs import PeerTabs
from tui.widgets.peers_panel import PeersPanel
from tui.widgets.problem import ProblemBar
from tui.widgets.question import QuestionPanel
from tui.widgets.round_panel import RoundPanel
from tui.widgets.score_plot import ScorePlot
from tui.widgets.time_split import TimeSplitPanel


class Overview(Screen[None]):
    """The first screen. Compact below 120 columns or 36 lines."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 (declared as an instance variable by Textual)
        (0, "-narrow"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (36, "-tall"),
    ]

    def compose(self) -> ComposeResult:
        yield PeerTabs(id="tabs")
        yield Identity(id="identity")
        yield RoundPanel(id="round")
        with Horizontal(id="middle"):
            yield ScorePlot(id="plot")
            yield PeersPanel(id="peers")
        yield QuestionPanel(id="question")
        with Horizontal(id="bottom"):
            yield CreditsPanel(id="credits")
            yield TimeSplitPanel(id="time")
        yield ProblemBar(id="problem")
        yield Footer(show_command_palette=False)

    def show(
        self,
        peers: tuple[Snapshot, ...],
        selected: int,
        host_progress: ProgressView | None,
        unreadable: str,
        now: float,
    ) -> None:
        """Show the peer at ``selected`` of ``peers``."""
        shown = peers[selected] if selected < len(peers) else None
        self.query_one(RoundPanel).host_progress = host_progress
        self.query_one(ProblemBar).unreadable = unreadable
        self.query_one(PeerTabs).show_all(peers, selected)
        for panel in self.query(Panel):
            if not isinstance(panel, PeerTabs):
                panel.show(shown, now)

    def tick(self, now: float) -> None:
        """A second has passed: redraw what counts time."""
        for panel in self.query(Panel):
            panel.now = now
        for kind in (Identity, RoundPanel, PeersPanel, ProblemBar):
            self.query_one(kind).redraw()
