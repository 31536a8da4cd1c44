"""A task is a file; what is wrong with it is said in words."""

import pytest

from protocol.errors import ConfigError
from swarm.tasks.registry import load_task, open_task, task_names

GOOD = "name: mine\nheld_out_one_in: 4\nfamilies:\n  - family: gcd\n    weight: 2\n    parameters: {max_value: 50}\n"


@pytest.mark.parametrize("name", task_names())
def test_every_shipped_task_opens_and_asks(name):
    task = open_task(*load_task(name))
    assert task.name == name
    assert len(task.questions(0, 8)) == len(task.questions(0, 8, held_out=True)) == 8


def test_the_required_families_have_a_file_each():
    required = {"chain_sum", "basic_arithmetic", "base_conversion", "fraction_simplification", "propositional_logic"}
    assert required | {"sums", "mix"} <= set(task_names())
    assert len(task_names()) >= 11


def test_the_default_task_has_enough_held_out_questions():
    questions = open_task(*load_task("sums")).questions(0, 1024, held_out=True)
    assert len({question.text for question in questions}) == 1024


def test_a_file_becomes_a_spec(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    spec = load_task(str(path)).spec
    assert (spec.name, spec.held_out_one_in) == ("mine", 4)
    assert (spec.families[0].family, spec.families[0].weight, spec.families[0].parameters) == (
        "gcd",
        2,
        '{"max_value":50}',
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\n", "missing: held_out_one_in"),
        (GOOD + "colour: red\n", "unknown: colour"),
        (GOOD.replace("weight", "wait"), "unknown: wait"),
        (GOOD.replace("weight: 2", "weight: two"), "weight must be a number"),
        (GOOD.replace("weight: 2", "weight: true"), "weight must be a number"),
        (GOOD.replace("gcd", "tetris"), "no task family 'tetris'"),
        (GOOD.replace("{max_value: 50}", "[1]"), "parameters must be a mapping"),
        (GOOD.replace("{max_value: 50}", "{max_value: 2020-01-01}"), "plain numbers"),
        (GOOD.replace("held_out_one_in: 4", "held_out_one_in: 1"), "held_out_one_in is 1"),
        ("name: x\nheld_out_one_in: 4\n", "either `families` or `data`"),
        (GOOD + "data: {file: x.csv}\n", "either `families` or `data`"),
        ("- 1\n", "a mapping was expected"),
        ("a: [", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("x" * 70_000, "larger than"),
        ("!!python/object/apply:os.system [echo]", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_in_words(tmp_path, text, words):
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_task(str(path))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="sums"):
        load_task("chess")
