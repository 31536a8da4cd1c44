"""Why this module exists: stake and its loss, with the rules of ``StakeVault``, ``Equivocation``, ``Reputation``."""

from __future__ import annotations

import msgspec

from chain.base import WEI_PER_MICRO, Accuse, Prune, RecordReputation, Stake, Unstake
from chain.credit_line import unpack
from chain.fake.ground import Ground, is_proved, refuse
from chain.fake.registry import Registry
from chain.fake.roster import Roster
from chain.keys import peer_key
from chain.reports import EquivocationReport
from chain.typed_data import record_digest
from protocol.ids import Address, ContentId, PeerId

MAX_UNITS = 8
"""The most that a peer's stake weighs."""

MIN_STANDING_MILLI = 100
ACCUSABLE = "contribution"


class Deposit(msgspec.Struct):
    """Of one peer. ``numbers``: of the deposits and exits that were made; ``holds``: open games about it, and
    ``requests``: open requests for its data."""

    active_micro: int = 0
    exiting_micro: int = 0
    ready_at: int = 0
    numbers: set[tuple[str, int]] = set()
    holds: int = 0
    requests: int = 0


class Vault:
    def __init__(self, ground: Ground, registry: Registry, roster: Roster) -> None:
        self._ground = ground
        self._registry = registry
        self._roster = roster
        self._deposits: dict[PeerId, Deposit] = {}
        self._offences: dict[tuple[PeerId, int], EquivocationReport] = {}
        self._recorded_in: dict[PeerId, int] = {}

    def deposit(self, peer: PeerId) -> Deposit:
        return self._deposits.get(peer) or Deposit()

    def units_of(self, peer: PeerId) -> int:
        least = self._ground.rules.min_stake_micro
        return min(self.deposit(peer).active_micro // least, MAX_UNITS) if least else 1

    def stake(self, wallet: Address, intent: Stake) -> None:
        self._registry.require_owner(wallet, intent.peer)
        if intent.amount_micro <= 0:
            refuse("AmountOutOfRange", amountWei=intent.amount_micro * WEI_PER_MICRO)
        self._ground.take(wallet, intent.amount_micro)
        deposit = self._deposits.setdefault(intent.peer, Deposit())
        deposit.active_micro += intent.amount_micro
        deposit.numbers.add(("stake", intent.number))

    def unstake(self, wallet: Address, intent: Unstake) -> None:
        self._registry.require_owner(wallet, intent.peer)
        deposit = self._deposits.setdefault(intent.peer, Deposit())
        if intent.amount_micro <= 0:
            refuse("AmountOutOfRange", amountWei=intent.amount_micro * WEI_PER_MICRO)
        if intent.amount_micro > deposit.active_micro:
            refuse("StakeTooSmall", activeWei=deposit.active_micro * WEI_PER_MICRO)
        deposit.active_micro -= intent.amount_micro
        deposit.exiting_micro += intent.amount_micro
        deposit.ready_at = self._ground.now + self._ground.rules.unbonding_s
        deposit.numbers.add(("exit", intent.number))
        self._roster.stake_changed(intent.peer)

    def withdraw(self, peer: PeerId) -> None:
        deposit, owner = self.deposit(peer), self._registry.owner_of(peer)
        self.require_free(peer)
        if deposit.requests:
            refuse("DisputePending", peerKey=peer_key(peer))
        if owner is None or not deposit.exiting_micro or self._ground.now < deposit.ready_at:
            refuse("StakeNotReady", readyAt=deposit.ready_at if deposit.exiting_micro else 0)
        self._ground.pay(owner, deposit.exiting_micro)
        deposit.exiting_micro = 0

    def slash(self, peer: PeerId, amount_micro: int, reporter: Address) -> None:
        """Active stake first, then what is leaving; half is burned, the rest is the reporter's."""
        deposit = self.deposit(peer)
        from_active = min(amount_micro, deposit.active_micro)
        from_exiting = min(amount_micro - from_active, deposit.exiting_micro)
        deposit.active_micro -= from_active
        deposit.exiting_micro -= from_exiting
        self._ground.pay(reporter, (from_active + from_exiting) // 2)
        self._roster.stake_changed(peer)

    def take_all(self, peer: PeerId, reporter: Address) -> int:
        """All of a peer's stake, slashed."""
        deposit = self.deposit(peer)
        whole = deposit.active_micro + deposit.exiting_micro
        self.slash(peer, whole, reporter)
        return whole

    def hold(self, peer: PeerId, by: int) -> None:
        """Count an open game about the peer, or one less: as long as there is one, neither stake nor pay gets out."""
        self._deposits.setdefault(peer, Deposit()).holds += by

    def hold_stake(self, peer: PeerId, by: int) -> None:
        """Count an open request about the peer, or one less: as long as there is one, its stake stays."""
        self._deposits.setdefault(peer, Deposit()).requests += by

    def is_held(self, peer: PeerId) -> bool:
        return self.deposit(peer).holds > 0

    def require_free(self, peer: PeerId) -> None:
        if self.is_held(peer):
            refuse("DisputePending", peerKey=peer_key(peer))

    # --- offences ----------------------------------------------------------------------------------------------------

    def is_convicted(self, peer: PeerId, round: int) -> bool:
        return (peer, round) in self._offences

    async def equivocations(self, since_block: int = 0) -> tuple[EquivocationReport, ...]:
        """``chain.reports.Reports``."""
        return tuple(report for report in self._offences.values() if report.block >= since_block)

    def accuse(self, wallet: Address, intent: Accuse, paid_round: int, transaction: str) -> None:
        key = peer_key(intent.peer)
        if intent.kind != ACCUSABLE:
            refuse("KindNotAccusable")
        if intent.content_a == intent.content_b:
            refuse("SameContent")
        if self.is_convicted(intent.peer, intent.round):
            refuse("AlreadyProven", peerKey=key, round=intent.round)
        if intent.round < paid_round:
            refuse("RoundPaid", round=intent.round, paidRound=paid_round)
        for content, signature in (
            (intent.content_a, intent.signature_a),
            (intent.content_b, intent.signature_b),
        ):
            digest = record_digest(self._ground.contracts, self._ground.run, intent.kind, intent.round, content)
            self._roster.require_signed(intent.peer, intent.round, digest, signature)
        self._offences[intent.peer, intent.round] = EquivocationReport(
            peer=intent.peer,
            round=intent.round,
            reporter=wallet,
            first=intent.content_a,
            second=intent.content_b,
            slashed_micro=self.take_all(intent.peer, wallet),
            transaction=transaction,
            block=self._ground.block + 1,
            at=self._ground.now,
        )
        self._roster.eject(intent.peer, self._roster.round + self._ground.rules.barred_rounds)

    # --- standing ----------------------------------------------------------------------------------------------------

    def has_line(self, peer: PeerId, settled_round: int) -> bool:
        """Whether the peer's line as of the latest result is on record."""
        return self._recorded_in.get(peer, 0) >= settled_round

    def record(self, intent: RecordReputation, settled_round: int, credits_root: ContentId) -> None:
        self._require_proved(intent.peer, intent.line, intent.proof, credits_root)
        self._recorded_in[intent.peer] = settled_round

    def eject(self, intent: Prune, final_round: int, final_root: ContentId) -> None:
        """Take out a member whose line in the last final epoch says that it stands badly, or was absent for long.

        One that came back after it was barred has some rounds to mend its standing."""
        self._require_proved(intent.peer, intent.line, intent.proof, final_root)
        standing = self._roster.standing(intent.peer)
        if not standing.weight:
            refuse("NotEnrolled", peerKey=peer_key(intent.peer))
        line, rules = unpack(intent.line), self._ground.rules
        may_mend = bool(standing.readmitted) and final_round <= standing.readmitted + rules.absence_rounds
        if line.standing_milli < MIN_STANDING_MILLI and not may_mend:
            self._roster.eject(intent.peer, self._roster.round + rules.barred_rounds)
        elif max(line.last_round, standing.joined_round) + rules.absence_rounds < final_round:
            self._roster.eject(intent.peer, 0)
        else:
            refuse("MemberInGoodStanding", peerKey=peer_key(intent.peer), standing=line.standing_milli)

    def _require_proved(self, peer: PeerId, line: int, proof: tuple[ContentId, ...], root: ContentId) -> None:
        if not is_proved(root, peer_key(peer), line, proof):
            refuse("LineRejected", peerKey=peer_key(peer), creditsRoot=root)
