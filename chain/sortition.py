"""Why this module exists: who may post a result, and whose signatures it needs, is drawn by the round's seed.

A contract and every peer must draw the same, so this is the contracts' arithmetic (``RoundClock.isDrawn``) in Python:
a member's ticket is a hash of seed, purpose, round and signing account; a member of weight w is drawn, where e are
expected to be, when its ticket is below w * e of all W parts of the range. A larger e draws a superset. All pure.

    few        e < W     the signers must be drawn, and number at least two thirds of e
    everybody  e >= W    anybody signs, and more than half of the whole weight must

e doubles whenever a round's length passes without a result, so that missing members delay one and cannot prevent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

import msgspec
from eth_hash.auto import keccak

from chain.base import Member
from protocol.ids import Address, PeerId

POSTER, QUORUM = keccak(b"poster"), keccak(b"quorum")
FIRST_POSTERS = 4
"""Members expected to be drawn who may post at once; their number doubles every ``poster_s``."""

MAX_DOUBLINGS = 32
_RANGE = 2**256 - 1


def ticket(seed: str, domain: bytes, round: int, signer: Address) -> int:
    """The number of 256 bits that a member's signing account drew; ``seed``: the round's, 64 hex digits; ``domain``:
    what it is drawn for."""
    account = bytes(12) + bytes.fromhex(signer[2:])
    return int.from_bytes(keccak(bytes.fromhex(seed) + domain + round.to_bytes(32, "big") + account), "big")


def is_drawn(drawn: int, *, weight: int, total_weight: int, expected: int) -> bool:
    """Whether a member with ticket ``drawn`` is among those drawn, where ``expected`` are on average."""
    if expected * weight >= total_weight:
        return True
    return drawn < (_RANGE // total_weight) * weight * expected


def poster_order(seed: str, round: int, members: Iterable[Member]) -> tuple[PeerId, ...]:
    """Who proposes the round's result, and who takes over in turn: the order in which a growing draw admits them."""
    turn = {member.peer: Fraction(ticket(seed, POSTER, round, member.signer), member.weight) for member in members}
    return tuple(sorted(turn, key=lambda peer: (turn[peer], peer)))


def doublings(elapsed_s: int, each_s: int) -> int:
    """How often an expected number doubled ``elapsed_s`` seconds after the round opened."""
    return min(max(elapsed_s, 0) // each_s, MAX_DOUBLINGS)


class Quorum(msgspec.Struct, frozen=True):
    """Whose signatures count, for how much each, and what they must come to. ``asks_all``: nobody had to be drawn, so
    that whoever meets it speaks for more than half of the whole weight."""

    votes: Mapping[PeerId, int]
    needed: int
    asks_all: bool

    def is_met(self, signers: Iterable[PeerId]) -> bool:
        return sum(self.votes.get(peer, 0) for peer in set(signers)) >= self.needed


def quorum(seed: str, round: int, members: Iterable[Member], *, quorum_size: int, attempt: int = 0) -> Quorum:
    """Whose signatures a result of ``round`` needs in the given attempt. Raises ``ValueError`` without members."""
    members = tuple(members)
    weights = {member.peer: member.weight for member in members}
    total = sum(weights.values())
    if not total:
        raise ValueError("A round without members has no quorum.")
    expected = quorum_size << min(attempt, MAX_DOUBLINGS)
    if expected >= total:
        return Quorum(weights, total // 2 + 1, asks_all=True)
    votes = {
        one.peer: 1
        for one in members
        if is_drawn(ticket(seed, QUORUM, round, one.signer), weight=one.weight, total_weight=total, expected=expected)
    }
    return Quorum(votes, -(-2 * expected // 3), asks_all=False)
