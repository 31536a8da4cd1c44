"""Why this module exists: what peers say to each other is what a swarm is about, and any of it may be hostile."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from protocol.events import QuestionPlayed, Said
from swarm.observe.store import Store
from swarm.observe.text import name_of, plain
from swarm.observe.views import View

RIGHT_MILLI = 500
"""A decision scored at least so well counts as right in the list of questions."""

_SHORT, _TEXT = 600, 4000
_MAX_SPEAKERS = 64
_PICKS = re.compile(r"(?:picks |<pick>|<identify>)([A-Z])\b", re.IGNORECASE)


class SaidView(View, frozen=True):
    """What one peer said in one stage, as plain text, with its re-computed score and why.

    ``picks``: the label of the answer that a critique calls right, where it names one.
    """

    peer: str
    nickname: str
    label: str
    text: str
    score_milli: int
    why: str
    picks: str = ""


class QuestionView(View, frozen=True):
    """A question in full."""

    round: int
    question: str
    truth: str
    answers: tuple[SaidView, ...]
    critiques: tuple[SaidView, ...]
    decisions: tuple[SaidView, ...]


class QuestionHead(View, frozen=True):
    """A question's line in a list. ``num_right`` of ``num_decided`` peers decided well."""

    seq: int
    round: int
    question: str
    num_right: int
    num_decided: int


class RolloutsView(View, frozen=True):
    """The newest questions, oldest first, and the one that was asked for (the newest when ``seq`` is unknown)."""

    heads: tuple[QuestionHead, ...]
    seq: int | None
    question: QuestionView | None


def latest_question(store: Store) -> QuestionView | None:
    """The newest question, its texts shortened for a panel."""
    row = store.row("SELECT played FROM questions ORDER BY seq DESC LIMIT 1")
    return None if row is None else _view(row["played"], _SHORT)


def rollouts(store: Store, seq: int | None = None) -> RolloutsView:
    """All kept questions as heads, and one in full."""
    rows = store.rows("SELECT seq, played FROM questions ORDER BY seq")
    heads = tuple(_head(row["seq"], row["played"]) for row in rows)
    chosen = next((row for row in rows if row["seq"] == seq), rows[-1] if rows else None)
    if chosen is None:
        return RolloutsView(heads, None, None)
    return RolloutsView(heads, chosen["seq"], _view(chosen["played"], _TEXT))


@lru_cache(maxsize=256)
def _head(seq: int, played: bytes) -> QuestionHead:
    one = msgspec.json.decode(played, type=QuestionPlayed)
    right = sum(said.score_milli >= RIGHT_MILLI for said in one.decisions)
    return QuestionHead(seq, one.round, plain(one.question, 200), right, len(one.decisions))


@lru_cache(maxsize=8)
def _view(played: bytes, limit: int) -> QuestionView:
    one = msgspec.json.decode(played, type=QuestionPlayed)
    return QuestionView(
        round=one.round,
        question=plain(one.question, limit),
        truth=plain(one.truth, limit),
        answers=tuple(_said(said, limit) for said in one.answers[:_MAX_SPEAKERS]),
        critiques=tuple(_said(said, limit, critique=True) for said in one.critiques[:_MAX_SPEAKERS]),
        decisions=tuple(_said(said, limit) for said in one.decisions[:_MAX_SPEAKERS]),
    )


def _said(one: Said, limit: int, *, critique: bool = False) -> SaidView:
    text = plain(one.text, limit)
    picks = _PICKS.findall(text) if critique else []
    return SaidView(
        peer=plain(one.peer, 128),
        nickname=name_of(one.peer),
        label=plain(one.label, 4),
        text=text,
        score_milli=one.score_milli,
        why=plain(one.why, 200),
        picks=picks[-1].upper() if picks else "",
    )
