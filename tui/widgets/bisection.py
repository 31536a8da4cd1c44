"""Why this module exists: out of millions of operations a game finds one; a funnel shows how, exchange by exchange.

Each bar is what was still searched before an exchange, with the part that was picked; two lines open that part to the
whole width of the next bar. Pure: lines from a game.
"""

from __future__ import annotations

import re

from textual.content import Content

from swarm.observe.disputes import DisputeView, MoveView
from swarm.observe.text import credits_short
from tui.widgets.panel import ends, fit, row
from tui.widgets.quarrel import turn_of

_WHAT = {"nodes": "operators of the step", "elements": "elements of its output", "terms": "terms of its sum"}
_FOUND = {"nodes": "one operator is found", "elements": "one element is found"}
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
_SIDE_STYLE = {"challenger": "$accent", "defender": "$secondary"}


def picture(game: DisputeView | None, width: int) -> list[Content]:
    """The search as lines of ``width`` cells."""
    if game is None:
        return [
            row((" No disputes.", "$faint")),
            row((" When a spot-check finds another result, both sides play it out before the contract;", "$faint")),
            row((" here you will see the search narrow to the one operation that they do not share.", "$faint")),
        ]
    risk = f"bond {credits_short(game.bond_micro)} against stake {credits_short(game.stake_micro)} tokens"
    gas = sum(move.gas for move in game.moves)
    lines = [
        ends(row((f" {risk}", "$faint")), row((f"{len(game.moves)} moves, {gas:,} gas ", "$faint")), width),
        row(""),
    ]
    window: tuple[str, int, int] | None = None
    for move in game.moves:
        lines.append(_move(move, width))
        if not move.searched:
            continue
        goes_on = window is not None and window[0] == move.searched
        first, count = window[1:] if window is not None and goes_on else (0, move.total)
        if window is not None and not goes_on:
            found = _FOUND.get(window[0], f"the place among {window[0]} is found")
            lines.append(
                row(
                    ("      ↓ ", "bold $warning"),
                    (f"{found}; now {_WHAT.get(move.searched, move.searched)}", "$warning"),
                )
            )
        if (move.first, move.count) != (first, count):
            lines += _bar(move, first, count, width)
        window = move.searched, move.first, move.count
    return [*lines, *_verdict(game, width)]


def _move(move: MoveView, width: int) -> Content:
    words = move.what or _CAPITAL.sub(" ", move.name).lower()
    side = row((f" {move.number:>3}  ", "$faint"), (f"{move.side:<11}", _SIDE_STYLE.get(move.side, "$foreground")),
               (words, "$foreground"))  # fmt: skip
    return ends(side, row((f"{move.gas:,} gas " if move.gas else "", "$faint")), width)


def _bar(move: MoveView, first: int, count: int, width: int) -> list[Content]:
    """What was searched, the part that is left of it in bright, and that part opened to the whole width."""
    total = max(1, move.total)
    found = min(max(0, move.first), total - 1)
    num_left = min(max(1, move.count), total - found)
    if not first <= found <= found + num_left <= first + count:
        first, count = 0, total
    room = max(8, width - 4)
    start = (found - first) * room // count
    end = max(start + 1, -(-(found + num_left - first) * room // count))
    start, end = min(start, room - 1), min(end, room)
    noun = _WHAT.get(move.searched, move.searched)
    left = f"{num_left:,} left" if num_left > 1 else f"number {found:,}"
    label = row(("  ", ""), (f"{count:,} {noun}", "$foreground"), (f", {first:,} to {first + count - 1:,}", "$faint"))
    bar = row("  ", ("░" * start, "$primary"), ("█" * (end - start), "bold $warning"), ("░" * (room - end), "$line"))
    opened = _edge(start, "╭", "╯") + " " * (end - start) + _edge(room - end, "╰", "╮")
    funnel = row("  ", (opened, "$warning"))
    return [ends(label, row((f"{left} ", "bold $warning")), width), bar, funnel]


def _edge(length: int, outer: str, inner: str) -> str:
    """One side of the funnel, from the edge of the next bar to the bright part of this one."""
    return outer + "─" * (length - 2) + inner if length > 1 else "│" * length


def _verdict(game: DisputeView, width: int) -> list[Content]:
    if not game.winner:
        turn, phase = turn_of(game), game.phase
        return [
            row(
                ("  … ", "bold $primary"),
                (f"{turn}: {phase} is waited for" if turn else "no move is waited for", "$foreground"),
            )
        ]
    style = _SIDE_STYLE.get(game.winner, "$foreground")
    by = "the other side missed its deadline" if game.by_clock else "the contract has computed it"
    lines = [row(("  ◆ ", "bold $success"), (f"the {game.winner} wins", f"bold {style}"), (f": {by}", "$foreground"))]
    lines += [row("    ", line) for line in Content(game.why).wrap(max(10, width - 6))]
    if game.slashed_micro:
        money = f"    {credits_short(game.slashed_micro)} tokens of the accused peer's stake are taken"
        lines.append(fit(row((money, "$faint")), width))
    return lines
