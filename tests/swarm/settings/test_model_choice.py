"""The model by the machine: a pool, a variable, and which of them wins."""

from __future__ import annotations

import pytest

from protocol.errors import ConfigError
from swarm.settings.config import load_settings
from swarm.settings.model_choice import pick

POOL = ("0:tiny", "6:some/small", "40:some/large")


@pytest.mark.parametrize(
    ("free_gb", "model"), [(0.5, "tiny"), (5.9, "tiny"), (6, "some/small"), (39, "some/small"), (80, "some/large")]
)
def test_the_largest_model_that_the_memory_is_enough_for_is_taken(free_gb, model):
    assert pick(POOL, free_gb) == model


@pytest.mark.parametrize("entry", ["tiny", "x:tiny", "4:", "-1:tiny", "nan:tiny", ":"])
def test_a_pool_that_cannot_be_read_is_refused(entry):
    with pytest.raises(ConfigError, match="is not GB:MODEL"):
        pick((entry,), 100)


def test_a_machine_that_no_model_is_for_is_told_so():
    with pytest.raises(ConfigError, match=r"No model of run\.model_pool"):
        pick(("6:some/small",), 2)


def test_model_name_wins_over_files_and_loses_to_our_own_variable_and_the_command_line(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("run: {model: from/file}")
    env = {"MODEL_NAME": "from/environment"}
    assert load_settings("local", file).run.model == "from/file"
    assert load_settings("local", file, environment=env).run.model == "from/environment"
    ours = env | {"SWARM_RUN__MODEL": "our/own"}
    assert load_settings("local", file, environment=ours).run.model == "our/own"
    assert load_settings("local", file, {"run.model": "typed"}, ours).run.model == "typed"
    assert load_settings("local", file, environment={"MODEL_NAME": ""}).run.model == "from/file"
