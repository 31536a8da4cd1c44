"""Why this module exists: several peers run on one machine; this line says which there are and which one is shown."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.snapshot import Snapshot
from swarm.observe.views import State
from tui.widgets.panel import Panel, fit, row

DOTS = {
    State.RUNNING: ("●", "$success"),
    State.STOPPED: ("○", "$faint"),
    State.DIED: ("✕", "$error"),
    State.NEW: ("·", "$faint"),
}


class PeerTabs(Panel):
    """The top line."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.peers: tuple[Snapshot, ...] = ()
        self.selected = 0

    def show_all(self, peers: tuple[Snapshot, ...], selected: int) -> None:
        self.peers, self.selected = peers, selected
        self.redraw()

    def draw(self, width: int, height: int) -> Content:
        line = row((" ◆ ", "bold $accent"), ("RL Swarm", "bold $foreground"), "  ")
        room = max(6, (width - 14) // max(1, len(self.peers)) - 6)
        for index, peer in enumerate(self.peers):
            dot, colour = DOTS[peer.status.state]
            chosen = index == self.selected
            name = peer.status.nickname
            name = name if len(name) <= room else name[: room - 1] + "…"
            back = " on $panel" if chosen else ""
            key = str(index + 1) if index < 9 else " "
            line = row(
                line,
                (f" {key} ", ("bold $primary" if chosen else "$faint") + back),
                (f"{dot} ", colour + back),
                (f"{name} ", ("bold $foreground" if chosen else "$faint") + back),
            )
        return fit(line, width)
