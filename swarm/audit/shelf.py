"""Why this module exists: what others may ask for to check somebody's work must survive a restart of who keeps it.

    held/000012/<name>.blobs      several blobs as one file: a state's manifest and chunks, or a contribution's batches

Files appear in one step, and blobs are served from where they lie: states of many peers would fill the memory. A
damaged file is skipped: blobs are named by their hash, so it can mislead nobody.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from protocol.codec import content_id, decode, encode
from protocol.errors import BadRecord
from protocol.ids import ContentId
from swarm.policy.disk import write_file

_CAP = 1024 * 1024 * 1024


class _Place(NamedTuple):
    name: str
    number: int


class Shelf:
    """Sets of blobs by name and round. Several threads may write at once, also the same set: peers whose steps changed
    nothing have one state."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._changing = threading.Lock()
        self._places: dict[ContentId, _Place] = {}
        self._open: tuple[str, tuple[bytes, ...]] = ("", ())
        for path in sorted(directory.glob("*/*.blobs")):
            self._enter(path.name, _read(path) or ())

    def write(self, round_number: int, name: ContentId, blobs: Sequence[bytes]) -> None:
        """Keep a set; on disk when this returns. One that is here already is kept as long as one of this round."""
        path = self._directory / f"{round_number:06d}" / f"{name}.blobs"
        with self._changing:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = next(self._directory.glob(f"*/{path.name}"), None)
            if kept is not None:
                os.replace(kept, path)
            else:
                write_file(path, encode(tuple(blobs)))
            self._enter(path.name, blobs)

    def link(self, round_number: int, name: ContentId, other: Shelf) -> bool:
        """Keep a set of another shelf, too, without a copy of it; whether that could be done."""
        kept = next(other._directory.glob(f"*/{name}.blobs"), None)
        path = self._directory / f"{round_number:06d}" / f"{name}.blobs"
        if kept is None or next(self._directory.glob(f"*/{path.name}"), None) is not None:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(kept, path)
        except OSError:
            return False  # another disk, or one without links
        return True

    def blobs(self, name: ContentId) -> tuple[bytes, ...] | None:
        """All blobs of a set; ``None`` when it is not here, or damaged."""
        path = next(self._directory.glob(f"*/{name}.blobs"), None)
        return _read(path) if path is not None else None

    def find(self, content: ContentId) -> bytes | None:
        """The blob of this name, from whichever set has it; ``None`` when none does any more."""
        place = self._places.get(content)
        if place is None:
            return None
        if self._open[0] != place.name:  # whoever asks for one chunk of a state asks for the others, too
            path = next(self._directory.glob(f"*/{place.name}"), None)
            self._open = (place.name, (_read(path) if path is not None else None) or ())
        blobs = self._open[1]
        return blobs[place.number] if place.number < len(blobs) else None

    def forget_old(self, round_number: int) -> None:
        """Drop what was written for rounds before this one."""
        with self._changing:
            for directory in self._directory.glob("[0-9]*"):
                if directory.name.isdigit() and int(directory.name) < round_number:
                    gone = {path.name for path in directory.glob("*.blobs")}
                    shutil.rmtree(directory, ignore_errors=True)
                    self._places = {content: place for content, place in self._places.items() if place.name not in gone}
                    self._open = ("", ())

    def _enter(self, name: str, blobs: Sequence[bytes]) -> None:
        self._places |= {content_id(blob): _Place(name, number) for number, blob in enumerate(blobs)}


def _read(path: Path) -> tuple[bytes, ...] | None:
    try:
        return decode(path.read_bytes(), tuple[bytes, ...], cap=_CAP)
    except (OSError, BadRecord):
        return None
