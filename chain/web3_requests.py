"""Why this module exists: a run's requests for data, read back from an EVM chain's events and views.

Which requests there are is in one kind of event, and how each stands in one view.
"""

from __future__ import annotations

from typing import Any

from chain.abi import event, function
from chain.base import Contracts
from chain.past_events import PeerNames, logs_since, read_log
from chain.reader import Reader, address, foreign_contract
from chain.requests import DataPart, RequestRecord, RequestStage
from chain.rpc import Rpc, field, quantity
from protocol.ids import ContentId


class Web3Requests:
    """``chain.requests.Requests`` over ``rpc``, which belongs to the caller."""

    def __init__(self, rpc: Rpc, contracts: Contracts) -> None:
        self._rpc = rpc
        self._at = contracts.requests
        self._reader = Reader(rpc, contracts)
        self._asked = event("DataRequests", "DataRequested")
        self._peers = PeerNames(self._reader, contracts)
        self._answer_s: int | None = None

    async def requests(self, since_block: int = 0) -> tuple[RequestRecord, ...]:
        logs = await logs_since(self._rpc, self._at, [self._asked.topic], since_block)
        return tuple([await self._record(log) for log in logs])

    async def answer_s(self) -> int:
        if self._answer_s is None:
            self._answer_s = int(await self._reader.read(self._at, function("DataRequests", "ANSWER_S")))
        return self._answer_s

    async def _record(self, log: Any) -> RequestRecord:
        said = read_log(self._at, self._asked, log)
        try:
            part = DataPart(said["part"])
        except ValueError as error:
            raise foreign_contract(self._at) from error
        request = ContentId(said["id"].hex())
        return RequestRecord(
            request=request,
            peer=await self._peers.of(said["peerKey"]),
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
