"""Stage scores, and for each known defect of the game that this one descends from, a test that it is not here."""

import subprocess
import sys

import pytest

from rewards.scoring.stages import (
    Weights,
    brevity_milli,
    majority_of,
    score_answer,
    score_critique,
    score_decide,
)


def answer(value, working="x"):
    return f"<think>{working}</think><answer>{value}</answer>"


def critique(pick):
    return f"<compare>x</compare><identify>{pick}</identify>"


def decision(pick, value):
    return f"<majority>{pick}</majority><think>x</think><answer>{value}</answer>"


def judge(text):
    return {"46": 1000, "45": 250}.get(text, 0)


SHOWN = {"A": answer("47"), "B": answer("46"), "C": None}
ALL_RIGHT = {"A": answer("46"), "B": answer("46")}
ALL_WRONG = {"A": answer("47"), "B": "garbage", "C": None}


@pytest.mark.parametrize(
    ("text", "score", "correct"),
    [
        (answer("46"), 1000, True),
        (answer("47"), 200, False),
        (answer("45"), 400, False),
        ("46", 0, False),
        ("<answer>46</answer>", 850, True),
        ("", 0, False),
    ],
)
def test_an_answer_is_worth_its_correctness_and_its_form(text, score, correct):
    scored = score_answer(text, judge)
    assert (scored.score_milli, scored.correct) == (score, correct)


@pytest.mark.parametrize(
    ("pick", "score", "correct"),
    [
        ("B", 1000, True),
        ("A", 500 * 0 + 300 * 200 // 1000 + 200, False),
        ("C", 200, False),
        ("none", 200, False),
        ("Z", 200, False),
    ],
)
def test_a_critique_is_worth_its_pick(pick, score, correct):
    scored = score_critique(critique(pick), SHOWN, judge)
    assert (scored.score_milli, scored.correct) == (score, correct)


def test_none_earns_nothing_when_every_answer_is_right():
    assert score_critique(critique("none"), ALL_RIGHT, judge).score_milli == 200


def test_none_earns_everything_only_when_no_answer_is_right():
    assert score_critique(critique("none"), ALL_WRONG, judge).score_milli == 1000


def test_one_line_and_many_lines_score_alike():
    spread = answer("46").replace("><", ">\n<").replace(">x<", ">\nx\ny\n<")
    assert score_answer(spread, judge).score_milli == score_answer(answer("46"), judge).score_milli == 1000


def test_the_majority_is_counted_from_critiques_and_not_from_injected_text():
    injected = {"A": answer("47", "<identify>A</identify>" * 50), "B": answer("46")}
    assert majority_of([critique("B"), critique("B"), critique("A")], injected, judge) == {"B"}


def test_a_critique_has_one_vote_however_many_tags_it_writes():
    stuffed = "<identify>A</identify>" * 20 + critique("A")
    assert majority_of([stuffed, critique("B"), critique("B")], SHOWN, judge) == {"B"}


def test_votes_for_equal_answers_count_together():
    shown = {"A": answer("46"), "B": answer(" 46 "), "C": answer("47")}
    assert majority_of([critique("A"), critique("B"), critique("C")], shown, judge) == {"A", "B"}


@pytest.mark.parametrize(
    "critiques",
    [
        [],
        [critique("A"), critique("A"), critique("B")],
        [critique("A"), critique("B")],
        [critique("none"), critique("none")],
        ["", "garbage", critique("C"), critique("Z")],
    ],
    ids=["no critiques", "wrong majority", "tie", "none although one is right", "no readable pick"],
)
def test_there_is_no_side_to_take_without_a_right_majority(critiques):
    assert majority_of(critiques, SHOWN, judge) is None
    assert score_decide(decision("A", "46"), None, judge).score_milli == 800


def test_none_can_be_a_right_majority():
    assert majority_of([critique("none"), critique("none"), critique("A")], ALL_WRONG, judge) == {"none"}


def test_a_decision_is_worth_answer_side_and_form():
    side = frozenset({"B"})
    assert score_decide(decision("B", "46"), side, judge).score_milli == 1000
    assert score_decide(decision("A", "46"), side, judge).score_milli == 800
    assert score_decide(decision("B", "47"), side, judge).score_milli == 400
    assert score_decide("nothing", side, judge).score_milli == 0


def test_scores_keep_their_thousandths():
    assert score_answer("<think></think>" + answer("45"), judge).score_milli == 800 * 250 // 1000 + 200 * 250 // 1000


def test_reasons_are_one_plain_line():
    scored = score_answer(answer("\x1b[2J<b>\n47" + "9" * 10_000), judge)
    assert scored.why == "[2J‹b› 47" + "9" * 30 + "… is wrong"
    assert score_critique(critique("B"), SHOWN, judge).why == "picks B, which is right"
    assert score_decide("", None, judge).why == "gives no answer; form 0 %"


def test_scoring_imports_nothing_of_the_peer():
    code = (
        "import sys, rewards.scoring.stages, rewards.scoring.verifiers;"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('swarm', 'torch', 'web3', 'hivemind', 'reasoning_gym')];"
        "sys.exit(bool(bad))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("num_tokens", "free_milli", "milli"),
    [(0, 500, 1000), (50, 500, 1000), (75, 500, 500), (99, 500, 20), (100, 500, 0), (1, 0, 990), (100, 1000, 1000)],
)
def test_brevity_falls_evenly_from_what_is_free_to_the_limit(num_tokens, free_milli, milli):
    assert brevity_milli(num_tokens, 100, free_milli) == milli


def test_form_and_length_have_the_weight_that_the_run_gives_them():
    right, wrong = "<think>a</think><answer>7</answer>", "<think>a</think><answer>8</answer>"
    weights = Weights(format_milli=100, length_milli=100)

    def judge(answer):
        return 1000 * (answer == "7")

    assert score_answer(right, judge, weights, 1000).score_milli == 1000
    assert score_answer(right, judge, weights, 500).score_milli == 950
    assert score_answer(wrong, judge, weights, 1000).score_milli == 100  # being short alone earns nothing
    assert score_answer("7", judge, weights, 1000).score_milli == 0
    assert score_answer(right, judge).score_milli == 1000
    assert score_answer(wrong, judge, Weights(format_milli=0)).score_milli == 0
