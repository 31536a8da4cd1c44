"""Why this module exists: a run's requests for data, read back from an EVM chain's events and views.

Which requests there are is in one kind of event, and how each stands in one view. A range of blocks that an endpoint
finds too large is asked for in halves.
"""

from __future__ import annotations

from typing import Any

from eth_abi.exceptions import DecodingError

from chain.abi import event, function
from chain.base import Contracts
from chain.reader import Reader, address, foreign_contract
from chain.requests import DataPart, RequestRecord, RequestStage
from chain.rpc import Rpc, RpcRefused, field, quantity
from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId, peer_id_from_bytes

STAGES = (None, RequestStage.OPEN, RequestStage.SHOWN, RequestStage.WITHHELD)
"""By the number that the contract gives them; the first one is no request at all."""


class Web3Requests:
    """``chain.requests.Requests`` over ``rpc``, which belongs to the caller."""

    def __init__(self, rpc: Rpc, contracts: Contracts) -> None:
        self._rpc = rpc
        self._at = contracts.requests
        self._registry = contracts.registry
        self._reader = Reader(rpc, contracts)
        self._asked = event("DataRequests", "DataRequested")
        self._peers: dict[bytes, PeerId] = {}
        self._answer_s: int | None = None

    async def requests(self, since_block: int = 0) -> tuple[RequestRecord, ...]:
        latest = quantity(await self._rpc.request("eth_blockNumber"))
        logs = await self._logs(since_block, max(since_block, latest))
        return tuple([await self._record(log) for log in logs])

    async def answer_s(self) -> int:
        if self._answer_s is None:
            self._answer_s = int(await self._reader.read(self._at, function("DataRequests", "ANSWER_S")))
        return self._answer_s

    async def _record(self, log: Any) -> RequestRecord:
        try:
            said = self._asked.read(field(log, "topics"), field(log, "data"))
            part = DataPart(said["part"])
        except (DecodingError, ValueError, TypeError) as error:
            raise foreign_contract(self._at) from error
        request = ContentId(said["id"].hex())
        return RequestRecord(
            request=request,
            peer=await self._peer(said["peerKey"]),
            round=said["round"],
            content=ContentId(said["content"].hex()),
            part=part,
            index=said["index"],
            asker=address(said["asker"]),
            answer_by=said["answerBy"],
            stage=await self._stage(request),
            opened_block=quantity(field(log, "blockNumber")),
        )

    async def _stage(self, request: ContentId) -> RequestStage:
        """As the view says; a chain that lost its last blocks may have no such request any more: it is open, then, as
        far as its event goes."""
        found = await self._reader.request_stage(request)
        return RequestStage.OPEN if found is None else found

    async def _peer(self, key: bytes) -> PeerId:
        if key not in self._peers:
            *_, raw = await self._reader.read(self._registry, function("PeerRegistry", "peer"), key)
            try:
                self._peers[key] = peer_id_from_bytes(raw)
            except BadRecord as error:
                raise foreign_contract(self._registry) from error
        return self._peers[key]

    async def _logs(self, first: int, last: int) -> list[Any]:
        wanted = {"address": self._at, "topics": [self._asked.topic], "fromBlock": hex(first), "toBlock": hex(last)}
        try:
            found = await self._rpc.request("eth_getLogs", wanted)
        except RpcRefused:
            if first == last:
                raise
            middle = (first + last) // 2
            return await self._logs(first, middle) + await self._logs(middle + 1, last)
        if not isinstance(found, list):
            raise foreign_contract(self._at)
        return found
