"""Why this module exists: what the contracts say, as the program's own structs, whatever an endpoint answers.

What is polled often (``clock``) is one call to one view, hence one block; the members of a round never change once it
is open and are read once. An answer that is not what the contract returns means that it is another contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eth_abi.exceptions import DecodingError

from chain.abi import Function, function
from chain.base import (
    WEI_PER_MICRO,
    Balance,
    ClockView,
    Contracts,
    Epoch,
    EpochState,
    EpochsView,
    Member,
    PeerRecord,
)
from chain.games import GamePhase, GameStatus
from chain.keys import checksum_address, peer_key
from chain.requests import RequestStage
from chain.rpc import Rpc, RpcRefused, field, gather, quantity
from chain.sender import contract_error
from protocol.errors import BadRecord, ChainError
from protocol.ids import Address, ContentId, PeerId, peer_id_from_bytes

MEMBERS_PER_CALL = 500
"""Peers of the roster that one call looks at."""

STATES = (EpochState.OPEN, EpochState.CHALLENGED, EpochState.FINAL, EpochState.VOID)
"""By the number that the settlement contract gives them."""


PHASES = tuple(GamePhase)
"""By the number that the disputes contract gives them."""

LOST_BETWEEN_READS = 3
"""How often a view of several reads is begun anew because the chain went back in between."""


async def read_view(
    rpc: Rpc,
    contract: Address,
    view: Function,
    *arguments: Any,
    foreign: Callable[[Address], ChainError] | None = None,
) -> Any:
    """What a view function returns at the latest block. ``foreign``: the error for a contract that is another one."""
    try:
        data = await rpc.request("eth_call", {"to": contract, "data": view.call_data(*arguments)}, "latest")
        return view.result(data)
    except RpcRefused as refused:
        raise contract_error(refused) from refused
    except (DecodingError, ValueError, TypeError) as error:
        raise (foreign or foreign_contract)(contract) from error


class Reader:
    """Reads the run at ``contracts``. Raises ``ChainUnreachable``, or ``ChainError`` (``ForeignContract`` when what
    answers is something else)."""

    def __init__(self, rpc: Rpc, contracts: Contracts) -> None:
        self._rpc = rpc
        self._contracts = contracts
        self._members_key: tuple[int, str] | None = None
        self._members: tuple[Member, ...] = ()
        self._absence_rounds: int | None = None

    async def read(self, contract: Address, view: Function, *arguments: Any) -> Any:
        """What a view function returns at the latest block."""
        return await read_view(self._rpc, contract, view, *arguments)

    async def clock(self) -> ClockView:
        snapshot = await self.read(self._contracts.contributions, function("Contributions", "snapshot"))
        view, settled_round, credits_root, data_hash, _ = snapshot
        block, block_at, round, opened_at, opened_block, closes_at, num_members, raw_seed, total_weight = view
        seed = raw_seed.hex() if any(raw_seed) else ""
        if not seed and block > opened_block:
            # The contract sees the hash of a block only from the next one on; the endpoint can tell it right away.
            header = await self._rpc.request("eth_getBlockByNumber", hex(opened_block + 1), False)
            seed = f"{quantity(field(header, 'hash')):064x}" if header else ""
        members = await self._members_of(round, seed) if num_members else ()
        return ClockView(
            block=block,
            block_at=block_at,
            round=round,
            opened_at=opened_at,
            closes_at=closes_at,
            seed=seed,
            members=members,
            settled_round=settled_round,
            credits_root=ContentId(credits_root.hex()),
            data_hash=ContentId(data_hash.hex()),
            total_weight=total_weight,
            inclusions=await self._inclusions(round, members) if members else (),
        )

    async def peer(self, peer: PeerId) -> PeerRecord | None:
        key, at = peer_key(peer), self._contracts
        entry, standing, claimed_micro, stake = await gather(
            self.read(at.registry, function("PeerRegistry", "peer"), key),
            self.read(at.clock, function("RoundClock", "standing"), key),
            self.read(at.settlement, function("Settlement", "claimedMicro"), key),
            self.read(at.vault, function("StakeVault", "stakeOf"), key),
        )
        owner, signer, nonce, _ = entry
        if not int(owner, 16):
            return None
        enrolled, _, last_renewed, weight, barred_until, _ = standing
        active_wei, exiting_wei, ready_at = stake
        return PeerRecord(
            peer=peer,
            owner=address(owner),
            signer=address(signer),
            enrolled=enrolled,
            claimed_micro=claimed_micro,
            last_seen_round=last_renewed,
            stake_micro=active_wei // WEI_PER_MICRO,
            exiting_micro=exiting_wei // WEI_PER_MICRO,
            exit_ready_at=ready_at,
            barred_until=barred_until,
            weight=weight,
            nonce=nonce,
        )

    async def request_stage(self, request: ContentId) -> RequestStage | None:
        """How a request for data stands; ``None`` when there is none with this name."""
        view = function("DataRequests", "requestOf")
        number = (await self.read(self._contracts.requests, view, bytes.fromhex(request)))[5]
        if number > len(RequestStage):
            raise foreign_contract(self._contracts.requests)
        return tuple(RequestStage)[number - 1] if number else None

    async def is_passed_over(self, peer: PeerId) -> bool:
        """Whether a claim for many leaves ``peer`` to itself, because a dispute about it is open."""
        view = function("Settlement", "pending")
        return bool((await self.read(self._contracts.settlement, view, peer_key(peer)))[0])

    async def claimed(self, peers: Sequence[PeerId]) -> tuple[int, ...]:
        view = function("Settlement", "claimedOf")
        found = await self.read(self._contracts.settlement, view, [peer_key(peer) for peer in peers])
        if len(found) != len(peers):
            raise foreign_contract(self._contracts.settlement)
        return tuple(found)

    async def balance(self, account: Address) -> Balance:
        gas_wei, token_wei = await gather(
            self._rpc.request("eth_getBalance", account, "latest"),
            self.read(self._contracts.token, function("SwarmToken", "balanceOf"), account),
        )
        return Balance(quantity(gas_wei), token_wei)

    async def epochs(self) -> EpochsView:
        """What is being paid out. Reads again when a chain that lost its last blocks lost an epoch in between."""
        for _ in range(LOST_BETWEEN_READS):
            try:
                return await self._epochs()
            except ChainError as error:
                if error.reason != "EpochNotOpen":
                    raise
        return await self._epochs()

    async def _epochs(self) -> EpochsView:
        at = self._contracts.settlement
        header, count, (found, claimable), (final_round, final_root), (_, ends_at, _) = await gather(
            self._rpc.request("eth_getBlockByNumber", "latest", False),
            self.read(at, function("Settlement", "numEpochs")),
            self.read(at, function("Settlement", "latestClaimable")),
            self.read(at, function("Settlement", "lastFinal")),
            self.read(at, function("Settlement", "escrow")),
        )
        newest = await self.epoch(count - 1) if count else None
        is_undecided = newest is not None and newest.state in (EpochState.OPEN, EpochState.CHALLENGED)
        return EpochsView(
            block_at=quantity(field(header, "timestamp")),
            newest=newest,
            claimable=await self.epoch(claimable) if found else None,
            covered_round=newest.round if newest is not None and is_undecided else final_round,
            final_round=final_round,
            final_root=ContentId(final_root.hex()),
            ends_at=ends_at,
        )

    async def epoch(self, number: int) -> Epoch:
        """One epoch. Raises ``ChainError('EpochNotOpen')`` when there is none with this number."""
        found = await self.read(self._contracts.settlement, function("Settlement", "epochs"), number)
        round, root, total_micro, opened_at, unlocks_at, state, data_hash, _, answer_by = found
        if state >= len(STATES):
            raise foreign_contract(self._contracts.settlement)
        return Epoch(
            number=number,
            round=round,
            credits_root=ContentId(root.hex()),
            total_micro=total_micro,
            opened_at=opened_at,
            unlocks_at=unlocks_at,
            state=STATES[state],
            data_hash=ContentId(data_hash.hex()),
            answer_by=answer_by,
        )

    async def game_status(self, game: ContentId) -> GameStatus:
        """Where a dispute is; its ``deadline`` is 0 for one that is not there."""
        view = function("DisputeGame", "status")
        found = await self.read(self._contracts.disputes, view, bytes.fromhex(game))
        deadline, moves, phase, is_over, _ = found
        if phase >= len(PHASES):
            raise foreign_contract(self._contracts.disputes)
        return GameStatus(deadline, moves, PHASES[phase], is_over)

    async def presence_is_fresh(self, peer: PeerId, absence_rounds: int) -> bool:
        """Whether a member need not renew its presence yet."""
        at = self._contracts
        standing, round, active_round = await gather(
            self.read(at.clock, function("RoundClock", "standing"), peer_key(peer)),
            self.read(at.clock, function("RoundClock", "round")),
            self.read(at.clock, function("RoundClock", "activeRound")),
        )
        enrolled, _, last_renewed, *_ = standing
        return bool(enrolled and round - max(last_renewed, active_round) <= absence_rounds // 2)

    async def absence_rounds(self) -> int:
        """The run's rule, read once."""
        if self._absence_rounds is None:
            at = self._contracts.reputation
            self._absence_rounds = await self.read(at, function("Reputation", "ABSENCE_ROUNDS"))
        return self._absence_rounds

    async def _members_of(self, round: int, seed: str) -> tuple[Member, ...]:
        """Read once per round. The seed is in the key: a chain that lost its last blocks may open the round anew."""
        if self._members_key == (round, seed):
            return self._members
        length = await self.read(self._contracts.clock, function("RoundClock", "rosterLength"))
        found: list[Member] = []
        for offset in range(0, length, MEMBERS_PER_CALL):
            page = await self.read(
                self._contracts.clock, function("RoundClock", "members"), round, offset, MEMBERS_PER_CALL
            )
            try:
                found += (
                    Member(peer_id_from_bytes(raw_id), address(signer), address(owner), joined, weight)
                    for raw_id, signer, owner, joined, weight in page
                )
            except BadRecord as error:
                raise foreign_contract(self._contracts.clock) from error
        members = tuple(sorted(found, key=lambda member: member.peer))
        if seed:
            self._members_key, self._members = (round, seed), members
        return members

    async def _inclusions(self, round: int, members: tuple[Member, ...]) -> tuple[tuple[PeerId, ContentId], ...]:
        """What members put on record in ``round``, which only grows: it may be a block newer than the rest."""
        view = function("Contributions", "inclusions")
        listed = await self.read(self._contracts.contributions, view, round)
        peers = {peer_key(member.peer): member.peer for member in members} if listed else {}
        return tuple(sorted((peers[key], ContentId(content.hex())) for key, content in listed if key in peers))


def address(text: str) -> Address:
    return checksum_address(bytes.fromhex(text[2:]))


def foreign_contract(contract: Address) -> ChainError:
    return ChainError(
        f"The contract at {contract} is not one of this run's.",
        "Nothing was sent; your credits are with the run's own contracts.",
        "Use the join token of the swarm's host; if the host began a new run, ask for the new token.",
        reason="ForeignContract",
    )
