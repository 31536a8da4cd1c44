"""Why this module exists: a verdict that was made up earns nothing, and nobody alone can say that one was.

    author       compares every ``match`` on its contribution with what its own work yielded: right, or made up
    attestors    where somebody says "made up", they do the check again, and say so or not
    a majority of the attestors decides, about the judge and about who raised it

Reviews are not paid, so nobody has a reason for a false one. The author alone is believed in nothing: it only has the
attestors asked. All pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from protocol.ids import PeerId
from protocol.messages import Review
from verde.draw import Drawn

LEAST_PANEL = 2
"""Whom fewer could convict, nobody convicts: one peer's word is not enough to deny pay."""


class Reviewed(msgspec.Struct, frozen=True):
    """What the reviews of one contribution's verdicts come to: judges whose witness was made up, and reviewers who said
    the opposite of what a majority found."""

    made_up: frozenset[PeerId] = frozenset()
    false: frozenset[PeerId] = frozenset()


def may_review(drawn: Drawn, author: PeerId) -> frozenset[PeerId]:
    """Whose reviews are looked at: the author's and those of everybody drawn."""
    return frozenset((author, *drawn.auditors, *drawn.attestors))


def panel(drawn: Drawn, author: PeerId, judge: PeerId) -> tuple[PeerId, ...]:
    """Who decides about a judge: the attestors without itself, and the author where fewer than two are left."""
    others = tuple(peer for peer in drawn.attestors if peer != judge)
    return others if len(others) >= LEAST_PANEL else (*others, *({author} - {*others, judge}))


def opinions(drawn: Drawn, author: PeerId, reviews: Iterable[Review]) -> dict[PeerId, dict[PeerId, bool]]:
    """By judge, then by reviewer: whether its witness is right. Of who says both none counts."""
    said: dict[PeerId, dict[PeerId, set[bool]]] = {}
    entitled = may_review(drawn, author)
    for review in reviews:
        if review.by in entitled and review.by != review.judge:
            said.setdefault(review.judge, {}).setdefault(review.by, set()).add(review.is_right)
    return {
        judge: {peer: next(iter(words)) for peer, words in by.items() if len(words) == 1} for judge, by in said.items()
    }


def doubted(drawn: Drawn, author: PeerId, reviews: Iterable[Review]) -> frozenset[PeerId]:
    """Judges of whom somebody entitled says that the witness was made up: the attestors are to look."""
    found = opinions(drawn, author, reviews)
    return frozenset(judge for judge, said in found.items() if not all(said.values()))


def undecided(drawn: Drawn, author: PeerId, reviews: Iterable[Review]) -> dict[PeerId, frozenset[PeerId]]:
    """By doubted judge that no majority has decided about: who of its panel has not spoken."""
    waiting: dict[PeerId, frozenset[PeerId]] = {}
    for judge, said in opinions(drawn, author, reviews).items():
        deciding = panel(drawn, author, judge)
        if all(said.values()) or _majority(deciding, said) is not None:
            continue
        waiting[judge] = frozenset(deciding) - said.keys()
    return waiting


def weigh(drawn: Drawn, author: PeerId, reviews: Iterable[Review]) -> Reviewed:
    """What ``reviews`` (all of one contribution) come to."""
    made_up: set[PeerId] = set()
    false: set[PeerId] = set()
    for judge, said in opinions(drawn, author, reviews).items():
        is_right = _majority(panel(drawn, author, judge), said)
        if is_right is None:
            continue
        if not is_right:
            made_up.add(judge)
        false |= {peer for peer, word in said.items() if word != is_right}
    return Reviewed(frozenset(made_up), frozenset(false))


def _majority(deciding: tuple[PeerId, ...], said: dict[PeerId, bool]) -> bool | None:
    """What more than half of ``deciding`` say, ``None`` while they do not or are too few."""
    if len(deciding) < LEAST_PANEL:
        return None
    words = [said[peer] for peer in deciding if peer in said]
    for word in (True, False):
        if 2 * words.count(word) > len(deciding):
            return word
    return None
