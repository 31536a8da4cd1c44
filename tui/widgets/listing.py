"""Why this module exists: tables and long texts scroll; drawing only the lines that are seen keeps them cheap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from tui.widgets.panel import fit


class Listing(ScrollView, can_focus=True):
    """Lines under a head that stays. With ``picks``, one line is marked and arrow keys move the mark.

    ``follows``: when new lines come and the last was in view, it stays in view.
    """

    ALLOW_SELECT = False
    BINDINGS: ClassVar = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,b", "page(-1)", "Page up", show=False),
        Binding("pagedown,f", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
    ]

    class Picked(Message):
        """Another line is marked."""

        def __init__(self, listing: Listing, index: int) -> None:
            super().__init__()
            self.listing = listing
            self.index = index

        @property
        def control(self) -> Listing:
            return self.listing

    class Resized(Message):
        """It has another width: whoever made its lines makes them anew."""

    def __init__(self, *, id: str, picks: bool = False, follows: bool = False, title: str = "") -> None:
        super().__init__(id=id)
        self.border_title = title
        self.cursor = 0
        self._picks = picks
        self._follows = self._is_following = follows
        self._lines: Sequence[Content] = ()
        self._head: Content | None = None

    def caption(self, title: str, note: Content | str = "") -> None:
        """The title, and a note on the lower border; both plain text, whatever brackets are in them."""
        self.border_title = Content(title)
        self.border_subtitle = Content(note) if isinstance(note, str) else note

    def show_lines(self, lines: Sequence[Content], head: Content | None = None, cursor: int | None = None) -> None:
        """Replace all lines; ``cursor``: the marked one."""
        self._lines, self._head = lines, head
        if cursor is not None:
            self.cursor = cursor
        self.cursor = max(0, min(self.cursor, len(lines) - 1))
        self.virtual_size = Size(self.size.width, len(lines) + (1 if head is not None else 0))
        if self._is_following:
            self.call_after_refresh(self._to_end)
        self.refresh()

    def on_resize(self) -> None:
        if self._is_following:  # lines that came before the layout had no end to go to
            self.call_after_refresh(self._to_end)
        self.post_message(self.Resized())

    def follow(self) -> None:
        """Keep the last line in view from now on."""
        self._is_following = self._follows

    def on_mouse_scroll_up(self) -> None:
        self._is_following = False

    def on_mouse_scroll_down(self) -> None:
        self.call_after_refresh(self._perhaps_follow)

    def on_scroll_to(self) -> None:
        self.call_after_refresh(self._perhaps_follow)

    def _perhaps_follow(self) -> None:
        self._is_following = self._follows and self.scroll_offset.y >= self.max_scroll_y

    def _to_end(self) -> None:
        if self._is_following:
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        head = 1 if self._head is not None else 0
        if head and y == 0 and self._head is not None:
            return self._strip(self._head, width)
        index = y - head + self.scroll_offset.y
        if not 0 <= index < len(self._lines):
            return Strip.blank(width, self.rich_style)
        line = fit(self._lines[index], width)
        if self._picks and index == self.cursor:
            line = line.stylize_before("on $cursor")
        return self._strip(line, width)

    def _strip(self, content: Content, width: int) -> Strip:
        strips = Visual.to_strips(self, content, width, 1, self.visual_style)
        return strips[0].adjust_cell_length(width, self.rich_style) if strips else Strip.blank(width, self.rich_style)

    def action_move(self, step: int) -> None:
        if self._picks:
            self._pick(self.cursor + step)
        else:
            self._scroll_by(step)

    def action_page(self, step: int) -> None:
        if self._picks:
            self._pick(self.cursor + step * max(1, self.size.height - 2))
        else:
            self._scroll_by(step * max(1, self.size.height - 1))

    def action_edge(self, step: int) -> None:
        if self._picks:
            self._pick(0 if step < 0 else len(self._lines) - 1)
        elif step < 0:
            self._is_following = False
            self.scroll_home(animate=False, immediate=True, x_axis=False)
        else:
            self.follow()
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)

    def _scroll_by(self, lines: int) -> None:
        self.scroll_relative(y=lines, animate=False, immediate=True)
        self._perhaps_follow()

    def on_click(self, event: Click) -> None:
        if self._picks:
            self._pick(event.y - (1 if self._head is not None else 0) + self.scroll_offset.y)

    def _pick(self, index: int) -> None:
        index = max(0, min(index, len(self._lines) - 1))
        room = max(1, self.size.height - (1 if self._head is not None else 0))
        top = self.scroll_offset.y
        if index < top:
            self.scroll_to(y=index, animate=False, immediate=True)
        elif index >= top + room:
            self.scroll_to(y=index - room + 1, animate=False, immediate=True)
        if index != self.cursor:
            self.cursor = index
            self.post_message(self.Picked(self, index))
        self.refresh()
