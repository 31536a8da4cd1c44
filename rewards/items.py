"""Why this module exists: what the outbox's file says about each intent, for the outbox itself and for whoever looks.

    {"seq": 7, "intent": {…}, "at": …}            an intent to be sent; it replaces an older one about the same thing
    {"seq": 7, "state": "held", "why": "…", …}    how number 7 is going, or how it ended
    {"seq": 7}                                    number 7 is done

Pure: bytes in, items out. The lines' framing is ``chain.durable``'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from chain.base import Intent
from chain.recognition import key_of, label
from protocol.errors import SwarmError

KEPT_ENDED = 20
"""So many of the latest that ended are kept for people."""


class State(StrEnum):
    """Of an intent. While it is ``queued`` or ``held``, the wallet's log tells whether its transaction is under way."""

    QUEUED = "queued"  # to be sent
    HELD = "held"  # something of this peer's is in the way: see ``why``; it is tried again
    MINED = "mined"  # in a block, or found fulfilled; waits for more blocks
    DONE = "done"
    REFUSED = "refused"  # a contract said no: see ``why``


ENDED = frozenset({State.DONE, State.REFUSED})


class Item(msgspec.Struct):
    """An intent and how it is going. ``intent`` is ``None`` once it ended. Times are unix seconds; ``since`` is when it
    got into its state. ``confirmations``: blocks seen on top of ``block``."""

    label: str
    intent: Intent | None
    state: State
    queued_at: float
    since: float
    reason: str = ""
    why: str = ""
    transaction: str = ""
    block: int = 0
    block_hash: str = ""
    confirmations: int = 0


class Line(msgspec.Struct, omit_defaults=True):
    """One line of the file."""

    seq: int
    intent: Intent | None = None
    label: str = ""
    state: str = ""
    at: float = 0.0
    queued_at: float = 0.0
    reason: str = ""
    why: str = ""
    transaction: str = ""
    block: int = 0
    block_hash: str = ""
    confirmations: int = 0


def replay(bodies: Iterable[bytes]) -> dict[int, Item]:
    """All items by number, oldest first. Raises ``SwarmError`` for whole lines that this program does not know."""
    items: dict[int, Item] = {}
    for number, body in enumerate(bodies, 1):
        try:
            apply(items, msgspec.json.decode(body, type=Line))
        except (msgspec.DecodeError, ValueError) as error:
            raise SwarmError(
                f"The outbox holds something in line {number} that this program does not know: {error}.",
                "It was written by another version; nothing was changed, and credits already earned stay earned.",
                "Use that version until its outbox is empty, or move the file away.",
            ) from error
    return items


def apply(items: dict[int, Item], line: Line) -> None:
    """Let ``items`` be as they are after ``line``."""
    if line.intent is not None and not line.state:
        key = key_of(line.intent)
        replaced = [seq for seq, item in items.items() if item.intent is not None and key_of(item.intent) == key]
        for seq in replaced:
            del items[seq]
        items[line.seq] = Item(label(line.intent), line.intent, State.QUEUED, line.at, line.at)
        return
    state = State(line.state or State.DONE)
    item = items.get(line.seq)
    if item is None:
        if not line.label:
            return  # replaced by a newer one while it was being sent
        item = items[line.seq] = Item(line.label, None, state, line.queued_at, line.at)
    if item.state != state:
        item.since = line.at
    item.state, item.reason, item.why = state, line.reason, line.why
    item.transaction, item.block, item.block_hash = line.transaction, line.block, line.block_hash
    item.confirmations = line.confirmations
    if state in ENDED:
        item.intent = None
        _forget(items)


def lines_of(items: dict[int, Item]) -> list[bytes]:
    """The fewest lines that say the same."""
    lines: list[Line] = []
    for seq, item in items.items():
        if item.intent is not None:
            lines.append(Line(seq=seq, intent=item.intent, at=item.queued_at))
        if item.state != State.QUEUED:
            lines.append(
                Line(
                    seq=seq,
                    label="" if item.intent is not None else item.label,
                    state=item.state,
                    at=item.since,
                    queued_at=item.queued_at if item.intent is None else 0.0,
                    reason=item.reason,
                    why=item.why,
                    transaction=item.transaction,
                    block=item.block,
                    block_hash=item.block_hash,
                    confirmations=item.confirmations,
                )
            )
    return [msgspec.json.encode(line) for line in lines]


def _forget(items: dict[int, Item]) -> None:
    ended = [seq for seq, item in items.items() if item.intent is None]
    for seq in ended[:-KEPT_ENDED]:
        del items[seq]
