"""Why this module exists: a game may be opened until a round is paid, and who has lost his evidence by then loses it.

    disputes/work/000012/<content>.dossier     own contributions, and those that this peer accuses
    disputes/states/000012/<root>.blobs        the states that they begin and end in
    disputes/suits/<content>-<subject>.json    what this peer accuses, and how far that went
    disputes/told.json, reported.json          what of games, and which reports, its events have told

Files appear in one step. States that lie on the shelf already are linked, not copied.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId
from swarm.audit.shelf import Shelf
from swarm.disputes.dossier import Dossier, dossier_bytes, read_dossier
from swarm.policy.base import StateParts
from swarm.settings.home import write_atomically


class Suit(msgspec.Struct, frozen=True):
    """This peer accuses: ``subject`` of the contribution. ``dropped``: why it went no further; empty while it does.

    ``is_struck``: a recorded result refused the contribution's pay; ``is_ordered``: a person asked for the game."""

    round: int
    peer: PeerId
    content: ContentId
    subject: int
    dropped: str = ""
    is_struck: bool = False
    is_ordered: bool = False

    @property
    def name(self) -> str:
        return f"{self.content}-{self.subject}"


class Archive:
    """Dossiers, states and suits of one peer in one run."""

    def __init__(self, directory: Path) -> None:
        self._work = directory / "work"
        self._suits = directory / "suits"
        self._told = directory / "told.json"
        self._reported = directory / "reported.json"
        self._states = Shelf(directory / "states")

    def keep(self, dossier: Dossier, states: dict[ContentId, StateParts], shelf: Shelf | None = None) -> None:
        """Keep a dossier and its states; on disk when this returns. ``shelf``: where a state may lie already."""
        for root, parts in states.items():
            self.keep_state(dossier.round, root, parts, shelf)
        path = self._work / f"{dossier.round:06d}" / f"{dossier.content}.dossier"
        if not path.exists():
            write_atomically(path, dossier_bytes(dossier))

    def keep_state(self, round_number: int, root: ContentId, parts: StateParts, shelf: Shelf | None = None) -> None:
        """Keep one state for a round's sake."""
        if shelf is None or not self._states.link(round_number, root, shelf):
            self._states.write(round_number, root, (parts.manifest, *parts.chunks))

    def dossier(self, content: ContentId) -> Dossier | None:
        """``None`` where there is none, or it is damaged."""
        for path in self._work.glob(f"*/{content}.dossier"):
            with contextlib.suppress(OSError, BadRecord):
                return read_dossier(path.read_bytes())
        return None

    def state(self, root: ContentId) -> StateParts | None:
        """``None`` where it is not kept."""
        blobs = self._states.blobs(root)
        return StateParts(blobs[0], blobs[1:]) if blobs else None

    def forget(self, round_number: int, still_needed: frozenset[ContentId]) -> None:
        """Drop what belongs to rounds before this one, unless one of its contributions is ``still_needed``."""
        needed = [path for content in still_needed for path in self._work.glob(f"*/{content}.dossier")]
        oldest = min([round_number, *(int(path.parent.name) for path in needed)])
        for path in self._work.glob("[0-9]*/*.dossier"):
            if int(path.parent.name) < oldest:
                path.unlink(missing_ok=True)
        for folder in self._work.glob("[0-9]*"):
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._states.forget_old(oldest)

    # --- suits -------------------------------------------------------------------------------------------------------

    def suits(self) -> list[Suit]:
        """All of them, in order of their names."""
        found = []
        for path in sorted(self._suits.glob("*.json")):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                found.append(msgspec.json.decode(path.read_bytes(), type=Suit))
        return found

    def enter(self, suit: Suit) -> None:
        """Write a suit down, or how it goes on."""
        write_atomically(self._suits / f"{suit.name}.json", msgspec.json.encode(suit))

    # --- what was told -----------------------------------------------------------------------------------------------

    def told(self) -> dict[ContentId, int]:
        """How many moves of each game were told, and one more once its end was."""
        try:
            return msgspec.json.decode(self._told.read_bytes(), type=dict[ContentId, int])
        except (OSError, msgspec.MsgspecError):
            return {}

    def tell(self, told: dict[ContentId, int]) -> None:
        """Remember that."""
        write_atomically(self._told, msgspec.json.encode(told))

    def reported(self) -> set[str]:
        """Names of the reports that were told."""
        try:
            return msgspec.json.decode(self._reported.read_bytes(), type=set[str])
        except (OSError, msgspec.MsgspecError):
            return set()

    def report(self, told: set[str]) -> None:
        """Remember that."""
        write_atomically(self._reported, msgspec.json.encode(sorted(told)))
