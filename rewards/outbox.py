"""Why this module exists: whatever moves credits is on disk before it is sent, and leaves only when it is done.

One file of lines, appended and synced. Each line carries a checksum, so that a process or machine that died in the
middle of one leaves a tail that is recognised and cut off:

    crc32 of the rest, 8 hex digits, space, {"seq": 7, "intent": {...}}      an intent to be sent
    crc32 of the rest, 8 hex digits, space, {"seq": 7}                       number 7 is done

An intent is done when the chain still calls it fulfilled ``depth`` blocks after it was mined: a chain node that was
killed may have forgotten its newest blocks, and then the intent is simply sent again. Sending twice is harmless, since
``Chain.send`` does nothing for what is already so.
"""

from __future__ import annotations

import asyncio
import errno
import os
import zlib
from pathlib import Path

import msgspec

from chain.base import Chain, Intent, Receipt, Settle
from protocol.errors import ChainError, ChainUnreachable, SwarmError

COMPACT_BYTES = 256 * 1024
"""A file that grew beyond this is rewritten with what is still pending."""

Key = tuple[str, int, str]
"""What an intent is about: its kind, round (0 where it has none) and peer. A newer one about the same replaces it."""


class _Line(msgspec.Struct, omit_defaults=True):
    seq: int
    intent: Intent | None = None


class Flushed(msgspec.Struct, frozen=True):
    """One pass over the outbox. ``sent``: mined in this pass. ``refused``: a contract said no, so they were taken out.
    ``held``: failed before any contract was asked (no gas money, say) and are kept. ``unreachable``: why the pass ended
    early; everything not mentioned stays."""

    sent: tuple[tuple[Intent, Receipt], ...] = ()
    refused: tuple[tuple[Intent, ChainError], ...] = ()
    held: tuple[tuple[Intent, ChainError], ...] = ()
    unreachable: ChainUnreachable | None = None


def key_of(intent: Intent) -> Key:
    """What ``intent`` is about."""
    if isinstance(intent, Settle):
        return ("Settle", intent.result.round, "")
    return (type(intent).__name__, getattr(intent, "round", 0), getattr(intent, "peer", ""))


class Outbox:
    """The durable list of intents of one peer. One process at a time (see ``identity.lock``).

    Raises ``SwarmError`` on opening a file that was damaged anywhere but at its end, ``OSError`` when the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: dict[int, Intent] = {}
        self._mined_at: dict[int, int] = {}  # block; forgotten on restart: then the intent is offered once more
        self._next = 1
        self._flushing = asyncio.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._compact()

    @property
    def pending(self) -> tuple[Intent, ...]:
        """What is not yet done for good, oldest first."""
        return tuple(self._pending.values())

    def put(self, intent: Intent) -> None:
        """Remember ``intent``; durable before this returns. It replaces an older one about the same thing."""
        if intent in self._pending.values():
            return
        seq, self._next = self._next, self._next + 1
        self._append(_Line(seq=seq, intent=intent))
        for old in [old for old, other in self._pending.items() if key_of(other) == key_of(intent)]:
            del self._pending[old]
        self._pending[seq] = intent

    async def flush(self, chain: Chain, *, depth: int = 2) -> Flushed:
        """Send what is pending, in order, and take out what is done. Call it now and then; it never raises for a chain
        that is away, so that nothing is lost and nothing blocks.

        ``depth``: blocks that must follow the one an intent was mined in before it counts as done.
        """
        sent: list[tuple[Intent, Receipt]] = []
        refused: list[tuple[Intent, ChainError]] = []
        held: list[tuple[Intent, ChainError]] = []
        unreachable = None
        async with self._flushing:
            try:
                head = (await chain.clock()).block if self._pending else 0
                for seq, intent in list(self._pending.items()):
                    if seq not in self._pending:
                        continue  # replaced while an earlier one was being sent
                    try:
                        receipt = await chain.send(intent)
                    except ChainUnreachable:
                        raise
                    except ChainError as error:
                        (refused if error.reason else held).append((intent, error))
                        if error.reason:
                            self._done(seq)
                        continue
                    if receipt.transaction:
                        sent.append((intent, receipt))
                        self._mined_at[seq] = receipt.block
                    elif self._mined_at.setdefault(seq, head) + depth <= head:
                        self._done(seq)
            except ChainUnreachable as error:
                unreachable = error
        return Flushed(tuple(sent), tuple(refused), tuple(held), unreachable)

    def _done(self, seq: int) -> None:
        self._mined_at.pop(seq, None)
        if self._pending.pop(seq, None) is not None:  # None: replaced by a newer one while it was being sent
            self._append(_Line(seq=seq))

    # --- the file --------------------------------------------------------------------------------------------------

    def _append(self, line: _Line) -> None:
        with self._path.open("ab", buffering=0) as file:
            before = file.tell()
            data = _format(line)
            try:
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, "the line was written only in part", str(self._path))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)  # half a line would spoil the next one
                raise
            size = before + len(data)
        if size > COMPACT_BYTES:
            self._compact()

    def _compact(self) -> None:
        """Read the file, and replace it in one step by its pending lines only, unless it holds nothing else already.

        So a torn tail never gets a successor, and a new file's name is durable before anything is put into it.
        """
        raw = self._path.read_bytes() if self._path.exists() else None
        lines = self._read(raw or b"")
        self._pending = _replay(lines)
        self._next = max([self._next, *(line.seq + 1 for line in lines)])
        compact = b"".join(_format(_Line(seq=seq, intent=intent)) for seq, intent in self._pending.items())
        if compact == raw:
            return
        temporary = self._path.with_name(self._path.name + ".new")
        with temporary.open("wb") as file:
            file.write(compact)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # else a power cut brings the old file back, without what is appended from now on
        finally:
            os.close(folder)

    def _read(self, raw: bytes) -> list[_Line]:
        lines: list[_Line] = []
        damaged_at = 0
        for number, piece in enumerate(raw.split(b"\n"), 1):
            line = _parse(piece)
            if line is None:
                damaged_at = damaged_at or (number if piece else 0)
            elif damaged_at:
                raise SwarmError(
                    f"The outbox {self._path} is damaged in line {damaged_at}.",
                    "Some transaction of this peer may not have been sent; credits already earned stay earned.",
                    f"Check the disk, then move {self._path.name} away: what is due is put together again.",
                )
            else:
                lines.append(line)
        return lines


def _replay(lines: list[_Line]) -> dict[int, Intent]:
    pending: dict[int, Intent] = {}
    for line in lines:
        if line.intent is None:
            pending.pop(line.seq, None)
        else:
            for old in [old for old, other in pending.items() if key_of(other) == key_of(line.intent)]:
                del pending[old]
            pending[line.seq] = line.intent
    return pending


def _format(line: _Line) -> bytes:
    body = msgspec.json.encode(line)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parse(piece: bytes) -> _Line | None:
    checksum, _, body = piece.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body) or not body:
        return None
    try:
        return msgspec.json.decode(body, type=_Line)
    except msgspec.DecodeError:
        return None
