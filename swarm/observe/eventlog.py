"""Why this module exists: what a peer did must outlive the peer, and every display must be able to read it meanwhile.

One JSON object per line, written with a single ``write`` each, so a crash can tear only the last line; opening the
log for writing mends that. Readers keep a ``Position`` and ask again: no inotify, no lock, no daemon, and a line they
cannot read is counted instead of stopping them.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import SwarmError
from protocol.events import Event, LoggedEvent, RoundOpened

LINE_CAP = 1 << 20
"""Bytes. Longer lines are never written; a reader skips them without holding them in memory."""

_CLIP = 2_000
"""Characters kept of each string of an event that would exceed the cap."""

_HEAD = 256
_BLOCK = 4 << 20

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LoggedEvent).decode


class EventLog:
    """The writing end; one per log file. Safe to use from several threads of one process.

    ``path`` is created with its folder when missing. ``now`` gives unix seconds. Raises ``SwarmError`` when the file
    cannot be opened or written (a full disk, say).
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self.path = Path(path)
        self._now = now
        self._lock = threading.Lock()
        self.after: Callable[[Event], object] = lambda event: None
        """Called with every event that was written, on the writer's thread; it may append in its turn."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self.num_torn_bytes = _mend(self._file)
            self._seq = _last_seq(self._file)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    @property
    def last_seq(self) -> int:
        """Number of the last event written, by this process or an earlier one; 0 in a new log."""
        return self._seq

    def append(self, event: Event) -> LoggedEvent:
        """Write ``event`` as the next line and return it with its time and number.

        Nothing is buffered: once this returns, the line survives the process (not a power cut: nothing is synced).
        Raises ``ValueError`` for an event that no reader could read back (an id of another shape, say), and writes
        nothing; ``SwarmError`` when the file cannot be written.
        """
        with self._lock:
            logged = LoggedEvent(at=self._now(), seq=self._seq + 1, event=event)  # type: ignore[arg-type]
            line = _encode(logged) + b"\n"
            if len(line) > LINE_CAP:
                logged = _clipped(logged)
                line = _encode(logged) + b"\n"
            _decode(line)
            try:
                self._write(line)
            except OSError as error:
                raise _unwritable(self.path, error) from error
            self._seq += 1
        self.after(event)
        return logged

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        written = os.write(self._file, line)
        if written != len(line):
            # A nearly full disk takes a part; leaving it would glue the next line to it.
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(f"only {written} of {len(line)} bytes could be written")


class Position(msgspec.Struct, frozen=True):
    """Where a reader stands: bytes consumed, and a checksum of the file's beginning that tells a replaced log.

    ``skipping``: in the middle of an overlong line that is being passed over.
    """

    offset: int = 0
    head: int = 0
    skipping: bool = False


START = Position()


class Chunk(msgspec.Struct, frozen=True):
    """What one look at a log gave. ``num_garbage``: lines that are no event this version knows.

    ``restarted``: the log is another file than before, so these events follow nothing. ``more``: ask again at once.
    """

    events: tuple[LoggedEvent, ...]
    position: Position
    num_garbage: int = 0
    restarted: bool = False
    more: bool = False


def read_from(path: Path, position: Position = START, max_bytes: int = _BLOCK) -> Chunk:
    """The complete lines after ``position``, at most about ``max_bytes`` of them. A missing log is an empty one.

    A torn last line is left for the next call. Never raises for what the file contains, nor for its absence.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return Chunk((), START, restarted=position.offset > 0)
    with os.fdopen(descriptor, "rb") as file:
        restarted = position.offset > 0 and _head(file.fileno(), position.offset) != position.head
        if restarted:
            position = START
        file.seek(position.offset)
        block = file.read(max(max_bytes, LINE_CAP + 1))
        more = len(block) == max(max_bytes, LINE_CAP + 1)
        end = block.rfind(b"\n") + 1
        skipping, offset, num_garbage = position.skipping, position.offset, 0
        if end == 0:
            if len(block) > LINE_CAP:  # a line without end: pass over what is there, count it when it ends
                offset, skipping = offset + len(block), True
            events: tuple[LoggedEvent, ...] = ()
        else:
            lines = block[:end].split(b"\n")[:-1]
            events, num_garbage = _parse(lines[1:] if skipping else lines)
            num_garbage += int(skipping)
            offset, skipping = offset + end, False
        if offset == position.offset:
            return Chunk(events, Position(offset, position.head, skipping), num_garbage, restarted, more)
        return Chunk(events, Position(offset, _head(file.fileno(), offset), skipping), num_garbage, restarted, more)


