"""Why this module exists: how credits become tokens on the simulated chain, with the rules of ``Settlement``."""

from __future__ import annotations

import msgspec

from chain.base import Affirm, Claim, ClaimMany, Epoch, EpochState, EpochsView
from chain.credit_line import micro_of
from chain.fake.ground import Ground, is_proved, refuse
from chain.fake.registry import Registry
from chain.fake.results import Results
from chain.fake.roster import Roster
from chain.fake.vault import Vault
from chain.keys import peer_key
from protocol.errors import ChainError
from protocol.ids import ZERO_ROOT, Address, ContentId, PeerId
from protocol.messages import RoundResult


class _Epoch(msgspec.Struct):
    result: RoundResult
    opened_at: int
    challenger: Address | None = None
    answer_by: int = 0
    progress: dict[Address, tuple[int, int]] = {}
    decided: EpochState | None = None


class Escrow:
    def __init__(self, ground: Ground, registry: Registry, roster: Roster, results: Results, vault: Vault) -> None:
        self._ground = ground
        self._registry = registry
        self._roster = roster
        self._results = results
        self._vault = vault
        self._struck: dict[PeerId, tuple[int, int]] = {}
        self._forfeited: dict[PeerId, int] = {}
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
            answer_by=epoch.answer_by,
            data_hash=epoch.result.data_hash,
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
            final_round=self.last_final()[0],
            final_root=self.last_final()[1],
        )

    def last_final(self) -> tuple[int, ContentId]:
        """Round and credits root of the last final epoch."""
        for number in reversed(range(len(self._epochs))):
            if self.state(number) is EpochState.FINAL:
                return self._epochs[number].result.round, self._epochs[number].result.credits_root
        return 0, ZERO_ROOT

    @property
    def covered_round(self) -> int:
        kept = [e.result.round for number, e in enumerate(self._epochs) if self.state(number) is not EpochState.VOID]
        return kept[-1] if kept else 0

    @property
    def paid_round(self) -> int:
        """Round of the newest epoch that can be paid: work of earlier rounds cannot be disputed any more."""
        return self.epochs().paid_round

    def _unlocks_at(self, number: int) -> int:
        epoch, rules = self._epochs[number], self._ground.rules
        return epoch.opened_at + rules.challenge_s + rules.dispute_s + (rules.answer_s if epoch.challenger else 0)

    def _is_claimable(self, number: int) -> bool:
        return self.state(number) is EpochState.FINAL and self._ground.now >= self._unlocks_at(number)

    # --- changing ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        if self._epochs and self.state(len(self._epochs) - 1) in (EpochState.OPEN, EpochState.CHALLENGED):
            refuse("EpochUndecided", epoch=len(self._epochs) - 1)
        covered, settled = self.covered_round, self._results.settled_round
        if settled <= covered or self._results.latest is None:
            refuse("EpochNotDue", settledRound=settled, dueRound=covered + 1)
        if self._roster.round <= covered + self._ground.rules.epoch_rounds:
            refuse("EpochNotDue", settledRound=settled, dueRound=covered + self._ground.rules.epoch_rounds)
        self._epochs.append(_Epoch(self._results.latest, self._ground.now))

    def challenge(self, wallet: Address, number: int) -> None:
        epoch, until = self._undecided(number, challenged=False)
        if self._ground.now >= until:
            refuse("TooLate", until=until)
        self._ground.take(wallet, self._ground.rules.bond_micro)
        epoch.challenger, epoch.answer_by = wallet, self._ground.now + self._ground.rules.answer_s

    def affirm(self, wallet: Address, intent: Affirm) -> None:
        """Once one sender showed more than half of the round's whole weight, the epoch stands; the bond is burned."""
        epoch, until = self._undecided(intent.epoch, challenged=True)
        if self._ground.now >= until:
            refuse("TooLate", until=until)
        if msgspec.structs.replace(intent.result, contributions_root="", previous_credits_root="") != (
            msgspec.structs.replace(epoch.result, contributions_root="", previous_credits_root="")
        ):
            refuse("ResultNotOfEpoch", epoch=intent.epoch)
        signers = self._results.signers(intent.result, intent.signatures)
        last, weight = epoch.progress.get(wallet, (0, 0))
        if signers and int(signers[0], 16) <= last:
            refuse("SignaturesUnordered", signer=signers[0])
        weight += self._results.signed_weight(intent.result.round, signers)
        epoch.progress[wallet] = (int(signers[-1], 16) if signers else last, weight)
        if weight > sum(member.weight for member in self._roster.members(intent.result.round)) // 2:
            epoch.decided = EpochState.FINAL

    def void(self, number: int) -> None:
        epoch, until = self._undecided(number, challenged=True)
        if self._ground.now < until:
            refuse("TooEarly", until=until)
        epoch.decided = EpochState.VOID
        assert epoch.challenger is not None
        self._ground.pay(epoch.challenger, self._ground.rules.bond_micro)
        self._results.rollback(self.covered_round)

    def claim(self, intent: Claim) -> None:
        key, micro = peer_key(intent.peer), micro_of(intent.line)
        if intent.epoch >= len(self._epochs):
            refuse("EpochNotOpen", epoch=intent.epoch)
        if not self._is_claimable(intent.epoch):
            refuse("EpochNotClaimable", epoch=intent.epoch, unlocksAt=self._unlocks_at(intent.epoch))
        claimed, result = self.claimed.get(intent.peer, 0), self._epochs[intent.epoch].result
        self._vault.require_free(intent.peer)
        if micro <= claimed:
            refuse("NothingToClaim", peerKey=key, claimedMicro=claimed)
        if not is_proved(result.credits_root, key, intent.line, intent.proof):
            refuse("ClaimProofRejected", peerKey=key, creditsRoot=result.credits_root)
        owner = self._registry.owner_of(intent.peer)
        if owner is None:
            refuse("PeerUnknown", peerKey=key)
        if sum(self.claimed.values()) + micro - claimed > result.total_micro_credits:
            refuse("EscrowOverdrawn", reserveMicro=self._ground.budget_micro - result.total_micro_credits)
        self.claimed[intent.peer] = micro
        first, last = self._struck.get(intent.peer, (result.round, 0))
        if result.round <= first:
            self._ground.pay(owner, micro - claimed)
            return
        self._forfeited[intent.peer] = result.round
        del self._struck[intent.peer]
        if result.round <= last:
            self._struck[intent.peer] = (result.round, last)

    def claim_many(self, intent: ClaimMany) -> None:
        """All or nothing, like a transaction; who was paid already, or may not claim this now, is passed over."""
        claimed, token_wei = dict(self.claimed), dict(self._ground.token_wei)
        try:
            for one in intent.lines:
                if not self.is_passed_over(one.peer) and micro_of(one.line) > self.claimed.get(one.peer, 0):
                    self.claim(Claim(one.peer, one.line, intent.epoch, one.proof))
        except ChainError:
            self.claimed, self._ground.token_wei = claimed, token_wei
            raise

    def is_passed_over(self, peer: PeerId) -> bool:
        """Whether a claim for many leaves ``peer`` to itself: it is accused, or has pay to forfeit first."""
        return self._vault.is_held(peer) or peer in self._struck

    def strike(self, peer: PeerId, round: int) -> None:
        """Claims against epochs after ``round`` forfeit what they would have paid, up to the first that is against an
        epoch after the last round that was struck."""
        if round >= self._forfeited.get(peer, 0):
            first, last = self._struck.get(peer, (round, round))
            self._struck[peer] = (min(first, round), max(last, round))

    def _undecided(self, number: int, *, challenged: bool) -> tuple[_Epoch, int]:
        """An epoch that nobody decided yet, and until when it can be challenged, or the challenge answered."""
        epoch = self._epochs[number] if number < len(self._epochs) else None
        if epoch is None or epoch.decided is not None or (epoch.challenger is not None) != challenged:
            refuse("EpochNotOpen", epoch=number)
        return epoch, epoch.answer_by if challenged else epoch.opened_at + self._ground.rules.challenge_s
