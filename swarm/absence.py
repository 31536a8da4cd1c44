"""Why this module exists: nobody may try its luck again by pretending not to have seen somebody.

A prompt depends on which batches its author received. Whoever leaves one out gets another prompt and so another draw
of samples. Therefore an absence counts only where most of the cohort did not receive that batch either.

A batch of somebody who told different peers different things is nobody's duty to have seen: whom its author told what
was the author's choice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from protocol.ids import STAGES, ContentId, PeerId, Stage

Consumed = Mapping[Stage, Mapping[PeerId, tuple[ContentId, frozenset[ContentId]]]]
"""Stage -> peer -> (its batch, the batches that its prompts showed), for one cohort."""


def uncounted(consumed: Consumed, disputed: Collection[ContentId] = ()) -> frozenset[ContentId]:
    """Batches that earn nothing because their prompts left out what more than half of the stage's batches showed.

    ``disputed``: batches whose author signed another one for the same place, which some of the prompts show."""
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
