"""Rounds whose answers are run: honest scorers agree, those that differ void an item, and nobody is blamed for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from protocol.events import Audited, ContributionSeen, RecordRejected, RoundEnded, RoundSettled, Struck, Trained
from protocol.messages import Finding
from protocol.run import QuestionSet, RunSpec, TaskSpec
from rewards.scoring.stages import Judged, Undecided
from swarm.judges.cell import missing
from swarm.policy.base import Prompt
from swarm.tasks.base import Question, Task
from swarm.tasks.own import OwnTask, own_version
from swarm.tasks.questions import pack
from tests.swarm.small_swarm import Doubling, SmallSwarm, small_run, small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


def run_of(task: TaskSpec) -> RunSpec:
    return msgspec.structs.replace(small_run(), task=task)


def own_task(rows: list[tuple[str, str]], check: str, limit_s: int, memory_mb: int) -> OwnTask:
    data, blob = pack(tuple(rows), check, limit_s, memory_mb)
    return OwnTask(TaskSpec("mine", own_version(check), (), 2, data), blob)


def says(answer: str) -> str:
    return f"<think>so</think><answer>{answer}</answer>"


async def play(swarm: SmallSwarm, tasks: list[Task], script, rounds: int = 1) -> None:  # type: ignore[no-untyped-def]
    nodes = [seat.node(script, task=task) for seat, task in zip(swarm.seats, tasks, strict=True)]
    async with asyncio.timeout(500):
        await asyncio.gather(*(node.run(rounds) for node in nodes))


def assert_nobody_was_blamed(swarm: SmallSwarm, rounds: int) -> None:
    for seat in swarm.seats:
        assert seat.told(Struck) == []
        assert seat.told(RecordRejected) == []
        assert len(seat.told(RoundEnded)) == rounds
        assert {event.finding for event in seat.told(Audited)} <= {Finding.MATCH}


def earned(swarm: SmallSwarm) -> list[int]:
    """Micro-credits of round 1 by seat, as the first one was told."""
    seen = {event.peer: event.micro_credits for event in swarm.seats[0].told(ContributionSeen) if event.round == 1}
    return [seen.get(seat.peer, -1) for seat in swarm.seats]


def pupil_for(right: str, wrong: str, share: int = 3):  # type: ignore[no-untyped-def]
    """Answers rightly unless the seed can be divided by ``share``."""

    def script(prompt: Prompt, seed: int) -> str:
        if "<identify>" in prompt[0].content:
            return f"<compare>looked</compare><identify>{'ABC'[seed % 3]}</identify>"
        answer = right if seed % share else wrong
        if "<majority>" in prompt[0].content:
            return f"<majority>A</majority><think>so</think><answer>{answer}</answer>"
        return says(answer)

    return script


@pytest.mark.skipif(bool(missing()), reason=f"code cannot be run here: {missing()}")
async def test_a_round_of_code_is_played_and_paid_and_hostile_code_is_worth_nothing(tmp_path: Path) -> None:
    rows = [(f"Write f(x) for {n}.", "assert f(3) == 6\nassert f(-1) == -2") for n in range(20)]
    task = own_task(rows, "code", 1, 64)
    hostile = "import os\nos.kill(os.getppid(), 9)\ndef f(x): return 2 * x"
    right = "def f(x): return 2 * x"
    async with small_swarm(tmp_path, 3, run=run_of(task.spec)) as swarm:
        await play(swarm, [task] * 3, pupil_for(right, hostile))
        assert_nobody_was_blamed(swarm, 1)
        assert all(event.num_void == 0 for seat in swarm.seats for event in seat.told(Trained))
        assert all(0 < micro < 1_000_000 for micro in earned(swarm)[1:])
    question = task.questions(0, 1)[0]
    assert task.score(question, right) == 1000
    judged = task.score(question, hostile)
    assert judged == 0
    assert isinstance(judged, Judged)
    assert "not permitted" in judged.why


async def test_a_round_of_expressions_is_played_and_paid(tmp_path: Path) -> None:
    task = own_task([(f"What is half of x, if x is {n} times y?", "$x/2$") for n in range(20)], "math", 5, 0)
    async with small_swarm(tmp_path, 3, run=run_of(task.spec)) as swarm:
        await play(swarm, [task] * 3, pupil_for(r"\frac{x}{2}", "2x"))
        assert_nobody_was_blamed(swarm, 1)
        assert all(event.num_void == 0 for seat in swarm.seats for event in seat.told(Trained))
        assert all(0 < micro < 1_000_000 for micro in earned(swarm)[1:])
    task.close()


RUNNING = TaskSpec("doubling", "1", (), 8, QuestionSet("ab" * 32, 1, 1, "math", 1))  # type: ignore[arg-type]


class Slow(Doubling):
    """A judge on a machine that is too slow for every answer, or that cannot tell at all."""

    def __init__(self, undecided: bool) -> None:
        self._undecided = undecided

    def score(self, question: Question, answer: str) -> int:
        if self._undecided:
            raise Undecided("no checker could be started")
        return Judged(0, "takes longer than 1 s to check")


@pytest.mark.parametrize("undecided", [False, True])
async def test_one_scorer_of_three_that_differs_is_outvoted_and_its_own_claims_count_for_nothing(
    tmp_path: Path, undecided: bool
) -> None:
    async with small_swarm(tmp_path, 3, run=run_of(RUNNING)) as swarm:
        await play(swarm, [Doubling(), Doubling(), Slow(undecided)], pupil_for_doubling, 2)
        assert_nobody_was_blamed(swarm, 2)
        ann, bob, cyd = swarm.seats
        assert min(event.num_void for event in ann.told(Trained)) > 0  # Cyd's claims are not what Ann finds
        settled = ann.told(RoundSettled)
        paid = {seat.peer: sum(event.micro_credits.get(seat.peer, 0) for event in settled) for seat in swarm.seats}
        assert paid[ann.peer] > paid[cyd.peer]
        assert paid[bob.peer] > paid[cyd.peer]
        assert {seat.peer: [e.micro_credits for e in seat.told(RoundSettled)] == [e.micro_credits for e in settled]
                for seat in swarm.seats} == {seat.peer: True for seat in swarm.seats}  # fmt: skip


def pupil_for_doubling(prompt: Prompt, seed: int) -> str:
    from tests.swarm.small_swarm import pupil

    return pupil(prompt, seed)


async def test_where_two_of_three_cannot_decide_an_item_counts_for_nothing_and_the_round_goes_on(
    tmp_path: Path,
) -> None:
    async with small_swarm(tmp_path, 3, run=run_of(RUNNING)) as swarm:
        await play(swarm, [Doubling(), Slow(True), Slow(True)], pupil_for_doubling)
        assert_nobody_was_blamed(swarm, 1)
        ann = swarm.seats[0]
        floor = 200_000
        settled = swarm.seats[1].told(RoundSettled)
        assert settled
        seen = {event.peer: event.micro_credits for event in swarm.seats[1].told(ContributionSeen)}
        assert seen[ann.peer] == 0
        assert all(amount == floor for event in settled for amount in event.micro_credits.values())
