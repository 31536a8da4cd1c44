"""Why this module exists: the verbs of ``Chain`` on a real EVM chain, through its JSON-RPC endpoints (web3 8).

What is polled often (``clock``) is one call to one view, hence one block; the members of a round never change once it
is open and are read once. Every intent is checked against the chain before it is sent and, when refused, once more:
what somebody else already did counts as done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.exceptions import DecodingError

from chain.abi import Function, Refusal, function
from chain.base import (
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
from chain.ethereum import Account, LocalAccount
from chain.fees import FeePolicy
from chain.intents import label
from chain.keys import checksum_address, compact_signature, peer_key, public_key_xy, rsa_modulus, secp256k1_of_peer
from chain.nonces import WalletLog
from chain.refusals import chain_error
from chain.rpc import Ask, Rpc, RpcRefused, field, gather, quantity
from chain.sender import Sender, contract_error
from chain.typed_data import round_result_hash
from protocol.errors import BadRecord, ChainError
from protocol.ids import Address, ContentId, PeerId, peer_id_from_bytes

MEMBERS_PER_CALL = 500
"""Peers of the roster that one call looks at."""


class Web3Chain:
    """``Chain`` over ``rpc_urls`` (tried in order), acting for one wallet.

    ``wallet``: an eth-account account or a 32-byte private key. Without gas money it asks the endpoint's faucet, where
    there is one. Belongs to the event loop that uses it first.
    """

    def __init__(
        self,
        rpc_urls: Sequence[str],
        contracts: Contracts,
        wallet: LocalAccount | bytes,
        *,
        receipt_timeout_s: float = 90.0,
        num_attempts: int = 4,
        wallet_log: WalletLog | None = None,
        fees: FeePolicy | None = None,
    ) -> None:
        account: LocalAccount = Account.from_key(wallet) if isinstance(wallet, bytes) else wallet
        self._contracts = contracts
        self._rpc = Rpc(rpc_urls, check=self._check_endpoint, num_attempts=num_attempts)
        self._sender = Sender(
            self._rpc,
            account,
            contracts.chain_id,
            receipt_timeout_s=receipt_timeout_s,
            log=wallet_log,
            fees=fees,
        )
        self._absence_rounds: int | None = None
        self._members_key: tuple[int, str] | None = None
        self._members: tuple[Member, ...] = ()

    @property
    def contracts(self) -> Contracts:
        return self._contracts

    @property
    def wallet(self) -> Address:
        return self._sender.address

    async def connect(self) -> None:
        """Reach an endpoint and check that it is the right chain with our contracts.

        Raises ``ChainUnreachable``, or ``ChainError`` with reason ``WrongChain`` or ``ForeignContract``. The same is
        checked before the first use of every endpoint, so calling this is only needed to fail early.
        """
        await self._rpc.request("eth_chainId")

    async def clock(self) -> ClockView:
        view, settled_round, credits_root, data_hash, _ = await self._read(
            self._contracts.ledger, function("RoundLedger", "snapshot")
        )
        block, block_at, round, opened_at, opened_block, closes_at, num_members, raw_seed = view
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
        )

    async def peer(self, peer: PeerId) -> PeerRecord | None:
        key = peer_key(peer)
        entry, standing, claimed_micro = await gather(
            self._read(self._contracts.registry, function("PeerRegistry", "peer"), key),
            self._read(self._contracts.clock, function("RoundClock", "standing"), key),
            self._read(self._contracts.pool, function("RewardPool", "claimedMicro"), key),
        )
        owner, signer, _, _ = entry
        if not int(owner, 16):
            return None
        enrolled, _, last_seen_round = standing
        return PeerRecord(peer, _address(owner), _address(signer), enrolled, claimed_micro, last_seen_round)

    async def balance(self, address: Address) -> Balance:
        gas_wei, token_wei = await gather(
            self._rpc.request("eth_getBalance", address, "latest"),
            self._read(self._contracts.token, function("SwarmToken", "balanceOf"), address),
        )
        return Balance(quantity(gas_wei), token_wei)

    async def send(self, intent: Intent) -> Receipt:
        if await self._is_done(intent):
            return await self._nothing_to_do()
        contract, data = self._transaction(intent)
        try:
            mined = await self._sender.send(contract, data, purpose=label(intent))
        except ChainError:
            if await self._is_done(intent):
                return await self._nothing_to_do()
            raise
        return Receipt(mined.transaction, mined.gas, mined.block, mined.block_hash)

    async def block_hash(self, number: int) -> str:
        # An intent is taken out of the outbox for what this says: no single endpoint decides it.
        block = await self._rpc.agreed(
            "eth_getBlockByNumber", hex(number), False, by=lambda found: str(found.get("hash"))
        )
        return str(field(block, "hash")) if block is not None else ""

    async def close(self) -> None:
        await self._rpc.close()

    async def _members_of(self, round: int, seed: str) -> tuple[Member, ...]:
        """Read once per round. The seed is in the key: a chain that lost its last blocks may open the round anew."""
        if self._members_key == (round, seed):
            return self._members
        length = await self._read(self._contracts.clock, function("RoundClock", "rosterLength"))
        found: list[Member] = []
        for offset in range(0, length, MEMBERS_PER_CALL):
            page = await self._read(
                self._contracts.clock, function("RoundClock", "members"), round, offset, MEMBERS_PER_CALL
            )
            try:
                found += (
                    Member(peer_id_from_bytes(raw_id), _address(signer), _address(owner), joined)
                    for raw_id, signer, owner, joined in page
                )
            except BadRecord as error:
                raise _foreign_contract(self._contracts.clock) from error
        members = tuple(sorted(found, key=lambda member: member.peer))
        if seed:
            self._members_key, self._members = (round, seed), members
        return members

    async def _is_done(self, intent: Intent) -> bool:
        """Whether the chain is already in the state that ``intent`` wants."""
        match intent:
            case Register(peer=peer):
                entry = await self._read(self._contracts.registry, function("PeerRegistry", "ownerOf"), peer_key(peer))
                return _address(entry) == self.wallet
            case Enrol(peer=peer):
                return await self._presence_is_fresh(peer)
            case Prune(peer=peer):
                standing = await self._read(self._contracts.clock, function("RoundClock", "standing"), peer_key(peer))
                return not standing[0]
            case Advance(round=round):
                current: int = await self._read(self._contracts.clock, function("RoundClock", "round"))
                return current > round
            case Settle(result=result):
                recorded: bytes = await self._read(
                    self._contracts.ledger, function("RoundLedger", "resultHash"), result.round
                )
                return recorded == round_result_hash(result)
            case Claim(peer=peer, micro_credits=micro_credits):
                claimed: int = await self._read(
                    self._contracts.pool, function("RewardPool", "claimedMicro"), peer_key(peer)
                )
                return claimed >= micro_credits
        raise TypeError(f"Not an intent: {intent!r}")

    async def _presence_is_fresh(self, peer: PeerId) -> bool:
        if self._absence_rounds is None:
            self._absence_rounds = await self._read(self._contracts.clock, function("RoundClock", "ABSENCE_ROUNDS"))
        standing, round = await gather(
            self._read(self._contracts.clock, function("RoundClock", "standing"), peer_key(peer)),
            self._read(self._contracts.clock, function("RoundClock", "round")),
        )
        enrolled, _, last_seen_round = standing
        return bool(enrolled and round - last_seen_round <= self._absence_rounds // 2)

    def _transaction(self, intent: Intent) -> tuple[Address, str]:
        """Contract and call data of an intent. Raises ``ChainError('ProofRejected')`` for what cannot be encoded."""
        at = self._contracts
        match intent:
            case Register():
                return at.registry, _register_data(intent)
            case Enrol(peer=peer):
                return at.clock, function("RoundClock", "enrol").call_data(peer_key(peer))
            case Prune(peer=peer):
                return at.clock, function("RoundClock", "prune").call_data(peer_key(peer))
            case Advance(round=round):
                return at.clock, function("RoundClock", "advance").call_data(round)
            case Settle(result=result, signatures=signatures):
                fields = (
                    result.round,
                    bytes.fromhex(result.contributions_root),
                    bytes.fromhex(result.data_hash),
                    bytes.fromhex(result.previous_credits_root),
                    bytes.fromhex(result.credits_root),
                    result.total_micro_credits,
                )
                compact = [_compact(signature) for signature in signatures]
                return at.ledger, function("RoundLedger", "settle").call_data(fields, compact)
            case Claim(peer=peer, micro_credits=micro_credits, proof=proof):
                siblings = [bytes.fromhex(node) for node in proof]
                return at.pool, function("RewardPool", "claim").call_data(peer_key(peer), micro_credits, siblings)
        raise TypeError(f"Not an intent: {intent!r}")

    async def _read(self, contract: Address, view: Function, *arguments: Any) -> Any:
        try:
            data = await self._rpc.request("eth_call", {"to": contract, "data": view.call_data(*arguments)}, "latest")
            return view.result(data)
        except RpcRefused as refused:
            raise contract_error(refused) from refused
        except (DecodingError, ValueError, TypeError) as error:
            raise _foreign_contract(contract) from error

    async def _nothing_to_do(self) -> Receipt:
        block = await self._rpc.request("eth_getBlockByNumber", "latest", False)
        return Receipt("", 0, quantity(field(block, "number")), str(field(block, "hash")))

    async def _check_endpoint(self, ask: Ask) -> None:
        chain_id = quantity(await ask("eth_chainId"))
        if chain_id != self._contracts.chain_id:
            raise ChainError(
                f"This endpoint serves chain {chain_id}, the run lives on chain {self._contracts.chain_id}.",
                "Nothing was sent; your credits are on the other chain.",
                "Name an endpoint of the run's chain with --rpc.",
                reason="WrongChain",
            )
        answers = [
            await ask("eth_call", {"to": contract, "data": function(name, view).call_data()}, "latest")
            for contract, name, view in (
                (self._contracts.ledger, "RoundLedger", "CLOCK"),
                (self._contracts.pool, "RewardPool", "LEDGER"),
            )
        ]
        for answer, contract, expected in zip(
            answers,
            (self._contracts.ledger, self._contracts.pool),
            (self._contracts.clock, self._contracts.ledger),
            strict=True,
        ):
            if str(answer)[-40:].lower() != expected[2:].lower():
                raise _foreign_contract(contract)


def _register_data(intent: Register) -> str:
    r, vs = _compact(intent.proof)
    if intent.delegation is not None:
        signer = intent.delegation.signer
        try:
            modulus = rsa_modulus(intent.delegation.public_key)
        except BadRecord as error:
            raise chain_error(Refusal("ModulusUnsupported", {})) from error
        return function("PeerRegistry", "registerRsa").call_data(
            modulus, signer, intent.nonce, intent.delegation.signature, r, vs
        )
    public_key = secp256k1_of_peer(intent.peer)
    if public_key is None:
        raise ChainError(
            f"The peer id {intent.peer} does not contain its key, and no delegation was given.",
            "It cannot be registered.",
            "Use a secp256k1 or RSA-2048 swarm.pem.",
            reason="ProofRejected",
        )
    xy = public_key_xy(public_key)
    return function("PeerRegistry", "registerSecp256k1").call_data(xy[:32], xy[32:], intent.nonce, r, vs)


def _compact(signature: bytes) -> tuple[bytes, bytes]:
    """ERC-2098 form of a signature. Raises ``ChainError('ProofRejected')`` for what no contract accepts."""
    try:
        return compact_signature(signature)
    except BadRecord as error:
        raise ChainError(error.what, "Nothing was sent.", "Sign again.", reason="ProofRejected") from error


def _address(text: str) -> Address:
    return checksum_address(bytes.fromhex(text[2:]))


def _foreign_contract(contract: Address) -> ChainError:
    return ChainError(
        f"The contract at {contract} is not one of this run's.",
        "Nothing was sent; your credits are with the run's own contracts.",
        "Use the join token of the swarm's host; if the host began a new run, ask for the new token.",
        reason="ForeignContract",
    )
