"""A run is refused before it is founded when one of its rounds could not be asked."""

import pytest

from protocol.errors import ConfigError
from swarm.app import specs
from swarm.policy.engine import Genesis
from swarm.settings.config import load_settings
from tests.swarm.app.conftest import spec_for

TASK = """
name: few
held_out_one_in: 2
families:
  - {family: gcd, level: 1, parameters: {max_value: 500}}
  - {family: lcm, level: 2, parameters: {max_value: 60}}
  - {family: count_bits, level: 3, parameters: {min_n: 1, max_n: 3}}
"""


@pytest.fixture
def founded(tmp_path, monkeypatch):
    monkeypatch.setattr(specs, "_genesis", lambda chosen: Genesis(spec_for().model, 0, 630_000))
    (tmp_path / "few.yaml").write_text(TASK)

    def found(**game):
        overrides = {f"game.{name}": value for name, value in ({"num_questions": 12} | game).items()}
        task = {"home": tmp_path / "home", "run.task": str(tmp_path / "few.yaml")}
        return specs.run_spec(load_settings("local", overrides={**task, **overrides}), 31337)

    return found


def test_every_level_that_may_be_asked_has_enough_questions(founded):
    with pytest.raises(ConfigError, match="fewer than 12 distinct questions of level 3"):
        founded()
    assert founded(highest_level=2).game.highest_level == 2
    assert founded(follow_level=False).task.num_levels == 3


def test_levels_that_the_task_does_not_have_are_refused(founded):
    for wrong in ({"lowest_level": 4}, {"highest_level": 4}):
        with pytest.raises(ConfigError, match="'few' has 3 levels"):
            founded(**wrong)
