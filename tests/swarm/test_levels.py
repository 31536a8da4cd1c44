"""Questions that follow the peers' level, with whole peers on fakes: all ask the same, auditors and onlookers, too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from protocol.events import Audited, Outcome, RoundEnded, RoundOpened
from protocol.run import FamilySpec, TaskSpec
from swarm.policy.base import Prompt
from swarm.tasks.base import Question
from tests.swarm.indexing.test_indexer import Onlooker
from tests.swarm.indexing.world_source import WorldSource
from tests.swarm.small_swarm import Doubling, small_run, small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

TWO_LEVELS = TaskSpec("doubling", "1", (FamilySpec("easy", 1, "{}"), FamilySpec("hard", 1, "{}", 2)), 8)
RUN = msgspec.structs.replace(small_run(), task=TWO_LEVELS)


class Levelled(Doubling):
    """Numbers below 1000, and on the second level above."""

    def questions(self, seed: int, count: int, *, held_out: bool = False, level: int = 0) -> tuple[Question, ...]:
        first = seed % 900 + 1000 * max(0, level - 1)
        return tuple(Question(f"2 * {first + n} = ?", str(2 * (first + n)), "doubling") for n in range(count))


def knows_small_numbers(prompt: Prompt, seed: int) -> str:
    number = int(prompt[-1].content.split("*")[1].split("=")[0])
    answer = 2 * number if number < 1000 else 7
    if "<identify>" in prompt[0].content:
        return f"<compare>looked</compare><identify>{'ABC'[seed % 3]}</identify>"
    if "<majority>" in prompt[0].content:
        return f"<majority>A</majority><think>so</think><answer>{answer}</answer>"
    return f"<think>double</think><answer>{answer}</answer>"


async def test_all_ask_the_same_level_it_moves_with_them_and_others_compute_it_again(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3, run=RUN) as swarm:
        onlooker = Onlooker(swarm, WorldSource(swarm.world), tmp_path / "a.sqlite", task=Levelled())
        ann, bob, eve = swarm.seats
        nodes = [seat.node(knows_small_numbers, task=Levelled()) for seat in swarm.seats]
        async with asyncio.timeout(120):
            following = asyncio.ensure_future(onlooker.follow())
            await asyncio.gather(*(node.run(5) for node in nodes))
            following.cancel()
        for seat in (ann, bob, eve):
            opened = seat.told(RoundOpened)
            assert [(event.level, event.num_levels) for event in opened] == [(1, 2), (1, 2), (2, 2), (2, 2), (1, 2)]
            assert [event.outcome for event in seat.told(RoundEnded)] == [Outcome.COMPLETE] * 5
            assert {event.finding for event in seat.told(Audited)} == {"match"}
        await onlooker.indexer.turn()
        await onlooker.indexer.close()
        assert onlooker.checks() == dict.fromkeys(range(1, 7), "recomputed")


async def test_who_joins_later_asks_what_the_others_ask_and_checks_their_work_of_another_level(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3, run=RUN) as swarm:
        ann, bob, eve = swarm.seats
        nodes = [seat.node(knows_small_numbers, task=Levelled()) for seat in (ann, bob)]
        staying = [asyncio.ensure_future(node.run(6)) for node in nodes]
        async with asyncio.timeout(120):
            while len(ann.told(RoundEnded)) < 1:  # noqa: ASYNC110 - a log on disk has nothing to wait on
                await asyncio.sleep(0.01)
            await asyncio.gather(*staying, eve.node(knows_small_numbers, task=Levelled()).run(3))
        asked = {event.round: event.level for event in ann.told(RoundOpened)}
        late = {event.round: event.level for event in eve.told(RoundOpened)}
        assert late.items() <= asked.items()
        assert set(late.values()) == {1, 2}
        assert eve.told(RoundEnded)[0].outcome is Outcome.COMPLETE
        assert {event.finding for event in eve.told(Audited)} == {"match"}
