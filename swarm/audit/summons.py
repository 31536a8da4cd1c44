"""Why this module exists: data that nobody serves is asked for on the chain, where withholding it costs the stake.

    an auditor    whose contribution's data neither its peer nor its holders serve asks for one drawn piece of it
    the accused   sees that and shows the piece by itself, from what it keeps on disk: also after a restart
    who asked     ends the request when its time is over

Everything that is sent goes through the outbox. What is looked at is the chain, so nothing has to be remembered here.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, NoReturn

from chain.base import Chain, ExpireRequest
from chain.requests import BOND_MICRO, RequestRecord, Requests, RequestStage
from protocol.errors import BadRecord, ChainError, VerificationError
from protocol.events import DataAnswered, DataAsked, Progress
from protocol.ids import ContentId, PeerId
from protocol.messages import Envelope
from swarm.audit.pieces import answer_to, question
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.rounds.work import Bench

LOOKS_PER_ANSWER = 6
"""How often a peer looks for requests in the time in which one must be answered."""

MAX_EVERY_S = 60.0
MIN_EVERY_S = 0.2

BLOCKS_BACK = 20_000
"""A process that just began looks so far back: a request lives for two rounds and an answer's time."""

SPARED_ROUNDS = 50
"""A peer that showed on the chain what it did not serve is not asked again for so many rounds: it would cost a bond
each time, and say nothing new."""


class Summons:
    """One peer's requests, and its answers to others'. ``requests``: the run's, as the chain has them."""

    AT_LEAVING_S: ClassVar[float] = 120.0
    """So much longer than an answer may take, at most, a peer that leaves stays for what is asked of it."""

    def __init__(self, bench: Bench, chain: Chain, requests: Requests, settler: Settler, troubles: Troubles) -> None:
        self._bench = bench
        self._chain = chain
        self._requests = requests
        self._settler = settler
        self._troubles = troubles
        self._since: int | None = None
        self._told: set[tuple[ContentId, RequestStage]] = set()
        self._spared: dict[PeerId, int] = {}

    # --- beside the rounds -------------------------------------------------------------------------------------------

    async def watch(self) -> NoReturn:
        """Answer what is asked of this peer, and end what it asked in vain, until cancelled."""
        every_s = MAX_EVERY_S
        while True:
            try:
                every_s = await self._requests.answer_s() / LOOKS_PER_ANSWER
            except ChainError as error:
                self._troubles.report(error)
            await self.tend()
            await asyncio.sleep(min(max(every_s, MIN_EVERY_S), MAX_EVERY_S))

    async def tend(self) -> None:
        """Look once. A chain that is away is told, never raised."""
        try:
            now = (await self._chain.clock()).block_at
            for record in await self._recent():
                await self._look_after(record, now)
        except ChainError as error:
            self._troubles.report(error)

    async def leave(self) -> None:
        """Stay until nothing is asked of this peer any more: nobody else answers for it."""
        deadline = self._bench.now() + self.AT_LEAVING_S
        while self._bench.now() < deadline:
            await self.tend()
            try:
                if not any(one.peer == self._bench.signer.peer for one in await self._open()):
                    return
            except ChainError as error:
                self._troubles.report(error)
            await asyncio.sleep(1.0)

    async def _look_after(self, record: RequestRecord, now: int) -> None:
        bench = self._bench
        is_mine, is_asker = record.peer == bench.signer.peer, record.asker == bench.signer.wallet
        if record.stage is not RequestStage.OPEN:
            if (is_mine or is_asker) and (record.request, record.stage) not in self._told:
                self._told.add((record.request, record.stage))
                bench.events.append(
                    DataAnswered(record.round, record.peer, record.content, record.stage is RequestStage.SHOWN)
                )
        elif is_mine and now < record.answer_by:
            await self._answer(record)
        elif is_asker and now >= record.answer_by:
            await self._settler.deliver(ExpireRequest(record.request))

    async def _answer(self, record: RequestRecord) -> None:
        try:
            shown = await asyncio.to_thread(answer_to, record, self._bench.journal, self._bench.shelf)
        except (BadRecord, VerificationError) as error:
            told = f"a piece of round {record.round} is asked for on the chain, and is not here: {error.what}"
            self._bench.events.append(Progress(told))
            return
        await self._settler.deliver(shown)

    async def _recent(self) -> tuple[RequestRecord, ...]:
        """Requests that were open at the last look, or made since."""
        block = (await self._chain.clock()).block
        if self._since is None:
            self._since = await self._back_then()
        records = await self._requests.requests(self._since)
        self._since = min([block, *(one.opened_block for one in records if one.stage is RequestStage.OPEN)])
        return records

    async def _open(self) -> list[RequestRecord]:
        since = self._since or 0
        return [one for one in await self._requests.requests(since) if one.stage is RequestStage.OPEN]

    # --- in a round --------------------------------------------------------------------------------------------------

    async def demand(self, envelope: Envelope, *, of_state: bool, seed: ContentId) -> RequestStage | None:
        """Ask for a piece of the contribution in ``envelope``, drawn by ``seed``, and wait until it is shown or its
        time is over. ``of_state``: a chunk of the state before; else one of its rollouts.

        ``None`` when there is nothing to ask for: the chain refuses or is away, or the peer is spared. A request that
        this is cancelled in the middle of is looked after by ``watch``."""
        bench, peer = self._bench, envelope.peer
        if envelope.round < self._spared.get(peer, 0):
            return None
        asked = question(envelope, bench.genesis, of_state=of_state, seed=seed, me=bench.signer.peer)
        if asked is None:
            return None
        intent, request = asked
        since = await self._back_then()
        await self._settler.deliver(intent, quiet="ERC20InsufficientBalance")
        is_told = False
        while True:
            try:
                found = next((one for one in await self._requests.requests(since) if one.request == request), None)
                now = (await self._chain.clock()).block_at
            except ChainError as error:
                self._troubles.report(error)
                return None
            if found is None and not self._settler.is_waiting(intent):
                told = f"data of round {envelope.round} is served by nobody, and the chain takes no request for it"
                bench.events.append(Progress(f"{told}; it takes {BOND_MICRO // 10**6} token"))
                return None
            if found is not None and not is_told:
                is_told = True
                bench.events.append(DataAsked(envelope.round, peer, intent.part, intent.index))
            if found is not None and found.stage is not RequestStage.OPEN:
                if found.stage is RequestStage.SHOWN:
                    self._spared[peer] = envelope.round + SPARED_ROUNDS
                return found.stage
            if found is not None and now >= found.answer_by:
                await self._settler.deliver(ExpireRequest(request))
            await asyncio.sleep(max(bench.poll_s, MIN_EVERY_S))


    async def _back_then(self) -> int:
        """A block before which no request that still matters was made."""
        try:
            return max(0, (await self._chain.clock()).block - BLOCKS_BACK)
        except ChainError as error:
            self._troubles.report(error)
            return 0


__all__ = ["SPARED_ROUNDS", "Summons"]
