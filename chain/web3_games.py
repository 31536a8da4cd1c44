"""Why this module exists: a run's disputes, read back from an EVM chain's events, as ``chain.games`` has them.

Which games there are is in two kinds of events, where each stands in one view, and its moves in a third kind.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chain.abi import Event, event, function
from chain.base import WEI_PER_MICRO, Contracts
from chain.games import (
    WHOLE_STEP,
    GamePhase,
    GameRecord,
    GameSide,
    GameTerms,
    MoveName,
    MoveRecord,
)
from chain.past_events import BlockTimes, PeerNames, logs_since, read_log
from chain.reader import PHASES, Reader, address, foreign_contract
from chain.rpc import Rpc, field, gather, quantity
from protocol.ids import Address, ContentId

_MOVES = tuple(MoveName)
_DEFENDERS = (MoveName.POST_TRACE, MoveName.REVEAL, MoveName.REVEAL_CHUNK, MoveName.REVEAL_PARTS)


class Web3Games:
    """``chain.games.Games`` over ``rpc``, which belongs to the caller.

    What cannot change any more is read once: peers, gas, call data and times of blocks.
    """

    def __init__(self, rpc: Rpc, contracts: Contracts) -> None:
        self._rpc = rpc
        self._contracts = contracts
        self._reader = Reader(rpc, contracts)
        self._opened, self._moved, self._decided = (
            event("DisputeGame", name) for name in ("DisputeOpened", "DisputeMoved", "DisputeDecided")
        )
        self._terms: GameTerms | None = None
        self._peers = PeerNames(self._reader, contracts)
        self._times = BlockTimes(rpc)
        self._sent: dict[str, tuple[int, Address, bytes]] = {}
        self._begins: dict[ContentId, int] = {}

    async def terms(self) -> GameTerms:
        if self._terms is None:
            views = (function("DisputeGame", name) for name in ("TRACE_S", "MOVE_S", "BOND_WEI"))
            trace_s, move_s, bond_wei = await gather(*(self._read(view) for view in views))
            self._terms = GameTerms(trace_s, move_s, bond_wei // WEI_PER_MICRO)
        return self._terms

    async def games(self, since_block: int = 0) -> tuple[GameRecord, ...]:
        logs = await self._logs([[self._opened.topic, self._decided.topic]], since_block)
        terms = await self.terms()
        records: dict[ContentId, GameRecord] = {}
        for log in logs:
            if _topic(log) == self._opened.topic:
                record = await self._record(log, terms)
                records[record.game] = record
                self._begins[record.game] = record.opened_block
        for log in logs:
            if _topic(log) == self._decided.topic:
                said = self._said(self._decided, log)
                game = ContentId(said["game"].hex())
                if game in records:
                    records[game] = await self._decided_record(records[game], said, log)
        return tuple([await self._as_it_stands(record) for record in records.values()])

    async def moves(self, game: ContentId) -> tuple[MoveRecord, ...]:
        terms = await self.terms()
        logs = await self._logs([self._moved.topic, "0x" + game], self._begins.get(game, 0))
        return tuple([await self._move(game, log, terms) for log in logs])

    async def _record(self, log: Any, terms: GameTerms) -> GameRecord:
        said = self._said(self._opened, log)
        subject = said["subject"]
        return GameRecord(
            game=ContentId(said["game"].hex()),
            peer=await self._peers.of(said["peerKey"]),
            challenger=address(said["challenger"]),
            round=said["round"],
            content=ContentId(said["content"].hex()),
            subject=subject,
            program_root=ContentId(said["programRoot"].hex()),
            data_root=ContentId(said["dataRoot"].hex()),
            state_before=ContentId(said["stateBefore"].hex()),
            state_after=ContentId(said["stateAfter"].hex()) if subject == WHOLE_STEP else None,
            terms=terms,
            opened_at=said["deadline"] - terms.trace_s,
            opened_block=quantity(field(log, "blockNumber")),
            phase=GamePhase.TRACE,
            deadline=said["deadline"],
        )

    async def _decided_record(self, record: GameRecord, said: dict[str, Any], log: Any) -> GameRecord:
        return replace(
            record,
            phase=GamePhase.OVER,
            winner=GameSide.CHALLENGER if said["challengerWon"] else GameSide.DEFENDER,
            by_clock=said["byClock"],
            slashed_micro=said["slashedWei"] // WEI_PER_MICRO,
            ended_at=await self._times.of(log),
            ended_block=quantity(field(log, "blockNumber")),
        )

    async def _as_it_stands(self, record: GameRecord) -> GameRecord:
        """With the view's numbers. A game that ended between the two reads still has its last phase's."""
        status = await self._reader.game_status(record.game)
        if not status.exists or (status.is_over and record.winner is None):
            return record
        return replace(record, moves=status.moves, deadline=status.deadline, phase=status.phase)

    async def _move(self, game: ContentId, log: Any, terms: GameTerms) -> MoveRecord:
        said = self._said(self._moved, log)
        if said["move"] >= len(_MOVES) or said["phase"] >= len(PHASES):
            raise foreign_contract(self._contracts.disputes)
        name, phase = _MOVES[said["move"]], PHASES[said["phase"]]
        is_last = phase is GamePhase.OVER
        gas, sender, call = await self._transaction(str(field(log, "transactionHash")))
        return MoveRecord(
            game=game,
            turn=said["turn"],
            side=GameSide.DEFENDER if name in _DEFENDERS else GameSide.CHALLENGER,
            name=name,
            choice=said["choice"],
            shown=said["shown"],
            phase=phase,
            deadline=said["deadline"],
            at_s=await self._times.of(log) if is_last else said["deadline"] - terms.move_s,
            block=quantity(field(log, "blockNumber")),
            gas=gas,
            sender=sender,
            transaction=str(field(log, "transactionHash")),
            call=call,
        )

    async def _transaction(self, hash: str) -> tuple[int, Address, bytes]:
        """Gas, sender and call data; these are empty where it called another contract first."""
        if hash not in self._sent:
            sent, receipt = await gather(
                self._rpc.request("eth_getTransactionByHash", hash),
                self._rpc.request("eth_getTransactionReceipt", hash),
            )
            is_direct = str(field(sent, "to")).lower() == self._contracts.disputes.lower()
            call = bytes.fromhex(str(field(sent, "input"))[2:]) if is_direct else b""
            self._sent[hash] = quantity(field(receipt, "gasUsed")), address(str(field(sent, "from"))), call
        return self._sent[hash]

    async def _read(self, view: Any) -> Any:
        return await self._reader.read(self._contracts.disputes, view)

    def _said(self, kind: Event, log: Any) -> dict[str, Any]:
        return read_log(self._contracts.disputes, kind, log)

    async def _logs(self, topics: list[Any], first: int) -> list[Any]:
        return await logs_since(self._rpc, self._contracts.disputes, topics, first)


def _topic(log: Any) -> str:
    return str(field(log, "topics")[0])
