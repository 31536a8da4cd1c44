"""Why this module exists: a chain without a chain, with the contracts' rules, for tests and simulations.

``FakeWorld`` is the chain: shared state and a clock that moves by hand. ``FakeChain`` is one wallet's view of it. The
same behaviour tests run against this and against the real contracts, so the rules here are those of ``contracts/``;
refusals carry the same names. Signatures, proofs and digests are real. There are no fees: gas figures are typical ones.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, NoReturn

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from eth_hash.auto import keccak

from chain.abi import Refusal
from chain.base import (
    ZERO_ROOT,
    Advance,
    Balance,
    Claim,
    ClockView,
    Contracts,
    Enrol,
    Intent,
    Member,
    PeerRecord,
    Prune,
    Receipt,
    Register,
    Settle,
)
from chain.deploy import Parameters, contracts_of
from chain.keys import peer_key, peer_of_rsa, recover_signer, rsa_modulus, signer_of_peer
from chain.refusals import chain_error
from chain.typed_data import registration_digest, round_result_digest
from protocol.errors import BadRecord, ChainUnreachable
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import RoundResult

WEI_PER_MICRO_CREDIT = 10**12
TYPICAL_GAS = {
    "Register": 145_000,
    "Enrol": 130_000,
    "Settle": 190_000,
    "Advance": 60_000,
    "Prune": 60_000,
    "Claim": 85_000,
}


class _Peer(msgspec.Struct):
    """A registered peer. ``memberships``: (from round, is a member), in order; ``last_seen_round``: of its presence."""

    owner: Address
    signer: Address
    memberships: list[tuple[int, bool]] = []
    joined_round: int = 0
    last_seen_round: int = 0
    claimed_micro: int = 0

    def is_member(self, round: int) -> bool:
        return next((member for start, member in reversed(self.memberships) if start <= round), False)

    @property
    def enrolled(self) -> bool:
        return bool(self.memberships) and self.memberships[-1][1]


class FakeWorld:
    """The chain that several ``FakeChain``s share. ``now`` are unix seconds and move by ``pass_time`` only.

    A transaction is mined at once, in a block of its own. ``reachable = False`` makes every call raise
    ``ChainUnreachable``, as a stopped node does.
    """

    def __init__(
        self, parameters: Parameters | None = None, *, now: int = 1_700_000_000, chain_id: int = 31337
    ) -> None:
        self.parameters = parameters or Parameters()
        self.contracts: Contracts = contracts_of(chain_id, Address("0x" + "00" * 20), 0)
        self.now = now
        self.block = 1
        self.reachable = True
        self.transactions = 0
        self.token_wei: dict[Address, int] = {}
        self.gas_wei: dict[Address, int] = {}
        self.results: dict[int, RoundResult] = {}
        self._peers: dict[PeerId, _Peer] = {}
        self._seeds: dict[int, str] = {}
        self._round, self._opened_at, self._opened_block = 0, now, 1

    def pass_time(self, seconds: int, *, blocks: int = 1) -> None:
        """Let time pass and mine ``blocks`` empty blocks at its end."""
        self.now += seconds
        self.block += blocks

    def view(self) -> ClockView:
        latest = self._latest
        seed = _block_hash(self._opened_block + 1) if self.block > self._opened_block else ""
        return ClockView(
            block=self.block,
            block_at=self.now,
            round=self._round,
            opened_at=self._opened_at,
            closes_at=self._opened_at + self.parameters.round_s,
            seed=seed,
            members=self._members(self._round),
            settled_round=latest.round if latest else 0,
            credits_root=latest.credits_root if latest else ZERO_ROOT,
            data_hash=latest.data_hash if latest else ZERO_ROOT,
        )

    def record(self, peer: PeerId) -> PeerRecord | None:
        entry = self._peers.get(peer)
        if entry is None:
            return None
        return PeerRecord(peer, entry.owner, entry.signer, entry.enrolled, entry.claimed_micro, entry.last_seen_round)

    def is_done(self, wallet: Address, intent: Intent) -> bool:
        match intent:
            case Register(peer=peer):
                return peer in self._peers and self._peers[peer].owner == wallet
            case Enrol(peer=peer):
                entry = self._peers.get(peer)
                fresh = self.parameters.absence_rounds // 2
                return entry is not None and entry.enrolled and self._round - entry.last_seen_round <= fresh
            case Prune(peer=peer):
                return peer not in self._peers or not self._peers[peer].enrolled
            case Advance(round=round):
                return self._round > round
            case Settle(result=result):
                return self.results.get(result.round) == result
            case Claim(peer=peer, micro_credits=micro_credits):
                return (self._peers[peer].claimed_micro if peer in self._peers else 0) >= micro_credits
        raise TypeError(f"Not an intent: {intent!r}")

    def apply(self, wallet: Address, intent: Intent) -> Receipt:
        """Mine ``intent``. Raises ``ChainError`` with the contracts' reason."""
        match intent:
            case Register():
                self._register(wallet, intent)
            case Enrol(peer=peer):
                self._enrol(wallet, peer)
            case Prune(peer=peer):
                self._prune(peer)
            case Advance(round=round):
                self._advance(round)
            case Settle(result=result, signatures=signatures):
                self._settle(result, signatures)
            case Claim():
                self._claim(intent)
        self.block += 1
        self.transactions += 1
        kind = type(intent).__name__
        return Receipt("0x" + keccak(f"{self.transactions} {kind}".encode()).hex(), TYPICAL_GAS[kind], self.block)

    def _register(self, wallet: Address, intent: Register) -> None:
        entry = self._peers.get(intent.peer)
        key = peer_key(intent.peer)
        if entry is not None:
            if entry.owner == wallet:
                _refuse("PeerAlreadyRegistered", peerKey=key)
            _refuse("PeerOwnedByAnother", peerKey=key, owner=entry.owner)
        if intent.nonce != 0:
            _refuse("NonceMismatch", expected=0, given=intent.nonce)
        signer = intent.delegation.signer if intent.delegation else signer_of_peer(intent.peer)
        if signer is None or any(peer.signer == signer for peer in self._peers.values()):
            _refuse("SignerTaken" if signer else "ProofRejected", peerKey=key)
        digest = registration_digest(self.contracts, intent.peer, signer, wallet, intent.nonce)
        if _recovered(digest, intent.proof) != signer:
            _refuse("ProofRejected", peerKey=key, signer=signer)
        if intent.delegation is not None:
            public_key = intent.delegation.public_key
            try:
                modulus = rsa_modulus(public_key)
            except BadRecord:
                _refuse("ModulusUnsupported")
            if peer_of_rsa(public_key) != intent.peer or not _rsa_signed(modulus, digest, intent.delegation.signature):
                _refuse("DelegationRejected", peerKey=key)
        self._peers[intent.peer] = _Peer(wallet, signer)

    def _enrol(self, wallet: Address, peer: PeerId) -> None:
        entry = self._peers.get(peer)
        if entry is None or entry.owner != wallet:
            _refuse("NotThePeersOwner", peerKey=peer_key(peer), caller=wallet)
        if entry.enrolled:
            entry.last_seen_round = max(entry.last_seen_round, self._round)
            return
        entry.memberships.append((self._round + 1, True))
        entry.joined_round = entry.last_seen_round = self._round + 1
        if not self._members(self._round) and len(self._members(self._round + 1)) >= self.parameters.start_members:
            self._open_next()

    def _prune(self, peer: PeerId) -> None:
        entry = self._peers.get(peer)
        if entry is None or not entry.enrolled:
            _refuse("NotEnrolled", peerKey=peer_key(peer))
        if self._round <= entry.last_seen_round + self.parameters.absence_rounds:
            _refuse("MemberNotAbsent", peerKey=peer_key(peer), lastSeenRound=entry.last_seen_round)
        entry.memberships.append((self._round + 1, False))

    def _advance(self, round: int) -> None:
        closes_at = self._opened_at + self.parameters.round_s
        if round != self._round:
            _refuse("RoundNotCurrent", current=self._round, given=round)
        if self.now < closes_at:
            _refuse("RoundStillOpen", round=round, closesAt=closes_at)
        if not self._members(round + 1):
            _refuse("NoMembers")
        self._open_next()

    def _settle(self, result: RoundResult, signatures: tuple[bytes, ...]) -> None:
        latest = self._latest
        settled_round, root, total = (
            (latest.round, latest.credits_root, latest.total_micro_credits) if latest else (0, ZERO_ROOT, 0)
        )
        if result.round <= settled_round:
            _refuse("RoundAlreadySettled", settledRound=settled_round)
        if result.round > self._round:
            _refuse("RoundNotOpened", current=self._round)
        if result.previous_credits_root != root:
            _refuse("PreviousRootStale", recorded=root, given=result.previous_credits_root)
        if result.total_micro_credits < total:
            _refuse("TotalDecreased", recorded=total, given=result.total_micro_credits)
        allowed = min(total + self.parameters.round_emission_micro, self.parameters.total_emission_micro)
        if result.total_micro_credits > allowed:
            _refuse("EmissionExceeded", allowedTotal=allowed, given=result.total_micro_credits)
        attesters = self._attesters(result, signatures)
        needed = len(self._members(result.round)) // 2 + 1
        if len(attesters) < needed:
            _refuse("MajorityMissing", needed=needed, given=len(attesters))
        self.results[result.round] = result
        for entry in attesters:
            entry.last_seen_round = max(entry.last_seen_round, result.round)
        if result.round == self._round:
            self._open_next()

    def _attesters(self, result: RoundResult, signatures: tuple[bytes, ...]) -> list[_Peer]:
        digest = round_result_digest(self.contracts, result)
        by_signer = {entry.signer: entry for entry in self._peers.values() if entry.is_member(result.round)}
        attesters, previous = [], 0
        for signature in signatures:
            signer = _recovered(digest, signature)
            if signer is None:
                _refuse("ProofRejected")
            if int(signer, 16) <= previous:
                _refuse("SignaturesUnordered", signer=signer)
            if signer not in by_signer:
                _refuse("NotAMember", signer=signer, round=result.round)
            attesters.append(by_signer[signer])
            previous = int(signer, 16)
        return attesters

    def _claim(self, intent: Claim) -> None:
        entry = self._peers.get(intent.peer)
        key = peer_key(intent.peer)
        latest = self._latest
        claimed = entry.claimed_micro if entry else 0
        if intent.micro_credits <= claimed:
            _refuse("NothingToClaim", peerKey=key, claimedMicro=claimed)
        node = keccak(keccak(key + intent.micro_credits.to_bytes(32, "big")))
        for sibling in map(bytes.fromhex, intent.proof):
            node = keccak(min(node, sibling) + max(node, sibling))
        root = latest.credits_root if latest else ZERO_ROOT
        if node.hex() != root:
            _refuse("ClaimProofRejected", peerKey=key, creditsRoot=root)
        if entry is None:
            _refuse("PeerUnknown", peerKey=key)
        amount = intent.micro_credits - claimed
        total_claimed = sum(peer.claimed_micro for peer in self._peers.values()) + amount
        credited = latest.total_micro_credits if latest else 0
        if total_claimed > credited:
            _refuse("PoolOverdrawn", creditedMicro=credited, claimedMicro=total_claimed)
        entry.claimed_micro = intent.micro_credits
        self.token_wei[entry.owner] = self.token_wei.get(entry.owner, 0) + amount * WEI_PER_MICRO_CREDIT

    @property
    def _latest(self) -> RoundResult | None:
        return self.results[max(self.results)] if self.results else None

    def _members(self, round: int) -> tuple[Member, ...]:
        return tuple(
            Member(peer, entry.signer, entry.owner, entry.joined_round)
            for peer, entry in sorted(self._peers.items())
            if entry.is_member(round)
        )

    def _open_next(self) -> None:
        self._round += 1
        self._opened_at, self._opened_block = self.now, self.block + 1


