"""Why this module exists: every number on a screen has a one-line definition, one key away."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.screens.base import Words
from tui.widgets.panel import row, rows

KEYS: Words = (
    ("Keys everywhere", (
        ("1 to 7", "another screen; the top line names them, a click works, too"),
        ("tab, shift+tab", "another peer of this machine"),
        ("ctrl+p", "the command palette: everything that can be done, by name"),
        ("d", "dark or light colours"),
        ("?", "this page; any of ?, q, escape closes it"),
        ("q", "quit; `swarm top` and `swarm replay` leave all peers running"),
    )),
)  # fmt: skip
REPLAY_KEYS: Words = (
    ("Keys of the recording", (
        ("space", "pause or go on; at the end, from the beginning"),
        ("- and +", "slower and faster; silences of more than three seconds are passed over"),
        (", and .", "to the beginning of this or the round before, and of the next"),
        ("< and >", "a fiftieth of the recording back and ahead; a click on the bar jumps"),
    )),
)  # fmt: skip
_COLUMN = 28


class Help(ModalScreen[None]):
    """Explains every number of one screen in one line each."""

    BINDINGS: ClassVar = [("escape,question_mark,q,enter", "dismiss", "Close")]

    def __init__(self, name: str, words: Words, *, replay: bool = False) -> None:
        super().__init__()
        self._name_of_screen = name
        self._words = words + (REPLAY_KEYS if replay else ()) + KEYS

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = f"What you see: {self._name_of_screen}"
            box.border_subtitle = "? or esc closes"
            yield Definitions(self._words, id="help-text")


class Definitions(Static):
    """The definitions, wrapped so that meanings stay in their column."""

    def __init__(self, words: Words, *, id: str) -> None:
        super().__init__(id=id)
        self._words = words

    def on_resize(self) -> None:
        self.update(_text(self._words, self.size.width))


def _text(words: Words, width: int) -> Content:
    lines: list[Content] = []
    for title, definitions in words:
        lines += [row(""), row((title, "bold $secondary"))] if lines else [row((title, "bold $secondary"))]
        for word, meaning in definitions:
            first, *rest = Content(meaning).wrap(max(20, width - _COLUMN))
            lines.append(row((f"  {word}".ljust(_COLUMN), "bold $foreground"), first))
            lines += [row(" " * _COLUMN, line) for line in rest]
    return rows(*lines)
