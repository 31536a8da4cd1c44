"""A program that has the terminal: its death is told, never anybody else's; too many in a row and it is left alone."""

import asyncio
import os
import sys

import pytest

from swarm.observe.notes import Note
from swarm.processes import foreground
from swarm.processes.foreground import MAX_FAILURES, Foreground


def program(code):
    return [sys.executable, "-S", "-c", code]


@pytest.mark.asyncio
async def test_who_quits_has_quit():
    told = []
    assert await Foreground(program("")).show(told.append) is True
    assert told == []


@pytest.mark.asyncio
async def test_one_that_dies_is_shown_again_until_it_died_too_often_in_a_row():
    told = []
    dying = program("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert await Foreground(dying).show(told.append) is False
    assert told == [Note("The dashboard ended with signal SIGKILL; the swarm goes on.", is_trouble=True)] * MAX_FAILURES


@pytest.mark.asyncio
async def test_one_that_had_lived_for_long_starts_counting_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(foreground, "STEADY_S", -1.0)
    count = tmp_path / "count"
    code = (
        f"import pathlib, sys; p = pathlib.Path({str(count)!r}); n = len(p.read_text()) if p.exists() else 0\n"
        "p.write_text('x' * (n + 1)); sys.exit(0 if n == 5 else 1)"
    )
    told = []
    assert await Foreground(program(code)).show(told.append) is True
    assert len(told) == 5 > MAX_FAILURES


@pytest.mark.asyncio
@pytest.mark.parametrize("deaf", [False, True])
async def test_cancelling_ends_it_whether_it_listens_or_not(tmp_path, monkeypatch, deaf):
    monkeypatch.setattr(foreground, "END_S", 0.2 if deaf else 10.0)
    ready = tmp_path / "pid"
    code = (
        f"import os, pathlib, signal, time; {'signal.signal(15, signal.SIG_IGN);' if deaf else ''}"
        f"pathlib.Path({str(ready)!r}).write_text(str(os.getpid())); time.sleep(600)"
    )
    showing = asyncio.ensure_future(Foreground(program(code)).show(lambda note: None))
    async with asyncio.timeout(60):
        while not (ready.exists() and ready.read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    showing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await showing
    with pytest.raises(ProcessLookupError):
        os.kill(int(ready.read_text()), 0)
