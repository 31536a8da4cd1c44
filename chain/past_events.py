"""Why this module exists: what happened on a chain is asked for in ranges of blocks, and names peers by their keys.

A range that an endpoint finds too large is asked for in halves. A key's peer never changes, so it is read once.
"""

from __future__ import annotations

from typing import Any

from chain.abi import function
from chain.base import Contracts
from chain.reader import Reader, foreign_contract
from chain.rpc import Rpc, RpcRefused, quantity
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
