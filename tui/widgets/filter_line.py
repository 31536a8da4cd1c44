"""Why this module exists: long lists are searched with ``/``, as in every pager."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding
from textual.widgets import Input


class FilterLine(Input):
    """Hidden until ``open``. Enter keeps the filter and goes back to the list; escape takes it away."""

    BINDINGS: ClassVar = [
        Binding("escape", "give_up", "No filter", show=False),
        Binding("enter", "done", "Keep", show=False),
    ]

    def __init__(self, *, id: str, back_to: str) -> None:
        super().__init__(id=id, placeholder="filter: part of a name or a word; esc: all", compact=True, max_length=80)
        self._back_to = back_to
        self.display = False

    @property
    def wanted(self) -> str:
        return self.value.strip().casefold()

    def open(self) -> None:
        self.display = True
        self.focus()

    def action_done(self) -> None:
        self.display = bool(self.value)
        self.screen.query_one(f"#{self._back_to}").focus()

    def action_give_up(self) -> None:
        self.value = ""
        self.action_done()
