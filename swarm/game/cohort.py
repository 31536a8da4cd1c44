"""Why this module exists: who plays with whom, under which letter, and which sample is shown, is nobody's choice.

Pure functions of the round's seed and of what the chain says of its members, which is the same for everybody whenever
it looks. Newcomers (who was ejected and came back is one, too) are spread evenly over the cohorts: whoever enrols many
peers at once cannot surround somebody with them, and nobody sits among the untried only. Standing itself decides no
place: it is in the credit table, of which a result that comes late may show different peers different ones.

Letters mean the same for every peer of a cohort, and change from question to question, so that no habit of a model
(picking ``A``) favours a peer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from protocol.ids import ContentId, PeerId, Stage
from protocol.seeds import derive_order, derive_seed

MAX_COHORT = 26
"""Letters of the alphabet."""


def split_cohorts(
    round_seed: ContentId, members: Sequence[PeerId], cohort_size: int, newcomers: Collection[PeerId] = ()
) -> tuple[tuple[PeerId, ...], ...]:
    """``members`` in as few cohorts of at most ``cohort_size`` (and ``MAX_COHORT``) as possible, sizes within one, and
    the ``newcomers`` in each within one, too.

    Depends on who the members are, not on their order. Within a cohort peers are sorted by id.
    """
    size = max(1, min(cohort_size, MAX_COHORT))
    drawn = derive_order("cohort", sorted(set(members)), round_seed)
    drawn.sort(key=lambda peer: peer not in newcomers)
    count = -(-len(drawn) // size)
    return tuple(tuple(sorted(drawn[number::count])) for number in range(count))


def cohort_of(
    round_seed: ContentId,
    members: Sequence[PeerId],
    cohort_size: int,
    peer: PeerId,
    newcomers: Collection[PeerId] = (),
) -> tuple[PeerId, ...]:
    """The cohort that ``peer`` plays in. Raises ``ValueError`` when it is no member."""
    for cohort in split_cohorts(round_seed, members, cohort_size, newcomers):
        if peer in cohort:
            return cohort
    raise ValueError(f"{peer} is not a member of this round.")


def label_order(round_seed: ContentId, cohort: Sequence[PeerId], question: int) -> tuple[PeerId, ...]:
    """The cohort's peers in the order of their letters for this question: the first is ``A``."""
    return tuple(derive_order("labels", sorted(cohort), round_seed, question))


def label_of(position: int) -> str:
    return chr(ord("A") + position)


def shown_sample(round_seed: ContentId, stage: Stage, peer: PeerId, question: int, num_samples: int) -> int:
    """Which of a peer's samples the others are shown: drawn, so that a peer cannot put its best one forward."""
    return derive_seed("shown", round_seed, stage.value, peer, question) % num_samples
