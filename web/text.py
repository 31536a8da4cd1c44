"""Why this module exists: models say what they like, and a page must show it without obeying it.

Templates escape HTML by themselves; here is what escaping does not help against: control and bidi characters, terminal
escapes, endless lines. Amounts and times for people are here, too. Pure.
"""

from __future__ import annotations

import re
import time

from swarm.observe.text import credits_text, plain, seconds_text, short_id

__all__ = [
    "ago",
    "clock",
    "credits",
    "credits_text",
    "milli",
    "paragraphs",
    "passages",
    "plain",
    "seconds_text",
    "short_id",
]

_TAG = re.compile(r"<(/?(?:think|answer|compare|identify|explain|majority|question|final|step_by_step))>")
MAX_LINES = 24
LINE_CAP = 400


def paragraphs(text: str, limit: int = 1_200) -> str:
    """``text`` in its own lines, each safe to print, at most ``MAX_LINES`` of them and ``limit`` characters in all."""
    lines = [plain(line, LINE_CAP) for line in text[: 4 * limit].splitlines()[: MAX_LINES + 1]]
    whole = "\n".join(line for line in lines[:MAX_LINES] if line)
    is_cut = len(lines) > MAX_LINES or len(whole) > limit or len(text) > 4 * limit
    return (whole[: limit - 1].rstrip() + "…") if is_cut else whole


def passages(text: str, limit: int = 1_200) -> list[tuple[str, str]]:
    """``paragraphs`` of ``text``, cut at the tags that the game asks for: (``think``, ``answer``…, or empty; words)."""
    found: list[tuple[str, str]] = []
    label = ""
    for number, piece in enumerate(_TAG.split(paragraphs(text, limit))):
        if number % 2:
            label = "" if piece.startswith("/") else piece
        elif piece.strip():
            found.append((label, piece.strip()))
    return found


def credits(micro: int | None, decimals: int = 3) -> str:
    """Micro-credits for a column: grouped, with a fixed number of decimals, cut, never rounded up."""
    if micro is None:
        return "–"
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    whole, rest = divmod(micro, 1_000_000)
    return f"{sign}{whole:,}.{rest:06d}"[: len(f"{sign}{whole:,}") + (1 + decimals if decimals else 0)]


def milli(value: int | None) -> str:
    """Thousandths as a decimal fraction: ``0.734``."""
    return "–" if value is None else f"{value // 1000}.{value % 1000:03d}"


def ago(at: int, now: float) -> str:
    """How long ago, in the largest unit that says it: ``12 s ago``."""
    if not at:
        return "never"
    passed = int(now - at)
    if passed < 5:
        return "now"
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= 2 * seconds:
            return f"{passed // seconds} {unit} ago"
    return f"{passed} s ago"


def clock(at: int) -> str:
    """A time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) if at else "–"
