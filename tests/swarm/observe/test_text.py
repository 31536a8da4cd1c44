import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.observe.text import credits_short, credits_text, name_of, plain, seconds_text, short_id
from tests.swarm.observe.playback import peer_id


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;c3RlYWw=\x07", ""),
        ("\x9b2Jcleared", "cleared"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("two\nlines\tand\u2028more", "two lines and more"),
        ("bell\x07 back\x08space \x7f", "bell backspace"),
        ("\ud800lone", "lone"),
        ("tag\U000e0041", "tag"),
        ("private\ue000", "private"),
        ("[bold]kept[/bold]", "[bold]kept[/bold]"),
        ("wide 漢字 and é and 😀", "wide 漢字 and é and 😀"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(hostile, safe):
    assert plain(hostile) == safe


def test_marks_cannot_pile_up_over_other_lines():
    assert plain("Z" + "\u0321" * 50) == "Z" + "\u0321" * 2


def test_a_long_text_is_cut_and_says_so():
    assert plain("x" * 300, 10) == "x" * 9 + "…"
    assert plain("x" * 10, 10) == "x" * 10


@given(st.text(), st.integers(1, 50))
def test_any_text_becomes_one_printable_line_of_bounded_length(text, limit):
    line = plain(text, limit)
    assert len(line) <= limit
    assert not any(unicodedata.category(character)[0] == "C" for character in line)
    assert plain(line, limit) == line


def test_amounts_and_durations_read_well():
    assert [credits_text(amount) for amount in (0, 7, 1_500_000, 12_000_000, -250_000)] == [
        "0", "0.000007", "1.5", "12", "-0.25",
    ]  # fmt: skip
    assert [seconds_text(seconds) for seconds in (-1, 0.44, 9.94, 59.4, 185, 7620, 273600)] == [
        "0.0 s", "0.4 s", "9.9 s", "59 s", "3 m 05 s", "2 h 07 m", "3 d 04 h",
    ]  # fmt: skip


def test_short_amounts_keep_what_matters():
    assert [credits_short(amount) for amount in (0, 5_015, 999_999, 8_040_000, 999_990_000, 1_234_567_890)] == [
        "0.00", "0.0050", "1.0000", "8.04", "999.99", "1,235",
    ]  # fmt: skip


def test_ids_keep_their_ends():
    assert short_id("0x2fd0e9814ed2e9964a7baa542b65e1c469c7b567") == "0x2fd0…c7b567"
    assert short_id("short") == "short"


def test_a_peer_has_its_nickname_and_an_impostor_its_own_text():
    assert name_of(peer_id(0)) == "vital-fair-snail"
    assert name_of("\x1b[31mnot a peer") == "not a peer"
    assert name_of("") == "(nobody)"
