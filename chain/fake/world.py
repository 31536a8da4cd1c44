"""Why this module exists: the parts of the simulated chain become one, and a wallet gets its ``Chain`` on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from eth_hash.auto import keccak

from chain.base import (
    WEI_PER_MICRO,
    ZERO_ROOT,
    AcceptPeer,
    Accuse,
    Advance,
    Affirm,
    AskForData,
    Balance,
    Challenge,
    Claim,
    ClaimMany,
    ClockView,
    Contracts,
    Cost,
    Enrol,
    EpochState,
    EpochsView,
    ExpireDispute,
    ExpireRequest,
    Include,
    Intent,
    OfferPeer,
    OpenDispute,
    OpenEpoch,
    PeerRecord,
    PlayMove,
    Prune,
    Receipt,
    RecordReputation,
    Refresh,
    Register,
    Resign,
    Rotate,
    Settle,
    ShowData,
    Stake,
    Unstake,
    VoidEpoch,
    Withdraw,
)
from chain.credit_line import micro_of
from chain.fake.disputes import Disputes, FakeGames
from chain.fake.escrow import Escrow
from chain.fake.ground import Ground, block_hash
from chain.fake.registry import Registry
from chain.fake.requests import DataRequests
from chain.fake.results import Results
from chain.fake.roster import Roster
from chain.fake.vault import Vault
from chain.keys import checksum_address
from chain.reports import Reports
from chain.requests import DataPart, Requests, request_id
from chain.rules import Rules
from protocol.errors import ChainUnreachable
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import RoundResult

TYPICAL_GAS: dict[str, int] = {"Register": 130_000, "Stake": 140_000, "Settle": 190_000, "Claim": 70_000}
ANY_GAS = 80_000
GAS_PRICE_WEI = 10**9
BUDGET_MICRO = 1_000_000_000 * 10**6


class FakeWorld:
    """The chain that several ``FakeChain``s share. ``now`` are unix seconds and move by ``pass_time`` only.

    A transaction is mined at once, in a block of its own. ``reachable = False`` makes every call raise
    ``ChainUnreachable``, as a stopped node does.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        budget_micro: int = BUDGET_MICRO,
        run: ContentId = ZERO_ROOT,
        now: int = 1_700_000_000,
        chain_id: int = 31337,
    ) -> None:
        self.contracts = Contracts(chain_id, *(_address(number) for number in range(11)))
        self.ground = Ground(rules or Rules(), self.contracts, run, budget_micro, now)
        self.registry = Registry(self.ground)
        self.roster = Roster(self.ground, self.registry)
        self.vault = Vault(self.ground, self.registry, self.roster)
        self.results = Results(self.ground, self.registry, self.roster)
        self.escrow = Escrow(self.ground, self.registry, self.roster, self.results, self.vault)
        self.disputes = Disputes(self.ground, self.registry, self.roster, self.vault, self.escrow)
        self.requests = DataRequests(self.ground, self.registry, self.roster, self.vault)
        self.roster.units_of = self.vault.units_of
        self.reachable = True
        self.transactions = 0
        self.gas_wei: dict[Address, int] = {}

    @property
    def now(self) -> int:
        return self.ground.now

    @property
    def rules(self) -> Rules:
        return self.ground.rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self.ground.rules = rules

    @property
    def token_wei(self) -> dict[Address, int]:
        return self.ground.token_wei

    def pass_time(self, seconds: int, *, blocks: int = 1) -> None:
        """Let time pass and mine ``blocks`` empty blocks at its end."""
        self.ground.now += seconds
        self.ground.block += blocks

    @property
    def games(self) -> FakeGames:
        """Its disputes, as anybody sees them."""
        return FakeGames(self.disputes)

    def view(self) -> ClockView:
        latest: RoundResult | None = self.results.latest
        roster = self.roster
        members = roster.members(roster.round)
        return ClockView(
            block=self.ground.block,
            block_at=self.ground.now,
            round=roster.round,
            opened_at=roster.opened_at,
            closes_at=roster.closes_at,
            seed=roster.seed,
            members=members,
            settled_round=self.results.settled_round,
            credits_root=self.results.credits_root,
            data_hash=latest.data_hash if latest else ZERO_ROOT,
            total_weight=sum(member.weight for member in members),
            inclusions=tuple(sorted(self.results.included.get(roster.round, {}).items())),
        )

    def record(self, peer: PeerId) -> PeerRecord | None:
        entry = self.registry.entries.get(peer)
        if entry is None:
            return None
        standing, deposit = self.roster.standing(peer), self.vault.deposit(peer)
        return PeerRecord(
            peer=peer,
            owner=entry.owner,
            signer=entry.signer,
            enrolled=bool(standing.weight),
            claimed_micro=self.escrow.claimed.get(peer, 0),
            last_seen_round=standing.last_renewed,
            stake_micro=deposit.active_micro,
            exiting_micro=deposit.exiting_micro,
            exit_ready_at=deposit.ready_at,
            barred_until=standing.barred_until,
            weight=standing.weight,
            nonce=entry.nonce,
        )

    def is_done(self, wallet: Address, intent: Intent) -> bool:
        match intent:
            case Register(peer=peer) | AcceptPeer(peer=peer):
                return self.registry.owner_of(peer) == wallet
            case Rotate(peer=peer, signer=signer):
                return peer in self.registry.entries and self.registry.entries[peer].signer == signer
            case OfferPeer(peer=peer, to=to):
                entry = self.registry.entries.get(peer)
                return entry is not None and to in (entry.owner, entry.offered_to)
            case Enrol(peer=peer):
                return self.roster.presence_is_fresh(peer)
            case Refresh(peer=peer):
                return self.roster.is_refreshed(peer)
            case Prune(peer=peer) | Resign(peer=peer):
                return not self.roster.standing(peer).weight
            case Stake(peer=peer, number=number):
                return ("stake", number) in self.vault.deposit(peer).numbers
            case Unstake(peer=peer, number=number):
                return ("exit", number) in self.vault.deposit(peer).numbers
            case Withdraw(peer=peer):
                return not self.vault.deposit(peer).exiting_micro
            case Advance(round=round):
                return self.roster.round > round
            case Settle(result=result):
                return self.results.recorded.get(result.round) == result
            case Include(round=round, peer=peer, content=content):
                return self.results.included.get(round, {}).get(peer) == content
            case RecordReputation(peer=peer):
                return self.vault.has_line(peer, self.results.settled_round)
            case Accuse(peer=peer, round=round):
                return self.vault.is_convicted(peer, round)
            case OpenEpoch(round=round):
                return self.escrow.covered_round >= round
            case Claim(peer=peer, line=line):
                return self.escrow.claimed.get(peer, 0) >= micro_of(line)
            case ClaimMany(lines=lines):
                return all(
                    self.escrow.claimed.get(one.peer, 0) >= micro_of(one.line) or self.escrow.is_passed_over(one.peer)
                    for one in lines
                )
            case Challenge(epoch=epoch):
                return self._epoch_is(epoch, EpochState.CHALLENGED, EpochState.FINAL, EpochState.VOID)
            case Affirm(epoch=epoch):
                return self._epoch_is(epoch, EpochState.FINAL)
            case VoidEpoch(epoch=epoch):
                return self._epoch_is(epoch, EpochState.VOID)
            case OpenDispute():
                return self.disputes.is_open(wallet, intent)
            case PlayMove(game=game, turn=turn):
                return self.disputes.is_past(game, turn)
            case ExpireDispute(game=game):
                return self.disputes.is_past(game, None)
            case AskForData(contribution=contribution, part=part, index=index):
                content = ContentId(sha256(contribution).hexdigest())
                return self.requests.is_there(request_id(content, DataPart(part), index))
            case ShowData(request=request) | ExpireRequest(request=request):
                return self.requests.is_over(request)
        raise TypeError(f"Not an intent: {intent!r}")

    def apply(self, wallet: Address, intent: Intent) -> Receipt:
        """Mine ``intent``. Raises ``ChainError`` with the contracts' reason."""
        kind = type(intent).__name__
        transaction = "0x" + keccak(f"{self.transactions + 1} {kind}".encode()).hex()
        match intent:
            case Register():
                self.registry.register(wallet, intent)
            case Rotate():
                self.registry.rotate(wallet, intent)
            case OfferPeer():
                self.registry.offer(wallet, intent)
            case AcceptPeer():
                self.registry.accept(wallet, intent)
            case Enrol(peer=peer):
                self.roster.enrol(wallet, peer)
            case Refresh(peer=peer):
                self.roster.refresh(peer)
            case Resign(peer=peer):
                self.roster.resign(wallet, peer)
            case Prune(peer=peer, line=0):
                self.roster.prune(peer)
            case Prune():
                self.vault.eject(intent, *self.escrow.last_final())
            case Stake():
                self.vault.stake(wallet, intent)
            case Unstake():
                self.vault.unstake(wallet, intent)
            case Withdraw(peer=peer):
                self.vault.withdraw(peer)
            case Advance(round=round):
                self.roster.advance(round)
            case Settle():
                self.results.post(wallet, intent)
            case Include():
                self.results.include(wallet, intent)
            case RecordReputation():
                self.vault.record(intent, self.results.settled_round, self.results.credits_root)
            case Accuse():
                self.vault.accuse(wallet, intent, self.escrow.paid_round, transaction)
            case OpenEpoch():
                self.escrow.open()
            case Challenge(epoch=epoch):
                self.escrow.challenge(wallet, epoch)
            case Affirm():
                self.escrow.affirm(wallet, intent)
            case VoidEpoch(epoch=epoch):
                self.escrow.void(epoch)
            case Claim():
                self.escrow.claim(intent)
            case ClaimMany():
                self.escrow.claim_many(intent)
            case OpenDispute():
                self.disputes.open(wallet, intent)
            case PlayMove():
                self.disputes.play(wallet, intent)
            case ExpireDispute():
                self.disputes.expire(intent)
            case AskForData():
                self.requests.ask(wallet, intent)
            case ShowData():
                self.requests.show(intent)
            case ExpireRequest():
                self.requests.expire(intent)
        self.ground.block += 1
        self.transactions += 1
        return Receipt(transaction, _gas(intent), self.ground.block)

    def _epoch_is(self, epoch: int, *states: EpochState) -> bool:
        newest = self.escrow.epochs().newest
        return newest is not None and epoch <= newest.number and self.escrow.state(epoch) in states


