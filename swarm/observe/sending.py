"""Why this module exists: ``swarm outbox`` tells of every intent whether it was sent, is held up, or is done, and why.

Reads two kinds of files of a home, without a lock and without changing anything, whether its peers run or not: the
outboxes (what is to be sent, see ``rewards.items``) and the wallets' logs (what was signed, see ``chain.nonces``). An
intent and its transaction find each other by the intent's label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich.console import RenderableType
from rich.text import Text

from chain.durable import DurableLines
from chain.nonces import Entry, read_entries
from rewards.items import Item, State, replay
from swarm.observe.tables import FittingTable
from swarm.observe.text import plain, seconds_text, short_id

SENT = "sent"
"""State of an intent whose transaction is on its way."""

_STYLES = {
    State.QUEUED.value: "dim", SENT: "cyan", State.MINED.value: "green", State.DONE.value: "dim green",
    State.REFUSED.value: "red", State.HELD.value: "yellow",
}  # fmt: skip


class Sending(msgspec.Struct):
    """An intent and how it is going. ``kind``, ``number`` (round or epoch, 0 where it has none) and ``about`` (a peer)
    say what it is. Times are unix seconds, fees wei per gas; what is not known (yet) is ``None`` or empty.

    ``state``: ``queued``, ``sent``, ``mined`` (waits for more blocks), ``done``, ``held`` or ``refused`` (``why``).
    ``attempts``: signed versions of its transaction, each at a higher fee.
    """

    name: str
    run: str
    kind: str
    number: int
    about: str
    state: str
    queued_at: float
    since: float
    reason: str
    why: str
    transaction: str
    nonce: int | None
    fee_wei: int | None
    attempts: int
    sent_at: float | None
    block: int | None
    confirmations: int


def sendings(home: Path) -> tuple[Sending, ...]:
    """Everything that the peers of ``home`` have to send, and the latest that ended, oldest first.

    Raises ``SwarmError`` for a damaged file.
    """
    folders = sorted(path for path in (home / "peers").glob("*") if path.is_dir())
    return tuple(sorted((one for folder in folders for one in sendings_of(folder)), key=lambda one: one.queued_at))


def sendings_of(folder: Path) -> list[Sending]:
    """The same for one peer's folder. Raises ``SwarmError`` for a damaged file."""
    entries = [entry for path in sorted(folder.glob("transactions/*.log")) for entry in read_entries(path)]
    return [
        _sending(folder.name, path.parent.name, item, entries)
        for path in sorted(folder.glob("runs/*/outbox.log"))
        for item in replay(DurableLines(path).read()).values()
    ]


def outbox_table(found: Sequence[Sending], now: float) -> RenderableType:
    """For people: one line per intent."""
    if not found:
        return Text("Nothing is to be sent.")
    table = FittingTable(
        "peer", "what", "state", ">for", ">nonce", ">tries", ">gwei", "transaction", ">block", ">on top", "why",
        spare=("gwei", "nonce", "on top", "tries", "block", "transaction"),
    )  # fmt: skip
    for one in found:
        cells: list[object] = [
            seconds_text(max(0.0, now - one.since)),
            "–" if one.nonce is None else one.nonce,
            one.attempts or "–",
            "–" if one.fee_wei is None else f"{one.fee_wei / 10**9:.3g}",
            short_id(one.transaction) if one.transaction else "–",
            one.block or "–",
            one.confirmations if one.block else "–",
            one.why,
        ]
        what = f"{one.kind} {one.number}" if one.number else one.kind
        table.add_row(
            Text(plain(one.name, 40), "bold"),
            Text(plain(what, 40)),
            Text(one.state, _STYLES[one.state]),
            *(Text(str(cell)) for cell in cells),
        )
    return table


def _sending(name: str, run: str, item: Item, entries: Iterable[Entry]) -> Sending:
    kind, number, about = (*item.label.split("/"), "", "")[:3]
    entry = _entry_of(item, entries)
    state = item.state.value
    if entry is not None and entry.state == "open" and item.state == State.QUEUED:
        state = SENT
    return Sending(
        name=name,
        run=run,
        kind=plain(kind, 40),
        number=int(number) if number.isdigit() else 0,
        about=plain(about, 128),
        state=state,
        queued_at=item.queued_at,
        since=entry.versions[0].at if entry is not None and state == SENT else item.since,
        reason=plain(item.reason, 80),
        why=plain(item.why, 400),
        transaction=item.transaction or (entry.transaction or entry.latest.transaction if entry is not None else ""),
        nonce=entry.nonce if entry is not None else None,
        fee_wei=entry.latest.fee_wei if entry is not None else None,
        attempts=len(entry.versions) if entry is not None else 0,
        sent_at=entry.versions[0].at if entry is not None else None,
        block=item.block or None,
        confirmations=item.confirmations,
    )


def _entry_of(item: Item, entries: Iterable[Entry]) -> Entry | None:
    """What the wallet signed for it: the transaction that was mined, else the newest since it was put in."""
    by_label = [entry for entry in entries if entry.purpose == item.label and entry.state != "taken"]
    if item.transaction:
        return next((entry for entry in by_label if item.transaction in entry.hashes), None)
    since = [entry for entry in by_label if entry.latest.at >= item.queued_at]
    return max(since, key=lambda entry: entry.nonce, default=None)
