"""Why this module exists: some terminals show no Unicode; there, every drawn sign has a plain one of the same width.

One filter on finished lines, so that no widget needs to know, borders and plots and peers' own words included.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("─━┈┄╌═╴╶╸╺", "-"),
        **dict.fromkeys("│┃┊┆║", "|"),
        **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝", "+"),
        **dict.fromkeys("█▓■▇▆", "#"),
        **dict.fromkeys("▒▅▄▐▌▀", "="),
        **dict.fromkeys("░▁▂▃·", "."),
        **dict.fromkeys("‹«", "<"),
        **dict.fromkeys("›»→▸▶", ">"),
        **dict.fromkeys("◂←", "<"),
        "●": "*", "○": "o", "◆": "*", "◇": "o", "✓": "+", "✗": "x", "✕": "x", "…": "~", "–": "-", "—": "-", "×": "x",
        "↑": "^", "↓": "v", "▲": "^", "▼": "v", "⏸": "=", "’": "'", "‘": "'", "“": '"', "”": '"', "⇥": ">",
        "▔": "-", "▏": "|", "▕": "|", "▎": "|", "▊": "|", "\u00a0": " ",
    }
)  # fmt: skip
_TOP, _BOTTOM = 0x01 | 0x02 | 0x08 | 0x10, 0x04 | 0x20 | 0x40 | 0x80


class PlainSigns(LineFilter):
    """Only ASCII leaves; what has no plain sign becomes question marks, as many as it had cells."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(ascii_of(text), style, control) for text, style, control in segments]


@lru_cache(maxsize=4096)
def ascii_of(text: str) -> str:
    """``text`` in ASCII, with the same width in cells."""
    if text.isascii():
        return text
    return "".join(one if one.isascii() else _sign(one) for one in text.translate(_PLAIN))


def _sign(character: str) -> str:
    code = ord(character)
    if 0x2800 <= code <= 0x28FF:  # braille: which half of the cell has dots
        top, bottom = code & _TOP, code & _BOTTOM
        return ":" if top and bottom else "'" if top else "." if bottom else " "
    return "?" * cell_len(character)


def shows_unicode(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this terminal shows more than ASCII, by its locale; ``SWARM_ASCII=1`` says that it does not."""
    if environment.get("SWARM_ASCII", "") not in ("", "0"):
        return False
    named = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or ""
    encoding = named.partition(".")[2] or (locale.getpreferredencoding(False) if named else "")
    if not named:
        return True  # nothing is said: every terminal of today does
    return named.upper() not in ("C", "POSIX") and encoding.lower().replace("-", "").startswith(("utf", "gb18030"))
