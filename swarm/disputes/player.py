"""Why this module exists: a peer plays its games by itself, beside its rounds, and goes on with them after a restart.

    what this peer accuses (``Suit``, on disk)   ->  OpenDispute, in the outbox (``swarm.disputes.accusing``)
    a game on the chain, and it is our turn      ->  hand (made anew after a restart)  ->  PlayMove, in the outbox
    a game whose other side is late              ->  ExpireDispute

What to do follows from the chain's records each time anew (``swarm.disputes.plan``), so it does not matter when this
process died. Nothing here holds up a round: traces are computed on the engine's thread a slice at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn

from chain.base import Chain, ExpireDispute, PlayMove
from chain.games import GameRecord, Games, GameSide, MoveRecord
from protocol.errors import ChainError, NotBuiltYet, SwarmError, VerificationError
from protocol.events import Progress
from protocol.ids import ContentId
from rewards.outbox import Outbox
from swarm.disputes import plan, telling
from swarm.disputes.accusing import Accusations
from swarm.disputes.archive import Archive
from swarm.disputes.dealer import Dealer
from swarm.disputes.dossier import Dossier
from swarm.disputes.ordering import Examiner, Orders
from swarm.disputes.plan import Due
from swarm.disputes.reported import Reported
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.policy.base import StateParts
from swarm.rounds.work import Bench
from verde.bisect import calldata
from verde.bisect.challenger import NothingToShow
from verde.bisect.errors import BadMove

MIN_EVERY_S, MAX_EVERY_S = 0.5, 15.0
LOOKS_PER_MOVE = 10
"""How often a game is looked at in the time that a move may take."""

OPENING_S = 120.0
"""A peer that leaves waits no longer than this for what stands in the way of opening a game."""


class Disputes:
    """One peer's games. ``watch`` until cancelled; ``accusations.accuse`` when a check found a lie. ``orders``: what
    people ask for, which ``examiner`` looks into."""

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
        self.dealer = Dealer(bench, archive)
        self.accusations = Accusations(bench, chain, outbox, settler, troubles, archive, self.dealer, orders, examiner)
        self._bench = bench
        self._chain = chain
        self._games = games
        self._outbox = outbox
        self._settler = settler
        self._troubles = troubles
        self._reported = Reported(chain.reports, archive, bench.events)
        self._told = archive.told()
        self._moves: dict[ContentId, tuple[MoveRecord, ...]] = {}
        self._acting: dict[str, asyncio.Task[None]] = {}
        self._helpless: set[tuple[ContentId, int]] = set()
        self._seen: tuple[GameRecord, ...] = ()
        self._refuted: dict[ContentId, float] = {}
        self._is_leaving = False

    def refuted(self) -> dict[ContentId, float]:
        """Contributions that were proven false, and since when that is known here (unix seconds)."""
        return self._refuted

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
        self._is_leaving = True
        is_told, until = False, self._bench.now() + OPENING_S
        while True:
            is_opening = bool(self.accusations.unopened(self._seen)) and self._bench.now() < until
            if not self._mine() and not is_opening:
                return
            if not is_told:
                is_told = True
                self._bench.events.append(Progress("waiting until the last dispute is decided"))
            await self.tend()
            await asyncio.sleep(MIN_EVERY_S)

    async def hear(self) -> None:
        """Tell of peers that were proven to have signed twice. A chain that is away is told, never raised."""
        try:
            await self._reported.tell((await self._chain.clock()).block)
        except ChainError as error:
            self._troubles.report(error)

    async def close(self) -> None:
        """Give up what is under way; it is begun again by the next process."""
        for task in self._acting.values():
            task.cancel()
        await asyncio.gather(*self._acting.values(), return_exceptions=True)
        await self.dealer.close()

    async def tend(self) -> None:
        """Do whatever is due now. A chain that is away is told, never raised."""
        try:
            view, epochs = await self._chain.clock(), await self._chain.epochs()
            self._seen = await self._games.games()
            lost = {one.content for one in self._seen if one.winner is GameSide.CHALLENGER}
            self._refuted = {content: self._refuted.get(content, self._bench.now()) for content in lost}
            for record in self._seen:
                await self._look(record, view.block_at)
            await self._reported.tell(view.block)
            due = await self.accusations.due(self._seen, epochs, is_leaving=self._is_leaving)
        except ChainError as error:
            self._troubles.report(error)
            return
        for path, order in self.accusations.open_orders():
            self._act(f"order {path.name}", self.accusations.obey(path, order))
        for suit in due:
            self._act(f"suit {suit.name}", self.accusations.open(suit))
        await self._settler.flush()
        needed = frozenset(one.content for one in self._mine())
        await asyncio.to_thread(self.archive.forget, epochs.paid_round, needed)

    def _mine(self) -> list[GameRecord]:
        return plan.open_games(self._seen, self._bench.signer.peer, self._bench.signer.wallet)

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

    async def _move(self, record: GameRecord, side: GameSide) -> None:
        """Make the next move and put it into the outbox."""
        moves = self._moves.get(record.game, ())
        try:
            hand = await self.dealer.hand(record.content, record.subject)
            call = await self._bench.room.call(hand.call, record, moves, side)
        except (SwarmError, NothingToShow) as error:
            self._hopeless(record, side, error)
            return
        self._put(PlayMove(record.game, record.moves, call))
        await self._settler.flush()

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
