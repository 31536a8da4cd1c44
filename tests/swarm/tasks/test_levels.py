"""Questions from easy to hard: by a column, by words, in parts, or by what a generator is told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadRecord, ConfigError
from swarm.tasks.levels import Scale, arrange
from swarm.tasks.questions import pack, row_levels, unpack
from swarm.tasks.reading import Item
from swarm.tasks.registry import load_task, open_task

ROWS = [(f"q{number}", str(number)) for number in range(60)]


def written(tmp_path, hardness, data="level: hard", ending="jsonl"):
    lines = [{"question": q, "answer": a, "hard": hardness(int(a))} for q, a in ROWS]
    if ending == "csv":
        text = "question,answer,hard\n" + "".join(f"{row['question']},{row['answer']},{row['hard']}\n" for row in lines)
    else:
        text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / f"data.{ending}").write_text(text)
    (tmp_path / "mine.yaml").write_text(
        f"name: mine\nheld_out_one_in: 4\ndata: {{file: data.{ending}, check: number, {data}}}\n"
    )
    return load_task(str(tmp_path / "mine.yaml"))


def numbers(questions):
    return {int(question.truth) for question in questions}


def all_of(task, level, held_out=False):
    """Every question of a level: as many as it says that it has."""
    with pytest.raises(ConfigError) as caught:
        task.questions(0, 1000, held_out=held_out, level=level)
    count = int(caught.value.what.split(" has ")[1].split()[0])
    return numbers(task.questions(0, count, held_out=held_out, level=level))


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_each_value_of_the_column_is_a_level_and_a_round_asks_of_one(tmp_path, ending):
    loaded = written(tmp_path, lambda n: f"Level {3 - n % 3}", ending=ending)
    assert loaded.spec.num_levels == 3
    assert loaded.spec.data.levels == (20, 20, 20)
    task = open_task(*loaded)
    for level in (1, 2, 3):
        both = all_of(task, level) | all_of(task, level, held_out=True)
        assert both == {number for number in range(60) if 3 - number % 3 == level}
    assert all_of(task, 0) | all_of(task, 0, held_out=True) == set(range(60))
    assert task.num_held_out == len(all_of(task, 0, held_out=True)), "what was learned is measured on all levels"


def test_words_have_the_order_that_the_file_gives_them(tmp_path):
    names = ["hard", "Easy", "medium"]
    loaded = written(tmp_path, lambda n: names[n % 3], "level: hard, levels: [easy, medium, hard]")
    task = open_task(*loaded)
    assert {number % 3 for number in all_of(task, 1)} == {1}
    assert {number % 3 for number in all_of(task, 3)} == {0}


def test_many_values_are_cut_into_parts_of_about_the_same_size(tmp_path):
    loaded = written(tmp_path, lambda n: (n * 7 % 60) / 100, "level: hard, levels: 4")
    assert loaded.spec.data.levels == (15, 15, 15, 15)
    easiest, hardest = (all_of(open_task(*loaded), level) for level in (1, 4))
    assert max(n * 7 % 60 for n in easiest) == 14
    assert min(n * 7 % 60 for n in hardest) >= 45


@pytest.mark.parametrize(
    ("hardness", "data", "words"),
    [
        (lambda n: "hard", "level: hard", "does not hold one number"),
        (lambda n: "3 of 5", "level: hard", "does not hold one number"),
        (lambda n: float("nan"), "level: hard", "does not hold one number"),
        (lambda n: ["easy", "odd"][n % 2], "level: hard, levels: [easy, hard]", "is none of the words"),
        (lambda n: n, "level: hard", "60 different levels"),
        (lambda n: n, "level: hard, levels: 1", "levels must be"),
        (lambda n: n, "level: hard, levels: [a, A]", "levels must be"),
        (lambda n: n, "levels: 3", "levels are read from a column"),
        (lambda n: n, "level: difficulty", "has no column 'difficulty'"),
        (lambda n: None, "level: hard", "neither text nor a number"),
    ],
)
def test_levels_that_cannot_be_read_are_told_in_words(tmp_path, hardness, data, words):
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, hardness, data)
    assert words in caught.value.what


def test_a_set_whose_levels_do_not_share_out_its_questions_is_refused():
    rows = tuple(ROWS)
    for levels in ((20, 20), (60, 0), (61,), (30, 31)):
        data, blob = pack(rows, "exact", levels=levels)
        with pytest.raises(BadRecord) as caught:
            unpack(blob, data)
        assert caught.value.reason == "malformed"
    data, blob = pack(rows, "exact", levels=(20, 40))
    assert unpack(blob, data) == rows
    assert list(row_levels(data)) == [1] * 20 + [2] * 40


items = st.lists(st.builds(Item, st.sampled_from("abcdefgh"), st.just("1"), st.integers(0, 9).map(str)), max_size=30)


@given(items, st.integers(0, 5).filter(lambda parts: parts != 1))
def test_whatever_is_arranged_is_there_once_and_no_easier_than_what_is_before_it(found, parts):
    rows, num_left_out, sizes = arrange(found, Scale(parts=parts), "exact", "here")
    assert len(rows) + num_left_out == len(found)
    assert sum(sizes) in (0, len(rows))
    assert all(sizes)
    assert len(sizes) != 1
    assert len(sizes) <= (parts or 10)
    easiest = {name: min(int(one.level) for one in found if one.question == name) for name, _ in rows}
    assert [easiest[name] for name, _ in rows] == sorted(easiest.values())


FAMILIES = """
name: two
held_out_one_in: 4
families:
  - {family: gcd, level: 1, parameters: {max_value: 50}}
  - {family: gcd, level: 2, parameters: {max_value: 500}}
  - {family: lcm, level: 2, weight: 3, parameters: {max_value: 60}}
"""


def test_a_family_may_be_in_several_levels_with_other_parameters(tmp_path):
    (tmp_path / "two.yaml").write_text(FAMILIES)
    task = open_task(*load_task(str(tmp_path / "two.yaml")))
    assert task.spec.num_levels == 2
    assert {question.family for question in task.questions(0, 40, level=1)} == {"gcd"}
    hard = [question.family for question in task.questions(0, 200, level=2)]
    assert 0.6 < hard.count("lcm") / 200 < 0.9
    assert {question.family for question in task.questions(0, 40)} == {"gcd", "lcm"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FAMILIES.replace("level: 2", "level: 3"), "no family of level 2"),
        (FAMILIES.replace("level: 1", "level: 2"), "listed twice in a level"),
        (FAMILIES.replace("level: 1", "level: 0"), "level must be a whole number from 1 to 32"),
        (FAMILIES.replace("level: 1", "level: easy"), "level must be a number"),
    ],
)
def test_levels_of_families_that_make_no_sense_are_told_in_words(tmp_path, text, words):
    (tmp_path / "two.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_task(str(tmp_path / "two.yaml"))
    assert words in caught.value.what


def test_the_shipped_example_has_levels_that_become_harder():
    task = open_task(*load_task("sums_by_level"))
    assert task.spec.num_levels == 5
    longest = [max(len(question.text) for question in task.questions(1, 20, level=level)) for level in range(1, 6)]
    assert longest == sorted(longest)
