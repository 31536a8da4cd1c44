"""Why this module exists: what must survive ``kill -9`` and power cuts is kept in files of checked lines.

    crc32 of the rest, 8 hex digits, space, one JSON value, newline

A process or machine that died in the middle of a line leaves a tail that is recognised and cut off; damage anywhere
else is told, and changes nothing. Used by the outbox (what is to be sent) and by the wallet log (what was signed).
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from protocol.errors import SwarmError


def pack(body: bytes) -> bytes:
    """One line of such a file."""
    return b"%08x %s\n" % (zlib.crc32(body), body)


def unpack(piece: bytes) -> bytes | None:
    """The JSON of a line without its newline; ``None`` when it is torn or damaged."""
    checksum, _, body = piece.partition(b" ")
    return body if body and checksum == b"%08x" % zlib.crc32(body) else None


class DurableLines:
    """One file of lines. Bodies are JSON bytes without newlines; what they mean is the caller's matter.

    Not safe for two writers at once: callers hold a lock. Readers may read at any time: they see a beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[bytes]:
        """All whole lines, oldest first; none when there is no file.

        Raises ``SwarmError`` when something follows a damaged line, ``OSError`` when the disk refuses.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return self._whole_lines(raw)

    def append(self, bodies: Iterable[bytes], *, sync: bool = True) -> int:
        """Add lines behind the last one; on disk when this returns, unless ``sync`` is false. The file's new size.

        Raises ``OSError`` when the disk refuses; then nothing of it is in the file.
        """
        data = b"".join(pack(body) for body in bodies)
        with self.path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, "the line was written only in part", str(self.path))
                if sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(before)  # half a line would spoil the next one
                raise
        return before + len(data)

    def replace(self, bodies: Iterable[bytes]) -> None:
        """Make these the file's only lines, in one step and on disk; nothing happens when they are already.

        So a torn tail never gets a successor, and a new file's name is durable before anything is put into it.
        """
        compact = b"".join(pack(body) for body in bodies)
        try:
            if self.path.read_bytes() == compact:
                return
        except FileNotFoundError:
            pass
        temporary = self.path.with_name(self.path.name + ".new")
        with temporary.open("wb") as file:
            file.write(compact)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # else a power cut brings the old file back, without what is appended from now on
        finally:
            os.close(folder)

    def _whole_lines(self, raw: bytes) -> list[bytes]:
        lines: list[bytes] = []
        damaged_at = 0
        for number, piece in enumerate(raw.split(b"\n"), 1):
            body = unpack(piece)
            if body is None:
                damaged_at = damaged_at or (number if piece else 0)
            elif damaged_at:
                raise damaged(self.path, damaged_at)
            else:
                lines.append(body)
        return lines


def damaged(path: Path, line: int) -> SwarmError:
    """For a file whose line number ``line`` (from 1) is not what was written there."""
    return SwarmError(
        f"The file {path} is damaged in line {line}.",
        "Some transaction of this peer may not have been sent; credits already earned stay earned.",
        f"Check the disk, then move {path.name} away: what is due is put together again.",
    )
