"""Why this module exists: who keeps, checks and judges a contribution, and which part of it, is nobody's choice.

    holders              from the seed of the round itself: they must know while it is played
    auditors, attestors  from the seed of the round in which they check, and the ledger that names what is to be checked
    items                likewise

A round's seed is the hash of a block after the one that recorded the ledger before it. So when the ledger is fixed, and
with it everything that is in it, nobody knows yet what will be looked at, and by whom.

**Weights.** Who has twice the weight is drawn first twice as often. Everybody's hash u, taken as a number in (0, 1],
becomes the time -log2(u) / weight, and the order is by time: these are exponential waiting times at rates in proportion
to the weights, so whoever remains comes next with its share of the remaining weight (drawing without replacement). The
logarithm is computed in integers, to ``_FRACTION_BITS`` binary places, so that everybody gets the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from protocol.ids import ContentId, PeerId
from protocol.run import AuditRules
from protocol.seeds import Part, derive_bytes, derive_order, derive_seed

_MILLION = 1_000_000
_FRACTION_BITS = 32
_MANTISSA_BITS = 62
_DIGITS = 96
"""Binary places of a waiting time after the division by a weight."""

Weights = Mapping[PeerId, int]
"""Who may be drawn, and how likely compared with the others (``rewards.reputation.draw_weights``)."""


class Drawn(msgspec.Struct, frozen=True):
    """Who was drawn for one contribution, and whether the training step is replayed besides the rollouts."""

    auditors: tuple[PeerId, ...]
    attestors: tuple[PeerId, ...]
    step: bool


def waiting_time(digest: bytes) -> int:
    """-log2 of a hash of 32 bytes as a number in (0, 1], in units of 2**-``_FRACTION_BITS``, rounded up."""
    number = int.from_bytes(digest, "big") + 1
    whole = number.bit_length() - 1
    mantissa = (number << _MANTISSA_BITS) >> whole
    fraction = 0
    for _ in range(_FRACTION_BITS):
        mantissa = (mantissa * mantissa) >> _MANTISSA_BITS
        is_set = mantissa >> (_MANTISSA_BITS + 1)
        mantissa >>= is_set
        fraction = fraction << 1 | is_set
    return (8 * len(digest) << _FRACTION_BITS) - (whole << _FRACTION_BITS | fraction)


def weighted_order(purpose: str, weights: Weights, *parts: Part) -> tuple[PeerId, ...]:
    """All of ``weights`` whose weight is above 0, in an order that the parts fix: the heavier, the earlier (above)."""
    times = {
        peer: (waiting_time(derive_bytes(purpose, *parts, peer)) << _DIGITS) // weight
        for peer, weight in weights.items()
        if weight > 0
    }
    return tuple(sorted(times, key=lambda peer: (times[peer], peer)))


def holder_order(seed: ContentId, author: PeerId, weights: Weights) -> tuple[PeerId, ...]:
    """The others, in the order in which they are asked to keep what ``author`` contributed. ``seed``: the round's.

    Everybody's place depends on itself alone: the order among some of them is this one without the rest."""
    return weighted_order("holder", _without(weights, author), seed, author)


def receipts_needed(num_holders: int, num_entitled: int) -> int:
    """Holders' receipts without which a contribution may not enter its round's result, of ``num_entitled`` others that
    contributed and may be drawn.

    Never more than half of them and the author together: with all others needed, a single one that keeps its receipts
    to itself could shut out everybody.
    """
    return min(num_holders, (num_entitled + 1) // 2)


def entitled(order: Sequence[PeerId], contributors: Collection[PeerId], num_holders: int) -> tuple[PeerId, ...]:
    """Whose receipts count: the first ``2 * num_holders + 1`` of ``holder_order`` among those who contributed.

    Who contributed is alive, so members that are gone never stand in the way; the spare ones step in for the silent.
    """
    return tuple(peer for peer in order if peer in contributors)[: 2 * num_holders + 1]


def draw(
    rules: AuditRules,
    seed: ContentId,
    ledger: ContentId,
    contribution: ContentId,
    author: PeerId,
    weights: Weights,
    *,
    step_rate_ppm: int | None = None,
    everything: bool = False,
) -> Drawn:
    """Who checks a contribution in the round of ``seed``, of whose members ``weights`` may be drawn. ``ledger``:
    content id of the credit table that names it. ``step_rate_ppm``: instead of the rules' own, where the author's
    standing asks for it. ``everything``: the step is replayed for certain, because it is under suspicion."""
    others = _without(weights, author)
    key = (seed, ledger, contribution)
    chance = derive_seed("audit-step", *key) % _MILLION
    return Drawn(
        auditors=weighted_order("auditor", others, *key)[: rules.num_auditors],
        attestors=weighted_order("attestor", others, *key)[: rules.num_attestors],
        step=everything or chance < (rules.step_rate_ppm if step_rate_ppm is None else step_rate_ppm),
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


def _without(weights: Weights, author: PeerId) -> dict[PeerId, int]:
    return {peer: weight for peer, weight in weights.items() if peer != author}
