"""Somebody's own questions: the same draw for all, no question twice, and nothing of a stranger's blob is believed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import content_id, encode
from protocol.errors import BadRecord, ConfigError
from protocol.run import FamilySpec, QuestionSet, TaskSpec
from swarm.tasks.own import OwnTask, _first_of_shuffle, own_version
from swarm.tasks.questions import QUESTION_CAP, normalised, pack, unpack

ROWS = tuple((f"What is {number} + 1?", str(number + 1)) for number in range(100))


def task(rows=ROWS, check="number", one_in=4):
    data, blob = pack(rows, check)
    return OwnTask(TaskSpec("mine", own_version(), (), one_in, data), blob)


def test_everybody_draws_the_same_questions_and_none_twice():
    drawn = task().questions(7, 40)
    assert drawn == task().questions(7, 40)
    assert drawn[:10] == task().questions(7, 10)
    assert len({question.text for question in drawn}) == 40
    assert drawn != task().questions(8, 40)
    assert {(question.text, question.truth) for question in drawn} <= set(ROWS)


def test_held_out_questions_are_never_drawn_for_training():
    mine = task()
    held_out = {question.text for question in mine.questions(1, mine.num_held_out, held_out=True)}
    training = {question.text for question in mine.questions(1, 100 - mine.num_held_out)}
    assert held_out | training == {question for question, _ in ROWS}
    assert not held_out & training
    assert 10 < mine.num_held_out < 40


def test_over_many_rounds_every_question_is_asked():
    mine = task()
    asked = {question.text for seed in range(60) for question in mine.questions(seed, 8)}
    assert len(asked) == 100 - mine.num_held_out


@given(st.integers(0, 2**62), st.integers(1, 60), st.data())
def test_the_draw_is_the_beginning_of_a_permutation(seed, size, data):
    count = data.draw(st.integers(0, size))
    whole = _first_of_shuffle("a" * 64, seed, size, size)
    assert sorted(whole) == list(range(size))
    assert _first_of_shuffle("a" * 64, seed, size, count) == whole[:count]


def test_answers_are_judged_by_the_run_s_check():
    question = task().questions(0, 1)[0]
    assert task().score(question, question.truth) == 1000
    assert task().score(question, question.truth + " apples") == 0
    assert task(check="quantity").score(question, question.truth + " apples") == 1000


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "questions, verifiers 0"},
        {"data": None},
        {"families": (FamilySpec("gcd", 1, "{}"),)},
        {"held_out_one_in": 1},
        {"held_out_one_in": 10**9},
        {"data": msgspec.structs.replace(pack(ROWS, "number")[0], check="vibes")},
        {"data": msgspec.structs.replace(pack(ROWS, "number")[0], rows=99)},
        {"data": msgspec.structs.replace(pack(ROWS, "number")[0], content="0" * 64)},
    ],
)
def test_a_spec_that_cannot_be_served_is_refused(changed):
    data, blob = pack(ROWS, "number")
    spec = msgspec.structs.replace(TaskSpec("mine", own_version(), (), 4, data), **changed)
    with pytest.raises(ConfigError):
        OwnTask(spec, blob)


def test_more_questions_than_there_are_is_told_with_the_setting_to_change():
    with pytest.raises(ConfigError, match=r"game\.num_questions"):
        task().questions(0, 101)


def test_what_cannot_be_asked_is_left_out_and_counted():
    pairs = [("  a ", "1"), ("a", "2"), ("", "1"), ("b", ""), ("c" * (QUESTION_CAP + 1), "1"), ("e\u0301", "x" * 513)]
    assert normalised(pairs) == ((("a", "1"),), 5)
    assert normalised([("e\u0301", "1")]) == ((("\u00e9", "1"),), 0)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("a", "1"), ("a", "2")], "malformed"),
        ([("", "1")], "malformed"),
        ([(" a", "1")], "malformed"),
        ([("a", "1", "2")], "malformed"),
        ({"a": "1"}, "malformed"),
        ([("a", 1)], "malformed"),
        ([("x" * 3000, "1")], "malformed"),
    ],
)
def test_a_blob_that_no_founder_of_ours_would_make_is_refused(rows, reason):
    blob = encode(rows)
    with pytest.raises(BadRecord) as caught:
        unpack(blob, QuestionSet(content_id(blob), len(blob), len(rows), "exact"))
    assert caught.value.reason == reason


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=20))
def test_whatever_is_normalised_survives_packing(pairs):
    rows, num_left_out = normalised(pairs)
    assert len(rows) + num_left_out == len(pairs)
    data, blob = pack(rows, "exact")
    assert unpack(blob, data) == rows
    assert normalised(rows) == (rows, 0)
