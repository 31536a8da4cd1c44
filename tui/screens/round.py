"""Why this module exists: "I worked, and was not paid" is answered here: the way of every contribution of a round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding
from textual.widget import Widget

from swarm.observe.custody import RoundDetail, round_detail
from swarm.observe.store import Store
from tui.feed import Gather
from tui.screens.base import Seen, SwarmScreen, Words
from tui.widgets.listing import Listing
from tui.widgets.round_facts import RoundFacts
from tui.widgets.way import WayDetail, head, way_line

WORDS: Words = (
    ("The round", (
        ("outcome", "how it ended for the shown peer; anything but complete is explained by a stage or a step"),
        ("members, cohort", "peers enrolled when it opened; those of them that this peer plays with"),
        ("! at a stage", "somebody's work did not arrive in time (who: beside it), or this peer skipped the stage"),
        ("signed by", "members that recomputed the result and signed it, as far as this peer heard"),
        ("loss, tokens", "of this peer's training step, and what it was trained on: own + others' rollouts"),
        ("dropped", "records of this round that broke a rule and were ignored"),
    )),
    ("A contribution's way", (
        ("produced", "the work was done and its contribution signed; for strangers: it arrived here"),
        ("published", "it stands in the DHT, where the others look for it"),
        ("seen", "how many others are known to have it: they recomputed it here, or signed a result that it is in"),
        ("verified", "sampled work was done again and came out the same: by so many, at level 1 or 2; L0: scores only"),
        ("credited", "a recorded result says what it earned (credits; one credit is one token)"),
        ("settled", "a later result paid it: no spot-check struck it in between"),
        ("claimed", "its tokens are in the wallet; ? where this machine cannot know"),
        ("missing", "the first step that has not happened, and what it waits for; red: it never will"),
    )),
    ("Keys here", (
        ("left, right", "the round before, the round after"),
        ("end", "the newest round, and follow it again"),
        ("up, down", "another contribution; its particulars are below"),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A round in detail."""

    number: int | None

    def __call__(self, stores: Mapping[str, Store], name: str) -> RoundDetail | None:
        return round_detail(stores, name, self.number)


class RoundScreen(SwarmScreen):
    """One round: its stages, its result, and each contribution's way."""

    NAME, ABOUT, WORDS = "round", "Each contribution's way to the wallet, with the missing step named", WORDS
    BINDINGS: ClassVar = [
        Binding("left", "turn(-1)", "Round", key_display="← →"),
        Binding("h", "turn(-1)", "Round before", show=False),
        Binding("right,l", "turn(1)", "Round after", show=False),
        Binding("end", "newest", "Newest", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.number: int | None = None
        self._detail: RoundDetail | None = None

    def body(self) -> Iterable[Widget]:
        yield RoundFacts(id="facts")
        yield Listing(id="ways", picks=True, title="Contributions")
        yield WayDetail(id="way")

    def on_mount(self) -> None:
        self.query_one("#ways").focus()

    def gather(self) -> Gather:
        return Asked(self.number)

    def draw(self, seen: Seen) -> None:
        if seen.view is None and seen.peers and self._detail is not None:
            return
        self._detail = seen.view if isinstance(seen.view, RoundDetail) else None
        self.query_one(RoundFacts).show(self._detail, seen.now)
        self._draw_ways()

    def count_time(self, now: float) -> None:
        facts = self.query_one(RoundFacts)
        facts.now = now
        facts.redraw()

    @on(Listing.Resized)
    def _resized(self) -> None:
        self._draw_ways()

    def action_turn(self, step: int) -> None:
        detail = self._detail
        if detail is None:
            return
        number = max(detail.first_round, min(detail.last_round, detail.round + step))
        self.number = None if number == detail.last_round else number
        self.app.look_again()  # type: ignore[attr-defined]

    def action_newest(self) -> None:
        self.number = None
        self.app.look_again()  # type: ignore[attr-defined]

    @on(Listing.Picked)
    def _picked(self) -> None:
        self._draw_detail()

    def _draw_ways(self) -> None:
        listing = self.query_one("#ways", Listing)
        width = listing.size.width
        ways = self._detail.ways if self._detail else ()
        listing.show_lines([way_line(way, width) for way in ways], head(width) if ways else None)
        self._draw_detail()

    def _draw_detail(self) -> None:
        ways = self._detail.ways if self._detail else ()
        cursor = self.query_one("#ways", Listing).cursor
        self.query_one(WayDetail).show(ways[cursor] if cursor < len(ways) else None, 0.0)
