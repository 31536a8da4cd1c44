"""Why this module exists: several peers run on one machine; this line says which there are and which one is shown."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click

from swarm.observe.views import PeerStatus, State
from tui.widgets.panel import Panel, ends, fit, row

DOTS = {
    State.RUNNING: ("●", "$success"),
    State.STOPPED: ("○", "$faint"),
    State.DIED: ("✕", "$error"),
    State.NEW: ("·", "$faint"),
}
_MAX_NAME = 28


class PeerTabs(Panel[PeerStatus]):
    """The second line: as many of the local peers as fit, the shown one always among them. A click shows another."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.peers: tuple[PeerStatus, ...] = ()
        self.selected = 0
        self._places: list[tuple[int, int, str]] = []

    def show_all(self, peers: tuple[PeerStatus, ...], selected: int) -> None:
        self.peers, self.selected = peers, selected
        self.redraw()

    def draw(self, width: int, height: int) -> Content:
        self._places = []
        if not self.peers:
            return fit(row((" no peers yet", "$faint")), width)
        num = len(self.peers)
        count = row((f"{self.selected + 1} of {num} ", "$faint")) if num > 1 else row("")
        num_shown = max(1, min(num, (width - 10) // 22))
        room = max(4, min(_MAX_NAME, (width - 10) // num_shown - 5))
        first = min(max(0, self.selected - num_shown // 2), num - num_shown)
        line = row((" ‹" if first else "  ", "$faint"))
        for index in range(first, first + num_shown):
            peer, chosen = self.peers[index], index == self.selected
            dot, colour = DOTS[peer.state]
            name = peer.nickname if len(peer.nickname) <= room else peer.nickname[: room - 1] + "…"
            back = " on $cursor" if chosen and num > 1 else ""
            start = line.cell_length
            line = row(
                line,
                (f" {dot} ", colour + back),
                (f"{name} ", ("bold $foreground" if chosen else "$faint") + back),
            )
            self._places.append((start, line.cell_length, peer.name))
        line = row(line, ("›" if first + num_shown < num else " ", "$faint"))
        return ends(line, count, width)

    def on_click(self, event: Click) -> None:
        for start, end, name in self._places:
            if start <= event.x < end:
                self.app.choose(name)  # type: ignore[attr-defined]
