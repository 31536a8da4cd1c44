"""Tags are read the same from one line or many; the two halves of the format score do not exclude each other."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import Stage
from rewards.scoring.format import parse, read_pick


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think><answer>46</answer>",
        "<think>\na\nb\n</think>\n<answer>\n46\n</answer>\n",
        "  <think></think> <answer> 46 </answer>",
    ],
)
def test_one_line_and_many_lines_earn_the_full_format_score(text):
    parsed = parse(Stage.ANSWER, text)
    assert parsed.format_milli == 1000
    assert parsed.fields["answer"] == "46"


@pytest.mark.parametrize(
    ("text", "format_milli", "answer"),
    [
        ("46", 0, None),
        ("", 0, None),
        ("<answer>46</answer>", 250, "46"),
        ("<answer>46</answer><think>a</think>", 500, "46"),
        ("Sure! <think>a</think><answer>46</answer>", 500, "46"),
        ("<think>a</think><answer>46</answer> bye", 500, "46"),
        ("<think>a</think><answer>46", 250, None),
        ("<think>a<answer>46</answer></think>", 500, "46"),
        ("<think>a</think><answer>1</answer><answer>46</answer>", 250, "46"),
        ("</answer><answer>", 0, None),
    ],
)
def test_partial_form_earns_part(text, format_milli, answer):
    parsed = parse(Stage.ANSWER, text)
    assert (parsed.format_milli, parsed.fields.get("answer")) == (format_milli, answer)


def test_every_stage_has_its_tags():
    assert parse(Stage.CRITIQUE, "<compare>x</compare><identify>A</identify>").format_milli == 1000
    decision = parse(Stage.DECIDE, "<majority>A</majority><think>x</think><answer>1</answer>")
    assert decision.format_milli == 1000
    assert decision.fields == {"majority": "A", "think": "x", "answer": "1"}


@pytest.mark.parametrize(
    ("field", "pick"),
    [
        ("A", "A"), ("b", "B"), ("(C)", "C"), ("D.", "D"), ("answer E", "E"), ("None", "none"), ("none.", "none"),
        ("", None), (None, None), ("AB", None), ("A and B", None), ("1", None), ("À", None), ("A" * 100, None),
    ],
)  # fmt: skip
def test_a_pick_is_one_letter_or_none(field, pick):
    assert read_pick(field) == pick


@pytest.mark.parametrize(
    "text", ["<think>" * 9000, "<answer>" * 4000 + "</answer>" * 3000, "x" * 20_000_000, "\ud800<think>", "<" * 60_000]
)
def test_hostile_texts_are_read_quickly(text):
    start = time.process_time()
    assert parse(Stage.ANSWER, text).format_milli < 1000
    assert time.process_time() - start < 0.5


@given(st.sampled_from(list(Stage)), st.text(alphabet="<>/thinkaswer \n", max_size=200))
def test_no_text_raises(stage, text):
    assert 0 <= parse(stage, text).format_milli <= 1000
