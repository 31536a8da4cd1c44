"""A run's times are chosen once, by the model's speed, and found again ever after."""

import json

import msgspec
import pytest

from protocol.errors import ConfigError, OutOfMemory
from protocol.events import Progress, TimesChosen
from protocol.run import TimeRules, least_unbonding_s
from swarm.app import pacing
from swarm.app.pacing import crowding, measured, told, with_times
from swarm.failures import to_json
from swarm.policy.pace import Speed
from swarm.settings.config import load_settings
from tests.swarm.app.conftest import TASK, spec_for

REAL = 135_000_000
SLOW = Speed(read=100.0, drawn=100.0, trained=500.0)


class Trials:
    """Measures nothing, and counts how often it is asked to."""

    def __init__(self, *speeds):
        self.speeds, self.said = list(speeds), []

    def __call__(self, chosen, spec):
        return self.speeds.pop(0)

    def times(self, home, num_params=REAL, **overrides):
        dotted = {"home": home, **{key.replace("__", "."): value for key, value in overrides.items()}}
        chosen = load_settings("local", overrides=dotted)
        spec = chosen.to_run_spec(chain_id=31337, model=spec_for().model, task=TASK)
        return with_times(chosen, spec, num_params, self.said.append, self)


@pytest.fixture
def one_core(monkeypatch):
    monkeypatch.setattr(pacing.os, "cpu_count", lambda: 1)


def test_they_are_chosen_once_and_the_same_command_finds_the_same_run(tmp_path, one_core):
    trials = Trials(SLOW)
    first = trials.times(tmp_path)
    assert first.time.stage_s == 10 * -(-3 * (18688 + 18432) // 1000)
    assert first.time.contribute_s == 10 * -(-3 * 140032 // 5000)
    again = trials.times(tmp_path)
    assert (again.id, trials.speeds) == (first.id, [])
    assert [type(event) for event in trials.said] == [Progress, TimesChosen, TimesChosen]
    with_more_peers = trials.times(tmp_path, run__min_peers=5)
    assert with_more_peers.id == first.id, "how many it waits for is no rule of a run"


def test_stake_stays_liable_as_long_as_lies_of_such_rounds_take_to_be_found(tmp_path, one_core):
    set_to = load_settings("local", overrides={"home": tmp_path}).economics.unbonding_s
    slow = Trials(SLOW).times(tmp_path)
    slow.require_liable_stake()
    least_s = least_unbonding_s(slow.time, slow.audit, slow.economics)
    assert slow.economics.unbonding_s == least_s > set_to
    assert Trials().times(tmp_path, num_params=630_000).economics.unbonding_s == set_to


def test_other_rules_are_measured_for_themselves(tmp_path, one_core):
    trials = Trials(SLOW, SLOW, SLOW)
    runs = {trials.times(tmp_path).id, trials.times(tmp_path, run__seed=2).id}
    half = trials.times(tmp_path, game__num_questions=16)
    assert len(runs | {half.id}) == 3
    assert half.time.stage_s < trials.times(tmp_path).time.stage_s


def test_peers_that_share_the_founders_machine_get_as_many_times_longer(tmp_path, one_core):
    alone, three = Trials(SLOW).times(tmp_path / "1"), Trials(SLOW).times(tmp_path / "2", run__min_peers=3)
    assert three.time.stage_s == pytest.approx(3 * alone.time.stage_s, abs=30)
    elsewhere = Trials(SLOW).times(tmp_path / "3", run__min_peers=3, network__host="0.0.0.0")
    assert elsewhere.time == alone.time
    assert [crowding(3, 1, 2), crowding(3, 2, 2), crowding(1, 1, 8)] == [1.5, 3.0, 1.0]


def test_nothing_is_measured_for_the_bundled_model_nor_where_all_times_are_set(tmp_path):
    trials = Trials()
    assert trials.times(tmp_path, num_params=630_000).time == TimeRules(60, 60, 10, 300)
    every = {"time__stage_s": 20, "time__contribute_s": 30, "time__round_s": 200}
    assert trials.times(tmp_path, **every).time == TimeRules(20, 30, 10, 200)
    assert trials.said == []
    assert not (tmp_path / "host" / "times.json").exists()


def test_a_damaged_record_of_times_is_told_and_not_measured_anew(tmp_path):
    Trials(SLOW).times(tmp_path)
    file = tmp_path / "host" / "times.json"
    for damage in (file.read_bytes()[:-20], b'{"ab": {"times": 3}}', b"\xff"):
        file.write_bytes(damage)
        with pytest.raises(ConfigError) as caught:
            Trials(SLOW).times(tmp_path)
        assert "times.json cannot be read" in caught.value.what
        assert file.read_bytes() == damage


def test_what_is_said_names_the_times_the_margin_and_what_would_shorten_them():
    event = TimesChosen(470, 4860, 11_180, 154.6, 1617.0, 3)
    assert told(event) == (
        "This model takes up to 2 m 35 s a stage and 26 m 57 s a training step here; with room for peers 3 times as"
        " slow, a stage waits 470 s, contributions 4860 s, and a round may last 11180 s: fewer questions or samples, or"
        " a smaller model, would shorten it."
    )
    assert "shorten" not in (told(msgspec.structs.replace(event, round_s=900)) or "")
    assert told(Progress("measuring")) == "Measuring."


def process(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_the_process_says_is_its_last_line_a_speed_or_why_there_is_none(tmp_path, monkeypatch):
    chosen = load_settings("local", overrides={"home": tmp_path})
    speed = 'echo noise; echo \'{"read": 3.0, "drawn": 2.0, "trained": 1.0}\''
    monkeypatch.setattr(pacing.sys, "executable", process(tmp_path / "works", speed))
    assert measured(chosen, spec_for()) == Speed(3.0, 2.0, 1.0)
    error = json.dumps(to_json(OutOfMemory("It takes 9 GB.", "", "")))
    monkeypatch.setattr(pacing.sys, "executable", process(tmp_path / "fails", f"echo '{error}'; exit 5"))
    with pytest.raises(ConfigError) as caught:
        measured(chosen, spec_for())
    assert caught.value.what == "The model could not be measured on this machine: It takes 9 GB."
    assert "time.stage_s" in caught.value.next_step


def test_a_process_that_takes_too_long_or_ends_without_a_word_is_told(tmp_path, monkeypatch):
    chosen = load_settings("local", overrides={"home": tmp_path})
    monkeypatch.setattr(pacing.sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match="ended with code 1"):
        measured(chosen, spec_for())
    monkeypatch.setattr(pacing.sys, "executable", process(tmp_path / "sleeps", "exec sleep 5"))
    monkeypatch.setattr(pacing, "LONGEST_TRIAL_S", 0.1)
    with pytest.raises(ConfigError, match="too slow here to be measured within"):
        measured(chosen, spec_for())


@pytest.mark.slow
def test_a_model_that_cannot_be_opened_is_told_in_the_words_of_who_tried(tmp_path):
    (tmp_path / "model").mkdir()
    chosen = load_settings("local", overrides={"home": tmp_path, "run.model": str(tmp_path / "model")})
    with pytest.raises(ConfigError, match=r"could not be measured on this machine: .*model"):
        measured(chosen, spec_for())


@pytest.mark.slow
def test_the_bundled_model_is_measured_in_a_process_of_its_own(tmp_path):
    speed = measured(load_settings("local", overrides={"home": tmp_path}), spec_for())
    assert 100 < speed.trained < speed.read
    assert speed.drawn > 100
