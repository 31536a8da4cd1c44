"""Why this module exists: people run a swarm to watch it; this is the live view, made from the event logs alone.

The dashboard never talks to a node: closing it, or starting it later, changes nothing for the peers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding

from swarm.observe.snapshot import Snapshot
from swarm.observe.stores import Alive, is_running
from swarm.observe.views import ProgressView
from tui.feed import Feed, Observed, Unreadable
from tui.screens.help import Help
from tui.screens.overview import Overview
from tui.theme import DARK, LIGHT


class SwarmDashboard(App[None]):
    """Shows the peers under ``home`` (a swarm's home directory), which may appear later.

    ``on_quit`` is called once when the user asks to quit, before the screen closes: the launcher stops its swarm there.
    ``clock`` gives unix seconds, ``alive`` tells whether a process runs; both are handed in by tests.
    """

    CSS_PATH = "theme.tcss"
    TITLE = "RL Swarm"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c,ctrl+q", "leave", "Quit", show=False, priority=True),
        Binding("question_mark", "explain", "Help", key_display="?"),
        Binding("tab", "next_peer(1)", "Next peer", priority=True),
        Binding("shift+tab", "next_peer(-1)", "Previous peer", show=False, priority=True),
        Binding("d", "toggle_dark", "Dark / light"),
        *(Binding(str(key), f"choose_peer({key - 1})", f"Peer {key}", show=False) for key in range(1, 10)),
    ]

    def __init__(
        self,
        home: Path,
        on_quit: Callable[[], None] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        alive: Alive = is_running,
    ) -> None:
        super().__init__()
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name
        self.home = Path(home)
        self.peers: tuple[Snapshot, ...] = ()
        self.selected = 0
        self.first_look = asyncio.Event()
        self._host_progress: ProgressView | None = None
        self._unreadable = ""
        self._on_quit = on_quit
        self._clock = clock
        self._overview = Overview()
        self._feed = Feed(self.home, self.post_message, alive)

    def on_mount(self) -> None:
        self.push_screen(self._overview)
        self.run_worker(self._feed.run, thread=True, name="feed")
        self.set_interval(1.0, self._tick)

    def on_unmount(self) -> None:
        self._feed.stop()

    @on(Observed)
    def _observed(self, message: Observed) -> None:
        self.peers, self._host_progress, self._unreadable = message.peers, message.host_progress, ""
        self._show()
        self.first_look.set()

    @on(Unreadable)
    def _unreadable_logs(self, message: Unreadable) -> None:
        self._unreadable = message.why
        self._show()

    def action_next_peer(self, step: int) -> None:
        if self.peers:
            self.selected = (self.selected + step) % len(self.peers)
            self._show()

    def action_choose_peer(self, index: int) -> None:
        if index < len(self.peers):
            self.selected = index
            self._show()

    def action_toggle_dark(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def action_explain(self) -> None:
        if not isinstance(self.screen, Help):
            self.push_screen(Help())

    def action_leave(self) -> None:
        self._feed.stop()
        if self._on_quit is not None:
            callback, self._on_quit = self._on_quit, None
            callback()
        self.exit()

    def _show(self) -> None:
        self.selected = min(self.selected, max(0, len(self.peers) - 1))
        if self._overview.is_mounted:
            self._overview.show(self.peers, self.selected, self._host_progress, self._unreadable, self._clock())

    def _tick(self) -> None:
        if self._overview.is_mounted:
            self._overview.tick(self._clock())
