"""Peers of an exact engine and of one that is only tolerated play in one run and check each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from protocol.errors import ConfigError
from protocol.events import Audited, RoundEnded, RoundSettled, Struck
from protocol.messages import Finding
from protocol.run import AuditRules
from swarm.policy.base import Completion, SampleRequest, Sampling
from swarm.policy.fake import FakeEngine
from tests.swarm.small_swarm import Seat, pupil, small_swarm
from tests.swarm.test_cheats import QUICK, play
from tests.swarm.test_exact_swarm import LEARN, exact, real_rules

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

MIXED = AuditRules("fake", 2, 1, 3, 1_000, 1_000_000, 3, ("trl",))


class Tolerated(FakeEngine):
    """Another arithmetic: its steps end elsewhere than everybody's."""

    name = "trl"

    def step(self, samples, seed):  # type: ignore[no-untyped-def]
        return super().step(samples, seed + 1)


class BestOfTwo(Tolerated):
    """Draws twice and keeps what has an even last byte."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        again = [msgspec.structs.replace(request, seed=request.seed + 1) for request in requests]
        pairs = zip(super().generate(requests, sampling), super().generate(again, sampling), strict=True)
        return [one if sum(one.tokens) % 2 == 0 else other for one, other in pairs]


def of(kind: type[FakeEngine]) -> Callable[[FakeEngine], FakeEngine]:
    return lambda _: kind(pupil)


def earned(seat: Seat, by: Seat) -> int:
    return sum(event.micro_credits.get(seat.peer, 0) for event in by.told(RoundSettled))


async def test_exact_and_tolerated_peers_earn_together_and_find_each_other_honest(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, audit=MIXED, **QUICK) as swarm:
        *exactly, trl = swarm.seats
        await play(swarm, [*(seat.node() for seat in exactly), trl.node(engine=of(Tolerated))], 3)
        for seat in swarm.seats:
            assert not seat.told(Struck)
            assert {event.finding for event in seat.told(Audited)} <= {Finding.MATCH}
            levels = {(event.peer == trl.peer, event.level) for event in seat.told(Audited)}
            assert levels <= {(True, 1), (False, 2)}  # its steps are not done again, everybody else's are
        assert {event.peer for seat in exactly for event in seat.told(Audited)} >= {trl.peer}
        share = earned(trl, exactly[0]) / earned(exactly[0], exactly[0])
        assert 0 < share < 0.5
        paid = earned(trl, exactly[0]) + trl.paid_for_verdicts(trl.peer)
        assert swarm.world.token_wei[trl.wallet] == paid * 10**12
        waits = [event.wait_s for seat in swarm.seats for event in seat.told(RoundEnded)]
        assert max(waits) < swarm.run.time.contribute_s, "somebody owes a word about a check by tolerance"


async def test_a_tolerated_peer_that_draws_twice_is_struck_and_keeps_its_stake(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, audit=MIXED, **QUICK) as swarm:
        *honest, eve = swarm.seats
        await play(swarm, [*(seat.node() for seat in honest), eve.node(engine=of(BestOfTwo))], 2)
        found = {(event.peer == eve.peer, event.finding) for seat in honest for event in seat.told(Audited)}
        assert found == {(True, Finding.MISMATCH), (False, Finding.MATCH)}
        assert [(event.peer, event.round) for event in honest[0].told(Struck)] == [(eve.peer, 1)]
        assert sum(event.paid.get(eve.peer, 0) for event in honest[0].told(RoundSettled)) == eve.paid_for_verdicts(
            eve.peer
        )
        assert swarm.world.vault.deposit(eve.peer).active_micro == swarm.run.economics.min_stake_micro


async def test_where_it_is_not_tolerated_it_does_not_start(tmp_path: Path) -> None:
    audit = msgspec.structs.replace(MIXED, tolerated=())
    async with small_swarm(tmp_path, 1, audit=audit, **QUICK) as swarm:
        with pytest.raises(ConfigError, match="not with the trl one"):
            await swarm.seats[0].node(engine=of(Tolerated)).run(1)


@pytest.mark.slow
async def test_real_exact_and_trl_engines_check_each_other(tmp_path: Path) -> None:
    from swarm.policy.mixed import MixedEngine
    from swarm.policy.trl_engine import TrlEngine
    from swarm.settings.config import MODELS

    engine = exact(None)

    def trl(_: object) -> MixedEngine:
        return MixedEngine.around(TrlEngine.open(MODELS / "tiny", LEARN), LEARN, temperature=1.0)

    audit = msgspec.structs.replace(MIXED, engine="exact", rollouts_per_audit=16)
    async with small_swarm(tmp_path, 3, run=real_rules(engine, audit)) as swarm:
        *exactly, other = swarm.seats
        genesis = engine.parts()
        nodes = [seat.node(engine=exact, genesis=genesis) for seat in exactly]
        nodes.append(other.node(engine=trl, genesis=genesis))
        async with asyncio.timeout(500):
            await asyncio.gather(*(node.run(2) for node in nodes))
        found = {
            (event.peer == other.peer, event.level, event.finding)
            for seat in swarm.seats
            for event in seat.told(Audited)
        }
        assert found == {(True, 1, Finding.MATCH), (False, 2, Finding.MATCH)}
        assert 0 < earned(other, exactly[0]) < earned(exactly[0], exactly[0])
