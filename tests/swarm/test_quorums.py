"""Swarms in which few are drawn to sign. Whole peers, on fakes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from protocol.codec import BLOB_CAP, decode
from protocol.events import RoundSettled
from swarm.pay.testimony import Witnessed
from tests.swarm.small_swarm import ECONOMICS, Seat, small_run, small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


def witnessed(seat: Seat, number: int) -> list[Witnessed]:
    journal = seat.home.run(seat.swarm.run.id).journal
    return [decode(path.read_bytes(), Witnessed, cap=BLOB_CAP) for path in journal.glob(f"{number:06d}/testimony-*")]


async def test_where_few_are_drawn_the_others_sign_later_so_that_a_challenge_can_be_answered(tmp_path: Path) -> None:
    few = msgspec.structs.replace(ECONOMICS, quorum_size=2)
    async with small_swarm(tmp_path, 4, run=msgspec.structs.replace(small_run(), economics=few)) as swarm:
        async with asyncio.timeout(200):
            await asyncio.gather(*(seat.node().run(2) for seat in swarm.seats))
        for seat in swarm.seats:
            earned = sum(event.micro_credits.get(seat.peer, 0) for event in seat.told(RoundSettled))
            assert earned > 0
            assert swarm.world.token_wei[seat.wallet] == (earned + seat.paid_for_verdicts(seat.peer)) * 10**12
        for number in {event.round for event in swarm.seats[0].told(RoundSettled)}:
            recorded = swarm.world.results.recorded[number]
            for seat in swarm.seats:
                (mine,) = (one for one in witnessed(seat, number) if one.result == recorded)
                assert mine.recomputed
                assert len(mine.members) == 4
