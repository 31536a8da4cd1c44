"""Why this module exists: seeing peers answer, criticise and decide makes a swarm believable, and debuggable."""

from __future__ import annotations

import re

from textual.content import Content

from swarm.observe.rollouts import SaidView
from swarm.observe.snapshot import Snapshot
from tui.widgets.panel import Panel, ends, fit, row, rows, score_style

_TAG = re.compile(r"[<‹]/?[A-Za-z_]{1,20}[>›]")  # peers' own tags are shown escaped, in single guillemets
_STAGES = ("answers", "critiques", "decisions")


class QuestionPanel(Panel[Snapshot]):
    """The latest question, and what everybody said in the three stages with the score and why."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Latest question")

    def draw(self, width: int, height: int) -> Content:
        played = self.shown.question if self.shown else None
        if played is None:
            return row((" Questions appear here as they are played.", "$faint"))
        self.border_title = f"Question of round {played.round}"
        asked = ends(
            row((" Q ", "bold $accent"), (played.question, "bold $foreground")),
            row(("truth ", "$faint"), (played.truth[: max(8, width // 3)], "bold $success"), " "),
            width,
        )
        column = (width - 2) // 3
        columns = [_column(name, getattr(played, name), column, height - 1, self.wide) for name in _STAGES]
        lines = [asked]
        for index in range(height - 1):
            cells = [column_lines[index] if index < len(column_lines) else row("") for column_lines in columns]
            lines.append(row(" ", *(fit(cell, column) for cell in cells)))
        return rows(*lines)


def _column(name: str, said: tuple[SaidView, ...], width: int, height: int, tags: bool) -> list[Content]:
    """One stage as lines: a head, then as much of each peer's words as the height allows."""
    lines = [row((name.capitalize(), "bold $secondary"))]
    if not said:
        return [*lines, row(("nobody", "$faint"))]
    per_peer = max(1, (height - 1) // len(said))
    for one in said:
        label = row((f"{one.label} ", "bold $primary"))
        score = row((f"{one.score_milli / 10:.0f} %", score_style(one.score_milli)), "   ")
        if per_peer < 3:
            lines.append(ends(row(label, _words(one.text, tags)), score, width))
            if per_peer == 2:
                known = name == "answers"  # a label means the same peer in all three columns
                lines.append(row((f"  {one.nickname}: {one.why}" if known else f"  {one.why}", "italic $faint")))
            continue
        lines.append(ends(row(label, (one.nickname, "$faint")), score, width))
        lines += [row("  ", part) for part in _words(one.text, tags).wrap(max(4, width - 5))[: per_peer - 2]]
        lines.append(row((f"  {one.why}", "italic $faint")))
    return lines[:height]


def _words(text: str, tags: bool) -> Content:
    """``text`` with the stage tags of the game dimmed, or left out where room is short."""
    if not tags:
        return row((" ".join(_TAG.sub(" ", text).split()), "$foreground"))
    parts: list[tuple[str, str]] = []
    end = 0
    for tag in _TAG.finditer(text):
        parts += [(text[end : tag.start()], "$foreground"), (tag.group(), "$faint")]
        end = tag.end()
    return row(*parts, (text[end:], "$foreground"))