def read(path: Path) -> Chunk:
    """The whole log. For long logs prefer ``read_from``, which bounds memory."""
    events: list[LoggedEvent] = []
    num_garbage, position, more = 0, START, True
    while more:
        chunk = read_from(path, position)
        events += chunk.events
        num_garbage += chunk.num_garbage
        position, more = chunk.position, chunk.more
    return Chunk(tuple(events), position, num_garbage)


def position_at_end(path: Path) -> Position:
    """Behind everything that is in the log now: a reader who begins there hears of what is new alone."""
    position, more = START, True
    while more:
        chunk = read_from(path, position)
        position, more = chunk.position, chunk.more
    return position


def first_round_since(path: Path, since: float) -> int | None:
    """The first round that opened for this log's peer at or after ``since`` (unix seconds), if any did."""
    events = (logged.event for logged in read(path).events if logged.at >= since)
    return next((event.round for event in events if isinstance(event, RoundOpened)), None)


def follow(path: Path, stop: threading.Event, position: Position = START, poll_s: float = 0.25) -> Iterator[Chunk]:
    """Chunks as the log grows, until ``stop`` is set; what was written before ``stop`` is still given."""
    while True:
        stopping = stop.is_set()
        chunk = read_from(path, position)
        if chunk.position != position or chunk.events or chunk.restarted:
            position = chunk.position
            yield chunk
        if chunk.more:
            continue
        if stopping:
            return
        stop.wait(poll_s)


def _parse(lines: list[bytes]) -> tuple[tuple[LoggedEvent, ...], int]:
    events = []
    for line in lines:
        try:
            if len(line) <= LINE_CAP:
                events.append(_decode(line))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
    return tuple(events), len(lines) - len(events)


def _head(descriptor: int, offset: int) -> int:
    """Checksum of the first bytes that lie before ``offset``; they never change in an append-only file."""
    return zlib.crc32(os.pread(descriptor, min(offset, _HEAD), 0)) if os.fstat(descriptor).st_size >= offset else -1


def _mend(descriptor: int) -> int:
    """End the file with a newline: complete a whole last line, cut off a torn one. Returns the bytes cut off."""
    size = os.fstat(descriptor).st_size
    start = size
    tail = b""
    while start > 0 and b"\n" not in tail:
        start = max(0, start - LINE_CAP)
        tail = os.pread(descriptor, size - start, start)
    torn = tail[tail.rfind(b"\n") + 1 :]
    if not torn:
        return 0
    if _parse([torn])[0]:
        os.write(descriptor, b"\n")
        return 0
    os.ftruncate(descriptor, size - len(torn))
    return len(torn)


def _last_seq(descriptor: int) -> int:
    """Number of the last readable event; looks further back past lines that cannot be read."""
    size = os.fstat(descriptor).st_size
    span = 64 * 1024
    while True:
        start = max(0, size - span)
        lines = os.pread(descriptor, size - start, start).split(b"\n")
        events, _ = _parse([line for line in lines[0 if start == 0 else 1 :] if line])
        if events:
            return events[-1].seq
        if start == 0:
            return 0
        span *= 8


def _clipped(logged: LoggedEvent) -> LoggedEvent:
    def clip(value: Any) -> Any:
        if isinstance(value, str):
            return value[:_CLIP]
        if isinstance(value, dict):
            return {clip(key): clip(item) for key, item in list(value.items())[:_CLIP]}
        if isinstance(value, (list, tuple)):
            return [clip(item) for item in value[: _CLIP // 8]]
        return value

    return msgspec.convert(clip(msgspec.to_builtins(logged)), LoggedEvent)


def _unwritable(path: Path, error: OSError) -> SwarmError:
    return SwarmError(
        f"The event log {path} cannot be written: {error.strerror or error}.",
        "Without it no display knows what this peer does; work already signed and credits are not touched.",
        "Free some disk space or make the folder writable, then start again.",
    )
