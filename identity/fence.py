"""Why this module exists: a restored peer does not know what it signed elsewhere after its backup, so it waits.

Restoring leaves ``restored.json`` in the peer's folder. While that says nothing of a run, nothing may be signed in it;
the first look at the chain then closes every round up to the one that is open. Those were signed elsewhere, perhaps:
a second, different record of one of them would cost the whole stake. Later rounds are this machine's.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from protocol.errors import IdentityError
from protocol.ids import ContentId

FILE = "restored.json"


class Restored(msgspec.Struct):
    """From a backup of ``made_at``, at ``restored_at`` (unix seconds). ``closed``: by run, the last round in which
    nothing may be signed here."""

    made_at: float
    restored_at: float
    closed: dict[ContentId, int] = {}


class Fence:
    """Which rounds of which run may be signed by the peer in ``folder``. All of them where it was never restored."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._restored = _read(self._path)

    @property
    def restored(self) -> Restored | None:
        """When and from what; ``None`` for a peer that has been on this machine from its beginning."""
        return self._restored

    def is_undecided(self, run: ContentId) -> bool:
        """Whether it must be found out on the chain which round is open, before anything is signed."""
        return self._restored is not None and run not in self._restored.closed

    def closed(self, run: ContentId) -> int:
        """The last round in which nothing may be signed; 0 where everything may."""
        return 0 if self._restored is None else self._restored.closed.get(run, 0)

    def close(self, run: ContentId, round: int) -> None:
        """Nothing is signed in rounds up to ``round``; durable before this returns. Never opens what was closed."""
        if self._restored is None:
            return
        self._restored.closed[run] = max(round, self._restored.closed.get(run, 0))
        write_restored(self._path, self._restored)

    def require_open(self, run: ContentId, round: int) -> None:
        """Raises ``IdentityError`` for a round that may have been signed elsewhere."""
        if self.is_undecided(run) or round <= self.closed(run):
            raise IdentityError(
                f"Round {round} may have been signed by this peer on another machine, before it was restored here.",
                "A second record of one round would cost the stake, so nothing was signed.",
                "It plays from the next round on by itself.",
            )


def write_restored(path: Path, restored: Restored) -> None:
    """Replace the file in one step."""
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(restored) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> Restored | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Restored)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise IdentityError(
            f"{path} cannot be read: {error}.",
            "It says in which rounds nothing may be signed; without it a second signature could cost the stake.",
            "Restore the peer from its backup again.",
        ) from error
