"""A swarm plays on fakes, an onlooker indexes it, and its numbers are the chain's, whenever and however it looked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from protocol.events import RoundSettled
from protocol.ids import PeerId
from swarm.dht.memory import Faults
from swarm.indexing.indexer import Indexer
from tests.swarm.indexing.world_source import WorldSource
from tests.swarm.small_swarm import Doubling, SmallSwarm, small_swarm
from tests.virtual_time import now
from web import schema
from web.database import open_database
from web.queries import Queries
from web.store import Store

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

ONLOOKER = PeerId("16Uiu2HAm9E1uNfnrat6vL4GKLCQopGPesM6uRrkViYhwZNqGgkf8")
LATECOMER = PeerId("16Uiu2HAm85ucn7X921Z5LzH8Utq2QaoQJc2dsro79bqQcWipsdBJ")


class Onlooker:
    """An indexer on a small swarm, with a database of its own."""

    def __init__(self, swarm: SmallSwarm, source: WorldSource, file: Path, **options: Any) -> None:
        self.engine = open_database(str(file))
        self.store = Store(self.engine)
        self.queries = Queries(self.engine, now)
        self.transport = swarm.network.join(options.pop("peer", ONLOOKER))
        task = options.pop("task", None) or Doubling()
        self.indexer = Indexer(
            swarm.run, task, source, self.transport, self.store, now,
            set_members=self.transport.set_members, **options,
        )  # fmt: skip

    async def follow(self, every_s: float = 0.01) -> None:
        await self.indexer.follow(every_s)

    def credits(self) -> dict[str, int]:
        return {peer.peer: peer.credits_micro for peer in self.queries.standings().peers}

    def checks(self) -> dict[int, str]:
        return {one.round: one.check_level for one in self.queries.rounds().rounds if one.settled_at}


async def played(swarm: SmallSwarm, *onlookers: Onlooker, rounds: int = 2) -> None:
    """Everybody plays ``rounds`` and a closing round while ``onlookers`` look on; then they look once more."""
    following = [asyncio.ensure_future(one.follow()) for one in onlookers]
    async with asyncio.timeout(120):
        await asyncio.gather(*(seat.node().run(rounds) for seat in swarm.seats))
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    for one in onlookers:
        await one.indexer.turn()
        await one.indexer.close()


def on_chain(swarm: SmallSwarm) -> dict[str, int]:
    return {seat.peer: swarm.world.escrow.claimed.get(seat.peer, 0) for seat in swarm.seats}


async def test_an_onlooker_computes_the_whole_ledger_again_and_gets_what_was_paid(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        onlooker = Onlooker(swarm, WorldSource(swarm.world), tmp_path / "a.sqlite")
        await played(swarm, onlooker)
        assert onlooker.checks() == {1: "recomputed", 2: "recomputed", 3: "recomputed"}
        assert onlooker.credits() == on_chain(swarm)
        assert min(onlooker.credits().values()) > 0
        summary = onlooker.queries.summary()
        assert summary.ledger_micro == summary.total_micro == sum(on_chain(swarm).values())
        assert summary.claimed_micro == summary.total_micro
        told = swarm.seats[0].told(RoundSettled)
        for number, event in enumerate(told[:2], 1):
            details = onlooker.queries.round(number)
            assert details is not None
            assert {work.peer: work.earned_micro for work in details.works} == event.micro_credits
            assert all(work.outcome == "paid" and work.is_checked for work in details.works)
            assert all(work.holders == 2 and work.verdicts == 1 for work in details.works)
        feed = onlooker.queries.said(size=100)
        assert {one.stage for one in feed.said} == {"answer", "critique", "decide"}
        assert all(one.prompt.startswith("2 * ") for one in feed.said)


async def test_indexing_from_nothing_gives_the_same_numbers_row_by_row(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        onlooker = Onlooker(swarm, WorldSource(swarm.world), tmp_path / "a.sqlite")
        await played(swarm, onlooker)
        before = derived(onlooker.engine)
        onlooker.store.reindex()
        assert derived(onlooker.engine) == before
        assert sum(len(rows) for rows in before.values()) >= 10


async def test_who_begins_late_misses_rows_of_early_rounds_and_no_credit(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        source = WorldSource(swarm.world)
        early = Onlooker(swarm, source, tmp_path / "a.sqlite")

        async def late() -> Onlooker:
            while swarm.world.view().round < 3:  # noqa: ASYNC110 - a fake chain has nothing to wait on
                await asyncio.sleep(0.01)
            one = Onlooker(swarm, source, tmp_path / "b.sqlite", peer=LATECOMER)
            following = asyncio.ensure_future(one.follow())
            await asyncio.sleep(4.0)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            return one

        coming = asyncio.ensure_future(late())
        await played(swarm, early, rounds=4)
        latecomer = await coming
        assert early.checks() == dict.fromkeys((1, 2, 3, 4, 5), "recomputed")
        assert latecomer.checks()[1] == "root"
        assert latecomer.credits() == early.credits() == on_chain(swarm)


async def test_an_onlooker_killed_between_two_turns_goes_on_and_counts_nothing_twice(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        source = WorldSource(swarm.world)
        file = tmp_path / "a.sqlite"

        async def dying_every_second() -> None:
            while True:
                one = Onlooker(swarm, source, file)
                task = asyncio.ensure_future(one.follow())
                await asyncio.sleep(1.0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        dying = asyncio.ensure_future(dying_every_second())
        async with asyncio.timeout(120):
            await asyncio.gather(*(seat.node().run(2) for seat in swarm.seats))
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        last = Onlooker(swarm, source, file)
        await last.indexer.turn()
        assert last.credits() == on_chain(swarm)
        assert last.queries.summary().ledger_micro == last.queries.summary().total_micro


async def test_blocks_that_the_chain_lost_are_taken_back_and_counted_when_they_come_again(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        source = WorldSource(swarm.world)
        onlooker = Onlooker(swarm, source, tmp_path / "a.sqlite")
        await played(swarm, onlooker)
        settled = [event for event in source.told if event.name == "RoundSettled"]
        lost = source.forget_after(settled[-1].block - 1)
        await onlooker.indexer.turn()
        paid = sum(onlooker.credits().values())
        assert paid == int(settled[-2].arguments["totalMicroCredits"])
        source.tell_again(lost)
        await onlooker.indexer.turn()
        assert onlooker.credits() == on_chain(swarm)


async def test_a_table_that_is_not_the_recorded_one_is_never_believed(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        source = WorldSource(swarm.world)
        onlooker = Onlooker(swarm, source, tmp_path / "a.sqlite")
        tell = source._tell

        def lying(contract: str, name: str, peer: str = "", **facts: Any) -> None:
            if name == "RoundSettled":
                facts["totalMicroCredits"] += 1
            tell(contract, name, peer, **facts)

        source._tell = lying  # type: ignore[method-assign]
        await played(swarm, onlooker, rounds=1)
        assert set(onlooker.checks().values()) == {"differs"}
        assert set(onlooker.credits().values()) <= {0}


async def test_a_network_that_is_away_is_told_and_what_is_there_stays(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        onlooker = Onlooker(swarm, WorldSource(swarm.world), tmp_path / "a.sqlite")
        await played(swarm, onlooker, rounds=1)
        before = onlooker.credits()
        swarm.network.faults[ONLOOKER] = Faults(unreachable=True)
        swarm.world.reachable = False
        assert await onlooker.indexer.turn() in (True, False)
        assert onlooker.credits() == before


def derived(engine: sa.Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table)).mappings().all()))
            for table in schema.DERIVED
        }
