"""Why this module exists: time that neither generates nor trains is waste; the owner should see where it goes."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.snapshot import NUM_TIMED_ROUNDS, Snapshot
from tui.widgets.panel import Panel, row, rows

_PARTS = (
    ("generate", "$primary"), ("train", "$secondary"), ("wait", "$warning"), ("network", "$accent"),
    ("chain", "$success"), ("other", "$faint"),
)  # fmt: skip
_SHORT = {"generate": "gen", "network": "net"}
_ROOMY = 66
_GOOD_OVERHEAD = 0.2


class TimeSplitPanel(Panel[Snapshot]):
    """A bar of the last rounds' time and what each part is called."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Time")

    def draw(self, width: int, height: int) -> Content:
        split = self.shown.time if self.shown else None
        if split is None or split.total_s <= 0:
            self.caption("Time")
            return row((" No round has ended yet.", "$faint"))
        overhead = split.overhead_share
        style = "$success" if overhead < _GOOD_OVERHEAD else "$warning"
        note = row(("overhead ", "$faint"), (f"{100 * overhead:.0f} %", style))
        self.caption(f"Time of the last {NUM_TIMED_ROUNDS} rounds" if self.wide else "Time, %", note)
        room = width - 2
        bar, used, legend = row(" "), 0, row(" ")
        total = 0.0
        for name, style in _PARTS:
            share = split.shares.get(name, 0.0)
            total += share
            cells = round(total * room) - used
            used += cells
            bar = row(bar, ("█" * cells, style))
            if share >= 0.005:
                percent = f"{100 * share:.0f}" + ("%" if self.wide else "")
                if width >= _ROOMY:
                    legend = row(legend, ("■ ", style), (f"{name} ", "$faint"), (f"{percent}  ", "$foreground"))
                else:
                    legend = row(legend, (f"{_SHORT.get(name, name)} ", style), (f"{percent} ", "$foreground"))
        return rows(bar, legend) if height > 1 else legend
