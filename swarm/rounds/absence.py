"""Why this module exists: what was shown to whom is a matter of timing, and must neither be an excuse nor a trap.

A prompt depends on which batches its author received. Whoever leaves one out gets another prompt and so another draw
of samples: it could try its luck again by pretending not to have seen somebody. And a batch that comes after the others
went on was of no use to them. Both show in the records, and both are a matter of what **most** of the cohort did:

    blind    its prompts left out what more than half of the stage's batches showed
    unseen   more than half of the others' prompts of the next stage did not show it

Such a batch is *late*: it keeps a share of its pay, and never more of it than its author's answers, which show nobody,
would get (``rewards.ledger.earned_micro``). So picking what to show does not pay, being late does not pay, and a
punctual peer that ended its stage a moment before somebody's answer arrived loses a part of one stage only.

A batch of somebody who told different peers different things is nobody's duty to have seen: whom its author told what
was the author's choice. One other peer alone makes nobody late.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

from protocol.ids import STAGES, ContentId, PeerId, Stage

Consumed = Mapping[Stage, Mapping[PeerId, tuple[ContentId, frozenset[ContentId]]]]
"""Stage -> peer -> (its batch, the batches that its prompts showed), for one cohort."""


def late(consumed: Consumed, disputed: Collection[ContentId] = ()) -> frozenset[ContentId]:
    """Batches that were blind or unseen (above).

    ``disputed``: batches whose author signed another one for the same place, which some of the prompts show."""
    return blind(consumed, disputed) | unseen(consumed) - set(disputed)


def blind(consumed: Consumed, disputed: Collection[ContentId] = ()) -> frozenset[ContentId]:
    """Batches whose prompts left out what more than half of the stage's batches showed."""
    out: set[ContentId] = set()
    for stage in STAGES[1:]:
        batches = consumed.get(stage, {})
        shown: dict[ContentId, int] = {}
        for _, contents in batches.values():
            for content in contents:
                shown[content] = shown.get(content, 0) + 1
        common = {content for content, count in shown.items() if 2 * count > len(batches)} - set(disputed)
        out |= {batch for batch, contents in batches.values() if not common <= contents}
    return frozenset(out)


def unseen(consumed: Consumed) -> frozenset[ContentId]:
    """Batches that came too late for more than half of the others that played the next stage, two of them at least."""
    out: set[ContentId] = set()
    for stage, following in pairwise(STAGES):
        for author, (batch, _) in consumed.get(stage, {}).items():
            prompts = [contents for peer, (_, contents) in consumed.get(following, {}).items() if peer != author]
            without = sum(batch not in contents for contents in prompts)
            if len(prompts) > 1 and 2 * without > len(prompts):
                out.add(batch)
    return frozenset(out)
