"""Why this module exists: two signatures are proof for ever, and a peer that dies must not lose them.

    evidence/000012-<peer>.json    both signed contributions, whose turn it is to show them, and how it ended

Files appear in one step, and before anything is done with what they say. They are read once, when the process begins:
one peer's process alone writes them. The contract judges them (``Equivocation.sol``); nobody has to believe this peer.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from chain.base import Accuse
from protocol.codec import content_id
from protocol.ids import PeerId
from protocol.messages import Envelope
from swarm.rounds.inbox import CONTRIBUTION
from swarm.settings.home import write_atomically


class Contradiction(msgspec.Struct, frozen=True):
    """``peer`` signed both ``first`` and ``second`` as its contribution to ``round``.

    ``turn``: how many members show it before this peer has to; ``noted_at``: since when it is known here (unix
    seconds). ``stake_micro``: what the peer had at stake when that was last looked at. ``ended``: why this peer has
    nothing more to do with it; empty while it has."""

    round: int
    peer: PeerId
    first: Envelope
    second: Envelope
    turn: int
    noted_at: float
    stake_micro: int = 0
    ended: str = ""

    @property
    def accusation(self) -> Accuse:
        """What shows it to the contract."""
        first, second = self.first, self.second
        return Accuse(
            self.peer,
            CONTRIBUTION,
            self.round,
            content_id(first.payload),
            first.signature,
            content_id(second.payload),
            second.signature,
        )


class Evidence:
    """The contradictions that one peer knows of in one run. A damaged file counts as none, and is written anew when the
    same contradiction is found again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._oldest = 0
        self._known: dict[tuple[int, PeerId], Contradiction] = {}
        for path in directory.glob("*.json"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                one = msgspec.json.decode(path.read_bytes(), type=Contradiction)
                self._known[one.round, one.peer] = one

    def knows(self, round_number: int, peer: PeerId) -> bool:
        """Whether this one was noted, ended or not."""
        return (round_number, peer) in self._known

    def enter(self, one: Contradiction) -> None:
        """Write it down, or how it goes on; on disk when this returns, and not known when it raises."""
        write_atomically(self._path(one.round, one.peer), msgspec.json.encode(one))
        self._known[one.round, one.peer] = one

    def open(self) -> list[Contradiction]:
        """Those that have not ended, oldest round first."""
        return [one for _, one in sorted(self._known.items()) if not one.ended]

    def forget_old(self, round_number: int) -> None:
        """Drop what belongs to rounds before this one."""
        if round_number <= self._oldest:
            return
        self._oldest = round_number
        self._known = {key: one for key, one in self._known.items() if one.round >= round_number}
        for path in self._directory.glob("[0-9]*.json"):
            if int(path.name.partition("-")[0]) < round_number:
                path.unlink(missing_ok=True)

    def _path(self, round_number: int, peer: PeerId) -> Path:
        return self._directory / f"{round_number:06d}-{peer}.json"
