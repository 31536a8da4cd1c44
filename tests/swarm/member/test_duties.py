"""A watch over money that fails is told and begun again; nothing else suffers from it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from protocol.events import Problem, Recovered
from swarm.member.duties import DISPUTES, EPOCHS, STEADY_S, Duty, kept_up
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


class Watch:
    """Fails a few times before it gets on."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.num_begun = 0
        self.is_running = False

    async def __call__(self) -> NoReturn:
        self.num_begun += 1
        await asyncio.sleep(1.0)
        if self.failures:
            raise self.failures.pop(0)
        self.is_running = True
        try:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")
        finally:
            self.is_running = False


async def test_one_that_fails_is_told_once_begun_again_and_said_to_get_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "events.jsonl"
    sound, failing = Watch(), Watch(OSError(28, "No space left on device"), ValueError("odd"), ValueError("odd"))
    async with kept_up([Duty(*EPOCHS, sound), Duty(*DISPUTES, failing)], Troubles(EventLog(log))):
        await asyncio.sleep(25.0)
        assert (sound.num_begun, failing.num_begun) == (1, 4)
        assert (sound.is_running, failing.is_running) == (True, True)
        told = [logged.event for logged in read(log).events]
        assert [event.what.split(":")[0] for event in told if isinstance(event, Problem)] == [
            "Looking after disputes failed"
        ] * 2
        assert "No space left on device" in told[0].what  # type: ignore[union-attr]
        assert told[0].so_what == DISPUTES[1]  # type: ignore[union-attr]
        assert not any(isinstance(event, Recovered) for event in told)
        await asyncio.sleep(STEADY_S)
        assert isinstance(read(log).events[-1].event, Recovered)
    assert capsys.readouterr().err.count("ValueError: odd") == 1
    assert (sound.is_running, failing.is_running) == (False, False)
    assert (sound.num_begun, failing.num_begun) == (1, 4)


async def test_every_watch_ends_with_the_block(tmp_path: Path) -> None:
    watch = Watch()

    async def live() -> None:
        async with kept_up([Duty(*EPOCHS, watch)], Troubles(EventLog(tmp_path / "events.jsonl"))):
            await asyncio.sleep(2.0)
            raise KeyError("the life of the peer")

    with pytest.raises(KeyError):
        await live()
    assert not watch.is_running
