"""A peer whose training step does not fit, or fails, skips the round with its reason; nobody waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import OutOfMemory, StepFailed, SwarmError
from protocol.events import (
    ContributionSigned,
    Outcome,
    Problem,
    Recovered,
    RoundEnded,
    RoundSettled,
    StageEnded,
    StepSkipped,
    Trained,
)
from protocol.ids import STAGES, Stage
from tests.swarm.small_swarm import small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


class Cramped:
    """An engine whose first ``times`` calls of ``method`` fail; a step leaves the state half changed."""

    def __init__(self, inner: Any, method: str, times: int, error: type[SwarmError] = OutOfMemory) -> None:
        self._inner, self._method, self._left, self._error = inner, method, times, error

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method or self._left <= 0:
            return found

        def cramped(*arguments: Any) -> Any:
            self._left -= 1
            if name == "step":
                found(*arguments)
            raise self._error("The training step does not fit.", "s", "n")

        return cramped


@pytest.mark.parametrize("error", [OutOfMemory, StepFailed])
async def test_the_round_is_skipped_with_its_reason_and_the_next_one_is_played(
    error: type[SwarmError], tmp_path: Path
) -> None:
    async with small_swarm(tmp_path, 3, contribute_s=20, round_s=60) as swarm:
        ann, bob, eve = swarm.seats
        async with asyncio.timeout(200):
            await asyncio.gather(
                ann.node().run(2),
                bob.node().run(2),
                eve.node(engine=lambda it: Cramped(it, "step", 1, error)).run(2),
            )
        (skipped,) = eve.told(StepSkipped)
        assert (skipped.round, skipped.reason, skipped.what) == (1, error.__name__, "The training step does not fit.")
        assert [event.error for event in eve.told(Problem)] == [error.__name__]
        assert [event.error for event in eve.told(Recovered)] == [error.__name__]
        assert [event.outcome for event in eve.told(RoundEnded)] == [Outcome.SKIPPED, Outcome.COMPLETE]
        assert [event.round for event in eve.told(ContributionSigned)] == [2]
        assert eve.told(Trained)[0].state_before == swarm.run.model, "the half changed state was undone"
        for seat in (ann, bob):
            assert [event.outcome for event in seat.told(RoundEnded)] == [Outcome.COMPLETE] * 2
            assert seat.told(RoundEnded)[0].total_s < 20, "nobody waited for a contribution that will not come"
            first, second = seat.told(RoundSettled)[:2]
            assert eve.peer not in first.micro_credits
            assert eve.peer in second.micro_credits


async def test_a_stage_that_cannot_be_sampled_is_skipped_and_the_peer_plays_on(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3) as swarm:
        ann, bob, eve = swarm.seats
        async with asyncio.timeout(200):
            await asyncio.gather(
                # its first sampling is the exam before training
                ann.node().run(1),
                bob.node().run(1),
                eve.node(engine=lambda it: Cramped(it, "generate", 2)).run(1),
            )
        assert [event.stage for event in eve.told(StageEnded) if event.outcome is Outcome.LATE] == [Stage.ANSWER]
        assert eve.told(RoundEnded)[0].stages_played == STAGES[1:]
        assert {event.error for event in eve.told(Problem)} == {"OutOfMemory"}
