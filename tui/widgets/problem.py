"""Why this module exists: a person must learn what went wrong, what it costs, and what to do, without reading a log."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.text import seconds_text
from swarm.observe.views import PeerStatus
from tui.widgets.panel import Panel, fit, row, rows


class ProblemBar(Panel[PeerStatus]):
    """The last problem in words. Red while it lasts; one quiet line when there is none or it is over.

    ``brief``: one line, too, where the screen is short.
    """

    GROWS = True

    def __init__(self, *, id: str, brief: bool = False) -> None:
        super().__init__(id=id)
        self.brief = brief
        self.unreadable = ""

    def draw(self, width: int, height: int) -> Content:
        problem = self.shown.problem if self.shown else None
        lasting = bool(self.unreadable) or (problem is not None and problem.recovered_at is None)
        self.set_class(lasting, "-lasting")
        if self.unreadable:
            return fit(row((" ! ", "bold $error"), f"The event logs cannot be read: {self.unreadable}"), width)
        if problem is None:
            return fit(row((" ✓ ", "$success"), ("No problems.", "$faint")), width)
        if lasting and self.brief and not self.tall:
            words = row(
                (" ! ", "bold $error"), (problem.what, "bold $foreground"), (f" {problem.next_step}", "$warning")
            )
            return fit(words, width)
        ago = seconds_text(self.now - problem.at) + " ago"
        if not lasting:
            return fit(row((" ✓ ", "$success"), (f"Over: {problem.what} ({ago})", "$faint")), width)
        words = row((problem.what, "bold $foreground"), (f" ({ago}) ", "$faint"), problem.so_what)
        step = row((problem.next_step, "$warning")) if problem.next_step else row("")
        body = rows(*words.wrap(width - 4)[:2], *step.wrap(width - 4)[:2]) if problem.next_step else words
        first, *rest = body.split("\n")
        return rows(row((" ! ", "bold $error"), first), *(row("   ", line) for line in rest))
