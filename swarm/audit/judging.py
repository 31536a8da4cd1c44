"""Why this module exists: verdicts decide about pay, and their judges' merits about theirs, by one pure function.

    draws, and the verdicts that a proposal names  ->  ``rewards.pending.Ruling``

``verde.verdict`` knows one contribution; here is what all of a round's verdicts come to for the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from protocol.ids import ContentId, PeerId
from protocol.messages import Review, Verdict
from rewards.economics import Economics, verdict_micro
from rewards.pending import Judge, Ruling
from verde.draw import Drawn
from verde.review import Reviewed, doubted, weigh
from verde.verdict import Decision, Merit, decide, merits


def rule(
    drawn: Mapping[ContentId, Drawn],
    verdicts: Mapping[ContentId, Collection[Verdict]],
    economics: Economics,
    step_rate_ppm: int,
    *,
    authors: Mapping[ContentId, PeerId] = {},
    reviews: Mapping[ContentId, Collection[Review]] = {},
    overdue: Collection[ContentId] = (),
    unseen: Collection[ContentId] = (),
) -> Ruling:
    """What ``verdicts``, by contribution, come to. ``step_rate_ppm``: the run's own, which sets the pay of a replay.
    ``authors`` of the contributions and ``reviews`` of verdicts on them: whoever made its verdict up, or reviewed one
    falsely, is not paid for it and loses as much standing as by a false verdict.
    ``overdue``: paid unless it is struck, however undecided it is; ``unseen``: nobody could check it yet, so it stays
    undecided. Raises ``KeyError`` for what nobody was drawn for."""
    decisions = {content: decide(drawn[content], said) for content, said in verdicts.items()}
    judges: dict[PeerId, Judge] = {}
    passed: set[ContentId] = set()
    for content, said in verdicts.items():
        spoken, reviewed, is_doubted = reviews.get(content, ()), Reviewed(), False
        if spoken:
            reviewed = weigh(drawn[content], authors[content], spoken)
            is_doubted = bool(doubted(drawn[content], authors[content], spoken))
        found = merits(drawn[content], said, is_doubted=is_doubted)
        levels = {verdict.by: verdict.level for verdict in said}
        for peer, merit in found.items():
            judge, is_right = judges.get(peer, Judge(peer)), merit is Merit.RIGHT and peer not in reviewed.made_up
            judges[peer] = Judge(
                peer,
                judge.micro_credits + is_right * verdict_micro(economics, levels[peer], step_rate_ppm),
                judge.false + (merit is Merit.FALSE or peer in reviewed.made_up),
                judge.vain + (merit is Merit.VAIN),
            )
        for peer in sorted(reviewed.false):
            judge = judges.get(peer, Judge(peer))
            judges[peer] = replace(judge, false=judge.false + 1)
        looked = [merit for peer, merit in found.items() if peer not in reviewed.made_up]
        if decisions[content] is Decision.CLEAR and Merit.RIGHT in looked:
            passed.add(content)
    undecided = {content for content, decision in decisions.items() if decision is Decision.UNDECIDED}
    return Ruling(
        struck=frozenset(content for content, decision in decisions.items() if decision is Decision.GUILTY),
        undecided=frozenset(undecided - set(overdue) | set(unseen)),
        passed=frozenset(passed),
        judges=tuple(judges[peer] for peer in sorted(judges)),
    )
