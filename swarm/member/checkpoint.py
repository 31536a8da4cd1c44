"""Why this module exists: a model state counts only once the chain included it; everything else can be undone.

    state/<state hash>/…    saved states          state/head.json    which of them was included, and in which round

The engine's step writes a new state beside the included one. When the round's result includes the contribution, the
head moves; when it does not, the peer goes back to the head. A crash at any moment finds a head that exists.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec

from protocol.ids import ContentId
from swarm.policy.base import Engine
from swarm.settings.home import write_atomically


class Head(msgspec.Struct, frozen=True):
    """The included state and the round that included it (0: the genesis state)."""

    state: ContentId
    round: int


class Checkpoints:
    """Saved engine states of one peer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def head(self) -> Head | None:
        """The included state, or ``None`` for a peer that never trained here."""
        try:
            head = msgspec.json.decode((self._directory / "head.json").read_bytes(), type=Head)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return head if self.has(head.state) else None

    def has(self, state: ContentId) -> bool:
        return (self._directory / state).is_dir()

    def save(self, engine: Engine) -> ContentId:
        """Write the engine's present state; returns its hash. Does not move the head."""
        state = engine.state_hash()
        if not self.has(state):
            engine.save(self._directory / state)
        return state

    def restore(self, engine: Engine, state: ContentId) -> None:
        """Put a saved state back into the engine. Raises ``ConfigError`` when its files are damaged."""
        engine.load(self._directory / state)

    def include(self, state: ContentId, round_number: int, *, may_return_to: Collection[ContentId] = ()) -> None:
        """Move the head, then drop states that nothing refers to any more: all but this one, the head before, and
        those that a struck contribution would lead back to."""
        previous = self.head()
        write_atomically(self._directory / "head.json", msgspec.json.encode(Head(state, round_number)))
        keep = {state, *may_return_to} | ({previous.state} if previous else set())
        for directory in self._directory.iterdir():
            if directory.is_dir() and directory.name not in keep:
                shutil.rmtree(directory, ignore_errors=True)
