"""Answers are judged by value, and nothing that a peer can write is run, raised or slow."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.scoring.verifiers import ANSWER_CAP, FULL, TRIVIAL_CONCLUSION, VERIFIERS, verify

LOGIC = json.dumps({"premises": ["(P → Q)", "P"], "variables": ["P", "Q", "R"]})
HOSTILE = [
    "", " ", "\x00", "9" * 10_000, "1e999", "nan", "inf", "-inf", "1_000", "0x1f", "٣٤", "１２",
    "[" * 10_000, "(" * 500, "¬" * 500, "P" * 500, "{}", "__import__('os').system('false')",
    "[[1].append(2)]", "\ud800", "1/0", "0/0", "a" * 5_000_000,
]  # fmt: skip


@pytest.mark.parametrize("answer", ["46", " 46 ", "+46", "046", "46.", "46.00", "0,046"])
def test_the_same_number_in_another_spelling_is_right(answer):
    assert verify("number", answer, "46") == FULL


@pytest.mark.parametrize("answer", ["47", "-46", "4 6", "46a", "46.5", "4,6", "1e1", "0x2e", "forty-six", "４６"])
def test_another_number_or_notation_is_wrong(answer):
    assert verify("number", answer, "46") == 0


@pytest.mark.parametrize(
    "answer", ["1200.5", "$1,200.50", "1200.50 euros", "about 1,200.5", "It is 1200.5.", "€1200.5 a day", "1200.5%"]
)
def test_the_same_quantity_with_words_and_units_is_right(answer):
    assert verify("quantity", answer, "1,200.50") == FULL


@pytest.mark.parametrize(
    "answer",
    ["1200", "1200.5 or 3", "12 00.5", "-1200.5", "1200.5e1", "1,2,00.5", "v1200.5", "one", "1200.5.1", "1/1200.5"],
)
def test_another_quantity_or_several_are_wrong(answer):
    assert verify("quantity", answer, "1,200.50") == 0


def test_a_quantity_may_be_negative():
    assert verify("quantity", "-5 degrees", "-5") == FULL
    assert verify("quantity", "minus 5", "-5") == 0


@pytest.mark.parametrize("answer", ["New York", " new  york. ", "NEW\nYORK", "Ｎew York"])
def test_the_same_text_but_for_case_and_space_is_right(answer):
    assert verify("exact", answer, "New York") == FULL


@pytest.mark.parametrize("answer", ["New", "New York City", "NewYork", "New York?", ""])
def test_another_text_is_wrong(answer):
    assert verify("exact", answer, "New York") == 0


def test_a_tolerance_is_kept_exactly():
    payload = json.dumps({"tolerance": "1e-3"})
    assert verify("number", "2.001", "2.000", payload) == FULL
    assert verify("number", "2.0011", "2.000", payload) == 0


@pytest.mark.parametrize("answer", ["6/25", "$6/25$", "\\frac{6}{25}", "$\\dfrac{6}{25}$", " 6 / 25 "])
def test_a_fraction_is_read_in_every_style(answer):
    assert verify("fraction", answer, "$\\frac{6}{25}$") == FULL


def test_an_unreduced_fraction_is_wrong_and_a_whole_number_needs_no_denominator():
    assert verify("fraction", "12/50", "6/25") == 0
    assert verify("fraction", "3", "3/1") == FULL


def test_sequences_compare_number_by_number():
    assert verify("sequence", "[[0, 1], [2, 0]]", "0 1\n2 0") == FULL
    assert verify("sequence", "['91.60', '-2']", "['91.6', '-2.0']") == FULL
    assert verify("sequence", "0 1 2", "0 1\n2 0") == 0
    assert verify("sequence", "the matrix 0 1 2 0", "0 1\n2 0") == 0


def test_numerals_ignore_case_and_leading_zeros():
    assert verify("numeral", "00FF", "ff") == FULL
    assert verify("numeral", "", "0") == 0
    assert verify("numeral", "0", "0") == FULL


def test_words_ignore_case_and_a_full_stop():
    assert verify("word", "monday.", "Monday") == FULL
    assert verify("word", "Monday or Tuesday", "Monday") == 0


@pytest.mark.parametrize("answer", ["Q", "P"])
def test_a_bare_variable_that_follows_earns_little(answer):
    assert verify("conclusion", answer, "", LOGIC) == TRIVIAL_CONCLUSION


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Q ∧ P", FULL),
        ("¬¬Q", FULL),
        ("R → Q", FULL),
        ("¬Q", 0),
        ("R", 0),
        ("Q ∨ ¬Q", TRIVIAL_CONCLUSION),
        ("S ∨ Q", 0),
    ],
)
def test_a_conclusion_is_right_when_it_follows(answer, score):
    assert verify("conclusion", answer, "", LOGIC) == score


@pytest.mark.parametrize("kind", sorted(VERIFIERS))
@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_score_nothing_quickly(kind, answer):
    payload = LOGIC if kind == "conclusion" else ""
    truth = {"fraction": "1/2", "number": "46", "sequence": "1 2", "numeral": "ff"}.get(kind, "Monday")
    start = time.process_time()
    assert verify(kind, answer, truth, payload) == 0
    assert time.process_time() - start < 0.5


@given(st.sampled_from(sorted(VERIFIERS)), st.text(max_size=ANSWER_CAP + 20))
def test_no_text_raises(kind, answer):
    assert 0 <= verify(kind, answer, "1/2", LOGIC if kind == "conclusion" else "") <= FULL


@given(st.text(alphabet="PQR∧∨→↔¬() ", max_size=60))
def test_formulas_are_judged_without_raising(answer):
    assert verify("conclusion", answer, "", LOGIC) in (0, TRIVIAL_CONCLUSION, FULL)
