"""The plan meets this machine: told and kept before the start, an error with a size that fits, the peak afterwards."""

from __future__ import annotations

import msgspec
import pytest

from protocol import events as e
from protocol.errors import OutOfMemory
from protocol.events import Outcome
from protocol.ids import STAGES
from swarm.app.memory import MemoryWatch, memory_plan, with_model
from swarm.cli import execute
from swarm.doctor import look_machine
from swarm.observe import queries
from swarm.observe.eventlog import EventLog
from swarm.settings.config import load_settings

GB = 10**9
ENDED = e.RoundEnded(1, Outcome.COMPLETE, STAGES, 20.0, 8, 5, 4, 2, 1)
PLANNED = e.MemoryPlanned("tiny", "RAM", 700_000_000, 9 * GB, 64, 64, {"weights": 12_000_000})


def here(monkeypatch, free, place="RAM"):
    monkeypatch.setattr(look_machine, "free_memory", lambda device: (free, place))


def test_a_plan_says_what_is_predicted_and_what_is_free(monkeypatch):
    here(monkeypatch, 8 * GB)
    planned = memory_plan(load_settings("local"), None, num_peers=2)
    assert planned is not None
    assert (planned.model, planned.place, planned.free, planned.cache) == ("tiny", "RAM", 4 * GB, planned.full_cache)
    assert 0.95 * GB < planned.predicted < 1.15 * GB
    assert planned.parts["weights"] % 4 == 0
    assert planned.parts["weights"] > 2_000_000


def test_what_cannot_fit_is_an_error_that_says_which_size_would(monkeypatch, tmp_path):
    here(monkeypatch, int(0.4 * GB))
    with pytest.raises(OutOfMemory, match=r"tiny takes about 1\.\d GB of RAM; 0\.4 GB are free") as caught:
        memory_plan(load_settings("local"), None)
    assert "No model fits beside what is running now" in caught.value.next_step
    assert "Nothing was started" in caught.value.so_what


def test_processes_that_take_steps_are_planned_for_a_trl_peer_alone(monkeypatch):
    here(monkeypatch, 2 * GB)
    four = {"trl.processes": 4, "audit.tolerated": "trl"}
    with pytest.raises(OutOfMemory, match=r"tiny takes about \d\.\d GB of RAM with its 4 processes; 2\.0 GB are free"):
        memory_plan(load_settings("local", overrides={**four, "engine.kind": "trl"}), None)
    exact = memory_plan(load_settings("local", overrides=four), None)
    assert exact is not None
    assert exact.parts["workers"] == 0


def test_a_private_swarm_does_not_start_where_its_peers_together_do_not_fit(monkeypatch, tmp_path, capfd):
    here(monkeypatch, int(1.2 * GB))
    code = execute(["local", "--peers", "3", "--home", str(tmp_path), "--no-tui"])
    assert code == OutOfMemory.exit_code
    assert "for each of 3 peers" in capfd.readouterr().err
    assert not (tmp_path / "host").exists()


def test_auto_takes_a_model_of_the_pool_by_memory(monkeypatch):
    here(monkeypatch, 30 * GB)
    chosen = load_settings("local", overrides={"run.model": "auto", "run.model_pool": "0:tiny,6:a/small,20:a/large"})
    assert with_model(chosen).run.model == "a/large"
    assert with_model(chosen, num_peers=3).run.model == "a/small"
    assert with_model(load_settings("local")).run.model == "tiny"


def test_the_peak_is_told_after_a_round_and_again_only_when_it_grew(tmp_path):
    peaks = iter([650_000_000, 655_000_000, 900_000_000])
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl") as log:
        log.append(PLANNED)
        log.after = MemoryWatch(PLANNED, lambda: next(peaks), log.append).told
        log.append(e.Progress("training"))
        seen = []
        for _ in range(3):
            log.append(ENDED)
            (one,) = queries.status(tmp_path)
            seen.append((one.memory.predicted, one.memory.measured, one.memory.is_near))
    assert seen == [(700_000_000, 650_000_000, True)] * 2 + [(700_000_000, 900_000_000, False)]


def test_status_keeps_the_plan_before_anything_is_measured(tmp_path, capsys):
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl") as log:
        log.append(PLANNED)
    assert execute(["status", "--home", str(tmp_path), "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)["status"][0]["memory"]
    assert told == {"place": "RAM", "predicted": 700_000_000, "free": 9 * GB, "measured": None, "is_near": None}
    execute(["status", "--home", str(tmp_path)])
    assert "memory predicted 0.70 GB of 9.00 GB RAM, not measured yet" in capsys.readouterr().out
