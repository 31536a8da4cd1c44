"""Why this module exists: every panel draws itself from the value it is shown and the time, and nothing else."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from textual.content import Content
from textual.widgets import Static

Shown = TypeVar("Shown")


class Panel(Static, Generic[Shown]):
    """A piece of a screen. Subclasses implement ``draw``; text from outside goes through ``Content.styled`` only, which
    does not interpret markup."""

    ALLOW_SELECT = False
    GROWS = False
    """Whether its height follows its content; else the screen need not be laid out again."""

    def __init__(self, *, id: str, title: str = "") -> None:
        super().__init__(id=id)
        self.border_title = title
        self.shown: Shown | None = None
        self.now = 0.0
        self._drawn: tuple[str, tuple[Any, ...]] | None = None

    @property
    def wide(self) -> bool:
        return self.screen.has_class("-wide")

    @property
    def tall(self) -> bool:
        return self.screen.has_class("-tall")

    def caption(self, title: str, note: Content | None = None) -> None:
        """The panel's title, and a note: on the lower border of a box, else behind the title."""
        name = Content(title)
        boxed = self.wide and self.tall
        self.border_subtitle = note or "" if boxed else ""
        self.border_title = row(name, "  ", note.stylize_before("not bold")) if note is not None and not boxed else name

    def show(self, shown: Shown | None, now: float) -> None:
        """Take what to show (None: there is nothing yet)."""
        self.shown, self.now = shown, now
        self.redraw()

    def redraw(self) -> None:
        """Draw again; what comes out the same costs no more than drawing it."""
        if not self.is_mounted or self.size.width <= 0:
            return
        content = self.draw(self.size.width, self.size.height)
        drawn = content.plain, tuple(content.spans)
        if drawn != self._drawn:
            grew = self.GROWS and (self._drawn is None or drawn[0].count("\n") != self._drawn[0].count("\n"))
            self._drawn = drawn
            self.update(content, layout=grew)

    def on_resize(self) -> None:
        self.redraw()

    def draw(self, width: int, height: int) -> Content:
        """The panel's content for ``width`` x ``height`` cells."""
        raise NotImplementedError


def styled(text: str, style: str = "") -> Content:
    """Plain ``text`` in ``style``; never interpreted as markup."""
    return Content.styled(text, style) if style else Content(text)


def row(*parts: Content | tuple[str, str] | str) -> Content:
    """Parts side by side."""
    return Content.assemble(*(part if isinstance(part, Content) else _part(part) for part in parts))


def _part(part: tuple[str, str] | str) -> Content:
    return styled(part) if isinstance(part, str) else styled(*part)


def rows(*lines: Content) -> Content:
    """Lines below each other."""
    return Content("\n").join(lines)


def fit(content: Content, width: int) -> Content:
    """Cut or padded to exactly ``width`` cells."""
    return content.truncate(max(0, width), ellipsis=True, pad=True)


def right(content: Content, width: int) -> Content:
    """Cut or padded on the left to exactly ``width`` cells."""
    length = content.cell_length
    return row(" " * (width - length), content) if length < width else fit(content, width)


def ends(left: Content, right: Content, width: int) -> Content:
    """``left`` and ``right`` at the two ends of a line of ``width`` cells; the left side is cut first."""
    room = max(0, width - right.cell_length - 1)
    return row(fit(left, room), " ", right)


def score_style(milli: int) -> str:
    """Colour of a score: good, middling, poor."""
    return "$success" if milli >= 800 else "$warning" if milli >= 400 else "$error"
