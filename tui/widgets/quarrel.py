"""Why this module exists: a line per dispute: who against whom, about what, how far, and whose turn."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.disputes import DisputeView
from swarm.observe.text import credits_short, seconds_text, short_id
from tui.widgets.panel import ends, fit, row

NUMBER, ABOUT, PARTIES, SHORT_ID = 10, 52, 32, 8
"""Cells of a line's columns."""


_TURNS = {"trace": "defender", "reveal": "defender", "chunk": "defender", "parts": "defender", "pick": "challenger",
          "element": "challenger", "leaf": "challenger"}  # fmt: skip
"""Whose move a phase waits for."""


def turn_of(game: DisputeView) -> str:
    """The side that must move, or nothing."""
    return "" if game.winner else _TURNS.get(game.phase, "")


def game_head(width: int) -> Content:
    """The names of the columns."""
    parties = "challenger against defender".ljust(PARTIES) if width >= 110 else ""
    line = " game".ljust(NUMBER) + "about".ljust(ABOUT) + parties
    return fit(ends(row((line, "$faint")), row(("state ", "$faint")), width), width)


def first_columns(name: str, about: str) -> list[Content]:
    """A line's number and what it is about."""
    return [
        fit(row((f" {name[:SHORT_ID]}", "bold $primary")), NUMBER - 1), row(" "),
        fit(row((about, "$foreground")), ABOUT - 1), row(" "),
    ]  # fmt: skip


def game_line(game: DisputeView, width: int, now: float) -> Content:
    """One dispute."""
    about = f"{game.nickname}, round {game.round}, {game.subject}"
    parts = first_columns(game.game, about)
    if width >= 110:
        sides = [
            ("you" if game.side == side else short_id(address), "bold $accent" if game.side == side else "$foreground")
            for side, address in (("challenger", game.challenger), ("defender", game.defender))
        ]
        parts.append(fit(row(sides[0], (" against ", "$faint"), sides[1]), PARTIES))
    return ends(row(*parts), row(state(game, now), " "), width)


def state(game: DisputeView, now: float) -> Content:
    """How it stands: who won, or whose turn it is and for how long."""
    if game.winner:
        taken = f", {credits_short(game.slashed_micro)} taken" if game.slashed_micro else ""
        mine = game.side == game.winner
        style = "bold $success" if mine or not game.side else "bold $error"
        return row(
            (f"{game.winner} won", style), (f" by {'the clock' if game.by_clock else 'the leaf'}{taken}", "$faint")
        )
    turn = turn_of(game) or "nobody"
    left = game.deadline_at - now
    clock = f"{seconds_text(left)} left" if left > 0 else "time is up"
    style = "bold $accent" if turn == game.side else "$foreground"
    return row(
        ("your turn" if turn == game.side else f"{turn}'s turn", style),
        (f", {clock}", "$warning" if left < 60 else "$faint"),
    )
