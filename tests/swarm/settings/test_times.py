"""Times that are left open follow the model; what is set stays; a round holds its parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigError
from protocol.run import TimeRules
from swarm.policy.pace import MARGIN, Need
from swarm.settings.config import load_settings
from swarm.settings.sections import TimeSettings
from swarm.settings.times import is_open, times_of


def test_without_a_measured_model_they_are_what_a_small_one_gets():
    assert times_of(TimeSettings()) == TimeRules(60, 60, 10, 300)
    assert times_of(load_settings("local").time) == TimeRules(60, 60, 10, 300)
    assert times_of(TimeSettings(), Need(0.5, 2.0)) == TimeRules(60, 60, 10, 300)


def test_a_slow_model_gets_three_times_what_it_takes_and_a_round_that_holds_the_slowest():
    found = times_of(TimeSettings(), Need(stage_s=101.0, train_s=200.0))
    assert found == TimeRules(stage_s=310, contribute_s=600, poster_s=10, round_s=3 * 310 + 600 + 10 + 600 + 40)


def test_what_is_set_stays_and_the_rest_follows_it():
    assert times_of(TimeSettings(stage_s=30), Need(100.0, 10.0)).stage_s == 30
    assert times_of(TimeSettings(stage_s=200)) == TimeRules(200, 60, 10, 710)
    mine = TimeSettings(stage_s=5, contribute_s=6, poster_s=2, round_s=30)
    assert times_of(mine, Need(100.0, 100.0)) == TimeRules(5, 6, 2, 30)
    assert [is_open(time) for time in (mine, TimeSettings(), TimeSettings(stage_s=5, contribute_s=6))] == [
        False, True, True,
    ]  # fmt: skip


def test_a_round_that_is_set_too_short_for_the_model_is_refused_in_words():
    with pytest.raises(ConfigError) as caught:
        times_of(TimeSettings(round_s=600), Need(100.0, 10.0))
    assert caught.value.what == "time.round_s is 600, and stages of 300 s, which this model takes, need 970 s."


def test_a_model_that_takes_days_is_refused_in_words():
    with pytest.raises(ConfigError) as caught:
        times_of(TimeSettings(), Need(100_000.0, 10.0))
    assert "smaller model" in caught.value.next_step


@given(st.floats(0, 5000), st.floats(0, 20_000))
def test_they_are_never_shorter_than_before_and_hold_a_peer_as_slow_as_is_allowed(stage_s, train_s):
    found = times_of(TimeSettings(), Need(stage_s, train_s))
    assert found.stage_s >= max(60, MARGIN * stage_s)
    assert found.contribute_s >= max(60, MARGIN * train_s)
    assert found.round_s >= max(300, 3 * found.stage_s + found.contribute_s + MARGIN * train_s + found.poster_s)
    assert found.stage_s <= max(60, MARGIN * stage_s + 10)
