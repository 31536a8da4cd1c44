"""Why this module exists: what a completion says in each tag, and how well it kept to the form, decided in one place.

    answer     <think>…</think> <answer>…</answer>
    critique   <compare>…</compare> <identify>…</identify>
    decide     <majority>…</majority> <think>…</think> <answer>…</answer>

White space between the tags and line breaks inside them do not matter. Half of the format score is for tags that occur
once and are closed, the other half for nothing but the tags in their order; so a completion can earn both.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from protocol.ids import Stage

TAGS: dict[Stage, tuple[str, ...]] = {
    Stage.ANSWER: ("think", "answer"),
    Stage.CRITIQUE: ("compare", "identify"),
    Stage.DECIDE: ("majority", "think", "answer"),
}

TEXT_CAP = 64 * 1024
"""Characters. A longer completion is unreadable: no field, no format score."""

NONE = "none"
"""What a critique or a decision names when no shown answer is right."""

_SHORT = 2048
"""Characters of texts that are worth remembering; hostile ones are longer."""

_PICK = re.compile(r"(?:answer\s+)?\(?([a-z])\)?\.?", re.IGNORECASE)


class Parsed(msgspec.Struct, frozen=True):
    """``fields``: tag name -> stripped content, for tags that could be read. ``format_milli``: 0 to 1000."""

    fields: dict[str, str]
    format_milli: int


def parse(stage: Stage, text: str) -> Parsed:
    """Read a completion of ``stage``. Never raises; time is linear in the text. The result may be shared: do not
    change its ``fields``.

    When a tag occurs more than once (a model that quotes its instructions), the last complete pair counts.
    """
    if len(text) > TEXT_CAP:
        return Parsed({}, 0)
    return _remembered(stage, text) if len(text) <= _SHORT else _parse(stage, text)


def _parse(stage: Stage, text: str) -> Parsed:
    tags = TAGS[stage]
    fields: dict[str, str] = {}
    num_single = 0
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        end = text.rfind(closing)
        start = text.rfind(opening, 0, end) if end >= 0 else -1
        if start < 0:
            continue
        fields[tag] = text[start + len(opening) : end].strip()
        num_single += text.count(opening) == 1 and text.count(closing) == 1
    is_strict = num_single == len(tags) and _is_only_tags(tags, text)
    return Parsed(fields, 500 * num_single // len(tags) + 500 * is_strict)


# A shown answer is read again for each critique and decision that sees it.
_remembered = lru_cache(maxsize=4096)(_parse)


def read_pick(field: str | None) -> str | None:
    """The label (upper case) or ``NONE`` that an ``identify`` or ``majority`` field names; ``None`` when unreadable."""
    if field is None or len(field) > 40:
        return None
    if field.strip(" .").casefold() == NONE:
        return NONE
    match = _PICK.fullmatch(field)
    return match.group(1).upper() if match else None


def _is_only_tags(tags: tuple[str, ...], text: str) -> bool:
    position = 0
    for tag in tags:
        opening = text.find(f"<{tag}>", position)
        if opening < 0 or text[position:opening].strip():
            return False
        closing = text.find(f"</{tag}>", opening)
        if closing < 0:
            return False
        position = closing + len(tag) + 3
    return not text[position:].strip()
