"""Why this module exists: what rounds came to on the simulated chain, with the rules of ``Contributions``."""

from __future__ import annotations

from chain.base import ZERO_ROOT, Include, Member, Settle
from chain.fake.ground import Ground, recovered, refuse
from chain.fake.registry import Registry
from chain.fake.roster import Roster
from chain.keys import peer_key
from chain.sortition import FIRST_POSTERS, POSTER, doublings, is_drawn, quorum, ticket
from chain.typed_data import round_result_digest
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import RoundResult


class Results:
    """``final_round``: up to where results are paid out for good: nothing before it is ever undone."""

    def __init__(self, ground: Ground, registry: Registry, roster: Roster) -> None:
        self._ground = ground
        self._registry = registry
        self._roster = roster
        self.recorded: dict[int, RoundResult] = {}
        self.included: dict[int, dict[PeerId, ContentId]] = {}

    @property
    def latest(self) -> RoundResult | None:
        return self.recorded[max(self.recorded)] if self.recorded else None

    @property
    def settled_round(self) -> int:
        return max(self.recorded, default=0)

    @property
    def credits_root(self) -> ContentId:
        return self.latest.credits_root if self.latest else ZERO_ROOT

    @property
    def total_micro(self) -> int:
        return self.latest.total_micro_credits if self.latest else 0

    def post(self, wallet: Address, intent: Settle) -> None:
        result = intent.result
        self._require_next(result)
        members = self._roster.members(result.round)
        opened_at, seed = self._roster.opening(result.round)
        elapsed_s = self._ground.now - opened_at
        self._require_poster(wallet, intent.poster, result.round, seed, members, elapsed_s)
        signers = self.signers(result, intent.signatures)
        rules = self._ground.rules
        needed = quorum(
            seed,
            result.round,
            members,
            quorum_size=rules.quorum_size,
            attempt=doublings(elapsed_s, rules.round_s),
        )
        for peer in signers:
            if peer not in needed.votes:
                refuse("SignerNotDrawn", peerKey=peer_key(peer))
        if not needed.is_met(signers):
            votes = sum(needed.votes[peer] for peer in signers)
            refuse("QuorumMissing", needed=needed.needed, given=votes)
        self.recorded[result.round] = result
        if result.round == self._roster.round:
            self._roster.open_next()

    def include(self, wallet: Address, intent: Include) -> None:
        self._registry.require_owner(wallet, intent.peer)
        key = peer_key(intent.peer)
        if intent.round != self._roster.round:
            refuse("RoundNotCurrent", current=self._roster.round, given=intent.round)
        if intent.peer not in {member.peer for member in self._roster.members(intent.round)}:
            refuse("NotAMember", peerKey=key, round=intent.round)
        if intent.peer in self.included.get(intent.round, {}):
            refuse("AlreadyIncluded", peerKey=key, round=intent.round)
        self.included.setdefault(intent.round, {})[intent.peer] = intent.content

    def rollback(self, to_round: int) -> None:
        """Forget every result after ``to_round``."""
        self.recorded = {round: result for round, result in self.recorded.items() if round <= to_round}

    def signers(self, result: RoundResult, signatures: tuple[bytes, ...]) -> list[PeerId]:
        """The members of the result's round that signed it. Refuses any other signature, and any other order."""
        digest = round_result_digest(self._ground.contracts, result)
        members = {member.peer for member in self._roster.members(result.round)}
        peers: list[PeerId] = []
        previous = 0
        for signature in signatures:
            signer = recovered(digest, signature)
            if signer is None:
                refuse("ProofRejected")
            if int(signer, 16) <= previous:
                refuse("SignaturesUnordered", signer=signer)
            peer = self._registry.peer_of.get(signer)
            if peer not in members or peer is None or not self._registry.is_signer(peer, signer):
                refuse("NotAMember", signer=signer, round=result.round)
            if peer in peers:
                refuse("SignedTwice", peerKey=peer_key(peer))
            peers.append(peer)
            previous = int(signer, 16)
        return peers

    def _require_next(self, result: RoundResult) -> None:
        if result.round <= self.settled_round:
            refuse("RoundAlreadySettled", settledRound=self.settled_round)
        if result.round > self._roster.round:
            refuse("RoundNotOpened", current=self._roster.round)
        if result.previous_credits_root != self.credits_root:
            refuse("PreviousRootStale", recorded=self.credits_root, given=result.previous_credits_root)
        if result.total_micro_credits < self.total_micro:
            refuse("TotalDecreased", recorded=self.total_micro, given=result.total_micro_credits)
        allowed = min(self.total_micro + self._ground.rules.round_emission_micro, self._ground.budget_micro)
        if result.total_micro_credits > allowed:
            refuse("EmissionExceeded", allowedTotal=allowed, given=result.total_micro_credits)

    def _require_poster(
        self, wallet: Address, poster: PeerId, round: int, seed: str, members: tuple[Member, ...], elapsed_s: int
    ) -> None:
        self._registry.require_owner(wallet, poster)
        weight = next((member.weight for member in members if member.peer == poster), 0)
        if not weight:
            refuse("NotAMember", peerKey=peer_key(poster), round=round)
        total = sum(member.weight for member in members)
        expected = FIRST_POSTERS << doublings(elapsed_s, self._ground.rules.poster_s)
        drawn = ticket(seed, POSTER, round, poster)
        if not is_drawn(drawn, weight=weight, total_weight=total, expected=expected):
            refuse("PosterNotDrawn", peerKey=peer_key(poster))
