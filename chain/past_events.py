"""Why this module exists: what happened on a chain is asked for in ranges of blocks, and names peers by their keys.

A range that an endpoint finds too large is asked for in halves. What never changes is read once: a key's peer, and the
time of a block.
"""

from __future__ import annotations

from typing import Any

from eth_abi.exceptions import DecodingError

from chain.abi import Event, function
from chain.base import Contracts
from chain.reader import Reader, foreign_contract
from chain.rpc import Rpc, RpcRefused, field, quantity
from protocol.errors import BadRecord
from protocol.ids import Address, PeerId, peer_id_from_bytes


async def logs_since(rpc: Rpc, contract: Address, topics: list[Any], first: int) -> list[Any]:
    """Raw logs of a contract from block ``first`` on, in order; ``topics`` as ``eth_getLogs`` takes them.

    Raises ``ChainUnreachable``, ``RpcRefused`` for a single block that is refused, ``ChainError('ForeignContract')``
    for an answer that is no list of logs."""
    latest = quantity(await rpc.request("eth_blockNumber"))
    return await _logs_between(rpc, contract, topics, first, max(first, latest))


async def _logs_between(rpc: Rpc, contract: Address, topics: list[Any], first: int, last: int) -> list[Any]:
    wanted = {"address": contract, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last)}
    try:
        found = await rpc.request("eth_getLogs", wanted)
    except RpcRefused:
        if first == last:
            raise
        middle = (first + last) // 2
        earlier = await _logs_between(rpc, contract, topics, first, middle)
        return earlier + await _logs_between(rpc, contract, topics, middle + 1, last)
    if not isinstance(found, list):
        raise foreign_contract(contract)
    return found


def read_log(contract: Address, kind: Event, log: Any) -> dict[str, Any]:
    """What a raw log of ``contract`` says, by name. ``ChainError('ForeignContract')``: it is not of ``kind``."""
    try:
        return kind.read(field(log, "topics"), field(log, "data"))
    except (DecodingError, ValueError, TypeError) as error:
        raise foreign_contract(contract) from error


class BlockTimes:
    """When the blocks of logs were made, unix seconds."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._times: dict[tuple[int, str], int] = {}

    async def of(self, log: Any) -> int:
        """Of the block that ``log`` is in."""
        key = quantity(field(log, "blockNumber")), str(field(log, "blockHash"))
        if key not in self._times:
            header = await self._rpc.request("eth_getBlockByHash", key[1], False)
            self._times[key] = quantity(field(header, "timestamp"))
        return self._times[key]


class PeerNames:
    """Peers by the keys under which contracts know them."""

    def __init__(self, reader: Reader, contracts: Contracts) -> None:
        self._reader = reader
        self._registry = contracts.registry
        self._peers: dict[bytes, PeerId] = {}

    async def of(self, key: bytes) -> PeerId:
        """The peer registered under ``key``. ``ChainError('ForeignContract')`` for a registry that is not ours."""
        if key not in self._peers:
            *_, raw = await self._reader.read(self._registry, function("PeerRegistry", "peer"), key)
            try:
                self._peers[key] = peer_id_from_bytes(raw)
            except BadRecord as error:
                raise foreign_contract(self._registry) from error
        return self._peers[key]
