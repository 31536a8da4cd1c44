"""Why this module exists: of a peer that signed twice there is no search to draw; a line and some facts tell it all."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.equivocations import EquivocationView, facts
from swarm.observe.text import credits_short, short_id
from tui.widgets.panel import ends, fit, row
from tui.widgets.quarrel import PARTIES, first_columns


def equivocation_line(one: EquivocationView, width: int) -> Content:
    """In the columns of a game's line."""
    about = f"{one.nickname}, round {one.round}, two contributions"
    parts = first_columns(one.id, about)
    if width >= 110:
        is_mine = one.side == "reporter"
        reporter = ("you" if is_mine else short_id(one.reporter), "bold $accent" if is_mine else "$foreground")
        parts.append(fit(row(reporter, (" reported it", "$faint")), PARTIES))
    style = "bold $error" if one.side == "accused" else "bold $success"
    taken = f", {credits_short(one.slashed_micro)} taken" if one.slashed_micro else ""
    return ends(row(*parts), row(("proven", style), (f" by both signatures{taken}", "$faint"), " "), width)


def equivocation_picture(one: EquivocationView, width: int) -> list[Content]:
    """What the contract took, in lines of ``width`` cells at most."""
    heading, *rest = facts(one)
    lines = [row((f" {heading}", "bold $foreground")), row("")]
    for fact in rest:
        lines += [row(" ", line) for line in Content(fact).wrap(max(10, width - 2))]
    return lines
