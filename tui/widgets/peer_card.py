"""Why this module exists: a line cannot say why a peer's records were dropped, or who accuses it of what."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.known import KnownPeer, PeerDetail
from tui.widgets.braille import Curve, draw
from tui.widgets.panel import Panel, fit, row, rows
from tui.widgets.score_plot import runs

_MIN_PLOT = 30


class PeerCard(Panel[KnownPeer]):
    """The marked peer: id, history, complaints; its score curve where there is room."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Peer")
        self.detail: PeerDetail | None = None

    def draw(self, width: int, height: int) -> Content:
        peer, detail = self.shown, self.detail
        if peer is None:
            self.caption("Peer")
            return row((" Peers appear here when they are heard of.", "$faint"))
        self.caption(peer.nickname + (" (this peer)" if peer.me else ""))
        plot = width - 66 if width - 66 >= _MIN_PLOT and height > 3 and len(peer.scores) > 1 else 0
        room = width - plot - (2 if plot else 0)
        lines = [row((" peer ", "$faint"), peer.peer)]
        if detail is not None:
            if detail.first_round is not None:
                span = f"{detail.first_round} to {detail.last_round}"
                lines.append(
                    row((" contributed to ", "$faint"), f"{peer.num_contributions} rounds", (f" ({span})", "$faint"))
                )
            lines += [row((" accused: ", "bold $error"), words) for words in detail.accusations]
            if detail.rejected:
                reasons = ", ".join(f"{num} {reason}" for reason, num in detail.rejected.items())
                lines.append(row((" dropped: ", "bold $error"), reasons))
                if detail.last_detail:
                    lines.append(row((" the last: ", "$faint"), detail.last_detail))
            if not detail.rejected and not detail.accusations:
                lines.append(row((" ✓ ", "$success"), ("no complaint of anybody", "$faint")))
        left = [fit(line, room) for line in lines[:height]]
        if not plot:
            return rows(*left)
        left += [fit(row(""), room)] * (height - len(left))
        points = [(number, milli / 10) for number, milli in peer.scores]
        span_x = (points[0][0], max(points[-1][0], points[0][0] + 1))
        cells = draw([Curve(points, "$primary")], plot - 6, height, span_x, (0, 100), [0, height - 1], "$line")
        scale = {0: "100% ", height - 1: "  0% "}
        return rows(
            *(
                row(line, "  ", (scale.get(index, "     "), "$faint"), *runs(cells[index]))
                for index, line in enumerate(left)
            )
        )
