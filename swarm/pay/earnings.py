"""Why this module exists: what work earned follows from checked records alone, for members and onlookers alike.

What one earns can depend on which others count: a batch is late when most others of the cohort did not show it; and
where scorers may differ, a claimed score counts when more than half of the cohort's contributors stand by it, its
author included: those who trained on the batch and did not contest it. What does not count is worth 0, and nobody is
blamed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.messages import Contribution
from protocol.run import TOLERANCE_CHECKED
from rewards.ledger import Verified, earned_micro
from rewards.levels import right_milli
from swarm.rounds.absence import late
from swarm.rounds.checked import CheckedBatch, CheckedContribution
from swarm.rounds.contribution import void_of
from swarm.rounds.inbox import Inbox


def verified(
    inbox: Inbox, *, late_share_milli: int, among: Collection[ContentId] | None = None
) -> dict[ContentId, Verified]:
    """Contributions that ``inbox`` holds as checked, by content id, with what each earned.

    ``among``: as if only these had been made. Of who contradicts itself none counts. ``late_share_milli``: what late
    work keeps."""
    counted = {
        peer: checked
        for peer, checked in inbox.contributions.items()
        if peer not in inbox.contradicting and (among is None or checked.content in among)
    }
    works = {peer: inbox.scored(peer, checked.contribution.batches) or [] for peer, checked in counted.items()}
    late_batches, found = _late(inbox, works), {}
    for peer, checked in counted.items():
        scores = {one.header.stage: _agreed(inbox, one, counted) for one in works[peer]}
        late_stages = [one.header.stage for one in works[peer] if one.content in late_batches]
        found[checked.content] = Verified(
            peer,
            checked.content,
            earned_micro(scores, late_stages, late_share_milli),
            checked.contribution.state_before,
            checked.contribution.state_after,
            punctual=not late_stages and all(scores.get(stage) for stage in STAGES),
            replayable=can_be_replayed(checked.contribution),
            right_milli=right_milli(scores.get(Stage.ANSWER, ()), inbox.base.game),
        )
    return found


def can_be_replayed(contribution: Contribution) -> bool:
    """Whether others can do this work again bit for bit: its arithmetic is exact and its states are shown."""
    return contribution.after is not None and contribution.engine not in TOLERANCE_CHECKED


def _agreed(inbox: Inbox, one: CheckedBatch, counted: Mapping[PeerId, CheckedContribution]) -> tuple[int, ...]:
    """What counts of a batch's claims, by what the contributions of its cohort say."""
    if not one.batch.claims:
        return one.scores_milli
    mates = [peer for peer in inbox.empty_view_of(one.batch.peer).cohort if peer in counted and peer != one.batch.peer]
    told = [counted[peer].contribution for peer in mates]
    void = [void_of(each).get(one.content, frozenset()) for each in told if one.content in each.consumed]
    return tuple(
        claim if claim is not None and 2 * (1 + sum(number not in numbers for numbers in void)) > 1 + len(mates) else 0
        for number, claim in enumerate(one.batch.claims)
    )


def _late(inbox: Inbox, works: Mapping[PeerId, Sequence[CheckedBatch]]) -> frozenset[ContentId]:
    """Batches of ``works`` that most others of the cohort did not show, or that left out what most of them did."""
    found: set[ContentId] = set()
    for cohort in inbox.cohorts():
        batches = [one for peer in cohort for one in works.get(peer, ())]
        consumed = {
            stage: {
                one.batch.peer: (one.content, frozenset(one.header.consumed))
                for one in batches
                if one.header.stage is stage
            }
            for stage in STAGES
        }
        found |= late(consumed, _disputed(inbox, batches))
    return frozenset(found)


def _disputed(inbox: Inbox, batches: Sequence[CheckedBatch]) -> set[ContentId]:
    """Of all that these batches are or show: those of which there are several by one author for one stage."""
    versions: dict[tuple[PeerId, Stage], set[ContentId]] = {}
    for content in {one.content for one in batches}.union(*(one.header.consumed for one in batches)):
        versions.setdefault(inbox.place_of(content), set()).add(content)
    return {content for several in versions.values() if len(several) > 1 for content in several}