class FakeChain:
    """``Chain`` on a ``FakeWorld``, acting for ``wallet``."""

    def __init__(self, world: FakeWorld, wallet: Address) -> None:
        self._world = world
        self.wallet = wallet

    @property
    def contracts(self) -> Contracts:
        return self._world.contracts

    async def clock(self) -> ClockView:
        await self._reach()
        return self._world.view()

    async def peer(self, peer: PeerId) -> PeerRecord | None:
        await self._reach()
        return self._world.record(peer)

    async def balance(self, address: Address) -> Balance:
        await self._reach()
        return Balance(self._world.gas_wei.get(address, 10**18), self._world.token_wei.get(address, 0))

    async def send(self, intent: Intent) -> Receipt:
        await self._reach()
        if self._world.is_done(self.wallet, intent):
            return Receipt("", 0, self._world.block)
        return self._world.apply(self.wallet, intent)

    async def block_hash(self, number: int) -> str:
        await self._reach()
        return _block_hash(number) if number <= self._world.block else ""

    async def close(self) -> None:
        """Nothing is held open."""

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if not self._world.reachable:
            raise ChainUnreachable(
                "No chain endpoint answers (the simulated chain is switched off).",
                "Nothing was refused or lost; everything pending is kept and sent again.",
                "Switch it on again.",
            )


def _refuse(name: str, **arguments: Any) -> NoReturn:
    raise chain_error(Refusal(name, arguments))


def _recovered(digest: bytes, signature: bytes) -> Address | None:
    try:
        return recover_signer(digest, signature)
    except BadRecord:
        return None


def _rsa_signed(modulus: bytes, digest: bytes, signature: bytes) -> bool:
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "big")).public_key()
    try:
        key.verify(signature, digest, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _block_hash(number: int) -> ContentId:
    return ContentId(hashlib.sha256(f"fake block {number}".encode()).hexdigest())
