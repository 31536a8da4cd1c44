"""Why this module exists: besides its own work a peer owes a round two things, and here both are looked after.

    the others' contributions of this round     keep them, so that they can be checked later      (``swarm.audit.holding``)
    contributions whose pay is pending          check them, so that they are paid or struck       (``swarm.audit.auditing``)

It tells the round machine when a contribution is kept by enough others, when all checks are in, and who is leaving.
"""

from __future__ import annotations

from collections.abc import Collection

from protocol.codec import encode
from protocol.ids import STAGES, PeerId
from protocol.messages import Closing
from swarm.audit.auditing import Audits
from swarm.audit.holding import Holding
from swarm.dht.transport import RecordKey
from swarm.rounds import machine
from swarm.rounds.inbox import Inbox
from swarm.rounds.machine import Phase, RoundState
from swarm.rounds.work import RECORD_TTL_S, Bench

CLOSING = "closing"

EVERY_S = 2.0
"""Seconds between looks while nothing waits for what is looked for."""


class Oversight:
    """One round's looking after contributions. ``members`` are the round's."""

    def __init__(self, bench: Bench, inbox: Inbox, audits: Audits, members: Collection[PeerId]) -> None:
        self.holding = Holding(bench, inbox, audits.weights)
        self.audits = audits
        self._bench = bench
        self._inbox = inbox
        self._members = frozenset(members)
        self._leaving: set[PeerId] = set()
        self._looked_at = 0.0

    def expected(self) -> frozenset[PeerId]:
        """Members that have pay pending, and so a reason to come to a closing round."""
        return self.audits.authors & self._members

    async def poll(self, state: RoundState) -> list[machine.Happening]:
        """Look after everything once; what the machine has to hear of. Raises ``NetworkError`` like the transport."""
        is_due = state.phase in (Phase.CONTRIBUTE, Phase.AGREE)
        if not is_due and self._bench.now() - self._looked_at < EVERY_S:
            return []
        self._looked_at = self._bench.now()
        await self._look_for_leavers()
        await self.holding.poll()
        await self.audits.poll()
        contributions = self._inbox.contributions
        may_follow = self._inbox.batches[STAGES[-1]].keys()  # whoever decided may still contribute
        held = {peer for peer in contributions if self.holding.is_held(peer, may_follow)}
        heard: list[machine.Happening] = [machine.Leaving(peer) for peer in sorted(self._leaving - state.leaving)]
        heard += [machine.Contributed(peer) for peer in sorted(held - state.contributed)]
        is_kept = state.closing or state.gave_up or self._bench.signer.peer in held
        if is_due and is_kept and not state.judged and self.audits.is_done(self._alive(state)):
            heard.append(machine.Judged())
        return heard

    async def say_goodbye(self) -> None:
        """Tell the others that this peer makes nothing in this round."""
        bench, base = self._bench, self._inbox.base
        payload = encode(Closing(bench.signer.peer))
        envelope = bench.signer.seal(base.run, CLOSING, base.round, payload, bench.contracts)
        await bench.transport.publish(envelope, ttl_s=RECORD_TTL_S)

    async def close(self) -> None:
        """Give up what is still under way."""
        await self.audits.close()
        await self.holding.close()

    def _alive(self, state: RoundState) -> set[PeerId]:
        """Of whom a verdict can be expected: whoever was heard of in this round."""
        alive = {peer for stage in STAGES for peer in self._inbox.batches[stage]}
        return alive | set(self._inbox.contributions) | self._leaving | (self.expected() if state.closing else set())

    async def _look_for_leavers(self) -> None:
        base = self._inbox.base
        found = await self._bench.transport.collect(RecordKey(base.run, CLOSING, base.round))
        self._leaving |= set(found) & self._members
