"""Why this module exists: a swarm is its peers: who is there, what they do, how well, and who breaks the rules."""

from __future__ import annotations

from typing import NamedTuple

from textual.content import Content

from swarm.observe.known import KnownPeer
from swarm.observe.snapshot import Snapshot
from swarm.observe.text import credits_short, seconds_text
from tui.widgets.panel import Panel, fit, row, rows, score_style

_BLOCKS = "▁▂▃▄▅▆▇█"
_SCORE, _CREDITS, _DOING = 6, 9, 12

_REMEMBERED_S = 120.0
"""A dropped record marks its sender for this long; the count stays in `swarm peers`."""


class Columns(NamedTuple):
    """Widths in cells; 0 leaves the column out."""

    name: int
    doing: int
    trend: int


class PeersPanel(Panel[Snapshot]):
    """One line per peer this one knows, itself first."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Peers")
        self._patience_s = 0.0

    def draw(self, width: int, height: int) -> Content:
        peers = self.shown.peers if self.shown else ()
        self._patience_s = self.shown.patience_s if self.shown else 0.0
        dropped = self.shown.num_rejected if self.shown else 0
        note = row((f"{dropped} records dropped", "$warning")) if dropped else None
        self.caption(f"Peers {len(peers)}" if peers else "Peers", note)
        if not peers:
            return row((" Nobody seen yet.", "$faint"))
        columns = _columns(width - 1)
        lines = [self._head(columns)] if height > 3 else []
        room = height - len(lines)
        shown = peers if len(peers) <= room else peers[: max(0, room - 1)]
        lines += [self._line(peer, columns) for peer in shown]
        if len(shown) < len(peers):
            lines.append(row((f" and {len(peers) - len(shown)} more", "$faint")))
        return rows(*lines)

    def _head(self, columns: Columns) -> Content:
        trend = "trend".rjust(columns.trend) if columns.trend >= 5 else " " * columns.trend
        text = "   " + "name".ljust(columns.name) + "doing".ljust(columns.doing)[: columns.doing] + trend
        text += "score".rjust(_SCORE) + "credits".rjust(_CREDITS)
        return row((text, "$faint"))

    def _line(self, peer: KnownPeer, columns: Columns) -> Content:
        silent = peer.last_seen_at is None or (not peer.me and self.now - peer.last_seen_at > self._patience_s)
        mark = ("▸", "bold $primary") if peer.me else ("!", "bold $error") if self._breaks_rules(peer) else (" ", "")
        style = "bold $foreground" if peer.me else "$faint" if silent else "$foreground"
        last = peer.scores[-1][1] if peer.scores else None
        score = (
            (f"{last / 10:{_SCORE - 1}.0f}%", score_style(last)) if last is not None else ("–".rjust(_SCORE), "$faint")
        )
        trend = sparkline(tuple(milli for _, milli in peer.scores), columns.trend)
        return row(
            " ", mark, " ",
            fit(row((peer.nickname, style)), columns.name - 1), " ",
            fit(row(self._doing(peer, silent)), columns.doing),
            (trend, "$primary"), score, (credits_short(peer.micro_credits).rjust(_CREDITS), "$foreground"),
        )  # fmt: skip

    def _breaks_rules(self, peer: KnownPeer) -> bool:
        return peer.last_rejected_at is not None and self.now - peer.last_rejected_at < _REMEMBERED_S

    def _doing(self, peer: KnownPeer, silent: bool) -> tuple[str, str]:
        if self._breaks_rules(peer):
            return f"{peer.num_rejected} dropped", "$error"
        if silent:
            ago = "" if peer.last_seen_at is None else f" {seconds_text(self.now - peer.last_seen_at)}".replace(" ", "")
            return f"silent {ago}", "$warning"
        return {"between rounds": "waiting"}.get(peer.phase, peer.phase) or "–", "$faint"


def _columns(width: int) -> Columns:
    """Names first, then what the peer does, then its trend, as far as ``width`` reaches."""
    room = width - 3 - _SCORE - _CREDITS
    doing = _DOING if room >= 16 + _DOING else 0
    name = min(26, max(6, room - doing))
    trend = min(24, room - doing - name)
    return Columns(name, doing, trend if trend >= 4 else 0)


def sparkline(values: tuple[int, ...], width: int) -> str:
    """The last ``width`` values of 0 to 1000 as block characters, padded on the left."""
    last = values[-width:] if width > 0 else ()
    return "".join(_BLOCKS[min(7, max(0, value) * 8 // 1001)] for value in last).rjust(width)
