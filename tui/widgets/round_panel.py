"""Why this module exists: a peer that waits looks like a peer that hangs, unless the screen says what it waits for."""

from __future__ import annotations

from textual.content import Content

from protocol.events import Outcome
from swarm.observe.lines import outcome_words
from swarm.observe.snapshot import Snapshot
from swarm.observe.text import seconds_text
from swarm.observe.views import ProgressView, State
from tui.widgets.panel import Panel, ends, row, rows

STEPS = ("answer", "critique", "decide", "train", "contribute", "settle")
_WAITING = {
    "": "not started yet",
    "starting": "starting",
    "joined": "joined the swarm, waiting for a round to open",
    "open": "the round is open",
    "train": "training on own and shared rollouts",
    "contribute": "signing and publishing the contribution",
    "settle": "waiting until the round's result is on the chain",
    "between rounds": "waiting for the next round to open",
    "stopped": "stopped",
}


class RoundPanel(Panel[Snapshot]):
    """The six steps of a round, the one being played, and a bar for the time left."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Round")
        self.host_progress: ProgressView | None = None
        self.reading = False

    def draw(self, width: int, height: int) -> Content:
        shown = self.shown
        if shown is None:
            self.caption("Round")
            idle = "Reading the event logs…" if self.reading else "Waiting for the first peer to start…"
            return rows(*self._busy(self.host_progress, idle, width))
        me = shown.status
        level = f" · level {shown.level} of {shown.num_levels}" if shown.level else ""
        self.caption(f"Round {me.round}{level}" if me.round else "Round", self._last(shown))
        if me.progress is not None and me.phase not in STEPS:
            return rows(*self._busy(me.progress, "", width))
        return rows(self._steps(shown, width), self._time(shown, width))

    def _steps(self, shown: Snapshot, width: int) -> Content:
        phase = shown.status.phase
        over = phase in ("between rounds", "stopped") and shown.last_round == shown.status.round
        reached = len(STEPS) if over else STEPS.index(phase) if phase in STEPS else -1
        outcomes = {view.stage: view.outcome for view in shown.stages}
        gap = max(1, min(9, (width - sum(map(len, STEPS)) - 2 * len(STEPS) - 2) // (len(STEPS) - 1) - 2))
        line = row(" ")
        for index, step in enumerate(STEPS):
            outcome = outcomes.get(step)
            if outcome is not None and outcome is not Outcome.COMPLETE:
                mark, style = "!", "$warning"
            elif index < reached or outcome is not None:
                mark, style = "✓", "$success"
            elif index == reached:
                mark, style = "●", "bold $primary"
            else:
                mark, style = "○", "$faint"
            link = row((" " + "─" * gap + " ", "$line")) if index else row("")
            name = (step, "bold $foreground" if index == reached else "$faint" if mark == "○" else "$foreground")
            line = row(line, link, (f"{mark} ", style), name)
        return line

    def _time(self, shown: Snapshot, width: int) -> Content:
        me = shown.status
        if me.state is State.DIED:
            return row((" The process is gone; start it again and it goes on where it was.", "$error"))
        if me.progress is not None and me.closes_at is None:
            return self._busy(me.progress, "", width)[1 if me.progress.total else 0]
        if me.closes_at is None or me.phase_since is None:
            return row((f" {_WAITING.get(me.phase, me.phase)}", "$faint"), (self._waited(me.phase_since), "$faint"))
        left = max(0.0, me.closes_at - self.now)
        span = max(1e-9, me.closes_at - me.phase_since)
        words = f" {seconds_text(left)} left" if left > 0 else " time is up"
        label = row((words.rjust(13), "bold $foreground" if left > 0 else "$warning"),
                    (f" for {me.phase} " if self.wide else " ", "$faint"))  # fmt: skip
        return row(" ", bar(left / span, width - label.cell_length - 2, "$primary" if left > 5 else "$warning"), label)

    def _waited(self, since: float | None) -> str:
        return f" · {seconds_text(self.now - since)}" if since is not None and self.now - since >= 1 else ""

    def _busy(self, busy: ProgressView | None, idle: str, width: int) -> tuple[Content, Content]:
        if busy is None:
            return row((f" {idle}", "$faint")), row("")
        took = row((f"{seconds_text(self.now - busy.at)} ", "$faint")) if self.now > busy.at else row(" ")
        done = row((f" {busy.done} of {busy.total} ", "$faint")) if busy.total > 0 else row((" working ", "$faint"))
        share = min(1.0, busy.done / busy.total) if busy.total > 0 else 0.0
        first = ends(row((f" {busy.what}", "bold $foreground")), took, width)
        return first, row(" ", bar(share, width - done.cell_length - 1, "$accent"), done)

    def _last(self, shown: Snapshot) -> Content | None:
        if shown.last_outcome is None:
            return None
        words = outcome_words(shown.last_outcome) if self.wide else shown.last_outcome.value.replace("_", " ")
        style = "$success" if shown.last_outcome is Outcome.COMPLETE else "$warning"
        return row((f"round {shown.last_round} ", "$faint"), (words, style))


def bar(share: float, width: int, style: str) -> Content:
    """A horizontal bar with half-cell steps."""
    width = max(1, width)
    halves = round(max(0.0, min(1.0, share)) * width * 2)
    full, half = divmod(halves, 2)
    rest = width - full - half
    return row(("━" * full, style), ("╸" * half, style), ("━" * rest, "$line"))
