"""Why this module exists: a run's questions must be there again after a restart, and for whoever asks for them."""

from __future__ import annotations

from pathlib import Path

from protocol.codec import content_id
from protocol.ids import ContentId
from swarm.policy.disk import write_file


class QuestionFiles:
    """Question sets on disk, one file each, named by their hash."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, blob: bytes) -> None:
        """On disk when this returns."""
        self._directory.mkdir(parents=True, exist_ok=True)
        write_file(self._directory / content_id(blob), blob)

    def find(self, content: ContentId) -> bytes | None:
        """The set of this name; ``None`` where there is none, or where its file is damaged."""
        try:
            blob = (self._directory / content).read_bytes()
        except OSError:
            return None
        return blob if content_id(blob) == content else None
