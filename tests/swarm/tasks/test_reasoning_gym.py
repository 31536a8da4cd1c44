"""Everyone draws the same questions; held-out ones are split off by their text; judging never trusts the answer."""

import hashlib
import json
import subprocess
import sys

import pytest

from protocol.errors import ConfigError
from protocol.run import FamilySpec, TaskSpec
from swarm.tasks.base import is_held_out
from swarm.tasks.families import FAMILIES
from swarm.tasks.reasoning_gym import ReasoningGymTask, task_version

DEFAULTS = {"basic_arithmetic": '{"max_terms":3,"max_digits":2}', "arc_1d": '{"min_size":8,"max_size":12}'}


def spec(*families, held_out_one_in=4, version=None, parameters="{}"):
    rows = tuple(FamilySpec(family, 1, DEFAULTS.get(family, parameters)) for family in families)
    return TaskSpec("test", version or task_version(), rows, held_out_one_in)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_distinct_seeded_and_judges_its_own_truth_right(family):
    task = ReasoningGymTask(spec(family))
    questions = task.questions(7, 30)
    assert len({question.text for question in questions}) == 30
    assert questions == ReasoningGymTask(spec(family)).questions(7, 30)
    assert questions != task.questions(8, 30)
    assert all(0 < len(question.truth) < 400 and question.family == family for question in questions)
    scores = [task.score(question, question.truth) for question in questions]
    assert set(scores) == {1000}
    assert all(task.score(question, "no idea") == 0 for question in questions)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize(
    "answer", ["", "9" * 10_000, "1e999", "nan", "[" * 5000, "x" * 3_000_000, "\ud800", "__import__('os')"]
)
def test_hostile_answers_score_zero(family, answer):
    task = ReasoningGymTask(spec(family))
    assert task.score(task.questions(1, 1)[0], answer) == 0


def test_a_prefix_of_the_questions_does_not_depend_on_how_many_are_asked():
    task = ReasoningGymTask(spec("chain_sum", "gcd"))
    assert task.questions(3, 50)[:10] == task.questions(3, 10)


def test_held_out_questions_are_split_by_their_text_whatever_the_seed():
    task = ReasoningGymTask(spec("gcd", parameters='{"max_value":40}'))
    training = {question.text for seed in range(20) for question in task.questions(seed, 40)}
    held_out = {question.text for seed in range(20) for question in task.questions(seed, 40, held_out=True)}
    assert not training & held_out
    assert all(int(hashlib.sha256(text.encode()).hexdigest(), 16) % 4 == 0 for text in held_out)
    assert not any(is_held_out(text, 4) for text in training)


def test_weights_set_the_mix():
    rows = (FamilySpec("gcd", 3, "{}"), FamilySpec("lcm", 1, "{}"))
    task = ReasoningGymTask(TaskSpec("test", task_version(), rows, 8))
    share = sum(question.family == "gcd" for question in task.questions(0, 800)) / 800
    assert 0.70 < share < 0.80


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_questions_do_not_depend_on_the_process(hash_seed):
    families = sorted(FAMILIES)
    code = (
        "import hashlib, sys; from tests.swarm.tasks.test_reasoning_gym import *;"
        f"questions = ReasoningGymTask(spec(*{families!r})).questions(5, 200);"
        "print(hashlib.sha256(repr(questions).encode()).hexdigest())"
    )
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ".", "PATH": "/usr/bin:/bin"}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = repr(ReasoningGymTask(spec(*families)).questions(5, 200))
    assert out.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()


def test_the_version_names_generator_and_verifiers():
    assert task_version().startswith("reasoning-gym ")
    assert "verifiers" in task_version()


@pytest.mark.parametrize(
    "bad",
    [
        spec("chain_sum", version="reasoning-gym 0.0, verifiers 0"),
        spec("no_such_family"),
        spec(),
        spec("gcd", "gcd"),
        spec("gcd", held_out_one_in=1),
        spec("gcd", held_out_one_in=0),
        spec("gcd", parameters="[]"),
        spec("gcd", parameters="{"),
        spec("gcd", parameters="[" * 3000),
        spec("gcd", parameters='{"seed":1}'),
        spec("gcd", parameters='{"size":1}'),
        spec("chain_sum", parameters='{"max_digits":1000000000}'),
        spec("gcd", parameters=json.dumps({"max_value": 10**30})),
        TaskSpec("test", task_version(), (FamilySpec("gcd", 0, "{}"),), 8),
    ],
)
def test_a_spec_that_cannot_be_served_is_refused(bad):
    with pytest.raises(ConfigError):
        ReasoningGymTask(bad)


@pytest.mark.parametrize("parameters", ['{"no_such":1}', '{"min_value":9,"max_value":3}', '{"max_value":"x"}'])
def test_parameters_that_the_generator_refuses_are_a_config_error(parameters):
    with pytest.raises(ConfigError, match="gcd"):
        ReasoningGymTask(spec("gcd", parameters=parameters)).questions(0, 1)


def test_asking_for_more_questions_than_there_are_is_a_config_error():
    with pytest.raises(ConfigError, match="fewer than"):
        ReasoningGymTask(spec("gcd", parameters='{"max_value":2}')).questions(0, 50)


def test_importing_the_task_does_not_import_the_generators():
    code = "import sys, swarm.tasks.registry; sys.exit('reasoning_gym' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
