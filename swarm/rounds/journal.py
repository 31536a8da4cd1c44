"""Why this module exists: what a peer signs for a round, it signs once; after a crash it sends the same bytes again.

    journal/000012/answer.envelope, answer.blob, …, contribution.envelope, verdict-….envelope, table-….blob
                   testimony-….blob    who signed a result: for when its payout is challenged

Files appear atomically, and signed records are never rewritten with other content: a second, different contribution
for one round would be equivocation, so asking for it is an error here, before any byte leaves the machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from protocol.codec import BLOB_CAP, decode, encode
from protocol.errors import BadRecord, SwarmError
from protocol.messages import Envelope
from swarm.settings.home import write_atomically

KEEP_ROUNDS = 16
"""Rounds whose records stay on disk, so that late readers can still be served."""


class Journal:
    """Signed records and blobs of this peer, by round. Reads return ``None`` for what is not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, envelope: Envelope, blob: bytes | None = None, *, about: str = "") -> None:
        """Keep a record and its blob before they are published. Writing the same bytes again changes nothing.

        ``about``: the content id of what it is about, for kinds of which there may be several in a round. Raises
        ``SwarmError`` when another record of this kind and round was already signed.
        """
        data = encode(envelope)
        path = self._path(envelope.round, f"{_name(envelope.kind, about)}.envelope")
        if path.exists():
            if path.read_bytes() != data:
                raise SwarmError(
                    f"A different {envelope.kind} was already signed for round {envelope.round}.",
                    "Signing a second one would be punished, so nothing was sent.",
                    "This is a defect of the program; please report it with the peer's log.",
                )
            return
        if blob is not None:
            write_atomically(self._path(envelope.round, f"{envelope.kind}.blob"), blob)
        write_atomically(path, data)

    def read(self, round_number: int, kind: str, *, about: str = "") -> tuple[Envelope, bytes | None] | None:
        """The record of that kind and its blob. A damaged file reads as absent."""
        path = self._path(round_number, f"{_name(kind, about)}.envelope")
        blob_path = self._path(round_number, f"{kind}.blob")
        try:
            envelope = decode(path.read_bytes(), Envelope)
        except (FileNotFoundError, BadRecord):
            return None
        return envelope, blob_path.read_bytes() if blob_path.exists() else None

    def write_table(self, round_number: int, name: str, table: bytes) -> None:
        """Keep a credit table that the round's result may commit to; ``name`` is its content id."""
        write_atomically(self._path(round_number, f"table-{name[:16]}.blob"), table)

    def tables(self) -> list[bytes]:
        """Every credit table still kept, oldest first."""
        return [path.read_bytes() for path in sorted(self._directory.glob("*/table-*.blob")) if _small(path)]

    def write_testimony(self, round_number: int, name: str, testimony: bytes) -> None:
        """Keep what is known of who signed a result; ``name`` is the content id of its credit table. A later, fuller
        testimony takes the place of an earlier one."""
        write_atomically(self._path(round_number, f"testimony-{name[:16]}.blob"), testimony)

    def testimonies(self, round_number: int) -> list[bytes]:
        """What is known of the results of a round."""
        folder = self._directory / f"{round_number:06d}"
        return [path.read_bytes() for path in sorted(folder.glob("testimony-*.blob")) if _small(path)]

    def forget_old(self, round_number: int, *, unpaid_from: int | None = None) -> None:
        """Drop what is more than ``KEEP_ROUNDS`` older than ``round_number``.

        Tables and testimonies stay from round ``unpaid_from`` on, since what they pay is not final or not claimed."""
        for directory in self._directory.glob("[0-9]*"):
            if not directory.name.isdigit() or int(directory.name) >= round_number - KEEP_ROUNDS:
                continue
            if unpaid_from is None or int(directory.name) < unpaid_from:
                shutil.rmtree(directory, ignore_errors=True)
                continue
            for path in directory.iterdir():
                if not path.name.startswith(("table-", "testimony-")):
                    path.unlink(missing_ok=True)

    def _path(self, round_number: int, name: str) -> Path:
        return self._directory / f"{round_number:06d}" / name


def _name(kind: str, about: str) -> str:
    return f"{kind}-{about[:32]}" if about else kind


def _small(path: Path) -> bool:
    return path.stat().st_size <= BLOB_CAP
