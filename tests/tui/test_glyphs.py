import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.glyphs import ascii_of, shows_unicode


def test_drawn_signs_have_plain_ones():
    assert ascii_of("╭─ ✓ ●━╸ ▁▄█ ⠉⣀⣿") == "+- + *-- .=# '.:"
    assert ascii_of("日本 é") == "???? ?"


@given(st.text(st.characters(blacklist_categories=("C",)), max_size=40))
def test_what_leaves_is_ascii_of_the_same_width(text):
    plain = ascii_of(text)
    assert plain.isascii()
    assert cell_len(plain) == sum(cell_len(one) for one in text)


@pytest.mark.parametrize(
    ("environment", "shows"),
    [
        ({}, True),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8"}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "POSIX"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "en_GB.UTF-8", "SWARM_ASCII": "1"}, False),
        ({"LANG": "en_GB.UTF-8", "SWARM_ASCII": "0"}, True),
    ],
)
def test_the_locale_says_whether_unicode_is_shown(environment, shows):
    assert shows_unicode(environment) is shows
