"""Whole rounds of whole peers, on fakes: who plays is paid, who dies comes back, who is gone does not stop the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from protocol.events import (
    ContributionSeen,
    ContributionSigned,
    Outcome,
    RoundEnded,
    RoundOpened,
    RoundSettled,
    StageEnded,
    Trained,
)
from protocol.ids import STAGES
from tests.swarm.small_swarm import ECONOMICS, Seat, small_run, small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


async def until(seat: Seat, kind: type, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while len(seat.told(kind)) < count:  # noqa: ASYNC110 - a log on disk has nothing to wait on
            await asyncio.sleep(0.01)


async def test_three_peers_play_two_rounds_and_each_is_paid_what_was_recomputed(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        async with asyncio.timeout(90):
            await asyncio.gather(*(seat.node().run(2) for seat in swarm.seats))
        for seat in swarm.seats:
            ended = seat.told(RoundEnded)
            assert [event.outcome for event in ended] == [Outcome.COMPLETE] * 2
            assert all(event.stages_played == STAGES for event in ended)
            assert len(seat.told(ContributionSeen)) == 4
            first, second, closing = seat.told(RoundSettled)
            earned = [event.micro_credits[seat.peer] for event in (first, second)]
            assert 0 < sum(earned) < 2_000_000
            assert (first.paid, closing.micro_credits) == ({}, {})
            assert [event.paid[seat.peer] for event in (second, closing)] == earned, "pay comes one result later"
            assert swarm.world.token_wei[seat.wallet] == sum(earned) * 10**12
        assert len({event.credits_root for seat in swarm.seats for event in seat.told(RoundSettled)}) == 3


async def test_a_peer_that_dies_in_a_round_comes_back_as_itself_and_goes_on(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3, stage_s=1) as swarm:
        ann, bob, eve = swarm.seats
        others = [asyncio.ensure_future(seat.node().run(3)) for seat in (ann, bob)]
        dying = asyncio.ensure_future(eve.node().run(3))
        await until(eve, StageEnded, 4)  # round 2, after its answers
        dying.cancel()
        assert eve.transport is not None
        swarm.network.leave(eve.transport)
        await until(ann, RoundEnded, 2)
        back = asyncio.ensure_future(eve.node().run(1))
        async with asyncio.timeout(90):
            await asyncio.gather(*others, back)
        assert ann.told(RoundEnded)[0].outcome is Outcome.COMPLETE
        first, last = eve.told(Trained)[0], eve.told(Trained)[-1]
        assert last.state_before == first.state_after
        assert eve.told(RoundEnded)[-1].outcome is Outcome.COMPLETE
        paid = sum(event.micro_credits.get(eve.peer, 0) for event in ann.told(RoundSettled))
        assert swarm.world.token_wei[eve.wallet] == paid * 10**12


async def test_a_peer_killed_after_signing_sends_the_same_contribution_again(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3, stage_s=1) as swarm:
        ann, bob, eve = swarm.seats
        nodes = [asyncio.ensure_future(seat.node().run(2)) for seat in (ann, bob)]
        dying = asyncio.ensure_future(eve.node().run(2))
        await until(eve, ContributionSigned)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        (kept,) = eve.home.run(swarm.run.id).journal.glob("000001/contribution.envelope")
        signed = kept.read_bytes()
        back = asyncio.ensure_future(eve.node().run(1))
        async with asyncio.timeout(90):
            await asyncio.gather(*nodes, back)
        assert kept.read_bytes() == signed
        assert eve.peer in ann.told(RoundSettled)[0].micro_credits
        assert eve.told(RoundEnded)[-1].outcome is Outcome.COMPLETE


async def test_a_chain_that_is_away_for_a_while_costs_time_and_nothing_else(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        playing = asyncio.gather(*(seat.node().run(1) for seat in swarm.seats))
        await until(swarm.seats[0], StageEnded)
        swarm.world.reachable = False
        await until(swarm.seats[0], Trained)
        await asyncio.sleep(0.3)
        swarm.world.reachable = True
        async with asyncio.timeout(90):
            await playing
        for seat in swarm.seats:
            assert seat.told(RoundEnded)[0].outcome is Outcome.COMPLETE
            assert swarm.world.token_wei[seat.wallet] > 0


async def test_a_member_that_is_gone_for_good_is_dropped_and_no_longer_waited_for(tmp_path: Path) -> None:
    impatient = msgspec.structs.replace(ECONOMICS, absence_rounds=2)
    run = msgspec.structs.replace(small_run(stage_s=1), economics=impatient)
    async with small_swarm(tmp_path, 3, run=run) as swarm:
        ann, bob, eve = swarm.seats
        staying = [asyncio.ensure_future(seat.node().run(9)) for seat in (ann, bob)]
        async with asyncio.timeout(90):
            await eve.node().run(1)
            assert eve.transport is not None
            swarm.network.leave(eve.transport)
            await asyncio.gather(*staying)
        members = [eve.peer in event.members for event in ann.told(RoundOpened)]
        assert members == sorted(members, reverse=True)
        assert (members[0], members[-1]) == (True, False)
        assert ann.told(RoundEnded)[-1].outcome is Outcome.COMPLETE


async def test_a_peer_alone_plays_a_round_with_itself(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 1) as swarm:
        seat = swarm.seats[0]
        async with asyncio.timeout(60):
            await seat.node().run(1)
        assert seat.told(RoundEnded)[0].outcome is Outcome.COMPLETE
        assert swarm.world.token_wei[seat.wallet] > 0
