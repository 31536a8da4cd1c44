"""Who keeps whose work: receipts count by drawn order, and enough of them open the way into a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.events import Held, RecordRejected, RoundSettled
from protocol.run import AuditRules
from tests.swarm import cheats
from tests.swarm.small_swarm import small_swarm
from tests.swarm.test_cheats import QUICK, check_the_honest_lost_nothing, play

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


async def test_every_contribution_is_kept_by_as_many_others_as_the_rules_say(tmp_path: Path) -> None:
    rules = AuditRules("fake", 2, 1, 3, 4, 0, 3)
    async with small_swarm(tmp_path, 5, audit=rules, **QUICK) as swarm:
        await play(swarm, [seat.node() for seat in swarm.seats], 1)
        keepers: dict[str, int] = {}
        for seat in swarm.seats:
            for event in seat.told(Held):
                assert event.peer != seat.peer
                assert event.num_bytes > 60_000
                keepers[event.content] = keepers.get(event.content, 0) + 1
        settled = swarm.seats[0].told(RoundSettled)[0]
        assert len(settled.contributions) == 5
        assert all(keepers[content] >= 2 for content in settled.contributions)


async def test_a_holder_that_keeps_its_receipts_to_itself_shuts_nobody_out(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        contracts = swarm.world.contracts

        def silent(inner: object) -> cheats.Publishing:
            return cheats.Publishing(inner, eve.signer, contracts, "receipt", lambda peer, envelope: None)

        await play(swarm, [*(seat.node() for seat in honest), eve.node(network=silent)], 2)
        check_the_honest_lost_nothing(swarm, honest, 2)


async def test_a_receipt_for_ones_own_work_is_no_receipt(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        contracts = swarm.world.contracts

        def between(inner: object) -> cheats.Colluding:
            return cheats.Colluding(inner, eve.signer, contracts, eve.peer)

        await play(swarm, [*(seat.node() for seat in honest), eve.node(network=between)], 1)
        check_the_honest_lost_nothing(swarm, honest, 1)
        reasons = {(event.reason, event.kind) for seat in honest for event in seat.told(RecordRejected)}
        assert reasons == {("not_drawn", "receipt")}
