"""Why this module exists: when a payout is challenged, somebody must still know who signed the result behind it.

    a round ends           what was signed in it, its members, the signatures seen  -> the journal
    an epoch is open       a result that few were drawn to sign, and this peer could not recompute: contested?
    an epoch is challenged signatures of more than half of the whole weight         -> the answer

All pure; ``swarm.pay.epochs`` acts on it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chain.base import Affirm, Contracts, Epoch, Member
from protocol.messages import Attestation, RoundResult
from rewards.settlement import affirmation


class Witnessed(msgspec.Struct, frozen=True):
    """What this peer knows of a round's result. ``members``: of its round; ``recomputed``: it came to the same."""

    result: RoundResult
    members: tuple[Member, ...]
    attestations: tuple[Attestation, ...]
    recomputed: bool


def about(epoch: Epoch, testimonies: Iterable[Witnessed]) -> Witnessed | None:
    """What is known of the result that ``epoch`` pays."""
    for known in testimonies:
        if (known.result.round, known.result.credits_root) == (epoch.round, epoch.credits_root):
            return known
    return None


def answer(epoch: Epoch, known: Witnessed, later: Iterable[Attestation], domain: Contracts) -> Affirm | None:
    """Signatures that affirm ``epoch``, from those kept and those seen ``later``; ``None`` when they are too few."""
    return affirmation(epoch.number, known.result, (*known.attestations, *later), known.members, domain)


def is_contested(
    epoch: Epoch, testimonies: Iterable[Witnessed], later: Iterable[Attestation], domain: Contracts
) -> bool:
    """Whether this peer, which took part in the epoch's round, should challenge it.

    It should when it could not recompute what is paid, and does not know signatures of more than half of the whole
    weight under it either: those would answer the challenge. Who knows nothing of the round challenges nothing.
    """
    known = tuple(testimonies)
    matching = about(epoch, known)
    if matching is None:
        return any(one.recomputed and one.result.round == epoch.round for one in known)
    return not matching.recomputed and answer(epoch, matching, later, domain) is None
