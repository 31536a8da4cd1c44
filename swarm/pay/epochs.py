"""Why this module exists: recorded credits are paid out in epochs, and somebody has to move each one along.

    nothing undecided, enough recorded   anybody opens the next one
    open                                 who finds what it pays contested challenges it, at the price of a bond
    challenged                           anybody shows that more than half of the whole weight signed it
                                         or, when nobody can in time, undoes it

Whoever is second finds it done: that is no trouble, and costs nothing.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from chain.base import Affirm, Chain, Challenge, ClockView, Epoch, EpochState, EpochsView, OpenEpoch, VoidEpoch
from protocol.codec import BLOB_CAP, decode
from protocol.errors import BadRecord, ChainError, NetworkError
from protocol.messages import Attestation
from protocol.run import EconomyRules
from swarm.dht.transport import RecordKey
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.pay.testimony import Witnessed, about, answer, is_contested
from swarm.rounds.work import Bench

ATTESTATION = "attestation"

LOOKS_PER_WINDOW = 4
"""How often an epoch is looked at in the time in which it can be challenged, or a challenge answered."""

MAX_EVERY_S = 60.0
MIN_EVERY_S = 0.5


def is_time(epochs: EpochsView, view: ClockView, rules: EconomyRules) -> bool:
    """Whether enough rounds are over since the newest epoch, with or without results, or the run has ended."""
    has_ended = bool(epochs.ends_at) and epochs.block_at >= epochs.ends_at
    return has_ended or view.round > epochs.covered_round + rules.epoch_rounds


def is_due(epochs: EpochsView, view: ClockView, rules: EconomyRules) -> bool:
    """Whether the contract opens the next epoch now (``Epochs.openEpoch``): it is time, something is recorded that no
    epoch covers, and the newest one is decided."""
    is_undecided = epochs.newest is not None and epochs.newest.state in (EpochState.OPEN, EpochState.CHALLENGED)
    return is_time(epochs, view, rules) and view.settled_round > epochs.covered_round and not is_undecided


class EpochWatch:
    """Looks after the run's epochs while a peer is there."""

    def __init__(self, bench: Bench, chain: Chain, settler: Settler, troubles: Troubles) -> None:
        self._bench = bench
        self._chain = chain
        self._settler = settler
        self._troubles = troubles
        self._rules = bench.run.economics
        self.oldest_needed: int | None = None
        """The first round whose tables may still be needed: that of the newest epoch that can be claimed."""

    async def watch(self) -> NoReturn:
        """Look after epochs until cancelled."""
        shortest_s = min(self._rules.challenge_s, self._rules.answer_s)
        every_s = min(max(shortest_s / LOOKS_PER_WINDOW, MIN_EVERY_S), MAX_EVERY_S)
        while True:
            await self.tend()
            await asyncio.sleep(every_s)

    async def tend(self) -> None:
        """Do whatever is due now. A chain or network that is away is told, never raised."""
        try:
            epochs = await self._chain.epochs()
            view = await self._chain.clock()
        except ChainError as error:
            self._troubles.report(error)
            return
        newest = epochs.newest
        paid = [epoch.round for epoch in (epochs.claimable,) if epoch is not None]
        self.oldest_needed = min([*paid, epochs.final_round]) if paid else 0
        if newest is not None and newest.state is EpochState.OPEN:
            is_late = epochs.block_at - newest.opened_at >= self._rules.challenge_s // 2
            if is_late and await self._is_contested(newest):
                await self._settler.send_now(Challenge(newest.number))
        elif newest is not None and newest.state is EpochState.CHALLENGED:
            affirmation = await self._answer(newest)
            if affirmation is not None:
                await self._settler.send_now(affirmation)
            elif epochs.block_at >= newest.answer_by:
                await self._settler.send_now(VoidEpoch(newest.number))
        elif is_due(epochs, view, self._rules):
            await self._settler.send_now(OpenEpoch(view.settled_round))

    async def _is_contested(self, epoch: Epoch) -> bool:
        known = self._testimonies(epoch)
        matching = about(epoch, known)
        if not known or (matching is not None and matching.recomputed):
            return False
        return is_contested(epoch, known, await self._attestations(epoch), self._bench.contracts)

    async def _answer(self, epoch: Epoch) -> Affirm | None:
        known = about(epoch, self._testimonies(epoch))
        if known is None:
            return None
        return answer(epoch, known, await self._attestations(epoch), self._bench.contracts)

    def _testimonies(self, epoch: Epoch) -> list[Witnessed]:
        found = []
        for blob in self._bench.journal.testimonies(epoch.round):
            try:
                found.append(decode(blob, Witnessed, cap=BLOB_CAP))
            except BadRecord:
                continue  # damaged on disk: as if it had never been written
        return found

    async def _attestations(self, epoch: Epoch) -> list[Attestation]:
        """Signatures of the epoch's round that the network still has."""
        try:
            signed = await self._bench.transport.collect_all(RecordKey(self._bench.run.id, ATTESTATION, epoch.round))
        except NetworkError as error:
            self._troubles.report(error)
            return []
        found = []
        for envelope in (envelope for versions in signed.values() for envelope in versions):
            try:
                found.append(decode(envelope.payload, Attestation))
            except BadRecord:
                continue
        return found
