"""Why this module exists: a lie that was found becomes a game where one still gains something and can be won.

a check's finding, or a person's order  ->  suit and dossier, on disk   (before the finding is told to anybody)
suit                                    ->  opened now, put off, or dropped   (``swarm.disputes.plan.opening``)
now                                     ->  the work done again: does it differ?  ->  OpenDispute, in the outbox
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import msgspec

from chain.base import WEI_PER_MICRO, Chain, EpochsView, OpenDispute
from chain.games import WHOLE_STEP, GameRecord
from chain.recognition import label
from identity.names import nickname
from protocol.errors import BadRecord, BondMissing, ChainError, NetworkError, SwarmError, VerificationError
from protocol.events import DisputeNotPossible, Problem, Progress
from protocol.ids import ContentId, PeerId
from protocol.messages import Contribution, Difference
from rewards.items import Item, State
from rewards.outbox import Outbox
from swarm.audit.replay import Case
from swarm.audit.shipping import fetch_state
from swarm.disputes import plan
from swarm.disputes.archive import Archive, Suit
from swarm.disputes.dealer import Dealer
from swarm.disputes.dossier import Dossier, dossier_of, ends_otherwise, is_disputable, subject_of
from swarm.disputes.ordering import Examiner, Order, Orders
from swarm.disputes.plan import Opening
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.policy.base import Provable, Replayable
from swarm.rounds.work import Bench

NO_TOKENS = "ERC20InsufficientBalance"
"""What a contract says to a wallet without the bond: the game waits for the money, and is not given up."""


class Accusations:
    """What one peer accuses others of, until a game is open about it or none is worth it. ``orders``: what people ask
    for, which ``examiner`` looks into."""

    def __init__(
        self,
        bench: Bench,
        chain: Chain,
        outbox: Outbox,
        settler: Settler,
        troubles: Troubles,
        archive: Archive,
        dealer: Dealer,
        orders: Orders | None = None,
        examiner: Examiner | None = None,
    ) -> None:
        self._bench = bench
        self._chain = chain
        self._outbox = outbox
        self._settler = settler
        self._troubles = troubles
        self._archive = archive
        self._dealer = dealer
        self._orders = orders
        self._examiner = examiner
        self._told_put_off: set[str] = set()
        self._ready: dict[str, OpenDispute] = {}

    # --- what is accused ---------------------------------------------------------------------------------------------

    async def accuse(self, case: Case, level: int, difference: Difference, *, is_ordered: bool = False) -> None:
        """Write down what a check found, if a contract can be shown it; on disk when this returns."""
        contribution, subject = case.contribution, self._subject_of(case, level, difference)
        if subject is None or case.parts is None:
            return
        dossier = dossier_of(case.envelope, case.material, self._bench.run.learn.num_external)
        states = {} if contribution.state_before == self._bench.run.model else {contribution.state_before: case.parts}
        await asyncio.to_thread(self._archive.keep, dossier, states)
        self._archive.enter(Suit(contribution.round, contribution.peer, case.content, subject, is_ordered=is_ordered))

    def _subject_of(self, case: Case, level: int, difference: Difference) -> int | None:
        """What a game about the difference is about; ``None``, and told, where there can be none."""
        subject = subject_of(case.material, level, difference)
        if case.parts is None or subject is None:
            self._impossible(case, f"what differs is nothing that a contract computes ({difference.what})")
            return None
        if not isinstance(self._bench.engine, Provable) or not is_disputable(case.contribution, subject):
            self._impossible(case, "its engine, model or rules have no programs, so that only a quorum can strike it")
            return None
        return subject

    def open_orders(self) -> list[tuple[Path, Order]]:
        """What people ask for, and was not looked into."""
        return self._orders.open() if self._orders is not None else []

    async def obey(self, path: Path, order: Order) -> None:
        """Look into an order; it is gone once a suit is written down, or there is none."""
        if self._examiner is None or self._orders is None:
            return
        try:
            case, level, difference = await self._examiner.check(order)
            if difference is None:
                self._impossible(case, f"all of it was done again up to level {level}, and it came out the same")
            elif order.is_dry:
                await self._work_out(path, case, level, difference)
            else:
                await self.accuse(case, level, difference, is_ordered=True)
        except NetworkError as error:
            self._troubles.report(error)
            return
        except (BadRecord, SwarmError) as error:
            what = getattr(error, "what", str(error))
            told = Problem("Dispute", f"Round {order.round} of {order.peer} is not disputed: {what}", "", "")
            self._bench.events.append(told)
        self._orders.done(path)

    async def _work_out(self, path: Path, case: Case, level: int, difference: Difference) -> None:
        """Answer a dry order with what would open the game, and keep nothing."""
        subject, engine = self._subject_of(case, level, difference), self._bench.engine
        if subject is not None and isinstance(engine, Provable) and self._orders is not None:
            dossier = dossier_of(case.envelope, case.material, self._bench.run.learn.num_external)
            self._orders.answer(path, await asyncio.to_thread(dossier.opening, engine, subject))

    def note_struck(self, contents: Collection[ContentId]) -> None:
        """A recorded result strikes these contributions: no pay of theirs is left that a game would have to strike."""
        for suit in self._archive.suits():
            if suit.content in contents and not suit.is_struck:
                self._archive.enter(msgspec.structs.replace(suit, is_struck=True))

    # --- which become games ------------------------------------------------------------------------------------------

    def unopened(self, games: Collection[GameRecord]) -> list[Suit]:
        """Suits that may still become a game: none of this peer's is there, and nobody else has shown the lie."""
        wallet = self._bench.signer.wallet
        return [
            suit
            for suit in self._archive.suits()
            if not suit.dropped and plan.own_game(games, suit, wallet) is None and not plan.is_refuted(games, suit)
        ]

    async def due(self, games: Collection[GameRecord], epochs: EpochsView, *, is_leaving: bool) -> list[Suit]:
        """Suits to be opened now; what has become pointless is dropped. Raises ``ChainError`` like the chain."""
        found = []
        for suit in self.unopened(games):
            if suit.round < epochs.paid_round:
                self._drop(suit, f"round {suit.round} is paid, so that no game about it can be opened any more")
                continue
            accused = await self._chain.peer(suit.peer)
            stake_micro = accused.liable_micro if accused is not None else 0
            is_last_chance = epochs.covered_round > suit.round or is_leaving
            what = plan.opening(games, suit, self._bench.signer.wallet, stake_micro, is_last_chance=is_last_chance)
            if what is Opening.NOW:
                found.append(suit)
            elif what is Opening.NEVER:
                self._drop(suit, "its pay is struck and its peer has nothing at stake: there is nothing to be won")
            elif suit.name not in self._told_put_off:
                self._told_put_off.add(suit.name)
                why = "has nothing at stake" if not stake_micro else "is in a dispute already"
                told = f"the lie of {nickname(suit.peer)} in round {suit.round} is put off: the peer {why}"
                self._bench.events.append(Progress(told))
        return found

    async def open(self, suit: Suit) -> None:
        """Open the game of a suit, if it can be won."""
        try:
            intent = self._ready.get(suit.name) or await self._prepared(suit)
            if intent is None or intent in self._outbox.pending:
                return
            refused = self._refused(intent)
            if refused is not None and refused.reason != NO_TOKENS:
                self._drop(suit, refused.why)
            elif refused is None or await self._has_bond():
                await self._settler.deliver(intent, quiet=NO_TOKENS)
                refused = self._refused(intent)
                if refused is None:
                    self._troubles.over(BondMissing)
                elif refused.reason == NO_TOKENS:
                    await self._has_bond()
        except ChainError as error:
            self._troubles.report(error)

    async def _prepared(self, suit: Suit) -> OpenDispute | None:
        """What opens the game; ``None`` where it cannot be won (then the suit is dropped), or not yet."""
        engine, dossier = self._bench.engine, self._archive.dossier(suit.content)
        if dossier is None or not isinstance(engine, Provable):
            self._drop(suit, "its records are not kept here")
            return None
        try:
            if suit.subject == WHOLE_STEP and not await self._fetch_after(dossier):
                return None  # later, perhaps
            if not await self._has_grounds(suit, dossier):
                self._drop(suit, "what differs is nothing that a program computes, an end flag for example")
                return None
            intent = await asyncio.to_thread(dossier.opening, engine, suit.subject)
        except ChainError:
            raise
        except SwarmError as error:
            self._drop(suit, error.what)
            return None
        self._ready[suit.name] = intent
        return intent

    def _refused(self, intent: OpenDispute) -> Item | None:
        """The contract's last word on it, where that was no."""
        found = [one for one in self._outbox.items if one.label == label(intent)]
        return found[-1] if found and found[-1].state is State.REFUSED else None

    async def _has_bond(self) -> bool:
        """Whether the wallet holds the bond; told where it does not. Raises ``ChainError`` like the chain."""
        wallet, bond_micro = self._bench.signer.wallet, self._bench.run.economics.dispute_bond_micro
        held_wei = (await self._chain.balance(wallet)).token_wei
        if held_wei >= bond_micro * WEI_PER_MICRO:
            return True
        self._troubles.report(
            BondMissing(
                f"A lie was found, and the wallet {wallet} is short of the bond of {bond_micro / 1e6:g} tokens"
                f" that opens a dispute: it holds {held_wei / 1e18:.6g}.",
                "Your credits are not touched. The accusation is kept; the liar keeps its stake if nobody else opens a"
                " dispute before the round is paid.",
                "Send tokens of this swarm to the wallet, or let the peer's next claim do it; then the game is opened.",
                reason=NO_TOKENS,
            )
        )
        return False

    async def _has_grounds(self, suit: Suit, dossier: Dossier) -> bool:
        """Whether the game can be won. A step is done again as the engine does it, which takes seconds, so that the
        game is open before the round is paid; the trace, which may take many minutes, is made while it is."""
        bench, step = self._bench, dossier.step
        if suit.subject != WHOLE_STEP or step is None or not isinstance(bench.engine, Replayable):
            hand = await self._dealer.hand(suit.content, suit.subject)
            return await bench.room.call(lambda: hand.has_grounds)
        engine, contribution = bench.engine, dossier.contribution
        before = self._dealer.state(contribution.state_before)
        return await bench.room.call(ends_otherwise, engine, before, step, contribution.state_after)

    async def _fetch_after(self, dossier: Dossier) -> bool:
        """Have all of the state that the step is said to end in: what differs in it is shown from it."""
        bench, contribution = self._bench, dossier.contribution
        if self._archive.state(contribution.state_after) is not None:
            return True
        if contribution.after is None or bench.genesis is None:
            raise VerificationError("It does not say where its state after is found.", "", "")
        view = await self._chain.clock()
        others: list[PeerId] = [one.peer for one in view.members if one.peer != bench.signer.peer]
        providers = (dossier.peer, *(peer for peer in others if peer != dossier.peer))
        try:
            parts = await fetch_state(
                bench.transport, contribution.after, contribution.state_after, bench.genesis, providers
            )
        except (BadRecord, NetworkError) as error:
            self._troubles.report(error)
            return False
        await asyncio.to_thread(self._archive.keep_state, dossier.round, contribution.state_after, parts)
        return True

    def _drop(self, suit: Suit, why: str) -> None:
        self._archive.enter(msgspec.structs.replace(suit, dropped=why))
        self._bench.events.append(DisputeNotPossible(suit.round, suit.peer, suit.content, why))

    def _impossible(self, case: Case, why: str) -> None:
        contribution: Contribution = case.contribution
        self._bench.events.append(DisputeNotPossible(contribution.round, contribution.peer, case.content, why))
