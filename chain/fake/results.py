"""Why this module exists: what rounds came to on the simulated chain, with the rules of ``Contributions``."""

from __future__ import annotations

from chain.base import ZERO_ROOT, Include, Settle
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
        self._require_poster(wallet, intent.poster, result.round)
        self._require_quorum(result, self.signers(result, intent.signatures))
        self.recorded[result.round] = result
        self._roster.active_round = self._roster.round
        if result.round == self._roster.round:
            self._roster.open_next()

    def include(self, wallet: Address, intent: Include) -> None:
        self._registry.require_owner(wallet, intent.peer)
        key = peer_key(intent.peer)
        if intent.round != self._roster.round:
            refuse("RoundNotCurrent", current=self._roster.round, given=intent.round)
        if intent.peer not in {member.peer for member in self._roster.members(intent.round)}:
            refuse("PeerNotAMember", peerKey=key, round=intent.round)
        if intent.peer in self.included.get(intent.round, {}):
            refuse("AlreadyIncluded", peerKey=key, round=intent.round)
        self.included.setdefault(intent.round, {})[intent.peer] = intent.content

    def rollback(self, to_round: int) -> None:
        """Forget every result after ``to_round``."""
        self.recorded = {round: result for round, result in self.recorded.items() if round <= to_round}
        self._roster.active_round = self._roster.round

    def signers(self, result: RoundResult, signatures: tuple[bytes, ...]) -> list[Address]:
        """The accounts behind the signatures, whoever they are."""
        digest = round_result_digest(self._ground.contracts, result)
        accounts = [recovered(digest, signature) for signature in signatures]
        if None in accounts:
            refuse("ProofRejected")
        return [account for account in accounts if account is not None]

    def signed_weight(self, round: int, signers: list[Address]) -> int:
        """What accounts in ascending order weigh together; every one must be a member's."""
        weights = {member.signer: member.weight for member in self._roster.members(round)}
        weight = previous = 0
        for signer in signers:
            if int(signer, 16) <= previous:
                refuse("SignaturesUnordered", signer=signer)
            if signer not in weights:
                refuse("NotAMember", signer=signer, round=round)
            weight += weights[signer]
            previous = int(signer, 16)
        return weight

    def _require_next(self, result: RoundResult) -> None:
        if result.round <= self.settled_round:
            refuse("RoundAlreadySettled", settledRound=self.settled_round)
        if result.previous_credits_root != self.credits_root:
            refuse("PreviousRootStale", recorded=self.credits_root, given=result.previous_credits_root)
        if result.total_micro_credits < self.total_micro:
            refuse("TotalDecreased", recorded=self.total_micro, given=result.total_micro_credits)
        allowed = min(self.total_micro + self._ground.rules.round_emission_micro, self._ground.budget_micro)
        if result.total_micro_credits > allowed:
            refuse("EmissionExceeded", allowedTotal=allowed, given=result.total_micro_credits)

    def _require_poster(self, wallet: Address, poster: PeerId, round: int) -> None:
        self._registry.require_owner(wallet, poster)
        elapsed_s, seed = self._roster.age(round)
        members = self._roster.members(round)
        found = next((member for member in members if member.peer == poster), None)
        if found is None:
            refuse("NotAMember", signer=self._registry.entries[poster].signer, round=round)
        total = sum(member.weight for member in members)
        expected = FIRST_POSTERS << doublings(elapsed_s, self._ground.rules.poster_s)
        if expected >= total:
            return
        self._require_seed(seed, round)
        drawn = ticket(seed, POSTER, round, found.signer)
        if not is_drawn(drawn, weight=found.weight, total_weight=total, expected=expected):
            refuse("PosterNotDrawn", peerKey=peer_key(poster), expected=expected)

    def _require_quorum(self, result: RoundResult, signers: list[Address]) -> None:
        elapsed_s, seed = self._roster.age(result.round)
        members, rules = self._roster.members(result.round), self._ground.rules
        attempt = doublings(elapsed_s, rules.round_s)
        expected = rules.quorum_size << attempt
        is_few = expected < sum(member.weight for member in members)
        if is_few:
            self._require_seed(seed, result.round)
        wanted = quorum(seed, result.round, members, quorum_size=rules.quorum_size, attempt=attempt)
        if is_few and len(signers) < wanted.needed:
            refuse("QuorumMissing", needed=wanted.needed, given=len(signers))
        weight = self.signed_weight(result.round, signers)
        peers = {member.signer: member.peer for member in members}
        for signer in signers:
            if peers[signer] not in wanted.votes:
                refuse("AttesterNotDrawn", signer=signer, expected=expected)
        if not is_few and weight < wanted.needed:
            refuse("MajorityMissing", needed=wanted.needed, given=weight)

    def _require_seed(self, seed: str, round: int) -> None:
        if not seed:
            refuse("SeedNotReady", round=round)
