"""Curves for a tracker: each ended round once, with its numbers; a tracker that breaks reaches nobody else."""

import sys
import types

import pytest

from protocol import events as e
from protocol.errors import ConfigError
from protocol.ids import STAGES
from swarm.observe import tracking
from swarm.observe.eventlog import EventLog, position_at_end
from swarm.observe.tracking import Curves, KeptTracker, LibraryTracker
from tests.swarm.observe import playback


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "POLL_S", 0.01)
    playback.write(tmp_path, num_peers=1, num_rounds=3)
    return tmp_path / "peers" / "peer-1" / "events.jsonl"


def test_every_ended_round_is_handed_over_once_with_its_numbers(log):
    kept = KeptTracker()
    curves = Curves(log, kept, pytest.fail)
    curves.start()
    curves.stop()
    assert [number for number, _ in kept.told] == [1, 2, 3]
    assert kept.finished
    numbers = kept.told[1][1]
    assert numbers.keys() >= {*(f"score/{stage}" for stage in STAGES), "loss", "tokens", "time/total_s", "step_s"}
    assert 0 < numbers["score/decide"] <= 1


def test_who_begins_at_the_end_hears_only_of_what_is_new(log):
    kept = KeptTracker()
    curves = Curves(log, kept, pytest.fail, position_at_end(log))
    curves.start()
    with EventLog(log) as events:
        events.append(e.RoundEnded(4, e.Outcome.ALONE, (), 9, 1, 2, 3, 1, 1))
    curves.stop()
    assert [(number, numbers["time/total_s"]) for number, numbers in kept.told] == [(4, 9)]


def test_a_tracker_that_breaks_is_told_of_once(log):
    class Broken(KeptTracker):
        def log(self, numbers, step):
            raise OSError("no route")

    failures = []
    curves = Curves(log, Broken(), failures.append)
    curves.start()
    curves.stop()
    assert [str(error) for error in failures] == ["no route"]


@pytest.mark.parametrize("library", ["trackio", "wandb"])
def test_a_library_is_called_as_both_are(monkeypatch, library):
    calls = []
    run = types.SimpleNamespace(
        log=lambda numbers, step: calls.append(("log", numbers, step)), finish=lambda: calls.append(("finish",))
    )
    module = types.SimpleNamespace(init=lambda **named: calls.append(("init", named)) or run)
    monkeypatch.setitem(sys.modules, library, module)
    tracker = LibraryTracker(library, "project", "run-1", {"task": "sums"})
    tracker.log({"loss": 0.5}, 3)
    tracker.finish()
    assert calls == [
        ("init", {"project": "project", "name": "run-1", "config": {"task": "sums"}}),
        ("log", {"loss": 0.5}, 3),
        ("finish",),
    ]


def test_a_library_that_is_not_there_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ConfigError) as caught:
        LibraryTracker("trackio", "p", "n", {})
    assert caught.value.what == "The tracker trackio is not installed."
