from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.braille import Curve, draw
from tui.widgets.peers_panel import sparkline
from tui.widgets.score_plot import _axis, _span


def as_text(cells):
    return ["".join(character for character, _ in line) for line in cells]


def test_a_rising_line_goes_from_corner_to_corner():
    assert as_text(draw([Curve([(0, 0), (1, 1)], "s")], 2, 1, (0, 1), (0, 1))) == ["⡠⠊"]
    assert as_text(draw([Curve([(0, 0), (3, 0)], "s")], 3, 2, (0, 3), (0, 1))) == ["   ", "⣀⣀⣀"]


def test_later_curves_cover_earlier_ones_and_markers_cover_lines():
    low, high = Curve([(0, 0), (1, 0)], "a"), Curve([(0, 0), (1, 0)], "b", "◆")
    (line,) = draw([low, high], 3, 1, (0, 1), (0, 1))
    assert line == [("◆", "b"), ("⣀", "b"), ("◆", "b")]


def test_the_grid_is_seen_where_no_curve_passes():
    (line,) = draw([Curve([(0, 0), (0, 0)], "a")], 3, 1, (0, 1), (0, 1), grid_rows=[0], grid_style="g")
    assert line == [("⡀", "a"), ("┈", "g"), ("┈", "g")]


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), max_size=20),
    st.integers(1, 40),
    st.integers(1, 12),
)
def test_any_curve_fits_its_frame(points, width, height):
    cells = draw([Curve(points, "s", "◆")], width, height, (0, 1), (0, 1))
    assert [len(line) for line in cells] == [width] * height


def test_the_axis_names_both_ends_and_round_steps_between():
    assert _axis(0, 12, 40) == "0               5              10     12"
    assert len(_axis(0, 1000, 37)) == 37
    assert _axis(612, 1011, 40).split() == ["612", "700", "800", "900", "1011"]
    assert len(_axis(0, 5, 2)) == 2


def test_the_scale_moves_in_steps_and_keeps_within_percent():
    assert _span([44.0, 60.0]) == (25.0, 75.0)
    assert _span([0.0]) == (0.0, 50.0)
    assert _span([99.0, 100.0]) == (50.0, 100.0)
    assert _span([3.0, 97.0]) == (0.0, 100.0)


def test_a_sparkline_shows_the_newest_values_right():
    assert sparkline((0, 500, 1000), 5) == "  ▁▄█"
    assert sparkline((1000, 0, 500), 2) == "▁▄"
    assert sparkline((-5, 5000), 2) == "▁█"
    assert sparkline((), 3) == "   "
