"""Why this module exists: verdicts decide about pay, and their judges' merits about theirs, by one pure function.

    draws, and the verdicts that a proposal names  ->  ``rewards.pending.Ruling``

``verde.verdict`` knows one contribution; here is what all of a round's verdicts come to for the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from protocol.ids import ContentId, PeerId
from protocol.messages import Verdict
from rewards.pending import Judge, Ruling
from verde.draw import Drawn
from verde.verdict import Decision, Merit, decide, merits


def rule(
    drawn: Mapping[ContentId, Drawn],
    verdicts: Mapping[ContentId, Collection[Verdict]],
    *,
    overdue: Collection[ContentId] = (),
    unseen: Collection[ContentId] = (),
) -> Ruling:
    """What ``verdicts``, by contribution, come to. ``overdue``: paid unless it is struck, however undecided it is;
    ``unseen``: nobody could check it yet, so it stays undecided. Raises ``KeyError`` for what nobody was drawn for."""
    decisions = {content: decide(drawn[content], said) for content, said in verdicts.items()}
    worth: dict[PeerId, Counter[Merit]] = {}
    passed: set[ContentId] = set()
    for content, said in verdicts.items():
        found = merits(drawn[content], said)
        for peer, merit in found.items():
            worth.setdefault(peer, Counter())[merit] += 1
        if decisions[content] is Decision.CLEAR and Merit.RIGHT in found.values():
            passed.add(content)
    undecided = {content for content, decision in decisions.items() if decision is Decision.UNDECIDED}
    return Ruling(
        struck=frozenset(content for content, decision in decisions.items() if decision is Decision.GUILTY),
        undecided=frozenset(undecided - set(overdue) | set(unseen)),
        passed=frozenset(passed),
        judges=tuple(
            Judge(peer, found[Merit.RIGHT], found[Merit.FALSE], found[Merit.VAIN])
            for peer, found in sorted(worth.items())
        ),
    )
