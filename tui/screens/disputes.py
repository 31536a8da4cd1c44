"""Why this module exists: a dispute before the contract is a search that narrows to one operation; this draws it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual import on
from textual.widget import Widget

from swarm.observe.disputes import DisputeView, games_of
from swarm.observe.equivocations import EquivocationView, equivocations_of
from swarm.observe.store import Store
from tui.feed import Gather
from tui.screens.base import Seen, SwarmScreen, Words
from tui.widgets.bisection import picture
from tui.widgets.equivocation import equivocation_line, equivocation_picture
from tui.widgets.listing import Listing
from tui.widgets.quarrel import game_head, game_line

WORDS: Words = (
    ("A game", (
        ("about", "whose contribution to which round, and what is disputed: its training step or a sampled rollout"),
        ("challenger", "who did the work again, found another result, and put up a bond"),
        ("defender", "who signed the work, and has a stake"),
        ("bond, stake", "what each side risks: the loser's is taken, and the winner gets a part"),
        ("turn", "whose move is waited for, and how long it has: who misses a deadline has lost"),
        ("two contributions", "no game: a peer signed two for one round, and a reporter showed both to the contract"),
    )),
    ("The picture", (
        ("a bar", "what was still searched, all of it; bright: the part in which the two traces first differ"),
        ("the funnel", "the bright part, drawn again as a whole below: every exchange divides it by up to 64"),
        ("operators", "of the step, in order; everything before the bright part is agreed"),
        ("elements", "numbers in the output of the one operator that was found"),
        ("terms", "of a long sum: so many terms are divided until one leaf can be computed"),
        ("leaf", "one element on agreed inputs, computed by the contract: its result decides"),
        ("gas", "what each move cost its side"),
    )),
    ("Keys here", (
        ("up, down", "another game"),
        ("page up, page down", "scroll the picture"),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Games:
    """All games that a peer's log knows, and the peers that were proven to have signed twice."""

    games: tuple[DisputeView | EquivocationView, ...]


@dataclass(frozen=True)
class Asked:
    """All games, and after them who signed twice."""

    def __call__(self, stores: Mapping[str, Store], name: str) -> Games:
        return Games((*games_of(stores[name]), *equivocations_of(stores[name])))


class DisputesScreen(SwarmScreen):
    """Games and the picture of the marked one."""

    NAME, ABOUT, WORDS = "disputes", "Games before the contract, and how each narrows", WORDS

    def __init__(self) -> None:
        super().__init__()
        self._games: tuple[DisputeView | EquivocationView, ...] = ()
        self._drawn: tuple[object, ...] = ()
        self._now = 0.0

    def body(self) -> Iterable[Widget]:
        yield Listing(id="games", picks=True, title="Disputes")
        yield Listing(id="picture", title="The search", follows=True)

    def on_mount(self) -> None:
        self.query_one("#games").focus()

    def gather(self) -> Gather:
        return Asked()

    def draw(self, seen: Seen) -> None:
        self._now = seen.now
        if seen.view is None and seen.peers and self._games:
            return
        self._games = seen.view.games if isinstance(seen.view, Games) else ()
        self._draw()

    def count_time(self, now: float) -> None:
        self._now = now
        self._draw()

    @on(Listing.Resized)
    def _resized(self) -> None:
        self._draw()

    @on(Listing.Picked, "#games")
    def _picked(self) -> None:
        self._draw()

    def _draw(self) -> None:
        listing, drawing = self.query_one("#games", Listing), self.query_one("#picture", Listing)
        width = listing.size.width
        lines = [
            equivocation_line(one, width) if isinstance(one, EquivocationView) else game_line(one, width, self._now)
            for one in self._games
        ]
        listing.show_lines(lines, game_head(width) if lines else None)
        listing.caption(f"Disputes {len(lines)}" if lines else "Disputes")
        game = self._games[listing.cursor] if listing.cursor < len(self._games) else None
        width = max(20, drawing.size.width - 1)
        drawn = (game, drawing.size.width)
        if drawn != self._drawn or game is None:
            if self._drawn[:1] != drawn[:1]:
                drawing.follow()
            self._drawn = drawn
            if isinstance(game, EquivocationView):
                drawing.caption(f"Equivocation {game.id[:8]}: two contributions for round {game.round}")
                drawing.show_lines(equivocation_picture(game, width))
                return
            drawing.caption(f"Dispute {game.game[:8]}: {game.subject} of round {game.round}" if game else "The search")
            drawing.show_lines(picture(game, width))
