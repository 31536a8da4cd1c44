"""Why this module exists: a transaction is on disk, signed, before anybody sees it, and its nonce is nobody else's.

One ``WalletLog`` file per wallet and chain, shared by every process that uses the wallet (a lock file beside it orders
them). After ``kill -9`` the very same transaction is sent again instead of a second one: an entry is open until its
nonce is used up on the chain, by one of its own versions (``mined``) or by somebody else's transaction (``taken``).
The latest closed entries are kept with their signed versions, because a chain may lose blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import msgspec

from chain.durable import DurableLines
from protocol.errors import ChainError

COMPACT_BYTES = 512 * 1024
KEPT_CLOSED = 64
"""Closed entries that a compacted log still has: more than a wallet sends in the blocks that a chain may lose."""

LOCK_POLL_S = 0.02
MAX_GAP = 16
"""Missing nonces that are filled; a larger gap can only come from an endpoint that made numbers up."""


class Version(msgspec.Struct, frozen=True):
    """One signed form of a transaction. ``raw``: 0x hex as broadcast. Fees in wei per gas; ``at``: unix seconds."""

    transaction: str
    raw: str
    fee_wei: int
    tip_wei: int | None
    gas: int
    at: float


class Entry(msgspec.Struct):
    """What this wallet did with one nonce for one payload. ``payload``: hash of recipient, data and value;
    ``purpose``: whose intent it is, for people. ``state``: ``open``, ``mined`` or ``taken``."""

    nonce: int
    payload: str
    purpose: str
    versions: list[Version]
    state: str = "open"
    transaction: str = ""
    block: int = 0
    block_hash: str = ""
    succeeded: bool = True
    closed_at: float = 0.0

    @property
    def latest(self) -> Version:
        return self.versions[-1]

    @property
    def hashes(self) -> list[str]:
        """Of all versions, the newest first."""
        return [version.transaction for version in reversed(self.versions)]


class _Line(msgspec.Struct, omit_defaults=True):
    """Adds a version to an entry, or changes its state; an entry is named by nonce and payload."""

    nonce: int
    payload: str
    purpose: str = ""
    version: Version | None = None
    state: str = ""
    transaction: str = ""
    block: int = 0
    block_hash: str = ""
    succeeded: bool = True
    at: float = 0.0


class WalletLog:
    """The signed transactions of one wallet on one chain. ``path`` ``None``: kept in memory only, one process.

    Everything that changes it must happen inside ``locked``. Raises ``SwarmError`` for a damaged file, and
    ``ChainError('DiskFull')`` when a signed version cannot be written down: nobody saw it then.
    """

    def __init__(self, path: Path | None = None, *, now: Callable[[], float] = time.time) -> None:
        self._lines = DurableLines(path) if path is not None else None
        self._now = now
        self._entries: dict[tuple[int, str], Entry] = {}
        self._seen: tuple[int, int] | None = None
        self._mine = asyncio.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            read_entries(path)  # a damaged file is told before anything else begins

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Alone with the log, among all tasks and processes; what the others wrote has been read."""
        async with self._mine:
            if self._lines is None:
                yield
                return
            try:
                lock_file = self._lines.path.with_suffix(".lock")
                descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise _disk_full(error) from error
            try:
                try:
                    while not _try_lock(descriptor):  # noqa: ASYNC110  (another process cannot set an event)
                        await asyncio.sleep(LOCK_POLL_S)
                    self._reload()
                except OSError as error:
                    raise _disk_full(error) from error
                yield
            finally:
                os.close(descriptor)  # and the lock with it

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All that are known, by nonce."""
        return tuple(sorted(self._entries.values(), key=lambda entry: entry.nonce))

    def open_entries(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.state == "open")

    def latest_of(self, payload: str) -> Entry | None:
        """The newest entry with this payload, open ones first: what a repeat is recognised by."""
        same = [entry for entry in self.entries if entry.payload == payload and entry.state != "taken"]
        return max(same, key=lambda entry: (entry.state == "open", entry.nonce), default=None)

    def current(self, entry: Entry) -> Entry:
        """The same entry as the log has it now: another task or process may have gone on with it."""
        return self._entries.get((entry.nonce, entry.payload), entry)

    def below(self, nonce: int, num_mined: int) -> tuple[list[Entry], list[int]]:
        """What must be mined before ``nonce`` can be: our entries from ``num_mined`` on, and nonces of nobody."""
        ours = {entry.nonce: entry for entry in self._entries.values() if entry.state != "taken"}
        wanted = range(num_mined, nonce)
        if len(wanted) > len(ours) + MAX_GAP:
            return [], list(wanted[: MAX_GAP + 1])  # too many to be filled: a number that somebody made up
        return [ours[n] for n in wanted if n in ours], [n for n in wanted if n not in ours]

    def free_nonce(self, num_mined: int, num_known: int) -> int:
        """The next nonce that is nobody's: not below what the chain has mined (``num_mined``) or knows in its pool
        (``num_known``), and of no transaction of ours that is or was on its way."""
        ours = {entry.nonce for entry in self._entries.values() if entry.state != "taken"}
        nonce = max(num_mined, num_known)
        while nonce in ours:
            nonce += 1
        return nonce

    def add(self, nonce: int, payload: str, purpose: str, version: Version) -> Entry:
        """Remember a signed version; on disk when this returns."""
        try:
            self._write(_Line(nonce, payload, purpose, version))
        except OSError as error:
            raise _disk_full(error) from error
        return self._entries[nonce, payload]

    def mined(self, entry: Entry, transaction: str, block: int, block_hash: str, succeeded: bool) -> None:
        """Its nonce was used by its own version ``transaction``."""
        line = _Line(entry.nonce, entry.payload, "", None, "mined", transaction, block, block_hash, succeeded)
        self._note(msgspec.structs.replace(line, at=self._now()))

    def taken(self, entry: Entry) -> None:
        """Its nonce was used by another transaction of the same wallet, or lies where this wallet will never get."""
        self._note(_Line(entry.nonce, entry.payload, state="taken", at=self._now()))

    def reopened(self, entry: Entry) -> None:
        """The chain lost the block in which it was mined."""
        self._note(_Line(entry.nonce, entry.payload, state="open", at=self._now()))

    def _note(self, line: _Line) -> None:
        """Remember what the chain can tell again: a full disk must not get in its way."""
        try:
            self._write(line)
        except OSError:
            _apply(self._entries, line)

    def _write(self, line: _Line) -> None:
        if self._lines is not None:
            size = self._lines.append([msgspec.json.encode(line)])
            self._seen = self._signature()
        _apply(self._entries, line)
        if self._lines is None or size > COMPACT_BYTES:
            self._forget_old()
            if self._lines is not None:
                self._lines.replace(_lines_of(self.entries))
                self._seen = self._signature()

    def _reload(self) -> None:
        assert self._lines is not None
        signature = self._signature()
        if signature is not None and signature == self._seen:
            return
        bodies = self._lines.read()
        self._entries = _replay(bodies)
        self._lines.replace(bodies)  # cuts a torn tail off before something is put behind it
        self._seen = self._signature()

    def _signature(self) -> tuple[int, int] | None:
        assert self._lines is not None
        try:
            found = self._lines.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size

    def _forget_old(self) -> None:
        closed = sorted(
            (entry for entry in self._entries.values() if entry.state != "open"), key=lambda entry: entry.closed_at
        )
        for entry in closed[:-KEPT_CLOSED]:
            del self._entries[entry.nonce, entry.payload]


def read_entries(path: Path) -> tuple[Entry, ...]:
    """What a wallet's log says now, without a lock and without changing anything, by nonce."""
    return tuple(sorted(_replay(DurableLines(path).read()).values(), key=lambda entry: entry.nonce))


