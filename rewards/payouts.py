"""Why this module exists: claims of many peers in one transaction cost less than half, so peers take turns to pay it.

    every ``claim_every`` rounds    who is to be paid is put into groups, anew each time
    a group                         the first in it claims for all of it; when nothing comes of that in time, the second
                                    claims for who is left; and so on

Everybody's turn comes once in as many payouts as a group has peers, and whoever takes it saves the others' claims: each
pays less than by claiming alone. Who lets its turn pass is claimed for no longer by those who waited for it. Nobody
needs anybody: a claim pays its peer's owner whoever sends it, and every peer may claim for itself at any time. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from chain.base import Claim, ClaimLine, ClaimMany, Epoch
from chain.keys import peer_key
from protocol.ids import PeerId
from protocol.messages import CreditTable
from protocol.seeds import derive_order, derive_seed
from rewards.ledger import credits_tree, line_of

GROUP = 50
"""Peers of a group, on average at most: with so many, what the transaction itself costs is next to nothing for each."""

PRESENT_ROUNDS = 3
"""Who contributed to none of so many rounds before a payout is not claimed for: it may be gone, or not care."""


class Group(msgspec.Struct, frozen=True):
    """Peers whose claims go together. ``payers``: those of them that contributed to the very last round, in the order
    in which it is their turn."""

    peers: tuple[PeerId, ...]
    payers: tuple[PeerId, ...]

    def rank_of(self, peer: PeerId) -> int:
        """How many turns must have passed before ``peer`` claims."""
        return self.payers.index(peer) if peer in self.payers else len(self.payers)


def payout_of(epoch: Epoch, claim_every: int) -> int:
    """The number of the payout that ``epoch`` belongs to: one for every ``claim_every`` rounds, 0 is none."""
    return epoch.round // claim_every


def group_of(table: CreditTable, peer: PeerId, payout: int) -> Group:
    """The group of ``peer`` in a payout of ``table``; of ``peer`` alone when it did not contribute lately.

    Whose group and turn it is does not depend on who else is there, as long as the number of groups is the same: peers
    that look at different tables agree as far as they can."""
    since = table.round - PRESENT_ROUNDS
    present = [row.peer for row in table.rows if row.last_round > since and row.micro_credits]
    if peer not in present:
        return Group((peer,), (peer,))
    num_groups = -(-len(present) // GROUP)

    def number(one: PeerId) -> int:
        return derive_seed("payout group", table.run, payout, one) % num_groups

    mine = number(peer)
    peers = derive_order("payout turn", [one for one in present if number(one) == mine], table.run, payout)
    latest = {row.peer for row in table.rows if row.last_round == table.round}
    return Group(tuple(peers), tuple(one for one in peers if one in latest))


def claims(
    table: CreditTable, epoch: Epoch, me: PeerId, claimed_micro: Mapping[PeerId, int], left_out: Collection[PeerId] = ()
) -> Claim | ClaimMany | None:
    """One transaction for all peers of ``claimed_micro`` (what each was paid so far) that are owed something and not
    ``left_out``; ``None`` when there is nobody, or ``table`` is not the one that ``epoch`` pays. ``me`` is never left
    out."""
    tree = credits_tree(table)
    if tree.root != epoch.credits_root:
        return None
    skipped = set(left_out) - {me}
    lines = []
    for row in table.rows:
        if row.peer in claimed_micro and row.peer not in skipped and row.micro_credits > claimed_micro[row.peer]:
            line = line_of(row)
            lines.append(ClaimLine(row.peer, line, tree.proof(peer_key(row.peer), line)))
    if len(lines) == 1:
        return Claim(lines[0].peer, lines[0].line, epoch.number, lines[0].proof)
    return ClaimMany(epoch.number, tuple(lines)) if lines else None


__all__ = ["GROUP", "PRESENT_ROUNDS", "Group", "claims", "group_of", "payout_of"]
