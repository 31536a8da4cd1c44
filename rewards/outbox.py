"""Why this module exists: whatever moves credits is on disk before it is sent, and leaves only when it is done.

An intent is done when the chain still calls it fulfilled ``depth`` blocks after the block that fulfilled it, and that
block (its hash is compared) is still one of the chain: a chain may reorganise, and a node that was killed may have
forgotten its newest blocks. Then the intent is simply sent again. Sending twice is harmless, since ``Chain.send`` does
nothing for what is already so. How an intent is going is in the same file, so that others may look (``rewards.items``).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from chain.base import Chain, Intent, Receipt
from chain.durable import DurableLines
from chain.recognition import Key as Key
from chain.recognition import is_final, key_of
from protocol.errors import ChainError, ChainUnreachable
from rewards.items import Item, Line, State, apply, lines_of, replay

COMPACT_BYTES = 256 * 1024
"""A file that grew beyond this is rewritten with what is still pending, and a little of what ended."""

DEV_DEPTH, FOREIGN_DEPTH = 2, 12
"""Blocks that must follow: on a swarm's own dev chain (half a second each), and on a chain that may reorganise."""


class Flushed(msgspec.Struct, frozen=True):
    """One pass over the outbox. ``sent``: mined in this pass. ``refused``: a contract said no, so they were taken out.
    ``held``: failed before any contract was asked (no gas money, say) and are kept. ``unreachable``: why the pass ended
    early; everything not mentioned stays."""

    sent: tuple[tuple[Intent, Receipt], ...] = ()
    refused: tuple[tuple[Intent, ChainError], ...] = ()
    held: tuple[tuple[Intent, ChainError], ...] = ()
    unreachable: ChainUnreachable | None = None


class Outbox:
    """The durable list of intents of one peer. One process at a time (see ``identity.lock``).

    ``depth``: blocks that must follow the one an intent was mined in before it counts as done. Raises ``SwarmError`` on
    opening a file that was damaged anywhere but at its end, ``OSError`` when the disk refuses.
    """

    def __init__(self, path: Path, *, depth: int = DEV_DEPTH, now: Callable[[], float] = time.time) -> None:
        self._depth = depth
        self._now = now
        self._flushing = asyncio.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = DurableLines(path)
        self._items = replay(self._lines.read())
        self._next = max([0, *self._items]) + 1
        self._lines.replace(lines_of(self._items))

    @property
    def pending(self) -> tuple[Intent, ...]:
        """What is not yet done for good, oldest first."""
        return tuple(item.intent for item in self._items.values() if item.intent is not None)

    @property
    def unsent(self) -> tuple[Intent, ...]:
        """What is in no block yet: pending without that which only waits for more blocks."""
        return tuple(
            item.intent for item in self._items.values() if item.intent is not None and item.state != State.MINED
        )

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything pending and the latest that ended, with how it went, oldest first."""
        return tuple(self._items.values())

    def put(self, intent: Intent) -> None:
        """Remember ``intent``; durable before this returns. It replaces an older one about the same thing."""
        if intent in self.pending:
            return
        self._append(Line(seq=self._next, intent=intent, at=self._now()))
        self._next += 1

    async def flush(self, chain: Chain, *, depth: int | None = None) -> Flushed:
        """Send what is pending, in order, and take out what is done. Call it now and then; it never raises for a chain
        that is away or a disk that is full, so that nothing is lost and nothing blocks. ``depth``: see the class."""
        sent: list[tuple[Intent, Receipt]] = []
        refused: list[tuple[Intent, ChainError]] = []
        held: list[tuple[Intent, ChainError]] = []
        unreachable = None
        async with self._flushing:
            for seq, item in list(self._items.items()):
                intent = item.intent
                if intent is None or seq not in self._items:
                    continue  # it ended, or was replaced while an earlier one was being sent
                try:
                    receipt = await chain.send(intent)
                    if receipt.transaction:
                        sent.append((intent, receipt))
                    await self._mined(seq, receipt, chain, self._depth if depth is None else depth)
                except ChainUnreachable as error:
                    unreachable = error
                    break
                except ChainError as error:
                    (refused if is_final(error) else held).append((intent, error))
                    self._note(seq, State.REFUSED if is_final(error) else State.HELD, error)
        return Flushed(tuple(sent), tuple(refused), tuple(held), unreachable)

    async def _mined(self, seq: int, receipt: Receipt, chain: Chain, depth: int) -> None:
        """The chain calls it fulfilled: since when, for how many blocks, and is that block still there?"""
        item = self._items.get(seq)
        if item is None:
            return  # replaced while it was being sent
        since = receipt
        if not receipt.transaction and item.state == State.MINED:
            stands = not item.block_hash or await chain.block_hash(item.block) == item.block_hash
            if stands:
                since = Receipt(item.transaction, 0, item.block, item.block_hash)
        line = Line(
            seq=seq,
            at=self._now(),
            state=State.MINED,
            transaction=since.transaction,
            block=since.block,
            block_hash=since.block_hash,
            confirmations=max(0, receipt.block - since.block),
        )
        if not receipt.transaction and line.confirmations >= depth and item.state == State.MINED:
            line.state = State.DONE
        if line.state == State.DONE or not _same(item, line):
            self._tell(line)

    def _note(self, seq: int, state: State, error: ChainError) -> None:
        line = Line(seq=seq, at=self._now(), state=state, reason=error.reason, why=str(error))
        item = self._items.get(seq)
        if item is not None and not _same(item, line):
            self._tell(line)

    def _tell(self, line: Line) -> None:
        """Write down how it is going. The chain can tell that again, so a full disk must not get in its way."""
        try:
            self._append(line, sync=line.state in (State.DONE, State.REFUSED))
        except OSError:
            apply(self._items, line)

    def _append(self, line: Line, *, sync: bool = True) -> None:
        size = self._lines.append([msgspec.json.encode(line)], sync=sync)
        apply(self._items, line)
        if size > COMPACT_BYTES:
            with contextlib.suppress(OSError):  # it stays long
                self._lines.replace(lines_of(self._items))


def _same(item: Item, line: Line) -> bool:
    """Whether the line would say what is known already; only its time would be new."""
    return (item.state, item.reason, item.why, item.block, item.block_hash, item.confirmations) == (
        line.state,
        line.reason,
        line.why,
        line.block,
        line.block_hash,
        line.confirmations,
    )


__all__ = ["COMPACT_BYTES", "DEV_DEPTH", "FOREIGN_DEPTH", "Flushed", "Key", "Outbox", "key_of"]
