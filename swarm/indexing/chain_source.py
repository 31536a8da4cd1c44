"""Why this module exists: an index reads a chain forwards, in steps, and must notice when the chain went back.

``ChainSource`` is what the indexer asks of a chain; ``RpcSource`` asks an endpoint. Events are raw logs of the run's
own contracts, by their checked-in ABIs; who a peer key belongs to is told by the registry's events among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from chain import abi
from chain.base import WEI_PER_MICRO, ClockView, Contracts
from chain.logs import Log, decode_log
from chain.reader import Reader
from chain.rpc import Rpc, RpcRefused, field, quantity
from protocol.errors import BadRecord
from protocol.ids import peer_id_from_bytes
from swarm.indexing.rows import ChainEvent, Cursor

FIRST_STEP = 2_000
"""Blocks per question at first; halved when an endpoint refuses, doubled when it answers."""

CONTRACT_OF = {
    "registry": "PeerRegistry",
    "clock": "RoundClock",
    "contributions": "Contributions",
    "settlement": "Settlement",
    "vault": "StakeVault",
    "reputation": "Reputation",
    "equivocation": "Equivocation",
    "disputes": "DisputeGame",
    "requests": "DataRequests",
}
"""Field of a run's contracts -> artifact. The factory tells nothing about a run; the token, which is of all runs and
everybody, is asked only for what the run's own settlement paid."""


class ChainSource(Protocol):
    """What the indexer asks of a chain. Methods raise ``ChainUnreachable`` or ``ChainError``."""

    async def head(self) -> Cursor:
        """The newest block that is deep enough to be counted."""
        ...

    async def block_hash(self, number: int) -> str:
        """The hash of the block with this number now; empty when there is none."""
        ...

    async def events(self, first: int, head: int) -> tuple[list[ChainEvent], Cursor]:
        """Events from block ``first`` on, in order, and how far they go: perhaps not yet as far as ``head``.

        ``peer`` is filled for registrations only; who knows the registry's earlier events fills in the others."""
        ...

    async def clock(self) -> ClockView:
        """Round, seed, members: now."""
        ...


class RpcSource:
    """``ChainSource`` over JSON-RPC. ``depth``: blocks that must be there for the newest of them to count."""

    def __init__(self, rpc: Rpc, contracts: Contracts, *, depth: int) -> None:
        self._rpc = rpc
        self._reader = Reader(rpc, contracts)
        self._depth = depth
        self._step = FIRST_STEP
        places = ((getattr(contracts, name, ""), artifact) for name, artifact in CONTRACT_OF.items())
        self._artifacts = {address.lower(): artifact for address, artifact in places if address}
        self._token, self._settlement = contracts.token, contracts.settlement

    async def head(self) -> Cursor:
        newest = quantity(await self._rpc.request("eth_blockNumber"))
        return await self._cursor(max(0, newest - self._depth + 1))

    async def block_hash(self, number: int) -> str:
        header = await self._rpc.request("eth_getBlockByNumber", hex(number), False)
        return str(field(header, "hash")) if header else ""

    async def events(self, first: int, head: int) -> tuple[list[ChainEvent], Cursor]:
        while True:
            last = min(head, first + self._step - 1)
            try:
                logs = await self._logs(first, last)
            except RpcRefused:
                if self._step == 1:
                    raise
                self._step = max(1, self._step // 2)
                continue
            self._step = min(2 * self._step, 16 * FIRST_STEP)
            break
        known = with_payments(sorted(logs, key=lambda log: (log.block, log.index)))
        times: dict[int, int] = {}
        for log in known:
            if log.block not in times:
                times[log.block] = (await self._cursor(log.block)).at
        return [event_of(log, times[log.block]) for log in known], await self._cursor(last)

    async def _logs(self, first: int, last: int) -> list[Log]:
        """Logs of the run's contracts between two blocks, and of the token what its settlement sent where it paid."""
        blocks = {"fromBlock": hex(first), "toBlock": hex(last)}
        raw = await self._rpc.request("eth_getLogs", {**blocks, "address": list(self._artifacts)})
        decoded = [decode_log(self._artifacts[str(one["address"]).lower()], one) for one in raw]
        if any(log is not None and log.name == "RewardClaimed" for log in decoded):
            sent = [abi.event("SwarmToken", "Transfer").topic, "0x" + self._settlement[2:].lower().rjust(64, "0")]
            paid = await self._rpc.request("eth_getLogs", {**blocks, "address": self._token, "topics": sent})
            decoded += [decode_log("SwarmToken", one) for one in paid]
        return [log for log in decoded if log is not None]

    async def clock(self) -> ClockView:
        return await self._reader.clock()

    async def _cursor(self, number: int) -> Cursor:
        header = await self._rpc.request("eth_getBlockByNumber", hex(number), False)
        return Cursor(number, str(field(header, "hash")), quantity(field(header, "timestamp")))


def with_payments(logs: list[Log]) -> list[Log]:
    """The logs without the token's, each claim with what it paid to whom: the token's event right after it says so."""
    transfers = {(log.block, log.index): log.arguments for log in logs if log.name == "Transfer"}
    found = []
    for log in logs:
        paid = transfers.get((log.block, log.index + 1)) if log.name == "RewardClaimed" else None
        if paid is not None:
            facts = {"owner": paid["to"], "amountMicro": paid["value"] // WEI_PER_MICRO}
            found.append(msgspec.structs.replace(log, arguments={**log.arguments, **facts}))
        elif log.contract != "SwarmToken" and log.name != "RewardClaimed":
            found.append(log)
    return found


def event_of(log: Log, at: int) -> ChainEvent:
    """A log as a row. Only a registration says by itself whom it is about."""
    peer = ""
    if "peerId" in log.arguments:
        try:
            peer = peer_id_from_bytes(bytes.fromhex(log.arguments["peerId"]))
        except BadRecord:
            peer = ""
    return ChainEvent(log.block, log.index, log.transaction, at, log.contract, log.name, peer, dict(log.arguments))


def with_peers(events: list[ChainEvent], peer_of: Callable[[str], str]) -> list[ChainEvent]:
    """The events with the peers that their keys mean. ``peer_of``: those of earlier registrations."""
    told: dict[str, str] = {}
    found = []
    for event in events:
        key = str(event.arguments.get("peerKey", ""))
        if event.peer and key:
            told[key] = event.peer
        peer = event.peer or (told.get(key) or peer_of(key) if key else "")
        found.append(event if peer == event.peer else msgspec.structs.replace(event, peer=peer))
    return found
