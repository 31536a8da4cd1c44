"""Why this module exists: verdicts decide about pay, and their judges' merits about theirs, by one pure function.

    draws, and the verdicts that a proposal names  ->  ``rewards.pending.Ruling``

``verde.verdict`` knows one contribution; here is what all of a round's verdicts come to for the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from protocol.ids import ContentId, PeerId
from protocol.messages import Verdict
from rewards.economics import Economics, verdict_micro
from rewards.pending import Judge, Ruling
from verde.draw import Drawn
from verde.verdict import Decision, Merit, decide, merits


def rule(
    drawn: Mapping[ContentId, Drawn],
    verdicts: Mapping[ContentId, Collection[Verdict]],
    economics: Economics,
    step_rate_ppm: int,
    *,
    overdue: Collection[ContentId] = (),
    unseen: Collection[ContentId] = (),
) -> Ruling:
    """What ``verdicts``, by contribution, come to. ``step_rate_ppm``: the run's own, which sets the pay of a replay.
    ``overdue``: paid unless it is struck, however undecided it is; ``unseen``: nobody could check it yet, so it stays
    undecided. Raises ``KeyError`` for what nobody was drawn for."""
    decisions = {content: decide(drawn[content], said) for content, said in verdicts.items()}
    judges: dict[PeerId, Judge] = {}
    passed: set[ContentId] = set()
    for content, said in verdicts.items():
        found = merits(drawn[content], said)
        levels = {verdict.by: verdict.level for verdict in said}
        for peer, merit in found.items():
            judge, is_right = judges.get(peer, Judge(peer)), merit is Merit.RIGHT
            judges[peer] = Judge(
                peer,
                judge.micro_credits + is_right * verdict_micro(economics, levels[peer], step_rate_ppm),
                judge.false + (merit is Merit.FALSE),
                judge.vain + (merit is Merit.VAIN),
            )
        if decisions[content] is Decision.CLEAR and Merit.RIGHT in found.values():
            passed.add(content)
    undecided = {content for content, decision in decisions.items() if decision is Decision.UNDECIDED}
    return Ruling(
        struck=frozenset(content for content, decision in decisions.items() if decision is Decision.GUILTY),
        undecided=frozenset(undecided - set(overdue) | set(unseen)),
        passed=frozenset(passed),
        judges=tuple(judges[peer] for peer in sorted(judges)),
    )
