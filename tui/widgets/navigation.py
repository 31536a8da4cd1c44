"""Why this module exists: a person who sees one screen must see that there are others, and which key shows them."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click

from tui.widgets.panel import Panel, fit, row

_NAMES = ("overview", "round", "peers", "rollouts", "wallet", "disputes", "logs")


class Navigation(Panel[None]):
    """The top line: all screens with their keys, the present one marked. A click shows another."""

    def __init__(self, current: str, *, id: str) -> None:
        super().__init__(id=id)
        self._current = current
        self._places: list[tuple[int, int, str]] = []

    def draw(self, width: int, height: int) -> Content:
        line = row((" ◆ ", "bold $accent"))
        if width >= 96:
            line = row(line, ("RL Swarm   ", "bold $foreground"))
        self._places = []
        for number, name in enumerate(_NAMES, start=1):
            chosen = name == self._current
            back = " on $cursor" if chosen else ""
            start = line.cell_length
            line = row(
                line,
                (f" {number}", ("bold $primary" if chosen else "$primary") + back),
                (f" {name.capitalize()} ", ("bold $foreground" if chosen else "$faint") + back),
            )
            self._places.append((start, line.cell_length, name))
        return fit(line, width)

    async def on_click(self, event: Click) -> None:
        for start, end, name in self._places:
            if start <= event.x < end:
                await self.app.run_action(f"show_screen('{name}')")
