import asyncio
import shutil

import pytest

from protocol.events import Problem, QuestionPlayed, Recovered, Said
from swarm.observe.eventlog import EventLog
from tests.swarm.observe.playback import START_AT, peer_id
from tests.tui import stage
from tests.tui.stage import text_of
from tui.screens.help import Help


async def until(pilot, condition, timeout_s=60.0):
    async def wait():
        while not condition():
            await pilot.pause(0.02)

    await asyncio.wait_for(wait(), timeout_s)
    await pilot.pause()


@pytest.mark.asyncio
async def test_keys_switch_between_the_local_peers(tmp_path):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, "busy"))
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        shown = []
        for key in ("1", "tab", "tab", "tab", "shift+tab", "2", "9"):
            await pilot.press(key)
            shown.append(app.selected)
            assert app.peers[app.selected].status.peer in text_of(app)
        assert shown == [0, 1, 2, 0, 2, 1, 1]


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_quitting_tells_the_launcher_once(tmp_path, key):
    told = []
    app = stage.dashboard(tmp_path, START_AT, on_quit=lambda: told.append("quit"))
    async with app.run_test() as pilot:
        await stage.settled(pilot)
        await pilot.press(key)
    assert told == ["quit"]
    assert app.return_code == 0


@pytest.mark.asyncio
async def test_help_opens_and_closes_without_quitting(tmp_path):
    app = stage.dashboard(tmp_path, START_AT)
    async with app.run_test() as pilot:
        await stage.settled(pilot)
        for key in ("question_mark", "q", "escape"):
            await pilot.press("question_mark")
            assert isinstance(app.screen, Help)
            await pilot.press(key)
            assert not isinstance(app.screen, Help)
        assert app.is_running


@pytest.mark.asyncio
async def test_what_is_written_while_it_runs_appears(tmp_path):
    app = stage.dashboard(tmp_path, START_AT + 60)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        assert "Waiting for the first peer" in text_of(app)
        stage.home(tmp_path, "busy")
        await until(pilot, lambda: len(app.peers) == 3 and app.peers[2].status.round == 12)
        assert "vital-fair-snail" in text_of(app)
        with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl", now=lambda: START_AT + 59) as log:
            log.append(Problem("NetworkError", "The bootnode is gone.", "Nothing is lost.", "Start it again."))
            await until(pilot, lambda: app.peers[0].status.problem is not None)
            assert "The bootnode is gone." in text_of(app)
            assert "Start it again." in text_of(app)
            log.append(Recovered("NetworkError"))
            await until(pilot, lambda: app.peers[0].status.problem.recovered_at is not None)
            assert "Over: The bootnode is gone." in text_of(app)


@pytest.mark.asyncio
async def test_a_process_that_dies_without_a_word_is_noticed(tmp_path):
    living = {40_000, 40_001, 40_002}
    now = stage.home(tmp_path, "busy")
    app = stage.SwarmDashboard(tmp_path, clock=lambda: now, alive=lambda pid, _at: pid in living)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        assert "running for" in text_of(app)
        living.remove(40_000)
        await until(pilot, lambda: app.peers[0].status.state == "died")
        assert "The process is gone" in text_of(app)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)])
async def test_hostile_text_is_shown_as_text(tmp_path, size):
    now = stage.home(tmp_path, "busy")
    evil = "\x1b]0;t\x07\x1b[2J[red]x[/nope] [@click=app.quit]y[/] $error \u202e " + "W" * 3000
    said = tuple(Said(peer_id(index), "A", evil, 10**9, evil) for index in range(3))
    with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl", now=lambda: now) as log:
        log.append(QuestionPlayed(13, evil, evil, said, said, said))
        log.append(Problem("[red]", evil, evil, evil))
    app = stage.dashboard(tmp_path, now)
    async with app.run_test(size=size) as pilot:
        await stage.settled(pilot)
        text = text_of(app)
        assert "[red]x[/nope] [@click=app.quit]y[/] $error" in text
        assert not {"\x1b", "\u202e", "\x07"} & set(text)
        assert [len(line) for line in text.splitlines()] == [size[0]] * size[1]


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [(20, 6), (40, 12), (80, 24), (119, 60), (300, 80)])
@pytest.mark.parametrize("kind", ["empty", "busy", "degraded"])
async def test_any_terminal_size_is_drawn(tmp_path, kind, size):
    app = stage.dashboard(tmp_path, stage.home(tmp_path, kind))
    async with app.run_test(size=size) as pilot:
        await stage.settled(pilot)
        await pilot.resize_terminal(size[0] + 7, size[1] + 3)
        await pilot.pause()
        assert "RL Swarm" in text_of(app)


@pytest.mark.asyncio
async def test_a_home_that_is_removed_empties_the_screen(tmp_path):
    now = stage.home(tmp_path, "busy")
    app = stage.dashboard(tmp_path, now)
    async with app.run_test(size=(120, 36)) as pilot:
        await stage.settled(pilot)
        await pilot.press("3")
        shutil.rmtree(tmp_path / "peers")
        await until(pilot, lambda: app.peers == ())
        assert "No peer has started yet" in text_of(app)
