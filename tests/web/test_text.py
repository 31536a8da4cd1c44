"""Words and numbers for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.text import ago, credits, milli, paragraphs, passages


@pytest.mark.parametrize(
    ("micro", "decimals", "text"),
    [(0, 3, "0.000"), (1_999_999, 3, "1.999"), (1_234_567_890, 2, "1,234.56"), (25_000_000, 0, "25"),
     (-1_500_000, 1, "-1.5"), (None, 3, "–")],
)  # fmt: skip
def test_credits_are_cut_and_never_rounded_up(micro: int | None, decimals: int, text: str) -> None:
    assert credits(micro, decimals) == text


def test_thousandths_and_ages_are_short() -> None:
    assert [milli(734), milli(1000), milli(5), milli(None)] == ["0.734", "1.000", "0.005", "–"]
    assert [ago(100, 102), ago(100, 130), ago(100, 400), ago(0, 5), ago(1, 10**6)] == [
        "now", "30 s ago", "5 min ago", "never", "11 d ago",
    ]  # fmt: skip


@given(st.text())
def test_paragraphs_never_hold_anything_that_a_screen_would_obey(text: str) -> None:
    shown = paragraphs(text, 200)
    assert len(shown) <= 200
    assert not any(ord(character) < 32 and character != "\n" for character in shown)
    assert not any(character in shown for character in "\u202e\u2066\u200b\x9b")


def test_the_tags_of_the_game_become_labels() -> None:
    assert passages("<think>so</think> <answer>5</answer>") == [("think", "so"), ("answer", "5")]
    assert passages("<b>bold</b>") == [("", "<b>bold</b>")]
    assert passages("") == []
