"""Why this module exists: text from a peer's model is shown to other models and on terminals, and must stay plain text.

After ``plain`` no structure survives that anybody acts on: no tag, chat-template token, role marker at a line's start,
control character, terminal escape or reordering mark. What a person would read is still there to be read.
"""

from __future__ import annotations

import re
import unicodedata

_LOOKALIKE = str.maketrans({"<": "‹", ">": "›", "|": "¦"})
_BRACKETED_WORD = re.compile(r"\[(/?[A-Za-z_]{1,32})\]")
_MAX_MARKS = 2
"""Combining marks kept in a row; stacks of them paint over other lines."""


def plain(text: str, cap: int) -> str:
    """``text`` as one line of at most ``cap`` characters (an ellipsis marks a cut).

    Compatibility forms are folded first (NFKC), since some tokenizers fold them later and would bring tags back:
    ``＜`` becomes ``<`` and then ``‹``. Control, format, surrogate, private and unassigned characters are dropped,
    white space of every kind becomes a single space, ``[INST]`` and the like become ``(INST)``.
    """
    head = unicodedata.normalize("NFKC", text[: 4 * cap])
    kept: list[str] = []
    marks = 0
    for character in head:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if character.isspace():
            kept.append(" ")
        elif category[0] != "C" and marks <= _MAX_MARKS:
            kept.append(character)
    line = " ".join("".join(kept).split()).translate(_LOOKALIKE)
    line = _BRACKETED_WORD.sub(r"(\1)", line)
    was_cut = len(line) > cap or len(text) > 4 * cap
    return line[: max(cap - 1, 0)] + "…" if was_cut else line
