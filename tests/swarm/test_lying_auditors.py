"""Whoever judges falsely, not at all, or without having been drawn, denies nobody its pay and shields nobody."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from protocol.events import Audited, RoundEnded, Struck, VerdictSeen
from protocol.messages import Finding
from protocol.run import AuditRules
from tests.swarm import cheats
from tests.swarm.small_swarm import EVERYTHING, small_swarm
from tests.swarm.test_cheats import (
    QUICK,
    check_the_honest_lost_nothing,
    paid_to,
    play,
    publishing,
    struck,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


async def test_a_lying_auditor_denies_nobody_its_pay(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        between = publishing(swarm, eve, "verdict", cheats.accusing)
        await play(swarm, [*(seat.node() for seat in honest), eve.node(network=between)], 5)
        check_the_honest_lost_nothing(swarm, honest, 5)
        seen = [event for event in honest[0].told(VerdictSeen) if event.by == eve.peer]
        assert all(event.finding is Finding.MISMATCH for event in seen)
        assert all(seat.told(Struck) == [] for seat in honest)
        assert any(event.by == eve.peer for seat in honest for event in seat.told(VerdictSeen)), "eve was never drawn"


async def test_a_lying_auditor_shields_nobody(tmp_path: Path) -> None:
    rules = AuditRules("fake", 2, 2, 3, 1_000, 1_000_000, 3)
    async with small_swarm(tmp_path, 5, audit=rules, **QUICK) as swarm:
        *honest, mal, eve = swarm.seats
        shielding = mal.node(network=publishing(swarm, mal, "verdict", cheats.praising))
        cheating = eve.node(engine=cheats.OneBitOfOneMoment)
        await play(swarm, [*(seat.node() for seat in honest), shielding, cheating], 2)
        check_the_honest_lost_nothing(swarm, honest, 2)
        assert paid_to(eve, honest[0]) == 0
        assert 1 in struck(honest[0], eve)


async def test_a_silent_auditor_costs_no_more_than_the_window(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, stage_s=3, contribute_s=1, poster_s=1) as swarm:
        *honest, eve = swarm.seats
        between = publishing(swarm, eve, "verdict", lambda peer, envelope: None)
        await play(swarm, [*(seat.node() for seat in honest), eve.node(network=between)], 4)
        check_the_honest_lost_nothing(swarm, honest, 4)
        assert all(seat.told(Struck) == [] for seat in honest)
        for event in honest[0].told(RoundEnded):
            assert event.total_s < 6


async def test_a_verdict_of_somebody_who_was_not_drawn_counts_for_nothing(tmp_path: Path) -> None:
    nobody = msgspec.structs.replace(EVERYTHING, num_auditors=0)
    async with small_swarm(tmp_path, 4, audit=nobody, **QUICK) as swarm:
        *honest, eve = swarm.seats
        await play(swarm, [*(seat.node() for seat in honest), eve.node(engine=cheats.OneTokenChanged)], 2)
        check_the_honest_lost_nothing(swarm, honest, 2)
        assert paid_to(eve, honest[0]) > 0, "where nothing is checked, nothing is caught"
        assert all(seat.told(Audited) == [] for seat in honest)
