"""Why this module exists: how credits become tokens on the simulated chain, with the rules of ``Settlement``."""

from __future__ import annotations

import msgspec

from chain.base import Affirm, Claim, Epoch, EpochState, EpochsView
from chain.credit_line import micro_of
from chain.fake.ground import Ground, is_proved, refuse
from chain.fake.registry import Registry
from chain.fake.results import Results
from chain.fake.roster import Roster
from chain.keys import peer_key
from protocol.ids import ZERO_ROOT, Address, ContentId, PeerId
from protocol.messages import RoundResult


class _Epoch(msgspec.Struct):
    result: RoundResult
    opened_at: int
    challenger: Address | None = None
    challenged_at: int = 0
    decided: EpochState | None = None


class Escrow:
    def __init__(self, ground: Ground, registry: Registry, roster: Roster, results: Results) -> None:
        self._ground = ground
        self._registry = registry
        self._roster = roster
        self._results = results
        self._epochs: list[_Epoch] = []
        self.claimed: dict[PeerId, int] = {}

    # --- looking -----------------------------------------------------------------------------------------------------

    def state(self, number: int) -> EpochState:
        epoch, rules = self._epochs[number], self._ground.rules
        if epoch.decided is not None:
            return epoch.decided
        if epoch.challenger is not None:
            return EpochState.CHALLENGED
        return EpochState.OPEN if self._ground.now < epoch.opened_at + rules.challenge_s else EpochState.FINAL

    def view(self, number: int) -> Epoch:
        epoch = self._epochs[number]
        return Epoch(
            number=number,
            round=epoch.result.round,
            credits_root=epoch.result.credits_root,
            total_micro=epoch.result.total_micro_credits,
            opened_at=epoch.opened_at,
            unlocks_at=self._unlocks_at(number),
            state=self.state(number),
        )

    def epochs(self) -> EpochsView:
        numbers = range(len(self._epochs))
        claimable = [number for number in numbers if self._is_claimable(number)]
        return EpochsView(
            block_at=self._ground.now,
            newest=self.view(numbers[-1]) if numbers else None,
            claimable=self.view(claimable[-1]) if claimable else None,
            covered_round=self.covered_round,
        )

    @property
    def covered_round(self) -> int:
        kept = [e.result.round for number, e in enumerate(self._epochs) if self.state(number) is not EpochState.VOID]
        return kept[-1] if kept else 0

    def _unlocks_at(self, number: int) -> int:
        epoch, rules = self._epochs[number], self._ground.rules
        return epoch.opened_at + rules.challenge_s + rules.dispute_s + (rules.answer_s if epoch.challenger else 0)

    def _is_claimable(self, number: int) -> bool:
        return self.state(number) is EpochState.FINAL and self._ground.now >= self._unlocks_at(number)

    # --- changing ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        if self._epochs and self.state(len(self._epochs) - 1) in (EpochState.OPEN, EpochState.CHALLENGED):
            refuse("EpochUndecided", epoch=len(self._epochs) - 1)
        due_from = self.covered_round + self._ground.rules.epoch_rounds
        if self._results.settled_round < due_from or self._results.latest is None:
            refuse("EpochNotDue", dueFromRound=due_from, settledRound=self._results.settled_round)
        self._epochs.append(_Epoch(self._results.latest, self._ground.now))

    def challenge(self, wallet: Address, number: int) -> None:
        if number >= len(self._epochs) or self.state(number) is not EpochState.OPEN:
            refuse("EpochNotOpen", epoch=number)
        self._ground.take(wallet, self._ground.rules.bond_micro)
        epoch = self._epochs[number]
        epoch.challenger, epoch.challenged_at = wallet, self._ground.now

    def affirm(self, intent: Affirm) -> None:
        """More than half of the round's whole weight signed what is recorded: the epoch stands, the bond is burned."""
        epoch = self._challenged(intent.epoch)
        if intent.result != epoch.result:
            refuse("ResultMismatch", epoch=intent.epoch)
        signers = self._results.signers(intent.result, intent.signatures)
        signed = self._results.signed_weight(intent.result.round, signers)
        needed = sum(member.weight for member in self._roster.members(intent.result.round)) // 2 + 1
        if signed < needed:
            refuse("MajorityMissing", needed=needed, given=signed)
        epoch.decided = EpochState.FINAL

    def void(self, number: int) -> None:
        epoch = self._challenged(number)
        if self._ground.now < epoch.challenged_at + self._ground.rules.answer_s:
            refuse("AnswerStillPossible", epoch=number, until=epoch.challenged_at + self._ground.rules.answer_s)
        epoch.decided = EpochState.VOID
        assert epoch.challenger is not None
        self._ground.pay(epoch.challenger, self._ground.rules.bond_micro)
        self._results.rollback(self.covered_round)

    def claim(self, intent: Claim) -> None:
        key, micro = peer_key(intent.peer), micro_of(intent.line)
        claimed = self.claimed.get(intent.peer, 0)
        if micro <= claimed:
            refuse("NothingToClaim", peerKey=key, claimedMicro=claimed)
        if intent.epoch >= len(self._epochs) or not self._is_claimable(intent.epoch):
            refuse("EpochLocked", epoch=intent.epoch)
        result = self._epochs[intent.epoch].result
        root: ContentId = result.credits_root if result else ZERO_ROOT
        if not is_proved(root, key, intent.line, intent.proof):
            refuse("ClaimProofRejected", peerKey=key, creditsRoot=root)
        owner = self._registry.owner_of(intent.peer)
        if owner is None:
            refuse("PeerUnknown", peerKey=key)
        total = sum(self.claimed.values()) + micro - claimed
        if total > result.total_micro_credits:
            refuse("EscrowOverdrawn", creditedMicro=result.total_micro_credits, claimedMicro=total)
        self.claimed[intent.peer] = micro
        self._ground.pay(owner, micro - claimed)

    def _challenged(self, number: int) -> _Epoch:
        if number >= len(self._epochs) or self.state(number) is not EpochState.CHALLENGED:
            refuse("EpochNotChallenged", epoch=number)
        return self._epochs[number]
