"""The real engine in the small swarm: honest work is the same on every peer, a lie in one number is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol.events import Audited, RoundEnded, RoundSettled, Struck
from protocol.messages import Finding
from protocol.run import AuditRules, GameRules, LearnRules, RunSpec
from swarm.policy.base import TrainSample
from swarm.policy.exact import ExactEngine
from swarm.settings.config import MODELS
from tests.swarm.small_swarm import small_run, small_swarm
from verde.bisect.arbiter import Arbiter

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time, pytest.mark.slow]

LEARN = LearnRules(2, 2, 50_000, 200_000_000, 280_000_000, 0, 0, 0, 10**9)
RULES = AuditRules("exact", 2, 1, 3, 16, 1_000_000, 3)


def exact(_: object) -> ExactEngine:
    return ExactEngine.open(MODELS / "tiny", LEARN, temperature=1.0)


def lying(_: object) -> ExactEngine:
    """Its first advantage is a little larger than the scores say."""
    engine = exact(None)
    honest_step = engine.step

    def step(samples: Sequence[TrainSample], seed: int) -> Any:
        first, *rest = samples
        return honest_step([msgspec.structs.replace(first, advantage=first.advantage + 0.01), *rest], seed)

    engine.step = step  # type: ignore[method-assign]
    return engine


def real_rules(engine: ExactEngine, audit: AuditRules) -> RunSpec:
    """A small run of the bundled model, with time enough for real numbers."""
    return msgspec.structs.replace(
        small_run(audit=audit, stage_s=60, contribute_s=60, poster_s=3, round_s=300),
        model=engine.state_hash(),
        game=GameRules(4, 4, 24, 16, 24, 1000, 8),
        learn=LEARN,
    )


async def test_one_altered_advantage_is_found_on_real_numbers_and_honest_steps_are_not(tmp_path: Path) -> None:
    engine = exact(None)
    async with small_swarm(tmp_path, 3, run=real_rules(engine, RULES)) as swarm:
        swarm.world.disputes.rule = Arbiter()
        *honest, eve = swarm.seats
        genesis = engine.parts()
        nodes = [seat.node(engine=exact, genesis=genesis) for seat in honest]
        nodes.append(eve.node(engine=lying, genesis=genesis))
        async with asyncio.timeout(500):
            await asyncio.gather(*(node.run(2) for node in nodes))
        found = {
            (event.peer == eve.peer, event.level, event.finding) for seat in honest for event in seat.told(Audited)
        }
        assert found == {(True, 2, Finding.MISMATCH), (False, 2, Finding.MATCH)}
        for seat in honest:
            assert [(event.peer, event.round) for event in seat.told(Struck)] == [(eve.peer, 1)]
            assert len(seat.told(RoundEnded)) == 2
            settled = seat.told(RoundSettled)
            assert sum(event.paid.get(eve.peer, 0) for event in settled) == seat.paid_for_verdicts(eve.peer)
            earned = sum(event.micro_credits.get(seat.peer, 0) for event in settled)
            assert earned > 0
            assert swarm.world.token_wei[seat.wallet] == (earned + seat.paid_for_verdicts(seat.peer)) * 10**12
