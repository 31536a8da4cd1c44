"""Why this module exists: a question's answers, critiques and decisions are a conversation, and are read as one."""

from __future__ import annotations

import re

from textual.content import Content

from swarm.observe.rollouts import RIGHT_MILLI, QuestionHead, QuestionView, SaidView
from tui.widgets.panel import ends, fit, row, score_style

VIEWS = ("by stage", "by peer", "critiques")

_TAG = re.compile(r"[<‹]/?[A-Za-z_]{1,20}[>›]")
_INDENT = 4


def head_line(head: QuestionHead, width: int) -> Content:
    """A question in the list: its round, how many decided well, and how it begins."""
    good = head.num_right * 2 >= head.num_decided
    style = "$success" if head.num_right == head.num_decided else "$warning" if good else "$error"
    right = f"{head.num_right}/{head.num_decided} "
    return ends(row((f"{head.round:>5} ", "$faint"), (head.question, "$foreground")), row((right, style)), width)


def thread(question: QuestionView | None, width: int, view: str, me: str) -> list[Content]:
    """Everything that was said about one question, as lines of ``width`` cells."""
    if question is None:
        return [row((" Questions appear here as they are played.", "$faint"))]
    first, *rest = Content(question.question).wrap(max(10, width - 5))
    lines = [row((" Q  ", "bold $accent"), first.stylize("bold $foreground"))]
    lines += [row("    ", line.stylize("bold $foreground")) for line in rest]
    truths = Content(question.truth).wrap(max(10, width - 10))
    lines += [
        row(("    truth " if index == 0 else "          ", "$faint"), line.stylize("bold $success"))
        for index, line in enumerate(truths)
    ]
    if view == "by peer":
        return lines + _by_peer(question, width, me)
    if view == "critiques":
        return lines + _critiques(question, width, me)
    for name, said in (
        ("Answers", question.answers), ("Critiques", question.critiques), ("Decisions", question.decisions),
    ):  # fmt: skip
        right = sum(one.score_milli >= RIGHT_MILLI for one in said)
        lines += [
            row(""),
            ends(row((f" {name}", "bold $secondary")), row((f"{right} of {len(said)} scored well ", "$faint")), width),
        ]
        if not said:
            lines.append(row(("    nobody was heard", "$faint")))
        for one in said:
            lines += _said(one, question, width, me, about=name)
    return lines


def _by_peer(question: QuestionView, width: int, me: str) -> list[Content]:
    lines: list[Content] = []
    peers = dict.fromkeys(one.peer for one in (*question.answers, *question.critiques, *question.decisions))
    for peer in peers:
        parts = [
            (name, one)
            for name, said in (("Answers", question.answers), ("Critiques", question.critiques),
                               ("Decisions", question.decisions))
            for one in said
            if one.peer == peer
        ]  # fmt: skip
        one = parts[0][1]
        yours = "  this peer" if peer == me else ""
        lines += [
            row(""),
            row((f" {one.label} ", "bold $primary"), (one.nickname, "bold $foreground"), (yours, "$accent")),
        ]
        for name, part in parts:
            score = row((f"{part.score_milli / 10:.0f} %", score_style(part.score_milli)), " ")
            lines.append(
                ends(row((f"    {name[:-1].lower():<9}", "$secondary"), (part.why, "italic $faint")), score, width)
            )
            lines += _text(part.text, width)
    return lines


def _critiques(question: QuestionView, width: int, me: str) -> list[Content]:
    """Each answer, and below it the critiques that call it right; then those that name none of the answers."""
    lines: list[Content] = []
    labels = {one.label for one in question.answers}
    for answer in question.answers:
        lines += [row(""), *_said(answer, question, width, me, about="Answers")]
        about = [one for one in question.critiques if one.picks == answer.label]
        for one in about:
            score = row((f"{one.score_milli / 10:.0f} %", score_style(one.score_milli)), " ")
            lines.append(ends(row(("    └ ", "$line"), (f"{one.label} ", "bold $primary"), (one.nickname, "$faint"),
                                  (f"  {one.why}", "italic $faint")), score, width))  # fmt: skip
            lines += _text(one.text, width, 8)
        if not about:
            lines.append(row(("    └ nobody calls it right", "$faint")))
    rest = [one for one in question.critiques if one.picks not in labels]
    if rest:
        lines += [row(""), row((" Critiques that pick none of these", "bold $secondary"))]
        for one in rest:
            lines += _said(one, question, width, me, about="Critiques")
    return lines


def _said(one: SaidView, question: QuestionView, width: int, me: str, *, about: str) -> list[Content]:
    who = row(
        (f" {one.label}  ", "bold $primary"), (one.nickname, "bold $foreground" if one.peer == me else "$foreground")
    )
    if about == "Answers":
        fans = [critic.label for critic in question.critiques if critic.picks == one.label]
        if fans:
            who = row(who, (f"  picked by {' '.join(fans)}", "$accent"))
    elif about == "Critiques" and one.picks:
        picked = next((answer for answer in question.answers if answer.label == one.picks), None)
        good = picked is not None and picked.score_milli >= RIGHT_MILLI
        who = row(who, (f"  picks {one.picks} ", "$accent"), ("✓" if good else "✗", "$success" if good else "$error"))
    score = row((one.why, "italic $faint"), (f"  {one.score_milli / 10:>3.0f} % ", score_style(one.score_milli)))
    if who.cell_length + score.cell_length + 1 <= width:
        return [ends(who, score, width), *_text(one.text, width)]
    short = row((f"{one.score_milli / 10:>3.0f} % ", score_style(one.score_milli)))
    return [
        ends(who, short, width),
        *_text(one.text, width),
        fit(row((" " * _INDENT + one.why, "italic $faint")), width),
    ]


def _text(text: str, width: int, indent: int = _INDENT) -> list[Content]:
    """What was said, wrapped, with the stage tags of the game dimmed."""
    parts: list[tuple[str, str]] = []
    end = 0
    for tag in _TAG.finditer(text):
        parts += [(text[end : tag.start()], "$foreground"), (tag.group(), "$faint")]
        end = tag.end()
    whole = row(*parts, (text[end:], "$foreground"))
    return [row(" " * indent, line) for line in whole.wrap(max(10, width - indent - 1))]
