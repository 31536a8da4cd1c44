"""Why this module exists: who signs two contributions for one round loses its stake only if somebody shows both.

records of a round  ->  two different ones of a member  ->  evidence, on disk
evidence            ->  this peer's turn, and undecided?    ->  Accuse, in the outbox

Everybody holds the same evidence, and one transaction is enough. So the other members show it in an order that the
round's seed draws, each time twice as many, until the contract has decided: nobody can buy all of them, and hardly
anybody pays for a race that is lost. What a contract does not judge (batches, verdicts, proposals) is never shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, NoReturn

import msgspec
from eth_hash.auto import keccak

from chain.base import Accuse, Chain, ClockView
from chain.recognition import is_final, label
from chain.sortition import ticket
from protocol.codec import content_id
from protocol.errors import ChainError, NetworkError
from protocol.events import EquivocationEnded, EquivocationFound
from protocol.ids import PeerId
from protocol.messages import Envelope
from rewards.items import State
from rewards.outbox import Outbox
from swarm.dht.transport import RecordKey
from swarm.disputes.evidence import Contradiction, Evidence
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.rounds.inbox import CONTRIBUTION, Inbox
from swarm.rounds.work import Bench

ACCUSER = keccak(b"accuser")

ROUNDS = 3
"""Records of so many rounds are looked at, the open one included: a second signature may come late."""

MIN_EVERY_S, MAX_EVERY_S = 0.5, 10.0

PROVEN = "proven"

IN_NO_BLOCK_YET = "AlreadyProven"
"""What is said of a peer whose conviction a node has taken, and no block: a later look will tell."""


def turn_of(me: PeerId, accused: PeerId, view: ClockView) -> int:
    """How many of the round's other members come before ``me`` in the order in which they accuse ``accused``."""
    mates = [member for member in view.members if member.peer != accused]
    drawn = {member.peer: ticket(view.seed, ACCUSER, view.round, member.signer) for member in mates}
    return sorted(drawn, key=lambda peer: (drawn[peer], peer)).index(me)


def waits_s(turn: int, poster_s: float) -> float:
    """How long after the evidence came a peer waits: one accuses at once, and each ``poster_s`` twice as many may."""
    return turn.bit_length() * poster_s


