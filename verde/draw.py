"""Why this module exists: who keeps, checks and judges a contribution, and which part of it, is nobody's choice.

    holders              from the seed of the round itself: they must know while it is played
    auditors, attestors  from the seed of the round in which they check, and the ledger that names what is to be checked
    items                likewise

A round's seed is the hash of a block after the one that recorded the ledger before it. So when the ledger is fixed, and
with it everything that is in it, nobody knows yet what will be looked at, and by whom.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from protocol.ids import ContentId, PeerId
from protocol.run import AuditRules
from protocol.seeds import derive_order, derive_seed

_MILLION = 1_000_000


class Drawn(msgspec.Struct, frozen=True):
    """Who was drawn for one contribution, and whether the training step is replayed besides the rollouts."""

    auditors: tuple[PeerId, ...]
    attestors: tuple[PeerId, ...]
    step: bool


def holder_order(seed: ContentId, author: PeerId, members: Collection[PeerId]) -> tuple[PeerId, ...]:
    """The others, in the order in which they are asked to keep what ``author`` contributes. ``seed``: the round's."""
    return tuple(derive_order("holder", sorted(set(members) - {author}), seed, author))


def receipts_needed(num_holders: int, num_contributors: int) -> int:
    """Holders' receipts without which none of a round's ``num_contributors`` contributions may enter its result.

    Never more than half of the contributors (itself included): with all others needed, a single one that keeps its
    receipts to itself could shut out everybody.
    """
    return min(num_holders, num_contributors // 2)


def entitled(seed: ContentId, author: PeerId, contributors: Collection[PeerId], num_holders: int) -> tuple[PeerId, ...]:
    """Whose receipts count: the first ``2 * num_holders + 1`` of the drawn order among those who contributed.

    Who contributed is alive, so members that are gone never stand in the way; the spare ones step in for the silent.
    """
    return holder_order(seed, author, contributors)[: 2 * num_holders + 1]


def draw(
    rules: AuditRules,
    seed: ContentId,
    ledger: ContentId,
    contribution: ContentId,
    author: PeerId,
    members: Collection[PeerId],
    *,
    everything: bool = False,
) -> Drawn:
    """Who checks a contribution in the round of ``seed`` and ``members``. ``ledger``: content id of the credit
    table that names it. ``everything``: the step is replayed for certain, because it is under suspicion."""
    others = sorted(set(members) - {author})
    key = (seed, ledger, contribution)
    chance = derive_seed("audit-step", *key) % _MILLION
    return Drawn(
        auditors=tuple(derive_order("auditor", others, *key)[: rules.num_auditors]),
        attestors=tuple(derive_order("attestor", others, *key)[: rules.num_attestors]),
        step=everything or chance < rules.step_rate_ppm,
    )


def draw_rollouts(
    rules: AuditRules,
    seed: ContentId,
    ledger: ContentId,
    contribution: ContentId,
    num_rollouts: int,
    *,
    everything: bool = False,
) -> tuple[int, ...]:
    """Which of a contribution's ``num_rollouts`` rollouts are sampled again: numbers in their order, ascending."""
    if everything:
        return tuple(range(num_rollouts))
    drawn = derive_order("audit-rollouts", range(num_rollouts), seed, ledger, contribution)
    return tuple(sorted(drawn[: rules.rollouts_per_audit]))