class FakeChain:
    """``Chain`` on a ``FakeWorld``, acting for ``wallet``."""

    def __init__(self, world: FakeWorld, wallet: Address) -> None:
        self._world = world
        self.wallet = wallet

    @property
    def contracts(self) -> Contracts:
        return self._world.contracts

    @property
    def games(self) -> FakeGames:
        """The run's disputes."""
        return self._world.games

    @property
    def requests(self) -> Requests:
        """The run's requests for data."""
        return self._world.requests

    @property
    def reports(self) -> Reports:
        """The run's reports of peers that signed twice."""
        return self._world.vault

    async def clock(self) -> ClockView:
        await self._reach()
        return self._world.view()

    async def peer(self, peer: PeerId) -> PeerRecord | None:
        await self._reach()
        return self._world.record(peer)

    async def claimed(self, peers: Sequence[PeerId]) -> tuple[int, ...]:
        await self._reach()
        return tuple(self._world.escrow.claimed.get(peer, 0) for peer in peers)

    async def balance(self, address: Address) -> Balance:
        await self._reach()
        return Balance(self._world.gas_wei.get(address, 10**18), self._world.token_wei.get(address, 0))

    async def epochs(self) -> EpochsView:
        await self._reach()
        return self._world.escrow.epochs()

    async def send(self, intent: Intent) -> Receipt:
        await self._reach()
        if self._world.is_done(self.wallet, intent):
            return Receipt("", 0, self._world.ground.block)
        return self._world.apply(self.wallet, intent)

    async def estimate(self, intent: Intent) -> Cost:
        """Typical figures; unlike a real chain, this one does not say beforehand whether it would refuse."""
        await self._reach()
        if self._world.is_done(self.wallet, intent):
            return Cost(0, 0)
        return Cost(_gas(intent), _gas(intent) * GAS_PRICE_WEI)

    async def block_hash(self, number: int) -> str:
        await self._reach()
        return block_hash(number) if number <= self._world.ground.block else ""

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


def _gas(intent: Any) -> int:
    return TYPICAL_GAS.get(type(intent).__name__, ANY_GAS)


def _address(number: int) -> Address:
    return checksum_address(keccak(f"contract {number}".encode())[12:])


__all__ = ["BUDGET_MICRO", "WEI_PER_MICRO", "FakeChain", "FakeWorld"]
