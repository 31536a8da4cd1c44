import asyncio

import pytest

from protocol.events import Progress
from swarm.observe.eventlog import EventLog
from swarm.observe.notes import Note
from swarm.processes import watching
from swarm.processes.watching import events_printed, print_events


@pytest.mark.asyncio
async def test_events_and_notes_are_lines_on_stderr(tmp_path, capsys):
    notes = [Note("host ended; starting it again", is_trouble=True)]
    printing = asyncio.ensure_future(print_events(tmp_path, 0.0, notes))
    await asyncio.sleep(0)
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl") as log:
        log.append(Progress("loading the model"))
    notes.append(Note("host gets on again"))
    printing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await printing
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "host ended; starting it again\n1: loading the model\nhost gets on again\n"
    assert notes == []


@pytest.mark.asyncio
async def test_what_happened_before_is_passed_over_and_the_last_word_is_not(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(watching, "LINES_EVERY_S", 600)
    clock = [1000.0]
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl", now=lambda: clock[0]) as log:
        log.append(Progress("yesterday"))
        async with events_printed(tmp_path, 2000.0):
            await asyncio.sleep(0)
            clock[0] = 2001.0
            log.append(Progress("today"))
    assert capsys.readouterr().err == "1: today\n"
