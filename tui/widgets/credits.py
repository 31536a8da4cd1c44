"""Why this module exists: people want to see what they earned, and, when it is missing, at which step."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.snapshot import Snapshot
from swarm.observe.text import credits_short
from tui.widgets.panel import Panel, fit, row, rows

_ROOMY = 50


class CreditsPanel(Panel[Snapshot]):
    """Earned, settled and claimed credits; the steps that the newest contribution has passed."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Credits")

    def draw(self, width: int, height: int) -> Content:
        if self.shown is None:
            return row((" Nothing earned yet.", "$faint"))
        money = self.shown.status.credits
        roomy = width >= _ROOMY
        numbers = row(" ")
        for name, micro, style in (
            ("earned", money.earned_micro, "bold $foreground"),
            ("settled", money.settled_micro, "bold $primary"),
            ("claimed", money.claimed_micro, "bold $success"),
        ):
            if roomy or name != "earned" or micro != money.settled_micro:
                numbers = row(numbers, (credits_short(micro), style), (f" {name}" + "  " * (1 + roomy), "$faint"))
        lines = [numbers, self._custody()] if height > 1 else [numbers]
        return rows(*(fit(line, width) for line in lines))

    def _custody(self) -> Content:
        custody = self.shown.custody if self.shown else None
        if custody is None:
            return row((" no contribution yet", "$faint"))
        line = row((f" round {custody.round}: " if self.wide else " ", "$faint"))
        for name, done in (("signed", custody.signed), ("attested", custody.attested), ("settled", custody.settled)):
            mark, style = ("✓", "$success") if done else ("○", "$faint")
            line = row(line, (f"{mark} ", style), (f"{name}  ", "$foreground" if done else "$faint"))
        return line