def _replay(bodies: Iterable[bytes]) -> dict[tuple[int, str], Entry]:
    entries: dict[tuple[int, str], Entry] = {}
    for body in bodies:
        _apply(entries, msgspec.json.decode(body, type=_Line))
    return entries


def _apply(entries: dict[tuple[int, str], Entry], line: _Line) -> None:
    name = (line.nonce, line.payload)
    if line.version is not None:
        entry = entries.setdefault(name, Entry(line.nonce, line.payload, line.purpose, []))
        entry.versions.append(line.version)
        entry.state = "open"
    if line.state and name in entries:
        entry = entries[name]
        entry.state, entry.closed_at = line.state, 0.0 if line.state == "open" else line.at
        entry.transaction, entry.succeeded = line.transaction, line.succeeded
        entry.block, entry.block_hash = line.block, line.block_hash


def _lines_of(entries: Iterable[Entry]) -> list[bytes]:
    lines: list[_Line] = []
    for entry in entries:
        lines += [_Line(entry.nonce, entry.payload, entry.purpose, version) for version in entry.versions]
        if entry.state != "open":
            state = _Line(entry.nonce, entry.payload, "", None, entry.state, entry.transaction, entry.block)
            lines.append(
                msgspec.structs.replace(
                    state, block_hash=entry.block_hash, succeeded=entry.succeeded, at=entry.closed_at
                )
            )
    return [msgspec.json.encode(line) for line in lines]


def _disk_full(error: OSError) -> ChainError:
    return ChainError(
        f"The transaction could not be written down before sending it: {error.strerror or error}.",
        "It was not sent; what is due is kept and tried again.",
        "Make room on the disk that holds this peer's home.",
        reason="DiskFull",
    )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
