"""Why this module exists: models, peers and chains say what they like; a terminal must never obey them.

Everything that came from outside passes ``plain`` before a person sees it. Pure: no terminal, no environment.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from identity.names import nickname
from protocol.errors import BadRecord
from protocol.ids import parse_peer_id

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor moves
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"  # two-byte escapes
    r"|\x9b[0-?]*[ -/]*[@-~]?"  # CSI as one character
)
_SPACES = {"Zs", "Zl", "Zp"}
_MAX_MARKS = 2
"""Combining marks kept in a row: enough for every script, too few to paint over the neighbouring lines."""

_CUT = "…"


def plain(text: str, limit: int = 200) -> str:
    """``text`` as one line of at most ``limit`` characters that is safe to print.

    Escape sequences, control and format characters (bidi overrides, zero-width characters, tags), lone surrogates,
    private-use and unassigned code points are taken out; runs of white space become one space. A cut ends in ``…``.
    Does not escape any markup: hand the result to something that takes plain text.
    """
    text = _ESCAPES.sub("", text[: 8 * limit + 64])
    kept: list[str] = []
    num_marks = 0
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r\v\f\x85" or category in _SPACES:
            kept.append(" ")
        elif category[0] == "C":
            continue
        elif category in ("Mn", "Me"):
            num_marks += 1
            if num_marks <= _MAX_MARKS:
                kept.append(character)
            continue
        else:
            kept.append(character)
        num_marks = 0
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: max(0, limit - 1)].rstrip() + _CUT


def short_id(identifier: str) -> str:
    """A peer id, address or hash, short enough to sit in a sentence: its ends, where people look for differences."""
    identifier = plain(identifier, 128)
    if len(identifier) <= 14:
        return identifier
    head = 6 if identifier.startswith("0x") else 4
    return f"{identifier[:head]}{_CUT}{identifier[-6:]}"


@lru_cache(maxsize=4096)
def name_of(peer: str) -> str:
    """The nickname of a peer id; something that is no peer id (a stranger may claim anything) is shortened instead."""
    try:
        return nickname(parse_peer_id(peer))
    except BadRecord:
        return short_id(plain(peer, 64)) or "(nobody)"


def credits_text(micro_credits: int) -> str:
    """Micro-credits as decimal credits without needless zeros: ``1500000`` is ``1.5``, ``7`` is ``0.000007``."""
    sign = "-" if micro_credits < 0 else ""
    whole, rest = divmod(abs(micro_credits), 1_000_000)
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".")


def credits_short(micro_credits: int) -> str:
    """Micro-credits in at most seven characters or so, for tables: ``0.0053``, ``8.04``, ``1,234``."""
    amount = micro_credits / 1_000_000
    decimals = 0 if amount >= 1000 else 2 if amount >= 1 or micro_credits == 0 else 4
    return f"{amount:,.{decimals}f}"


def seconds_text(seconds: float) -> str:
    """A duration for people: ``0.4 s``, ``12 s``, ``3 m 05 s``, ``2 h 07 m``, ``3 d 04 h``."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"
