"""Why this module exists: members, weights and rounds of the simulated chain, with the rules of ``RoundClock``."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chain.base import Member
from chain.fake.ground import Ground, block_hash, recovered, refuse
from chain.fake.registry import Registry
from chain.keys import peer_key
from protocol.ids import Address, PeerId


class _Seat(msgspec.Struct, frozen=True):
    """From a round on, this account signs for the peer with this weight (0: it is no member)."""

    from_round: int
    signer: Address
    weight: int


class _Standing(msgspec.Struct):
    """``last_renewed``: the round in which the peer last showed itself; ``readmitted``: since when it is back after it
    was barred."""

    seats: list[_Seat] = []
    joined_round: int = 0
    last_renewed: int = 0
    barred_until: int = 0
    readmitted: int = 0

    def seat_in(self, round: int) -> _Seat | None:
        return next((seat for seat in reversed(self.seats) if seat.from_round <= round), None)

    @property
    def weight(self) -> int:
        return self.seats[-1].weight if self.seats else 0


class Roster:
    """``units_of``: the weight that a peer's stake is worth."""

    def __init__(self, ground: Ground, registry: Registry) -> None:
        self._ground = ground
        self._registry = registry
        self._standings: dict[PeerId, _Standing] = {}
        self.round, self.opened_at, self.opened_block = 0, ground.now, ground.block
        self.active_round = 0
        """The round in which a result was recorded, or results were rolled back, for the last time."""

        self._openings: dict[int, int] = {}
        self.units_of: Callable[[PeerId], int] = lambda _peer: 1

    # --- looking -----------------------------------------------------------------------------------------------------

    @property
    def closes_at(self) -> int:
        return self.opened_at + self._ground.rules.round_s

    @property
    def seed(self) -> str:
        """Of the current round; empty until the block after its opening is mined."""
        return block_hash(self.opened_block + 1) if self._ground.block > self.opened_block else ""

    def age(self, round: int) -> tuple[int, str]:
        """Seconds since ``round`` opened, at least, and its seed as a contract sees it: empty at first."""
        if round > self.round:
            refuse("RoundNotOpened", current=self.round)
        opened_block = self._openings.get(round, 0)
        elapsed_s = (self.round - round) * self._ground.rules.round_s + self._ground.now - self.opened_at
        return elapsed_s, block_hash(opened_block + 1) if self._ground.block > opened_block else ""

    def standing(self, peer: PeerId) -> _Standing:
        return self._standings.get(peer) or _Standing()

    def members(self, round: int) -> tuple[Member, ...]:
        found = []
        for peer, standing in sorted(self._standings.items()):
            seat = standing.seat_in(round)
            if seat is not None and seat.weight:
                owner = self._registry.entries[peer].owner
                found.append(Member(peer, seat.signer, owner, standing.joined_round, seat.weight))
        return tuple(found)

    def require_signed(self, peer: PeerId, round: int, digest: bytes, signature: bytes) -> None:
        """Refuse what is not signed by the account that signed for the peer in that round."""
        signer = recovered(digest, signature)
        seats = [one.signer for one in self.members(round) if one.peer == peer]
        if signer not in seats:
            refuse("NotSignedByPeer", peerKey=peer_key(peer), signer=signer)

    def presence_is_fresh(self, peer: PeerId) -> bool:
        """Whether a member need not renew its presence yet: results are recorded, or it did so not long ago."""
        standing = self.standing(peer)
        since = max(standing.last_renewed, self.active_round)
        return bool(standing.weight) and self.round - since <= self._ground.rules.absence_rounds // 2

    # --- changing ----------------------------------------------------------------------------------------------------

    def enrol(self, wallet: Address, peer: PeerId) -> None:
        self._registry.require_owner(wallet, peer)
        standing = self._standings.setdefault(peer, _Standing())
        if standing.weight:
            standing.last_renewed = max(standing.last_renewed, self.round)
            return
        if standing.barred_until > self.round:
            refuse("StillBarred", untilRound=standing.barred_until)
        units = self.units_of(peer)
        if not units:
            refuse("StakeMissing", peerKey=peer_key(peer))
        if standing.barred_until and not standing.readmitted:
            standing.readmitted = self.round + 1
        standing.joined_round = standing.last_renewed = self.round + 1
        self._set_weight(peer, units)
        if not self.members(self.round) and len(self.members(self.round + 1)) >= self._ground.rules.start_members:
            self.open_next()

    def is_refreshed(self, peer: PeerId) -> bool:
        """Whether its seat in the next round is that of the account and the stake that it has now; so for no member."""
        standing = self.standing(peer)
        if not standing.weight:
            return True
        signer = self._registry.entries[peer].signer
        return (standing.seats[-1].signer, standing.weight) == (signer, self.units_of(peer))

    def refresh(self, peer: PeerId) -> None:
        self._require_enrolled(peer)
        self._set_weight(peer, self.units_of(peer))

    def resign(self, wallet: Address, peer: PeerId) -> None:
        self._registry.require_owner(wallet, peer)
        self._require_enrolled(peer)
        self._set_weight(peer, 0)

    def prune(self, peer: PeerId) -> None:
        self._require_enrolled(peer)
        last_renewed, absence = self.standing(peer).last_renewed, self._ground.rules.absence_rounds
        if self.round <= max(self.active_round, last_renewed) + absence:
            refuse("MemberNotAbsent", peerKey=peer_key(peer), lastRenewedRound=last_renewed)
        self._set_weight(peer, 0)

    def eject(self, peer: PeerId, barred_until: int) -> None:
        """Take a peer out, whatever it is; until round ``barred_until`` it cannot enrol (0: it may at once)."""
        standing = self._standings.setdefault(peer, _Standing())
        if barred_until > standing.barred_until:
            standing.barred_until, standing.readmitted = barred_until, 0
        if standing.weight:
            self._set_weight(peer, 0)

    def stake_changed(self, peer: PeerId) -> None:
        """Take over that a member's stake shrank, from the next round on."""
        if self.units_of(peer) < self.standing(peer).weight:
            self._set_weight(peer, self.units_of(peer))

    def advance(self, round: int) -> None:
        if round != self.round:
            refuse("RoundNotCurrent", current=self.round, given=round)
        if self._ground.now < self.closes_at:
            refuse("RoundStillOpen", round=round, closesAt=self.closes_at)
        if not self.members(round + 1):
            refuse("NoMembers")
        self.open_next()

    def open_next(self) -> None:
        self.round += 1
        self.opened_at, self.opened_block = self._ground.now, self._ground.block + 1
        self._openings[self.round] = self.opened_block

    def _require_enrolled(self, peer: PeerId) -> None:
        if not self.standing(peer).weight:
            refuse("NotEnrolled", peerKey=peer_key(peer))

    def _set_weight(self, peer: PeerId, weight: int) -> None:
        signer = self._registry.entries[peer].signer
        self._standings[peer].seats.append(_Seat(self.round + 1, signer, weight))
