"""Why this module exists: who is gone must not be waited for, and who is there must not be taken for gone.

results are recorded     whoever contributes to none of them for a while can be ejected, by its line in the credit
                         table; taking part is all that it takes to stay
no result for a while    whoever does not renew its presence can be pruned, so that the rest finds its majority
"""

from __future__ import annotations

from collections.abc import Collection

from chain.base import Chain, ClockView, Enrol, Prune
from protocol.errors import ChainError
from protocol.events import TransactionSent
from protocol.ids import PeerId
from rewards.settlement import prune_intent
from swarm.observe.troubles import Troubles
from swarm.pay.ledger_book import LedgerBook
from swarm.pay.settling import Settler
from swarm.rounds.work import Bench


class Membership:
    """One peer's part in keeping the list of members true."""

    def __init__(self, bench: Bench, chain: Chain, settler: Settler, book: LedgerBook, troubles: Troubles) -> None:
        self._bench = bench
        self._chain = chain
        self._settler = settler
        self._book = book
        self._troubles = troubles

    async def renew(self) -> None:
        """Be a member of the next round. It costs a transaction only for one that is none, or when the chain recorded
        nothing for so long that it is about to forget who is there."""
        try:
            receipt = await self._chain.send(Enrol(self._bench.signer.peer))
        except ChainError as error:
            self._troubles.report(error)
            return
        if receipt.transaction:
            self._bench.events.append(TransactionSent("enrol", receipt.transaction, receipt.gas))

    async def drop_absent(self, view: ClockView, contributors: Collection[PeerId]) -> None:
        """Ask the chain to drop members that are gone, so that the others stop waiting for them every round.

        One of those present does it; the chain refuses, free of charge, until a member was absent for long enough."""
        absent = [member.peer for member in view.members if member.peer not in contributors]
        if not absent or not contributors or self._bench.signer.peer != min(contributors):
            return
        try:
            epochs = await self._chain.epochs()
            settled_round = (await self._chain.clock()).settled_round
        except ChainError as error:
            self._troubles.report(error)
            return
        is_stuck = view.round > settled_round + self._bench.run.economics.absence_rounds
        table = self._book.table_of(epochs.final_round, epochs.final_root)
        for peer in absent:
            intent = prune_intent(table, peer) if table is not None else None
            if is_stuck:
                await self._settler.send_now(Prune(peer))
            elif intent is not None:
                await self._settler.send_now(intent)