class Equivocations:
    """What one peer does about members that sign two contributions for one round."""

    AT_LEAVING_S: ClassVar[float] = 120.0
    """A peer that leaves stays no longer than this for evidence that nobody has shown yet."""

    def __init__(
        self, bench: Bench, chain: Chain, outbox: Outbox, settler: Settler, troubles: Troubles, evidence: Evidence
    ) -> None:
        self._bench = bench
        self._chain = chain
        self._outbox = outbox
        self._settler = settler
        self._troubles = troubles
        self._evidence = evidence
        self._watched: dict[int, tuple[ClockView, Inbox]] = {}
        self._late: set[int] = set()

    def attend(self, view: ClockView, inbox: Inbox) -> None:
        """From now on look at what the members of ``view``'s round sign, ``inbox`` being what this peer receives in it;
        and once more at the rounds before it."""
        self._watched[view.round] = view, inbox
        self._watched = {number: kept for number, kept in self._watched.items() if number > view.round - ROUNDS}
        self._late = {number for number in self._watched if number != view.round}

    async def watch(self) -> NoReturn:
        """Look until cancelled."""
        every_s = min(max(self._bench.run.time.poster_s / 2, MIN_EVERY_S), MAX_EVERY_S)
        while True:
            await self.tend()
            await asyncio.sleep(every_s)

    async def leave(self) -> None:
        """Stay until what is known has ended: others that hold it may be gone."""
        deadline = self._bench.now() + self.AT_LEAVING_S
        await self.tend()
        while self._evidence.open() and self._bench.now() < deadline:
            await asyncio.sleep(MIN_EVERY_S)
            await self.tend()

    async def tend(self) -> None:
        """Look once. A chain or network that is away is told, never raised."""
        try:
            await self._gather()
        except NetworkError as error:
            self._troubles.report(error)
        known = self._evidence.open()
        if not known:
            return
        try:
            paid_round = (await self._chain.epochs()).paid_round
            for one in known:
                await self._look(one, paid_round)
        except ChainError as error:
            self._troubles.report(error)
            return
        self._evidence.forget_old(min([paid_round, *self._watched]))

    # --- evidence ----------------------------------------------------------------------------------------------------

    async def _gather(self) -> None:
        """Write down who signed two contributions, of the rounds in which there may be something new."""
        for number, (view, inbox) in sorted(self._watched.items()):
            is_now = number == max(self._watched)
            unknown = {peer for peer in inbox.contradicting if not self._evidence.knows(number, peer)}
            if (is_now and unknown) or number in self._late:
                key = RecordKey(self._bench.run.id, CONTRIBUTION, number)
                for peer, signed in (await self._bench.transport.collect_all(key)).items():
                    self._note(view, peer, signed)
                self._late.discard(number)

    def _note(self, view: ClockView, peer: PeerId, signed: Sequence[Envelope]) -> None:
        """``signed``: by ``peer``, as the transport checked. The same payload sent again contradicts nothing."""
        me = self._bench.signer.peer
        different = {content_id(envelope.payload): envelope for envelope in signed}
        is_member = any(member.peer == peer for member in view.members)
        if peer == me or not is_member or len(different) < 2 or self._evidence.knows(view.round, peer):
            return
        (first, one), (second, other), *_ = sorted(different.items())
        turn = turn_of(me, peer, view)
        self._evidence.enter(Contradiction(view.round, peer, one, other, turn, self._bench.now()))
        self._bench.events.append(EquivocationFound(view.round, peer, first, second))

    # --- showing it --------------------------------------------------------------------------------------------------

    async def _look(self, one: Contradiction, paid_round: int) -> None:
        """Accuse, if it is this peer's turn, or see how it ended. Raises ``ChainError`` like the chain."""
        if one.round < paid_round:
            self._end(one, f"round {one.round} is paid, so that no contract takes it any more")
            return
        intent = one.accusation
        accused = await self._chain.peer(one.peer)
        stake_micro = accused.liable_micro if accused is not None else 0
        try:
            is_decided = not (await self._chain.estimate(intent)).gas
        except ChainError as error:
            if not is_final(error):
                raise
            if error.reason != IN_NO_BLOCK_YET:
                self._end(one, error.what)
            return
        if is_decided:
            self._end(one, PROVEN)
        elif not stake_micro:
            self._end(one, "its peer has nothing at stake")
        else:
            if stake_micro != one.stake_micro:
                one = msgspec.structs.replace(one, stake_micro=stake_micro)
                self._evidence.enter(one)
            await self._show(one, intent)

    async def _show(self, one: Contradiction, intent: Accuse) -> None:
        """``intent`` into the outbox when it is time, once for all of its peer's contradictions."""
        refused = [item for item in self._outbox.items if item.label == label(intent) and item.state is State.REFUSED]
        is_due = self._bench.now() >= one.noted_at + waits_s(one.turn, self._bench.run.time.poster_s)
        is_on_its_way = any(isinstance(sent, Accuse) and sent.peer == one.peer for sent in self._outbox.pending)
        if refused:
            self._end(one, refused[-1].why)
        elif is_on_its_way:
            await self._settler.flush()
        elif is_due:
            await self._settler.deliver(intent, quiet="RoundPaid")

    def _end(self, one: Contradiction, why: str) -> None:
        is_proven, name = why == PROVEN, label(one.accusation)
        is_mine = any(item.label == name and item.transaction for item in self._outbox.items)
        self._evidence.enter(msgspec.structs.replace(one, ended=why))
        taken_micro = one.stake_micro if is_proven else 0
        self._bench.events.append(
            EquivocationEnded(one.round, one.peer, taken_micro, is_mine, "" if is_proven else why)
        )
