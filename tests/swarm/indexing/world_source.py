"""Why this module exists: the fake chain keeps no logs; here is what they would tell whoever indexes it in a test."""

from __future__ import annotations

from typing import Any

import msgspec

from chain.base import ClockView
from chain.fake import FakeWorld
from chain.keys import peer_key
from protocol.ids import peer_id_bytes
from swarm.indexing.rows import ChainEvent, Cursor


class WorldSource:
    """``ChainSource`` of a ``FakeWorld``: watches what each transaction changes, from now on.

    ``fork``: part of every block's hash; another one makes all blocks after ``forked_at`` other blocks."""

    def __init__(self, world: FakeWorld) -> None:
        self.told: list[ChainEvent] = []
        self.fork, self.forked_at = "", 0
        self._world = world
        self._apply = world.apply
        self._round, self._latest = 0, None
        self._known: set[str] = set()
        self._claimed: dict[str, int] = {}
        world.apply = self._watched  # type: ignore[method-assign]

    def _watched(self, *arguments: Any) -> Any:
        receipt = self._apply(*arguments)
        self._look()
        return receipt

    def _look(self) -> None:
        world = self._world
        for peer, entry in world.registry.entries.items():
            if peer not in self._known:
                self._known.add(peer)
                facts = {"owner": entry.owner, "signer": entry.signer, "peerId": peer_id_bytes(peer).hex()}
                self._tell("PeerRegistry", "PeerRegistered", peer, peerKey=peer_key(peer).hex(), **facts)
        latest = world.results.latest
        if latest is not None and latest != self._latest:
            self._latest = latest
            self._tell(
                "Contributions",
                "RoundSettled",
                round=latest.round,
                contributionsRoot=latest.contributions_root,
                dataHash=latest.data_hash,
                previousCreditsRoot=latest.previous_credits_root,
                creditsRoot=latest.credits_root,
                totalMicroCredits=latest.total_micro_credits,
                numAttesters=3,
            )
        view = world.view()
        if view.round != self._round:
            self._round = view.round
            self._tell("RoundClock", "RoundOpened", round=view.round, openedAt=view.opened_at,
                       closesAt=view.closes_at, numMembers=len(view.members), settled=True)  # fmt: skip
        for peer, micro in world.escrow.claimed.items():
            paid = micro - self._claimed.get(peer, 0)
            if paid:
                self._claimed[peer] = micro
                owner = world.registry.entries[peer].owner
                self._tell("Settlement", "RewardClaimed", peer, owner=owner, amountMicro=paid, cumulativeMicro=micro)

    def _tell(self, contract: str, name: str, peer: str = "", **facts: Any) -> None:
        ground = self._world.ground
        number = sum(event.block == ground.block for event in self.told)
        transaction = f"0x{ground.block:064x}"
        self.told.append(
            ChainEvent(ground.block, number, transaction, ground.now, contract, name, str(peer), dict(facts))
        )

    async def head(self) -> Cursor:
        return self._cursor(self._world.ground.block - 1)

    async def block_hash(self, number: int) -> str:
        return self._cursor(number).block_hash if number <= self._world.ground.block else ""

    async def events(self, first: int, head: int) -> tuple[list[ChainEvent], Cursor]:
        last = min(head, first + 20_000)
        return [event for event in self.told if first <= event.block <= last], self._cursor(last)

    async def clock(self) -> ClockView:
        return self._world.view()

    def forget_after(self, block: int) -> list[ChainEvent]:
        """The chain loses its blocks after ``block`` and mines others; what was told in them is told again later."""
        lost = [event for event in self.told if event.block > block]
        self.told = [event for event in self.told if event.block <= block]
        self.fork, self.forked_at = f"{self.fork}'", block
        return lost

    def tell_again(self, lost: list[ChainEvent]) -> None:
        """The same transactions, in one new block."""
        block = self._world.ground.block
        self._world.ground.block += 2
        self.told += [
            msgspec.structs.replace(event, block=block, index=number, transaction=f"0x{block:060x}{number:04x}")
            for number, event in enumerate(lost)
        ]

    def _cursor(self, number: int) -> Cursor:
        mark = self.fork if number > self.forked_at else ""
        return Cursor(number, f"0x{number:063x}{mark}", self._world.ground.now)
