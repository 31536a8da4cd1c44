"""Why this module exists: what did I earn, where does it wait, what is in the wallet, and what did that cost?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from protocol.errors import SwarmError
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from swarm.observe.wallet import WalletView, wallet
from tui.feed import Gather
from tui.outbox import Outbox, Sending
from tui.screens.base import Seen, SwarmScreen, Words
from tui.widgets.listing import Listing
from tui.widgets.money import MoneyFlow, WaitingPanel, sending_lines, transaction_lines

WORDS: Words = (
    ("Credits on their way", (
        ("earned", "credits of all results this peer knows of; one credit is one token"),
        ("verified", "of these, spot-checked and the same, or paid already"),
        ("settled", "of these, paid by a result that the chain recorded; locked until their epoch is final"),
        ("claimed", "of these, taken out as tokens"),
        ("what it waits for", "each part of the difference, how much it is, and what must happen next"),
        ("wallet", "tokens that the wallet held after the last claim"),
        ("stake", "tokens this peer has put up; a proven lie takes them. Leaving: on their way out, and until when"),
    )),
    ("To be sent", (
        ("state", "queued: not sent yet; sent: in a block soon; mined: waits for more blocks; held, refused: see why"),
        ("tries", "signed versions of a transaction, each at a higher fee"),
        ("for", "how long it has been in this state"),
    )),
    ("Transactions", (
        ("gas", "what a transaction used; at a price per gas it is what the wallet paid"),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A wallet, and what it has to send (read here, in the feed's thread)."""

    alive: Alive
    outbox: Outbox | None

    def __call__(self, stores: Mapping[str, Store], name: str) -> Purse:
        sendings: tuple[Sending, ...] = ()
        trouble = ""
        if self.outbox is not None:
            try:
                sendings = tuple(one for one in self.outbox() if one.name == name)
            except (OSError, SwarmError) as error:
                trouble = str(error)
        return Purse(wallet(name, stores[name], self.alive), sendings, trouble, self.outbox is not None)


@dataclass(frozen=True)
class Purse:
    """What this screen shows. ``trouble``: why the outbox could not be read."""

    wallet: WalletView
    sendings: tuple[Sending, ...]
    trouble: str
    knows_outbox: bool


class WalletScreen(SwarmScreen):
    """The way from earned to claimed, what it waits for, the outbox and the transactions."""

    NAME, ABOUT, WORDS = "wallet", "Credits, what they wait for, stake, transactions", WORDS

    def __init__(self) -> None:
        super().__init__()
        self._purse: Purse | None = None
        self._drawn: tuple[object, ...] = ()
        self._now = 0.0

    def body(self) -> Iterable[Widget]:
        yield MoneyFlow(id="flow")
        yield WaitingPanel(id="waiting")
        yield Horizontal(
            Listing(id="sendings", title="To be sent"), Listing(id="transactions", title="Transactions"), id="sent"
        )

    def on_mount(self) -> None:
        self.query_one("#transactions").focus()

    def gather(self) -> Gather:
        return Asked(self.app.alive, self.app.outbox)  # type: ignore[attr-defined]

    def draw(self, seen: Seen) -> None:
        self._now = seen.now
        if seen.view is None and seen.peers and self._purse is not None:
            return
        self._purse = seen.view if isinstance(seen.view, Purse) else None
        shown = self._purse.wallet if self._purse else None
        self.query_one(MoneyFlow).show(shown, seen.now)
        self.query_one(WaitingPanel).show(shown, seen.now)
        self._draw_lists()

    def count_time(self, now: float) -> None:
        self._now = now
        self._draw_sendings()

    @on(Listing.Resized)
    def _resized(self) -> None:
        self._draw_lists()

    def _draw_lists(self) -> None:
        self._draw_sendings()
        mined = self.query_one("#transactions", Listing)
        wallet = self._purse.wallet if self._purse else None
        drawn = (wallet.transactions if wallet else None, mined.size.width)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        if wallet is None:
            mined.show_lines(())
            return
        head, lines = transaction_lines(wallet, mined.size.width)
        mined.show_lines(lines, head)
        num = wallet.num_transactions
        mined.caption(f"Transactions {num}" if num else "Transactions", f"{wallet.gas:,} gas in all" if num else "")

    def _draw_sendings(self) -> None:
        sendings, purse = self.query_one("#sendings", Listing), self._purse
        if purse is None:
            sendings.show_lines(())
            return
        head, lines = sending_lines(purse.sendings, sendings.size.width, self._now, purse.trouble, purse.knows_outbox)
        sendings.show_lines(lines, head)
