"""Why this module exists: people run a swarm to watch it; this is the live view, made from the event logs alone.

The dashboard never talks to a node: closing it, or starting it later, changes nothing for the peers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.filter import LineFilter
from textual.screen import Screen

from swarm.observe.stores import Alive, Stores, is_running
from swarm.observe.views import PeerStatus, ProgressView
from tui.feed import Feed, Look, Observed, Source, Unreadable
from tui.glyphs import PlainSigns, shows_unicode
from tui.outbox import Outbox
from tui.playing import Player
from tui.screens import SCREENS
from tui.screens.base import Seen, SwarmScreen
from tui.screens.help import Help
from tui.theme import THEMES, theme_for


class SwarmDashboard(App[None]):
    """Shows the peers under ``home`` (a swarm's home directory), which may appear later.

    ``on_quit`` is called once when the user asks to quit, before the screen closes: a launcher stops its swarm there.
    ``player``: show its recording instead. ``outbox``: reads what the peers have to send. ``peer``: shown first.
    ``owns_swarm``: quitting ends the peers. ``color_system`` and ``unicode``: what the terminal can show, found out
    when left out. ``clock`` gives unix seconds, ``alive`` tells whether a process runs;
    both are handed in by tests.
    """

    CSS_PATH = "theme.tcss"
    TITLE = "RL Swarm"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_DISPLAY = "^p"
    MODES: ClassVar[dict[str, Any]] = {kind.NAME: kind for kind in SCREENS}
    DEFAULT_MODE = SCREENS[0].NAME
    BINDINGS: ClassVar = [
        *(
            Binding(str(number), f"show_screen('{kind.NAME}')", kind.NAME.capitalize(), show=False)
            for number, kind in enumerate(SCREENS, start=1)
        ),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c,ctrl+q", "leave", "Quit", show=False, priority=True),
        Binding("question_mark", "explain", "Help", key_display="?"),
        Binding("tab", "next_peer(1)", "Next peer", priority=True),
        Binding("shift+tab", "next_peer(-1)", "Previous peer", show=False, priority=True),
        Binding("d", "toggle_dark", "Dark/light", show=False),
        Binding("space", "deck('toggle')", "Pause", show=False),
        Binding("plus,equals_sign", "deck('faster')", "Faster", show=False),
        Binding("minus", "deck('slower')", "Slower", show=False),
        Binding("less_than_sign", "deck('back')", "Back", show=False),
        Binding("greater_than_sign", "deck('ahead')", "Ahead", show=False),
        Binding("comma", "deck('round_back')", "Round back", show=False),
        Binding("full_stop", "deck('round_ahead')", "Round ahead", show=False),
    ]

    def __init__(
        self,
        home: Path,
        on_quit: Callable[[], None] | None = None,
        *,
        player: Callable[[], Player] | None = None,
        outbox: Outbox | None = None,
        peer: str = "",
        owns_swarm: bool = True,
        dark: bool = True,
        color_system: str | None = None,
        unicode: bool | None = None,
        clock: Callable[[], float] = time.time,
        alive: Alive = is_running,
    ) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self._dark = dark
        self._color_system = color_system or self.console.color_system
        self.theme = theme_for(self._color_system, dark=dark)
        if not (shows_unicode() if unicode is None else unicode):
            self._plain_signs: list[LineFilter] = [PlainSigns()]
        else:
            self._plain_signs = []
        self.home = Path(home)
        self.owns_swarm = owns_swarm
        self.outbox = outbox
        self.player: Player | None = None
        self.peers: tuple[PeerStatus, ...] = ()
        self.selected = 0
        self.first_look = asyncio.Event()
        self._first_peer = peer
        self._view: object = None
        self._shown_look: Look | None = None
        self._host_progress: ProgressView | None = None
        self._unreadable = ""
        self._on_quit = on_quit
        self._clock = clock
        self.alive = alive if player is None else _always
        self._open_player = player
        self._feed = Feed(self._open_source, self.post_message, self.alive)

    def get_line_filters(self) -> list[LineFilter]:
        return [*super().get_line_filters(), *self._plain_signs]

    def on_mount(self) -> None:
        self._feed.want(self._look())
        self.run_worker(self._feed.run, thread=True, name="feed")
        self.set_interval(1.0, self._tick)

    def on_unmount(self) -> None:
        self._feed.stop()

    @property
    def now(self) -> float:
        """Unix seconds: of the recording in a replay."""
        return self.player.now() if self.player is not None else self._clock()

    @property
    def shown_screen(self) -> SwarmScreen | None:
        """The screen below whatever lies on top; none once the dashboard takes itself down, piece by piece."""
        if not self.is_running:
            return None
        stack = self.screen_stack
        return next((screen for screen in reversed(stack) if isinstance(screen, SwarmScreen)), None)

    @property
    def is_settled(self) -> bool:
        """Whether the screen shows what it asked for last."""
        screen = self.shown_screen
        is_there = screen is not None and screen.is_ready
        return is_there and self._shown_look is not None and (not self.peers or self._shown_look == self._look())

    @on(Observed)
    def _observed(self, message: Observed) -> None:
        self.peers, self._host_progress, self._unreadable = message.peers, message.host_progress, ""
        if self._first_peer and self.peers:
            names = [peer.name for peer in self.peers]
            self.selected = names.index(self._first_peer) if self._first_peer in names else 0
            self._first_peer = ""
        self.selected = min(self.selected, max(0, len(self.peers) - 1))
        wanted = self._look()
        self._shown_look = message.look
        if message.look == wanted or (not message.look.peer and self.selected == 0):
            self._view = message.view
        self.show_news()
        if message.look != self._look():
            self.look_again()

    @on(Unreadable)
    def _unreadable_logs(self, message: Unreadable) -> None:
        self._unreadable = message.why
        self.show_news()

    def look_again(self) -> None:
        """The screen wants to know something else, or another peer is to be shown."""
        self._feed.want(self._look())

    async def action_show_screen(self, name: str) -> None:
        if name != self.current_mode:
            self._view = None
            await self.switch_mode(name)
            self.show_news()
            self.look_again()

    def action_next_peer(self, step: int) -> None:
        if self.peers:
            self._select((self.selected + step) % len(self.peers))

    def action_toggle_dark(self) -> None:
        self._dark = not self._dark
        self.theme = theme_for(self._color_system, dark=self._dark)

    def action_explain(self) -> None:
        screen = self.shown_screen
        if screen is not None and not isinstance(self.screen, Help):
            self.push_screen(Help(screen.NAME, screen.WORDS, replay=self.player is not None))

    def action_deck(self, button: str) -> None:
        """A button of a replay's controls; nothing without one."""
        player = self.player
        if player is None:
            return
        step_s = (player.deck().last_at - player.deck().first_at) / 50
        {
            "toggle": player.toggle,
            "faster": lambda: player.change_speed(1),
            "slower": lambda: player.change_speed(-1),
            "back": lambda: player.skip(-step_s),
            "ahead": lambda: player.skip(step_s),
            "round_back": lambda: player.skip_rounds(-1),
            "round_ahead": lambda: player.skip_rounds(1),
        }[button]()
        self._feed.wake()
        self._tick()

    def action_leave(self) -> None:
        self._feed.stop()
        if self._on_quit is not None:
            callback, self._on_quit = self._on_quit, None
            callback()
        self.exit()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        from tui.palette import commands

        return commands(self)

    def choose(self, name: str) -> None:
        """Show the peer in this folder."""
        self._select(next((index for index, peer in enumerate(self.peers) if peer.name == name), self.selected))

    def _select(self, index: int) -> None:
        if index != self.selected:
            self.selected, self._view = index, None
            self.show_news()
            self.look_again()

    def _open_source(self) -> Source:
        if self._open_player is None:
            return Stores(self.home)
        self.player = self._open_player()
        return self.player

    def _look(self) -> Look:
        screen = self.shown_screen
        name = self.peers[self.selected].name if self.peers else ""
        return Look(name, screen.gather() if screen is not None else None)

    def _seen(self) -> Seen:
        deck = self.player.deck() if self.player is not None else None
        return Seen(
            self.peers,
            self.selected,
            self._view,
            self._host_progress,
            self._unreadable,
            self.now,
            deck,
            self._shown_look is None,
        )

    def show_news(self) -> None:
        """Give the present screen what is known; one that is not there yet asks for it itself."""
        screen = self.shown_screen
        if screen is not None and screen.is_ready:
            screen.show(self._seen())
        if self.is_settled:
            self.first_look.set()

    def _tick(self) -> None:
        screen = self.shown_screen
        if screen is not None and screen.is_ready:
            screen.tick(self._seen())


class Attached(SwarmDashboard):
    """A dashboard that somebody else's peers, or a recording, are watched with: leaving it ends nothing."""

    BINDINGS: ClassVar = [Binding("q", "leave", "Leave")]


def _always(_pid: int, _at: float) -> bool:
    """In a recording whoever has not stopped is there."""
    return True
