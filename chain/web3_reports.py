"""Why this module exists: reports of peers that signed twice, read back from an EVM chain's events."""

from __future__ import annotations

from typing import Any

from chain.abi import event
from chain.base import WEI_PER_MICRO, Contracts
from chain.past_events import BlockTimes, PeerNames, logs_since, read_log
from chain.reader import Reader, address
from chain.reports import EquivocationReport
from chain.rpc import Rpc, field, quantity
from protocol.ids import ContentId


class Web3Reports:
    """``chain.reports.Reports`` over ``rpc``, which belongs to the caller."""

    def __init__(self, rpc: Rpc, contracts: Contracts) -> None:
        self._rpc = rpc
        self._at = contracts.equivocation
        self._proven = event("Equivocation", "EquivocationProven")
        self._peers = PeerNames(Reader(rpc, contracts), contracts)
        self._times = BlockTimes(rpc)

    async def equivocations(self, since_block: int = 0) -> tuple[EquivocationReport, ...]:
        logs = await logs_since(self._rpc, self._at, [self._proven.topic], since_block)
        return tuple([await self._report(log) for log in logs])

    async def _report(self, log: Any) -> EquivocationReport:
        said = read_log(self._at, self._proven, log)
        return EquivocationReport(
            peer=await self._peers.of(said["peerKey"]),
            round=said["round"],
            reporter=address(said["reporter"]),
            first=ContentId(said["contentA"].hex()),
            second=ContentId(said["contentB"].hex()),
            slashed_micro=said["slashedWei"] // WEI_PER_MICRO,
            transaction=str(field(log, "transactionHash")),
            block=quantity(field(log, "blockNumber")),
            at=await self._times.of(log),
        )
