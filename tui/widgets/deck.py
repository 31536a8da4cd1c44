"""Why this module exists: a recording is played like any other: pause, speed, and a bar to jump on."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click

from swarm.observe.text import seconds_text
from tui.playing import Deck
from tui.widgets.panel import Panel, row, rows


class DeckBar(Panel[Deck]):
    """The controls of a replay; a click on the bar jumps there."""

    _bar: tuple[int, int] = (0, 1)

    def draw(self, width: int, height: int) -> Content:
        deck = self.shown
        if deck is None:
            return row("")
        over = deck.now >= deck.last_at
        sign, style = ("▶", "bold $success") if deck.playing and not over else ("⏸", "bold $warning")
        word = "end" if over else f"{deck.speed:g}×"
        number = next((mark.round for mark in reversed(deck.rounds) if mark.opened_at <= deck.now), 0)
        last = deck.rounds[-1].round if deck.rounds else 0
        left = row(
            (f" {sign} ", style), (word.ljust(6), "$foreground"), ("round ", "$faint"),
            (f"{number}", "bold $primary"), (f" of {last} ", "$faint"),
        )  # fmt: skip
        done, whole = deck.now - deck.first_at, max(1e-9, deck.last_at - deck.first_at)
        right = row((f" {seconds_text(done)} of {seconds_text(whole)} ", "$faint"))
        room = max(4, width - left.cell_length - right.cell_length)
        self._bar = (left.cell_length, room)
        place = min(room - 1, round(done / whole * (room - 1)))
        marks = {round((mark.opened_at - deck.first_at) / whole * (room - 1)) for mark in deck.rounds}
        few = len(deck.rounds) * 3 <= room
        cells = [
            ("●", "bold $accent")
            if cell == place
            else ("┴" if few and cell in marks else "─", "$accent" if cell < place else "$line")
            for cell in range(room)
        ]
        first = row(left, *cells, right)
        if height < 2:
            return first
        keys = (("space", "pause"), ("- +", "speed"), (", .", "round"), ("< >", "scrub"))
        hint = row("   ", *(part for key, what in keys for part in ((key, "$primary"), (f" {what}   ", "$faint"))))
        return rows(first, hint)

    def on_click(self, event: Click) -> None:
        start, room = self._bar
        player = getattr(self.app, "player", None)
        if self.shown is not None and player is not None and event.y == 0 and start <= event.x < start + room:
            whole = self.shown.last_at - self.shown.first_at
            player.seek(self.shown.first_at + whole * (event.x - start) / max(1, room - 1))
            self.app.look_again()  # type: ignore[attr-defined]
