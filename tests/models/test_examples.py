"""The examples teach what they claim: column work, careless by a stated rate, in every stage's form."""

from random import Random

import pytest

from models.examples import FORGET, careless, make_example, solve, truth
from protocol.ids import Stage
from rewards.scoring.format import parse, read_pick
from swarm.tasks.registry import load_task, open_task


@pytest.fixture(scope="module")
def questions():
    return open_task(*load_task("sums")).questions(5, 600)


@pytest.mark.parametrize(
    ("question", "remembers", "work", "answer"),
    [
        ("345 + 278 =", (True, True), "345+278: 5+8=13 4+7+1=12 3+2+1=6", "623"),
        ("345 + 278 =", (False, True), "345+278: 5+8=13 4+7=11 3+2+1=6", "613"),
        ("345 - 278 =", (True, True), "345-278: 5-8=-3 4-7-1=-4 3-2-1=0", "67"),
        ("278 - 345 =", (True, True), "345-278: 5-8=-3 4-7-1=-4 3-2-1=0", "-67"),
        ("345 - 278 =", (False, False), "345-278: 5-8=-3 4-7=-3 3-2=1", "177"),
        ("96 + 81 =", (False, False), "96+81: 6+1=7 9+8=17", "177"),
        ("50 - 50 =", (True, True), "50-50: 0-0=0 5-5=0", "0"),
    ],
)
def test_work_is_shown_in_columns(question, remembers, work, answer):
    assert solve(question, (*remembers, True)) == (work, answer)


def test_truths_are_the_tasks_own(questions):
    assert all(truth(question.text) == question.truth for question in questions)


def test_forgetting_every_carry_is_right_in_about_four_of_ten(questions):
    share = sum(careless(question.text) == question.truth for question in questions) / len(questions)
    assert 0.38 < share < 0.52


@pytest.mark.parametrize("stage", list(Stage))
def test_every_example_is_well_formed(stage, questions):
    random = Random(1)
    replies = [make_example(stage, question.text, random).reply for question in questions]
    assert all(parse(stage, reply).format_milli == 1000 for reply in replies)


def test_carries_are_forgotten_at_the_stated_rate():
    random = Random(2)
    replies = [make_example(Stage.ANSWER, "19 + 19 =", random).reply for _ in range(1000)]
    assert sum("1+1=2" in reply for reply in replies) / 1000 == pytest.approx(FORGET, abs=0.05)


def test_critics_pick_an_answer_that_equals_their_own_work(questions):
    random = Random(3)
    for question in questions:
        example = make_example(Stage.CRITIQUE, question.text, random)
        fields = parse(Stage.CRITIQUE, example.reply).fields
        own = fields["compare"].split(" so ")[1]
        lines = example.prompt[1].content.split("Answers:\n")[1].splitlines()
        equal = [line[0] for line in lines if line[3:].split(" (")[0] == own]
        assert read_pick(fields["identify"]) == (equal[0] if equal else "none")
