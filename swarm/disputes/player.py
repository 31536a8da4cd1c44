"""Why this module exists: a peer plays its games by itself, beside its rounds, and goes on with them after a restart.

    what this peer accuses (``Suit``, on disk)   ->  done again: grounds?  ->  OpenDispute, in the outbox
    a game on the chain, and it is our turn      ->  hand (made anew after a restart)  ->  PlayMove, in the outbox
    a game whose other side is late              ->  ExpireDispute

What to do follows from the chain's records each time anew (``swarm.disputes.plan``), so it does not matter when this
process died. Nothing here holds up a round: traces are computed on the engine's thread a slice at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

from chain.base import Chain, ExpireDispute, PlayMove
from chain.games import WHOLE_STEP, GameRecord, Games, GameSide, MoveRecord
from chain.recognition import label
from protocol.errors import BadRecord, ChainError, NetworkError, NotBuiltYet, SwarmError, VerificationError
from protocol.events import DisputeNotPossible, Problem, Progress
from protocol.ids import ContentId, PeerId
from protocol.messages import Difference
from rewards.items import State
from rewards.outbox import Outbox
from swarm.audit.replay import Case
from swarm.audit.shipping import fetch_state
from swarm.disputes import plan, telling
from swarm.disputes.archive import Archive, Suit
from swarm.disputes.dossier import Dossier, dossier_of, ends_otherwise, is_disputable, subject_of
from swarm.disputes.hand import Dealing, Hand, check_state
from swarm.disputes.ordering import Examiner, Order, Orders
from swarm.disputes.plan import Due
from swarm.disputes.words import subject_words
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.policy.base import Provable, Replayable, StateParts
from swarm.rounds.work import Bench
from verde.bisect import calldata
from verde.bisect.challenger import NothingToShow
from verde.bisect.errors import BadMove

MIN_EVERY_S, MAX_EVERY_S = 0.5, 15.0
LOOKS_PER_MOVE = 10
"""How often a game is looked at in the time that a move may take."""

OPENING_S = 120.0
"""A peer that leaves waits no longer than this for what stands in the way of opening a game."""

Key = tuple[ContentId, int]


class Disputes:
    """One peer's games. ``watch`` until cancelled; ``accuse`` when a check found a lie. ``orders``: what people ask
    for, which ``examiner`` looks into."""

    def __init__(
        self,
        bench: Bench,
        chain: Chain,
        games: Games,
        outbox: Outbox,
        settler: Settler,
        troubles: Troubles,
        archive: Archive,
        orders: Orders | None = None,
        examiner: Examiner | None = None,
    ) -> None:
        self.archive = archive
        self._orders = orders
        self._examiner = examiner
        self._bench = bench
        self._chain = chain
        self._games = games
        self._outbox = outbox
        self._settler = settler
        self._troubles = troubles
        self._told = archive.told()
        self._moves: dict[ContentId, tuple[MoveRecord, ...]] = {}
        self._hands: dict[Key, asyncio.Task[Hand]] = {}
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._helpless: set[Key] = set()
        self._seen: tuple[GameRecord, ...] = ()
        self._refuted: dict[ContentId, float] = {}

    def refuted(self) -> dict[ContentId, float]:
        """Contributions that were proven false, and since when that is known here (unix seconds)."""
        return self._refuted

    # --- before a game -----------------------------------------------------------------------------------------------

    async def keep_own(self, dossier: Dossier) -> None:
        """Keep what an own contribution needs if it is accused. Its states lie on the shelf."""
        contribution = dossier.contribution
        roots = {contribution.state_before, contribution.state_after} - {self._bench.run.model}
        for root in roots:
            blobs = self._bench.shelf.blobs(root)
            if blobs:
                parts = StateParts(blobs[0], blobs[1:])
                await asyncio.to_thread(self.archive.keep_state, dossier.round, root, parts, self._bench.shelf)
        await asyncio.to_thread(self.archive.keep, dossier, {})

    async def accuse(self, case: Case, level: int, difference: Difference) -> None:
        """Take what a check found to the contract. On disk when this returns: so it is called before the finding is
        told to anybody."""
        contribution = case.contribution
        subject = subject_of(case.material, level, difference)
        if case.parts is None or subject is None:
            self._impossible(case, f"what differs is nothing that a contract computes ({difference.what})")
            return
        if not isinstance(self._bench.engine, Provable) or not is_disputable(contribution, subject):
            self._impossible(case, "its engine, model or rules have no programs, so that only a quorum can strike it")
            return
        dossier = dossier_of(case.envelope, case.material, self._bench.run.learn.num_external)
        states = {} if contribution.state_before == self._bench.run.model else {contribution.state_before: case.parts}
        await asyncio.to_thread(self.archive.keep, dossier, states)
        self.archive.enter(Suit(contribution.round, contribution.peer, case.content, subject))

    def _impossible(self, case: Case, why: str) -> None:
        contribution = case.contribution
        self._bench.events.append(DisputeNotPossible(contribution.round, contribution.peer, case.content, why))

    # --- playing -----------------------------------------------------------------------------------------------------

    async def watch(self) -> NoReturn:
        """Look after all games until cancelled."""
        rules = self._bench.run.economics
        every_s = min(max(min(rules.trace_s, rules.move_s) / LOOKS_PER_MOVE, MIN_EVERY_S), MAX_EVERY_S)
        while True:
            await self.tend()
            await asyncio.sleep(every_s)

    async def finish(self) -> None:
        """Stay until no game of this peer is open: who leaves one loses it by the clock. What it accuses and could not
        open yet is waited for a little, and is taken up again by the next process."""
        is_told, until = False, self._bench.now() + OPENING_S
        while True:
            is_opening = bool(self._unopened()) and self._bench.now() < until
            if not self._mine() and not is_opening:
                return
            if not is_told:
                is_told = True
                self._bench.events.append(Progress("waiting until the last dispute is decided"))
            await self.tend()
            await asyncio.sleep(MIN_EVERY_S)

    async def close(self) -> None:
        """Give up what is under way; it is begun again by the next process."""
        tasks: list[asyncio.Task[Hand] | asyncio.Task[None]] = [*self._hands.values(), *self._acting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def tend(self) -> None:
        """Do whatever is due now. A chain that is away is told, never raised."""
        try:
            view, epochs = await self._chain.clock(), await self._chain.epochs()
            self._seen = await self._games.games()
            lost = {one.content for one in self._seen if one.winner is GameSide.CHALLENGER}
            self._refuted = {content: self._refuted.get(content, self._bench.now()) for content in lost}
            for record in self._seen:
                await self._look(record, view.block_at)
        except ChainError as error:
            self._troubles.report(error)
            return
        for path, order in self._orders.open() if self._orders is not None else ():
            self._act(f"order {path.name}", self._obey(path, order))
        paid_round = epochs.claimable.round if epochs.claimable is not None else 0
        for suit in self._unopened():
            if suit.round <= paid_round:
                self._drop(suit, f"round {suit.round} is paid, so that no game about it can be opened any more")
            else:
                self._act(f"suit {suit.name}", self._open(suit))
        await self._settler.flush()
        needed = frozenset(one.content for one in self._mine())
        await asyncio.to_thread(self.archive.forget, paid_round, needed)

    def _mine(self) -> list[GameRecord]:
        return plan.open_games(self._seen, self._bench.signer.peer, self._bench.signer.wallet)

    def _unopened(self) -> list[Suit]:
        """Suits that still have to become a game: none is there, and nobody else has shown the lie."""
        wallet = self._bench.signer.wallet
        return [
            suit
            for suit in self.archive.suits()
            if not suit.dropped
            and plan.own_game(self._seen, suit, wallet) is None
            and not plan.is_refuted(self._seen, suit)
        ]

    async def _look(self, record: GameRecord, now: int) -> None:
        """Tell what is new of a game, and do what is due in it."""
        moves = self._moves.get(record.game, ())
        if len(moves) < record.moves or record.moves == 0:
            moves = self._moves[record.game] = await self._games.moves(record.game) if record.moves else ()
        side = plan.side_in(record, self._bench.signer.peer, self._bench.signer.wallet)
        await self._tell(record, moves, side)
        what = plan.due(record, side, now)
        if what is Due.EXPIRE:
            game = calldata.dispute_of(record, moves)
            self._put(ExpireDispute(record.game, calldata.expiry(record, game)))
        elif what is Due.MOVE and side is not None and not self._is_put(record):
            self._act(f"{record.game} {record.moves}", self._move(record, side))

    def _is_put(self, record: GameRecord) -> bool:
        """Whether the next move is on its way already."""
        return any(
            isinstance(one, PlayMove) and (one.game, one.turn) == (record.game, record.moves)
            for one in self._outbox.pending
        )

    def _put(self, intent: PlayMove | ExpireDispute) -> None:
        if intent not in self._outbox.pending:
            self._outbox.put(intent)

    def _act(self, name: str, doing: Coroutine[Any, Any, None]) -> None:
        """Begin what takes a while, unless it is under way."""
        task = self._acting.get(name)
        if task is not None and not task.done():
            doing.close()
            return
        if task is not None:
            task.result()  # a defect, or a full disk, is this peer's own trouble
        self._acting[name] = asyncio.ensure_future(doing)

    async def _obey(self, path: Path, order: Order) -> None:
        """Look into what a person asks for; the order is gone once a suit is written down, or there is none."""
        events = self._bench.events
        if self._examiner is None or self._orders is None:
            return
        try:
            case, level, difference = await self._examiner.check(order)
        except NetworkError as error:
            self._troubles.report(error)
            return
        except (BadRecord, SwarmError) as error:
            what = getattr(error, "what", str(error))
            events.append(Problem("Dispute", f"Round {order.round} of {order.peer} is not disputed: {what}", "", ""))
            self._orders.done(path)
            return
        if difference is None:
            self._impossible(case, f"all of it was done again up to level {level}, and it came out the same")
        else:
            await self.accuse(case, level, difference)
        self._orders.done(path)

    async def _move(self, record: GameRecord, side: GameSide) -> None:
        """Make the next move and put it into the outbox."""
        moves = self._moves.get(record.game, ())
        try:
            hand = await self._hand(record.content, record.subject)
            call = await self._bench.room.call(hand.call, record, moves, side)
        except (SwarmError, NothingToShow) as error:
            self._hopeless(record, side, error)
            return
        self._put(PlayMove(record.game, record.moves, call))
        await self._settler.flush()

    async def _open(self, suit: Suit) -> None:
        """Open the game of a suit, if it can be won."""
        engine, dossier = self._bench.engine, self.archive.dossier(suit.content)
        if dossier is None or not isinstance(engine, Provable):
            self._drop(suit, "its records are not kept here")
            return
        try:
            if suit.subject == WHOLE_STEP and not await self._fetch_after(dossier):
                return  # later, perhaps
            if not await self._has_grounds(suit, dossier):
                self._drop(suit, "what differs is nothing that a program computes, an end flag for example")
                return
            intent = await asyncio.to_thread(dossier.opening, engine, suit.subject)
        except SwarmError as error:
            self._drop(suit, error.what)
            return
        if any(getattr(one, "contribution", None) == intent.contribution for one in self._outbox.pending):
            return
        refused = [one for one in self._outbox.items if one.state is State.REFUSED and one.label == label(intent)]
        if refused:
            self._drop(suit, refused[-1].why)
            return
        self._outbox.put(intent)
        await self._settler.flush()

    async def _has_grounds(self, suit: Suit, dossier: Dossier) -> bool:
        """Whether the game can be won. A step is done again as the engine does it, which takes seconds, so that the
        game is open before the round is paid; the trace, which may take many minutes, is made while it is."""
        bench, step = self._bench, dossier.step
        if suit.subject != WHOLE_STEP or step is None or not isinstance(bench.engine, Replayable):
            hand = await self._hand(suit.content, suit.subject)
            return await bench.room.call(lambda: hand.has_grounds)
        engine, contribution = bench.engine, dossier.contribution
        before = self._state(contribution.state_before)
        return await bench.room.call(ends_otherwise, engine, before, step, contribution.state_after)

    async def _fetch_after(self, dossier: Dossier) -> bool:
        """Have all of the state that the step is said to end in: what differs in it is shown from it."""
        bench, contribution = self._bench, dossier.contribution
        if self.archive.state(contribution.state_after) is not None:
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
        await asyncio.to_thread(self.archive.keep_state, dossier.round, contribution.state_after, parts)
        return True

    def _drop(self, suit: Suit, why: str) -> None:
        self.archive.enter(Suit(suit.round, suit.peer, suit.content, suit.subject, why))
        self._bench.events.append(DisputeNotPossible(suit.round, suit.peer, suit.content, why))

    def _hopeless(self, record: GameRecord, side: GameSide, error: SwarmError) -> None:
        """A game that this peer cannot go on with; told once."""
        key = (record.content, record.subject)
        if isinstance(error, BadMove | NotBuiltYet | VerificationError | NothingToShow) and key not in self._helpless:
            self._helpless.add(key)
            self._troubles.report(
                SwarmError(
                    f"The dispute {record.game[:16]}… cannot be played as the {side}: {error.what}",
                    "If nothing changes before its deadline, it is lost: " + _stakes(side),
                    "Look whether this peer's disk is damaged, and report it with the peer's log.",
                )
            )

    # --- hands -------------------------------------------------------------------------------------------------------

    async def _hand(self, content: ContentId, subject: int) -> Hand:
        key = (content, subject)
        task = self._hands.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._hands[key] = asyncio.ensure_future(self._deal(content, subject))
        return await asyncio.shield(task)

    async def _deal(self, content: ContentId, subject: int) -> Hand:
        """Trace what a game is about, from what is kept. Raises ``VerificationError`` where that is not all there."""
        bench, dossier = self._bench, self.archive.dossier(content)
        if dossier is None or not isinstance(bench.engine, Provable):
            raise _lost(f"the records of the contribution {content[:16]}…")
        contribution = dossier.contribution
        computation = await asyncio.to_thread(dossier.computation, bench.engine, subject)
        before = self._state(contribution.state_before)
        after = self._state(contribution.state_after) if subject == WHOLE_STEP else None
        bench.events.append(Progress(f"doing {subject_words(subject)} of round {dossier.round} again, traced"))
        dealing = await bench.room.call(Dealing, computation, before, after)
        while True:
            hand = await bench.room.call(dealing.go_on)
            if hand is not None:
                return hand
            await asyncio.sleep(0)

    def _state(self, root: ContentId) -> StateParts:
        genesis = self._bench.genesis
        parts = genesis if root == self._bench.run.model else self.archive.state(root)
        if parts is None:
            raise _lost(f"the state {root[:16]}…")
        check_state(parts, root)
        return parts

    # --- telling -----------------------------------------------------------------------------------------------------

    async def _tell(self, record: GameRecord, moves: tuple[MoveRecord, ...], side: GameSide | None) -> None:
        told = self._told.get(record.game, telling.UNTOLD)
        after = telling.told_after(record, moves)
        if told >= after:
            return
        if told == telling.UNTOLD:
            accused = await self._chain.peer(record.peer)
            stake_micro = accused.stake_micro if accused is not None else 0
            owner = accused.owner if accused is not None else record.challenger
            self._bench.events.append(telling.opened(record, side, owner, stake_micro + record.slashed_micro))
        for event in telling.news(record, moves, told, side):
            self._bench.events.append(event)
        self._told[record.game] = after
        self.archive.tell(self._told)


def _stakes(side: GameSide) -> str:
    return "the stake is taken." if side is GameSide.DEFENDER else "the bond is taken."


def _lost(what: str) -> VerificationError:
    return VerificationError(
        f"A dispute needs {what}, and this peer keeps that no more.",
        "A game about it cannot be played; its deadline decides it.",
        "Keep a peer's home until its rounds are paid.",
    )
