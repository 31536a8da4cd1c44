"""Why this module exists: what work earned follows from checked records alone, for members and onlookers alike.

What one earns can depend on which others count: a batch is late when most others of the cohort did not show it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from protocol.ids import STAGES, ContentId, PeerId, Stage
from rewards.ledger import Verified, earned_micro
from swarm.rounds.absence import late
from swarm.rounds.checked import CheckedBatch
from swarm.rounds.inbox import Inbox


def verified(
    inbox: Inbox, *, late_share_milli: int, replayable: bool, among: Collection[ContentId] | None = None
) -> dict[ContentId, Verified]:
    """Contributions that ``inbox`` holds as checked, by content id, with what each earned.

    ``among``: as if only these had been made. Of who contradicts itself none counts. ``late_share_milli``: what late
    work keeps; ``replayable``: the run's engine is."""
    counted = {
        peer: checked
        for peer, checked in inbox.contributions.items()
        if peer not in inbox.contradicting and (among is None or checked.content in among)
    }
    works = {peer: inbox.scored(peer, checked.contribution.batches) or [] for peer, checked in counted.items()}
    late_batches, found = _late(inbox, works), {}
    for peer, checked in counted.items():
        scores = {one.header.stage: one.scores_milli for one in works[peer]}
        late_stages = [one.header.stage for one in works[peer] if one.content in late_batches]
        found[checked.content] = Verified(
            peer,
            checked.content,
            earned_micro(scores, late_stages, late_share_milli),
            checked.contribution.state_before,
            checked.contribution.state_after,
            punctual=not late_stages and all(scores.get(stage) for stage in STAGES),
            replayable=replayable,
        )
    return found


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
