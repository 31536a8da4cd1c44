"""Why this module exists: before its contributions, a round itself: how it went, stage by stage, and who signed it."""

from __future__ import annotations

import time

from textual.content import Content

from protocol.events import Outcome
from swarm.observe.custody import RoundDetail
from swarm.observe.lines import outcome_words
from swarm.observe.queries import NOT_COMPLETED
from swarm.observe.text import seconds_text
from tui.widgets.panel import Panel, ends, fit, row, rows


class RoundFacts(Panel[RoundDetail]):
    """Three lines: outcome and time; stages; result and training step."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Round")

    def draw(self, width: int, height: int) -> Content:
        one = self.shown
        if one is None:
            self.caption("Round")
            return row((" No round has opened yet.", "$faint"))
        self.caption(f"Round {one.round} of {one.first_round} to {one.last_round}")
        lines = (self._first(one, width), self._stages(one), self._result(one), self._history(one, width))
        return rows(*(fit(line, width) for line in lines[:height]))

    def _first(self, one: RoundDetail, width: int) -> Content:
        if one.outcome is None:
            went = row((" ● ", "bold $primary"), ("being played", "bold $foreground"))
        else:
            good = one.outcome is Outcome.COMPLETE
            words = outcome_words(one.outcome)
            went = row((" ✓ " if good else " ! ", "$success" if good else "bold $warning"), (words, "bold $foreground"))
        who = row((f"   {one.num_members} members, cohort of {one.num_cohort}", "$faint"))
        return ends(row(went, who), row((self._when(one), "$faint"), " "), width)

    def _history(self, one: RoundDetail, width: int) -> Content:
        """The rounds around this one, a sign each."""
        room = max(1, (width - 12) // 2)
        place = next((index for index, (number, _) in enumerate(one.history) if number == one.round), 0)
        start = max(0, min(len(one.history) - room, place - room // 2))
        line = row((" rounds ", "$faint"))
        for number, outcome in one.history[start : start + room]:
            if outcome is None:
                sign, style = "●", "$primary"
            elif outcome is Outcome.COMPLETE:
                sign, style = "■", "$success"
            else:
                sign, style = "■", "$error" if outcome in NOT_COMPLETED else "$warning"
            chosen = number == one.round
            line = row(line, ("▕" if chosen else " ", "bold $foreground"), (sign, f"bold {style}" if chosen else style))
        return row(line, ("▏" if one.history and one.history[-1][0] == one.round else " ", "bold $foreground"))

    def _when(self, one: RoundDetail) -> str:
        if one.opened_at is None:
            return ""
        if one.ended_at is not None:
            return f"ended {_clock(one.ended_at)}, took {seconds_text(one.ended_at - one.opened_at)}"
        return f"opened {seconds_text(self.now - one.opened_at)} ago"

    def _stages(self, one: RoundDetail) -> Content:
        line = row(" ")
        for stage in one.stages:
            if stage.outcome is Outcome.COMPLETE:
                mark, style = "✓", "$success"
            elif stage.outcome is not None:
                mark, style = "!", "bold $warning"
            else:
                mark, style = ("●", "bold $primary") if stage.started else ("○", "$faint")
            line = row(line, (f"{mark} ", style), (stage.stage, "$foreground" if stage.started else "$faint"))
            if stage.missing:
                names = ", ".join(stage.missing[:2]) + (f" +{len(stage.missing) - 2}" if len(stage.missing) > 2 else "")
                line = row(line, (f" without {names}", "$warning"))
            line = row(line, "   ")
        if one.num_own is not None:
            loss = "not finite" if one.loss is None else f"{one.loss:.4f}"
            line = row(
                line, ("✓ ", "$success"), ("train", "$foreground"),
                (f" loss {loss}, {one.num_own} own + {one.num_external} shared", "$faint"),
                (f", {one.num_tokens:,} tokens, {seconds_text(one.step_s or 0)}" if self.wide else "", "$faint"),
            )  # fmt: skip
        return line

    def _result(self, one: RoundDetail) -> Content:
        if one.settled_at is not None:
            of = f"proposed by {one.poster}, " if one.poster else ""
            line = row((" ✓ ", "$success"), ("result recorded", "$foreground"), 
                       (f" {_clock(one.settled_at)}, ", "$faint"),
                       (f"{of}signed by {one.num_signers}", "$faint"))  # fmt: skip
        elif one.num_proposals:
            line = row((" ● ", "bold $primary"), (f"{one.num_proposals} result(s) proposed", "$foreground"),
                       (f", signed by {one.num_signers} so far", "$faint"))  # fmt: skip
        elif one.outcome is not None:
            line = row((" ✗ ", "$error"), ("no result recorded", "$foreground"))
        else:
            line = row((" ○ ", "$faint"), ("no result proposed yet", "$faint"))
        return row(line, (f"   {one.num_rejected} records dropped", "$warning")) if one.num_rejected else line


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at)) + " UTC"
