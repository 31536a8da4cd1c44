"""Why this module exists: what a round asks of whom follows from the chain and the credit table at its opening.

Where the questions follow the peers' level, that table says how hard they are, so nobody plays without it.
"""

from __future__ import annotations

import asyncio

from chain.base import Chain, ClockView
from protocol.errors import ChainUnreachable, NetworkError
from protocol.events import Progress
from protocol.ids import ContentId, PeerId
from rewards.economics import economics_of
from rewards.levels import level_at, levels_of
from rewards.reputation import newcomers
from swarm.game.cohort import split_cohorts
from swarm.game.round_view import RoundView, round_questions
from swarm.observe.troubles import Troubles
from swarm.pay.ledger_book import LedgerBook
from swarm.rounds.work import Bench
from swarm.tasks.base import Task

ASK_AGAIN_S = 1.0


async def look_up_table(view: ClockView, book: LedgerBook, me: PeerId, troubles: Troubles) -> bool:
    """Take up the latest credit table; whether it is here. A network that is away is waited for: nothing can be played
    without it."""
    others = [member.peer for member in view.members if member.peer != me]
    while True:
        try:
            return await book.sync(view, others)
        except NetworkError as error:
            troubles.report(error)
            await asyncio.sleep(ASK_AGAIN_S)


async def views_of_round(
    bench: Bench, chain: Chain, view: ClockView, book: LedgerBook, task: Task, troubles: Troubles
) -> dict[PeerId, RoundView] | None:
    """The empty view of each member of the round that ``view`` shows open; takes up the latest credit table.

    ``None`` when the chain left the round before anybody served the table that says what is asked."""
    run, told = bench.run, False
    rules = levels_of(run)
    while not await look_up_table(view, book, bench.signer.peer, troubles) and rules is not None:
        if not told:
            why = f"waiting for the credit table of round {view.settled_round}, which says how hard the questions are"
            bench.events.append(Progress(why))
            told = True
        await asyncio.sleep(ASK_AGAIN_S)
        if await _has_left(chain, view.round, troubles):
            return None
    seed, level = ContentId(view.seed), level_at(book.behind(view), view.round, rules)
    questions = round_questions(task, run.id, view.round, seed, run.game.num_questions, level)
    new = newcomers(view.members, view.round, economics_of(run).newcomer_rounds)
    members = [member.peer for member in view.members]
    return {
        peer: RoundView(run.id, view.round, seed, run.game, cohort, questions, level=level)
        for cohort in split_cohorts(seed, members, run.game.cohort_size, new)
        for peer in cohort
    }


async def _has_left(chain: Chain, round_number: int, troubles: Troubles) -> bool:
    try:
        now_view = await chain.clock()
    except ChainUnreachable as error:
        troubles.report(error)
        return False
    troubles.over(ChainUnreachable)
    return now_view.round != round_number
