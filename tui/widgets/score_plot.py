"""Why this module exists: "does it learn?" is answered by two curves: game scores, and held-out accuracy."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.lines import percent
from swarm.observe.snapshot import Snapshot
from tui.widgets.braille import Cell, Curve, draw
from tui.widgets.panel import Panel, fit, row, rows

_MAX_OTHERS = 7
"""Curves of other peers drawn: as many as a default cohort has."""

_MARGIN = 6
_FIRST_ROUNDS = 5
"""The axis reaches this round from the start, so that the first points are not stretched over the whole width."""


class ScorePlot(Panel[Snapshot]):
    """Mean score per round of the shown peer (bright) and of the others (dim), and held-out accuracy (marked)."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Learning")
        self._plotted: tuple[tuple[object, ...], Content] | None = None

    def draw(self, width: int, height: int) -> Content:
        shown = self.shown
        curves = _curves(shown) if shown else []
        self.caption("Learning", _legend(shown, self.wide) if shown and curves else None)
        if not curves:
            return fit(row((" Curves appear here as rounds are played.", "$faint")), width)
        state = curves, width, height
        if self._plotted is None or self._plotted[0] != state:  # most news is no news of a score
            self._plotted = state, _plot(curves, width, height)
        return self._plotted[1]


def _plot(curves: list[Curve], width: int, height: int) -> Content:
    """The curves in their axes."""
    last = max(_FIRST_ROUNDS, *(int(curve.points[-1][0]) for curve in curves))
    low, high = _span([y for curve in curves for _, y in curve.points])
    inner, lines = max(4, width - _MARGIN - 1), max(2, height - 1)
    ticks = {0: high, lines - 1: low} | ({lines // 2: (low + high) / 2} if lines % 2 else {})
    first = min(int(curve.points[0][0]) for curve in curves)
    first = 0 if first <= 1 else first
    cells = draw(curves, inner, lines, (first, last), (low, high), list(ticks), "$line")
    drawn = [
        row((f"{ticks[index]:4.0f}% " if index in ticks else " " * _MARGIN, "$faint"), *runs(line))
        for index, line in enumerate(cells)
    ]
    return rows(*drawn, row((" " * _MARGIN + _axis(first, last, inner), "$faint")))


def _curves(shown: Snapshot) -> list[Curve]:
    others = [peer for peer in shown.peers if not peer.me and peer.scores][:_MAX_OTHERS]
    mine = [peer for peer in shown.peers if peer.me and peer.scores]
    curves = [Curve([(number, milli / 10) for number, milli in peer.scores], "$faint") for peer in others]
    curves += [Curve([(number, milli / 10) for number, milli in peer.scores], "$primary") for peer in mine]
    if shown.accuracy:
        curves.append(Curve([(number, milli / 10) for number, milli in shown.accuracy], "$accent", "◆"))
    return curves


def _span(values: list[float]) -> tuple[float, float]:
    """Steps of 25 around the values, at least 50 wide: the axis moves seldom, and the curves fill it."""
    low = min(50.0, min(values) // 25 * 25)
    return max(0.0, low), min(100.0, max(low + 50, -(-max(values) // 25) * 25))


def runs(line: list[Cell]) -> list[tuple[str, str]]:
    """Neighbouring cells of one style, joined."""
    runs: list[tuple[str, str]] = []
    for character, style in line:
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + character, style)
        else:
            runs.append((character, style))
    return runs


def _axis(first: int, last: int, width: int) -> str:
    """Round numbers under their places: the ends, and round steps between where they fit."""
    span = max(1, last - first)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**12) if span / step <= max(2, width // 8))
    line = [" "] * width
    for number in (last, first, *range(-(-first // step) * step, last, step)):
        text = str(number)
        start = min(width - len(text), max(0, round((number - first) / span * (width - 1)) - len(text) // 2))
        if start < 0:
            continue
        around = line[max(0, start - 1) : start + len(text) + 1]
        if all(character == " " for character in around):
            line[start : start + len(text)] = text
    return "".join(line)


def _legend(shown: Snapshot, wide: bool) -> Content:
    me = next((peer for peer in shown.peers if peer.me), None)
    parts = []
    if me is not None and me.scores:
        parts.append(row(("━ ", "$primary"), ("score " if wide else "", "$faint"), percent(me.scores[-1][1])))
    if wide and any(peer.scores for peer in shown.peers if not peer.me):
        parts.append(row(("━ ", "$faint"), ("others", "$faint")))
    if shown.accuracy:
        words = "held-out accuracy " if wide else ""
        parts.append(row(("◆ ", "$accent"), (words, "$faint"), percent(shown.accuracy[-1][1])))
    return Content("   " if wide else "  ").join(parts)
