"""Why this module exists: every number on the screen has a one-line definition, one key away."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.widgets.panel import row, rows

WORDS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Keys", (
        ("tab, 1 to 9", "show another peer of this machine"),
        ("d", "dark or light colours"),
        ("?", "this page; any of ?, q, escape closes it"),
        ("q", "quit"),
    )),
    ("Who", (
        ("nickname", "three words made from the peer id: the same on every machine, for ever"),
        ("peer", "the peer id: the public name of this peer's swarm.pem"),
        ("wallet", "the account on the chain that owns the registration and receives tokens"),
        ("registered", "the chain knows that this wallet owns this peer id"),
    )),
    ("Round", (
        ("answer", "every peer answers the same questions, several times each"),
        ("critique", "every peer says which of the shown answers is right"),
        ("decide", "every peer gives its final answer, having read the critiques"),
        ("train", "one GRPO step on the peer's own rollouts and on some of the others'"),
        ("contribute", "what was done is hashed and signed; the others recompute it"),
        ("settle", "a majority signs the result and the chain records it"),
        ("left", "until this stage closes; what has not arrived by then is missing"),
        ("!", "a stage in which somebody's work did not arrive, or which this peer skipped"),
    )),
    ("Learning", (
        ("score", "mean over a peer's rollouts of a round, all stages, as this peer recomputed it; 100 % is perfect"),
        ("held-out accuracy", "right greedy answers to questions that nobody ever trains on"),
        ("trend", "the score of the last rounds, oldest left"),
    )),
    ("Peers", (
        ("doing", "the stage of its newest work that arrived here; silent: nothing heard for a while"),
        ("dropped", "records of this peer that broke a rule (size, signature, round, scores) and were ignored"),
        ("credits", "what the settled rounds in this log paid to that peer"),
    )),
    ("Credits", (
        ("earned", "credits of all results this peer knows of; one credit is one token"),
        ("settled", "of these, recorded on the chain"),
        ("claimed", "of these, taken out as tokens to the wallet"),
        ("signed, attested, settled", "how far this peer's newest contribution came"),
    )),
    ("Time", (
        ("generate, train", "sampling completions; the training step: the useful part"),
        ("wait", "for other peers' work or for the stage to close"),
        ("network", "sending and fetching records and blobs"),
        ("chain", "waiting for transactions and reads of the chain"),
        ("overhead", "share of the time that is neither generation nor training"),
    )),
)  # fmt: skip


_COLUMN = 28


class Help(ModalScreen[None]):
    """Explains every number in one line."""

    BINDINGS: ClassVar = [("escape,question_mark,q,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = "What you see"
            box.border_subtitle = "? or esc closes"
            yield Words(id="help-text")


class Words(Static):
    """The definitions, wrapped so that meanings stay in their column."""

    def on_resize(self) -> None:
        self.update(_text(self.size.width))


def _text(width: int) -> Content:
    lines: list[Content] = []
    for title, words in WORDS:
        lines += [row(""), row((title, "bold $secondary"))] if lines else [row((title, "bold $secondary"))]
        for word, meaning in words:
            first, *rest = Content(meaning).wrap(max(20, width - _COLUMN))
            lines.append(row((f"  {word}".ljust(_COLUMN), "bold $foreground"), first))
            lines += [row(" " * _COLUMN, line) for line in rest]
    return rows(*lines)
