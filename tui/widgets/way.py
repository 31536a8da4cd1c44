"""Why this module exists: seven steps lie between work and wallet; a line shows how many a contribution has passed."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.custody import WayView
from swarm.observe.text import credits_short, short_id
from tui.widgets.panel import Panel, fit, row, rows

_STEPS = ("produced", "published", "seen", "verified", "credited", "settled", "claimed")
_SHORT = ("prod", "publ", "seen", "check", "credit", "settl", "claim")
_WIDE_WIDTHS = (11, 12, 9, 11, 11, 10, 8)
_NARROW_WIDTHS = (5, 5, 6, 6, 7, 6, 6)
_ROOMY = 110

_Cell = tuple[str, str]


def _layout(width: int) -> tuple[tuple[str, ...], tuple[int, ...], int, int]:
    """Heads, widths of the steps, width of the name, and of the missing step."""
    roomy = width >= _ROOMY
    widths = _WIDE_WIDTHS if roomy else _NARROW_WIDTHS
    room = max(8, width - sum(widths) - 2)
    name = min(28 if roomy else 20, room)
    return (_STEPS if roomy else _SHORT), widths, name, max(0, room - name - 1)


def head(width: int) -> Content:
    """The names of the columns."""
    names, widths, name, missing = _layout(width)
    cells = "".join(word.ljust(cell) for word, cell in zip(names, widths, strict=True))
    return fit(row(("  " + "peer".ljust(name) + cells + ("missing" if missing >= 7 else ""), "$faint")), width)


def way_line(way: WayView, width: int) -> Content:
    """One contribution as a line of marks, joined as far as it came, and the step that is missing."""
    _, widths, name, missing = _layout(width)
    roomy = width >= _ROOMY
    cells = _cells(way)
    line = row(
        ("▸ " if way.me else "  ", "bold $primary"),
        fit(row((way.nickname, "bold $foreground" if way.me else "$foreground")), name - 1), " ",
    )  # fmt: skip
    for index, ((text, style), cell) in enumerate(zip(cells, widths, strict=True)):
        shown = text[: cell - 1]
        reached = index + 1 < len(cells) and cells[index + 1][1] not in ("$faint", "$error", "bold $error")
        gap = cell - len(shown)
        link = " " + "─" * (gap - 2) + " " if roomy and reached and gap > 2 else " " * gap
        line = row(line, (shown, style), (link, "$line"))
    if missing >= 7:
        line = row(line, fit(row((way.missing.partition(":")[0], _missing_style(way))), missing))
    return line


def _cells(way: WayView) -> tuple[_Cell, ...]:
    done, todo = ("✓", "$success"), ("○", "$faint")
    lost = ("✗", "bold $error")
    missing = way.missing.partition(":")[0]

    def step(name: str, happened: bool) -> _Cell:
        return done if happened else lost if way.is_lost and missing == name else todo

    seen = (f"{way.seen_by}/{way.seen_of}", "$success" if way.seen_by else "$faint")
    if way.num_accusers:
        checked: _Cell = (f"✗ {way.num_accusers}", "bold $error")
    elif way.checked_level:
        checked = (f"✓ L{way.checked_level}", "$success")
    elif way.checked_level == 0:
        checked = ("L0", "$foreground")
    else:
        checked = ("–", "$foreground") if way.settled else todo
    credit = step("credited", False) if way.credited_micro is None else (credits_short(way.credited_micro), "$success")
    settled = lost if way.struck else step("settled", way.settled)
    claimed = ("?", "$faint") if way.claimed is None and way.settled else step("claimed", bool(way.claimed))
    return step("produced", way.produced), step("published", way.published), seen, checked, credit, settled, claimed


def _missing_style(way: WayView) -> str:
    return "bold $error" if way.is_lost else "$warning" if way.missing else "$success"


class WayDetail(Panel[WayView]):
    """The marked contribution in words."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="This contribution")

    def draw(self, width: int, height: int) -> Content:
        way = self.shown
        if way is None:
            self.caption("This contribution")
            return row((" Contributions appear here when a round opens.", "$faint"))
        whose = " (this peer)" if way.me else " (another peer of this machine)" if way.local else ""
        self.caption(f"{way.nickname}{whose}")
        if way.missing:
            step, _, why = way.missing.partition(": ")
            state = row((" lost at " if way.is_lost else " missing ", "$faint"), (step, _missing_style(way)),
                        (f": {why}" if why else "", "$foreground"))  # fmt: skip
        elif way.claimed:
            state = row((" ✓ ", "$success"), ("all the way: its tokens are in the wallet", "$foreground"))
        else:
            state = row((" ✓ ", "$success"), ("paid; claiming is its owner's business", "$foreground"))
        content = way.content if width > 110 else short_id(way.content) if way.content else ""
        facts = row((" contribution ", "$faint"), content or "–", ("   seen by ", "$faint"),
                    f"{way.seen_by} of {way.seen_of}")  # fmt: skip
        checks = row((" checks ", "$faint"), self._checks(way))
        if way.expected_micro is not None and way.credited_micro is None:
            checks = row(checks, ("   expected ", "$faint"), credits_short(way.expected_micro))
        lines = [state, facts, checks, row((" peer ", "$faint"), way.peer)]
        return rows(*(fit(line, width) for line in lines[:height]))

    def _checks(self, way: WayView) -> tuple[str, str]:
        if way.num_accusers:
            return f"{way.num_accusers} found another result", "bold $error"
        if way.checked_level:
            what = "sampled rollouts" if way.checked_level == 1 else "sampled rollouts and the training step"
            return f"{what} done again by {way.num_checks}: the same", "$success"
        if way.checked_level == 0:
            return "scores only: what this run's engine computes cannot be done again", "$foreground"
        return "nobody has told of one", "$faint"
