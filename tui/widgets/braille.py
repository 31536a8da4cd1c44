"""Why this module exists: eight dots per character make a readable curve in a terminal; this draws them, and only that.

Pure. textual-plot was tried: eight curves of 400 points cost it some fifty times the time of this loop per frame, it
loads an array library, and its dots cannot be told apart from text where there is no Unicode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of the dot at (row, column) of a braille cell (Unicode block 2800)."""


class Curve(NamedTuple):
    """Points in order of x, joined by lines; ``marker`` is put at each point, or nothing when empty."""

    points: Sequence[tuple[float, float]]
    style: str
    marker: str = ""


Cell = tuple[str, str]
"""A character and its style."""


def draw(
    curves: Sequence[Curve], width: int, height: int, x_range: tuple[float, float], y_range: tuple[float, float],
    grid_rows: Sequence[int] = (), grid_style: str = "",
) -> list[list[Cell]]:  # fmt: skip
    """``height`` rows of ``width`` cells. Later curves cover earlier ones; points outside the ranges are clamped.

    Rows named in ``grid_rows`` get a dotted line where no curve passes.
    """
    bits = [[0] * width for _ in range(height)]
    styles = [[""] * width for _ in range(height)]
    marks: dict[tuple[int, int], Cell] = {}
    for curve in curves:
        dots = [_dot(point, width, height, x_range, y_range) for point in curve.points]
        for start, end in zip(dots, dots[1:] or dots, strict=False):
            for x, y in _line(start, end):
                row, column = y // 4, x // 2
                if styles[row][column] != curve.style:
                    bits[row][column], styles[row][column] = 0, curve.style
                bits[row][column] |= _DOTS[y % 4][x % 2]
        if curve.marker:
            marks |= {(y // 4, x // 2): (curve.marker, curve.style) for x, y in dots}
    grid = set(grid_rows)
    return [
        [
            marks.get((row, column))
            or ((chr(0x2800 + dots), styles[row][column]) if dots else ("┈", grid_style) if row in grid else (" ", ""))
            for column, dots in enumerate(line)
        ]
        for row, line in enumerate(bits)
    ]


def _dot(
    point: tuple[float, float], width: int, height: int, x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[int, int]:
    x = (point[0] - x_range[0]) / ((x_range[1] - x_range[0]) or 1.0)
    y = (point[1] - y_range[0]) / ((y_range[1] - y_range[0]) or 1.0)
    column = round(min(1.0, max(0.0, x)) * (2 * width - 1))
    row = round((1.0 - min(1.0, max(0.0, y))) * (4 * height - 1))
    return column, row


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots between two dots, both included."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * step / steps), round(start[1] + (end[1] - start[1]) * step / steps))
        for step in range(steps + 1)
    ]
