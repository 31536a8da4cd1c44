"""Why this module exists: a person may have a contribution taken to the contract that nobody was drawn to check.

``swarm dispute`` leaves an order in the peer's folder; the running peer, which has the wallet, the engine and the
games, takes it up: it does the work again, and accuses if it comes out different. Then the order is gone. Where a game
is only to be priced, what would open it lies in the order's place then, for whoever asked.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from chain.intents import OpenDispute
from protocol.errors import VerificationError
from protocol.messages import Difference
from swarm.audit.casework import Casework
from swarm.audit.examining import name_peer
from swarm.audit.replay import Case, replay
from swarm.dht.transport import RecordKey
from swarm.member.presence import KIND as PRESENCE
from swarm.rounds.work import Bench
from swarm.settings.home import write_atomically


class Order(msgspec.Struct, frozen=True):
    """Dispute the contribution of ``peer`` (a nickname or an id) to ``round``, as far as a check up to ``level`` finds
    it to be false. ``is_dry``: only work out what would open the game."""

    round: int
    peer: str
    level: int
    is_dry: bool = False


class Orders:
    """Orders of one peer, a file each. ``directory`` is made when there is the first one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def give(self, order: Order) -> Path:
        """Leave an order; the file that is gone once it is decided."""
        path = self._directory / f"{order.round}-{order.peer}-{order.level}{'-dry' if order.is_dry else ''}.json"
        _answer_to(path).unlink(missing_ok=True)
        write_atomically(path, msgspec.json.encode(order))
        return path

    def answer(self, path: Path, opening: OpenDispute) -> None:
        """Leave what would open the game of a dry order."""
        write_atomically(_answer_to(path), msgspec.json.encode(opening))

    def take_answer(self, path: Path) -> OpenDispute | None:
        """Pick that up; ``None`` while it is not there."""
        try:
            found = msgspec.json.decode(_answer_to(path).read_bytes(), type=OpenDispute)
        except FileNotFoundError:
            return None
        _answer_to(path).unlink(missing_ok=True)
        return found

    def done(self, path: Path) -> None:
        """An order is decided."""
        path.unlink(missing_ok=True)

    def open(self) -> list[tuple[Path, Order]]:
        """Those that are not decided."""
        found = []
        for path in sorted(self._directory.glob("*.json")):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                found.append((path, msgspec.json.decode(path.read_bytes(), type=Order)))
        return found


def _answer_to(order: Path) -> Path:
    return order.with_suffix(".opening")


Checked = tuple[Case, int, Difference | None]


class Examiner:
    """Does somebody's work again for an order."""

    def __init__(self, bench: Bench, casework: Casework) -> None:
        self._bench = bench
        self._casework = casework

    async def check(self, order: Order) -> Checked:
        """The case, the level that the check reached, and what differs.

        Raises ``ConfigError`` when nobody of that name contributed, ``BadRecord`` and ``VerificationError`` when it
        cannot be had."""
        bench = self._bench
        peer = await name_peer(bench.transport, bench.run, order.round, order.peer)
        envelope = await self._casework.find(order.round, peer)
        present = await bench.transport.collect(RecordKey(bench.run.id, PRESENCE, 0))
        case = await self._casework.reopen(envelope, [*present])
        if case.parts is None:
            raise VerificationError("What this run's engine computes cannot be done again.", "", "")
        everything, rule = range(case.num_rollouts), bench.run.learn.num_external
        level, difference = await bench.room.call(replay, bench.engine, case, everything, rule, level=order.level)
        return case, level, difference
