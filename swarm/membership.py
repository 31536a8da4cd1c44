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
from protocol.messages import CreditTable
from rewards.settlement import prune_intent
from swarm.settling import Settler
from swarm.troubles import Troubles
from swarm.work import Bench


class Membership:
    """One peer's part in keeping the list of members true."""

    def __init__(self, bench: Bench, chain: Chain, settler: Settler, troubles: Troubles) -> None:
        self._bench = bench
        self._chain = chain
        self._settler = settler
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

    async def drop_absent(self, view: ClockView, contributors: Collection[PeerId], table: CreditTable | None) -> None:
        """Ask the chain to drop members that are gone, so that the others stop waiting for them every round.

        One of those present does it; the chain refuses, free of charge, until a member was absent for long enough."""
        if not contributors or self._bench.signer.peer != min(contributors):
            return
        absence = self._bench.run.economics.absence_rounds
        for member in view.members:
            if member.peer in contributors:
                continue
            settled = table.round if table is not None else 0
            intent = prune_intent(table, member.peer) if table is not None else None
            if view.round > settled + absence:
                await self._settler.send_now(Prune(member.peer))
            elif intent is not None:
                await self._settler.send_now(intent)
