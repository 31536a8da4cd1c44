"""What looks on while a peer plays: begins with it, is told of in its log, and ends with it."""

import json
import sys
import urllib.request
from contextlib import AsyncExitStack

import msgspec
import pytest

from protocol.errors import ConfigError
from protocol.events import Problem, Restarted, Serving
from swarm.app import looks
from swarm.observe.eventlog import EventLog, read
from swarm.processes.children import RESTARTED
from swarm.settings.config import load_settings
from tests.swarm.small_swarm import small_run


@pytest.fixture
def events(tmp_path):
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl") as log:
        yield log


def chosen(tmp_path, **more):
    return load_settings("local", overrides={"home": tmp_path} | {f"observe.{key}": more[key] for key in more})


def page(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def told(events, kind):
    return [logged.event for logged in read(events.path).events if isinstance(logged.event, kind)]


@pytest.mark.asyncio
async def test_metrics_are_served_while_it_plays_and_know_the_run_once_it_is_found(tmp_path, events):
    async with AsyncExitStack() as parts:
        found = looks.open_looks(chosen(tmp_path), "1", events, parts)
        (serving,) = told(events, Serving)
        assert found.round_s() is None
        found.know(small_run(round_s=44))
        assert (found.round_s(), found.task()) == (44.0, "doubling")
        text = page(f"{serving.url}/metrics")
        assert 'swarm_rollouts_total{task="doubling"} 0.0' in text
        assert "swarm_stale_after_seconds 88.0" in text
    with pytest.raises(OSError, match="refused"):
        page(f"{serving.url}/metrics")


@pytest.mark.asyncio
async def test_metrics_can_be_off(tmp_path, events):
    async with AsyncExitStack() as parts:
        looks.open_looks(chosen(tmp_path, metrics=False), "1", events, parts)
    assert told(events, Serving) == []


@pytest.mark.asyncio
async def test_why_it_was_started_again_is_in_its_log_and_nowhere_else(tmp_path, events, monkeypatch):
    monkeypatch.setenv(RESTARTED, msgspec.json.encode(Restarted("ended with signal SIGKILL", 2)).decode())
    async with AsyncExitStack() as parts:
        looks.open_looks(chosen(tmp_path, metrics=False), "1", events, parts)
    assert told(events, Restarted) == [Restarted("ended with signal SIGKILL", 2)]
    assert RESTARTED not in looks.os.environ


@pytest.mark.parametrize("text", ["", "{", json.dumps({"type": "Stopped"}), json.dumps({"why": "x"})])
def test_anything_else_in_its_place_is_nothing(text):
    assert looks.told_by_supervisor(text) is None


@pytest.mark.asyncio
async def test_a_tracker_that_is_not_installed_is_said_before_anything_is_played(tmp_path, events, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    async with AsyncExitStack() as parts:
        found = looks.open_looks(chosen(tmp_path, metrics=False, tracker="wandb"), "1", events, parts)
        with pytest.raises(ConfigError, match="wandb is not installed"):
            found.know(small_run())
    assert told(events, Problem) == []


def test_files_that_cannot_be_read_leave_the_count_of_the_unsent_out(tmp_path):
    file = tmp_path / "runs" / "r" / "outbox.log"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\x00garbage\n" * 3)
    assert looks.unsent(tmp_path)() == {}
