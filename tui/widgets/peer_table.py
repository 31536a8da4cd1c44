"""Why this module exists: a line per peer, in columns that fit any width."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.known import KnownPeer
from swarm.observe.text import credits_short, seconds_text
from tui.widgets.panel import fit, right, row, score_style
from tui.widgets.peers_panel import sparkline

COLUMNS = {"name": 0, "doing": 12, "heard": 9, "work": 6, "checks": 8, "dropped": 9, "score": 7, "credits": 10}
"""Names and widths; the name takes what is left."""

_TREND = 20


def _layout(width: int) -> tuple[int, int]:
    """Width of the name and of the trend (0: left out)."""
    room = width - 2 - sum(COLUMNS.values())
    trend = _TREND if room >= 28 + _TREND else 0
    return max(6, min(34, room - trend)), max(trend, min(40, room - 34)) if trend else 0


def head(width: int, column: str, reverse: bool) -> Content:
    """The columns' names, the sorted one marked."""
    name, trend = _layout(width)
    line = row("  ")
    for title, size in COLUMNS.items():
        text = title + ("↓" if reverse else "↑") if title == column else title
        style = "bold $accent" if title == column else "$faint"
        if title == "name":
            line = row(line, (text.ljust(name), style))
        elif title == "doing":
            line = row(line, (text.ljust(size), style))
        else:
            if title == "score" and trend:
                line = row(line, ("trend".rjust(trend), "$faint"))
            line = row(line, (text.rjust(size), style))
    return fit(line, width)


def peer_line(peer: KnownPeer, width: int, now: float, patience_s: float) -> Content:
    """One peer; silent after ``patience_s`` without a word."""
    name, trend = _layout(width)
    silent = peer.last_seen_at is None or (not peer.me and now - peer.last_seen_at > patience_s)
    mark = ("▸ ", "bold $primary") if peer.me else ("· ", "$accent") if peer.cohort else ("  ", "")
    style = "bold $foreground" if peer.me else "$faint" if silent else "$foreground"
    doing = ("silent", "$warning") if silent else ({"between rounds": "waiting"}.get(peer.phase, peer.phase), "$faint")
    heard = "–" if peer.last_seen_at is None else seconds_text(max(0.0, now - peer.last_seen_at))
    heard = heard if len(heard) < COLUMNS["heard"] else heard.split()[0] + heard.split()[1]
    score = peer.score_milli
    checks = row((f"{peer.num_matches}", "$success" if peer.num_matches else "$faint"))
    if peer.num_mismatches:
        checks = row(checks, (f"+{peer.num_mismatches}", "bold $error"))
    return row(
        mark,
        fit(row((peer.nickname, style)), name - 1), " ",
        fit(row(doing), COLUMNS["doing"]),
        right(row((heard, "$faint")), COLUMNS["heard"]),
        right(row((f"{peer.num_contributions:,}", "$foreground")), COLUMNS["work"]),
        right(checks, COLUMNS["checks"]),
        right(row((f"{peer.num_rejected:,}", "bold $error" if peer.num_rejected else "$faint")), COLUMNS["dropped"]),
        (" " + sparkline(tuple(milli for _, milli in peer.scores), trend - 1) if trend else "", "$primary"),
        right(row(("–", "$faint") if score is None else (f"{score / 10:.1f}%", score_style(score))), COLUMNS["score"]),
        right(row((credits_short(peer.micro_credits), "$foreground")), COLUMNS["credits"]),
    )  # fmt: skip
