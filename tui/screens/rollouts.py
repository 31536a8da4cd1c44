"""Why this module exists: what did the peers answer, what did they say about each other, and why was it scored so?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widget import Widget

from swarm.observe.rollouts import RolloutsView, rollouts
from swarm.observe.store import Store
from tui.feed import Gather
from tui.screens.base import Seen, SwarmScreen, Words
from tui.widgets.listing import Listing
from tui.widgets.thread import VIEWS, head_line, thread

WORDS: Words = (
    ("A question", (
        ("Q, truth", "the question as it was asked; the answer that the task's verifier accepts"),
        ("2/3 in the list", "so many of the peers decided well (a score of 50 % or more)"),
        ("A, B, C …", "labels that the seed deals out anew for every question: critics do not know whose answer it is"),
        ("score, why", "of this sample, as the shown peer recomputed it, and the verifier's reason"),
        ("picked by", "whose critiques call this answer right"),
        ("picks X ✓", "the critique names answer X, and X was right"),
        ("…", "the text was longer than a log keeps; control characters and markup are shown as text or left out"),
    )),
    ("Keys here", (
        ("left, right", "the question before, the question after"),
        ("up, down, page", "scroll what was said"),
        ("v", "view: by stage, by peer, or the critiques beside the answers that they are about"),
        ("end", "the newest question, and follow"),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A question in full and the list of all."""

    seq: int | None

    def __call__(self, stores: Mapping[str, Store], name: str) -> RolloutsView:
        return rollouts(stores[name], self.seq)


class RolloutsScreen(SwarmScreen):
    """Questions, and everything that was said about one of them."""

    NAME, ABOUT, WORDS = "rollouts", "Answers, critiques and decisions with scores and why", WORDS
    BINDINGS: ClassVar = [
        Binding("left", "turn(-1)", "Question", key_display="← →"),
        Binding("h", "turn(-1)", "Question before", show=False),
        Binding("right,l", "turn(1)", "Question after", show=False),
        Binding("v", "next_view", "View"),
        Binding("end", "newest", "Newest", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.seq: int | None = None
        self.view_name = VIEWS[0]
        self._view: RolloutsView | None = None
        self._drawn: tuple[object, ...] = ()
        self._me = ""

    def body(self) -> Iterable[Widget]:
        yield Horizontal(
            Listing(id="questions", picks=True, title="Questions"), Listing(id="thread", title="Said"), id="said"
        )

    def on_mount(self) -> None:
        self.query_one("#thread").focus()

    def gather(self) -> Gather:
        return Asked(self.seq)

    def draw(self, seen: Seen) -> None:
        if seen.view is None and seen.peers and self._view is not None:
            return
        self._view = seen.view if isinstance(seen.view, RolloutsView) else None
        self._me = seen.status.peer if seen.status else ""
        self._draw()

    @on(Listing.Resized)
    def _resized(self) -> None:
        self._draw()

    def action_turn(self, step: int) -> None:
        if self._view is None or self._view.seq is None:
            return
        seqs = [one.seq for one in self._view.heads]
        place = max(0, min(len(seqs) - 1, seqs.index(self._view.seq) + step))
        self.seq = None if place == len(seqs) - 1 else seqs[place]
        self.app.look_again()  # type: ignore[attr-defined]

    def action_newest(self) -> None:
        self.seq = None
        self.app.look_again()  # type: ignore[attr-defined]

    def action_next_view(self) -> None:
        self.view_name = VIEWS[(VIEWS.index(self.view_name) + 1) % len(VIEWS)]
        self._draw()

    @on(Listing.Picked, "#questions")
    def _picked(self, message: Listing.Picked) -> None:
        heads = self._view.heads if self._view else ()
        place = len(heads) - 1 - message.index
        if 0 <= place < len(heads):
            self.seq = None if place == len(heads) - 1 else heads[place].seq
            self.app.look_again()  # type: ignore[attr-defined]

    def _draw(self) -> None:
        listing, said = self.query_one("#questions", Listing), self.query_one("#thread", Listing)
        view = self._view
        heads = view.heads if view else ()
        chosen = next((index for index, one in enumerate(reversed(heads)) if view and one.seq == view.seq), 0)
        width = listing.size.width
        listing.show_lines([head_line(one, width) for one in reversed(heads)], None, chosen)
        question = view.question if view else None
        drawn = (question, said.size.width, self.view_name, self._me)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        said.caption(f"Question of round {question.round}" if question else "Said", f"view: {self.view_name}")
        said.show_lines(thread(question, max(20, said.size.width - 1), self.view_name, self._me))
        said.scroll_home(animate=False)
