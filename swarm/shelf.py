"""Why this module exists: what others may ask for to check somebody's work must survive a restart of who keeps it.

    held/000012/<name>.blobs      several blobs as one file: a state's manifest and chunks, or a contribution's batches

Files appear in one step. A damaged one is skipped: blobs are named by their hash, so it can mislead nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.codec import decode, encode
from protocol.errors import BadRecord
from protocol.ids import ContentId
from protocol.messages import BlobRef
from swarm.policy.disk import write_file

_CAP = 1024 * 1024 * 1024


class Shelf:
    """Sets of blobs by name and round. ``offer`` serves a blob to whoever asks."""

    def __init__(self, directory: Path, offer: Callable[[bytes], BlobRef]) -> None:
        self._directory = directory
        self._offer = offer

    def write(self, round_number: int, name: ContentId, blobs: Sequence[bytes]) -> None:
        """Keep a set; on disk when this returns. One that is here already is kept as long as one of this round."""
        path = self._path(round_number, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = next(self._directory.glob(f"*/{path.name}"), None)
        if kept is not None:
            os.replace(kept, path)
        else:
            write_file(path, encode(tuple(blobs)))

    def read(self, name: ContentId) -> tuple[bytes, ...] | None:
        """A set in the order in which it was written; ``None`` when it is not here or damaged."""
        path = next(self._directory.glob(f"*/{name}.blobs"), None)
        return _read(path) if path is not None else None

    def offer(self, blobs: Sequence[bytes]) -> tuple[BlobRef, ...]:
        """Serve blobs; returns where they are found, in order."""
        return tuple(self._offer(blob) for blob in blobs)

    def offer_all(self) -> None:
        """Serve everything that is kept, oldest first, as a process that comes back does."""
        for path in sorted(self._directory.glob("*/*.blobs")):
            self.offer(_read(path) or ())

    def forget_old(self, round_number: int) -> None:
        """Drop what was written for rounds before this one."""
        for directory in self._directory.glob("[0-9]*"):
            if directory.name.isdigit() and int(directory.name) < round_number:
                shutil.rmtree(directory, ignore_errors=True)

    def _path(self, round_number: int, name: ContentId) -> Path:
        return self._directory / f"{round_number:06d}" / f"{name}.blobs"


def _read(path: Path) -> tuple[bytes, ...] | None:
    with contextlib.suppress(OSError, BadRecord):
        return decode(path.read_bytes(), tuple[bytes, ...], cap=_CAP)
    return None
