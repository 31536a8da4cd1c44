"""Why this module exists: the verbs of ``Chain`` on a real EVM chain, through its JSON-RPC endpoints (web3 8).

Reading is ``chain.reader``'s, encoding ``chain.transactions``', and ``chain.fulfilled`` says what is done already.
This acts for one wallet: it lets contracts take tokens where an intent needs it, sends, and waits for receipts.
"""

from __future__ import annotations

from collections.abc import Sequence

from chain.abi import function
from chain.base import (
    WEI_PER_MICRO,
    AskForData,
    Balance,
    Challenge,
    ClockView,
    Contracts,
    Cost,
    EpochsView,
    Intent,
    OpenDispute,
    PeerRecord,
    Receipt,
    Stake,
)
from chain.ethereum import Account, LocalAccount
from chain.fees import FeePolicy, price_wei
from chain.fulfilled import SAID_BY_REFUSAL, is_done
from chain.keys import sign_digest
from chain.nonces import WalletLog
from chain.reader import Reader, foreign_contract
from chain.recognition import label
from chain.requests import BOND_MICRO
from chain.rpc import Ask, Rpc, RpcRefused, field, gather, quantity
from chain.sender import Sender, contract_error
from chain.transactions import Call, approval, stake_with_permit, transaction
from chain.typed_data import permit_digest
from chain.web3_games import Web3Games
from chain.web3_reports import Web3Reports
from chain.web3_requests import Web3Requests
from protocol.errors import ChainError
from protocol.ids import Address, PeerId

PERMIT_VALID_S = 3600

BONDED = Challenge | OpenDispute | AskForData
"""Intents that put a bond at stake, which the vault takes."""

STAKE_MISSING = ("its stake", "Without its stake the peer cannot play.")
BOND_MISSING = ("the bond", "Without a bond nobody is challenged, accused or asked; your credits are not touched.")
"""What tokens are for that a wallet does not have, and what that means."""

WIRED = (
    ("contributions", "Contributions", "CLOCK", "clock"),
    ("contributions", "Contributions", "SETTLEMENT", "settlement"),
    ("settlement", "Settlement", "VAULT", "vault"),
    ("settlement", "Settlement", "TOKEN", "token"),
    ("clock", "RoundClock", "REPUTATION", "reputation"),
    ("clock", "RoundClock", "EQUIVOCATION", "equivocation"),
    ("clock", "RoundClock", "REGISTRY", "registry"),
    ("clock", "RoundClock", "DISPUTES", "disputes"),
)
"""Which contract must know which other one, and by which view: a foreign set of contracts fails here."""


class Web3Chain:
    """``Chain`` over ``rpc_urls`` (tried in order), acting for one wallet.

    ``wallet``: an eth-account account or a 32-byte private key. Without gas money, or tokens for its stake, it asks the
    endpoint's faucet, where there is one. Belongs to the event loop that uses it first.
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
        self._account: LocalAccount = Account.from_key(wallet) if isinstance(wallet, bytes) else wallet
        self._contracts = contracts
        self._fees = fees or FeePolicy()
        self._rpc = Rpc(rpc_urls, check=self._check_endpoint, num_attempts=num_attempts)
        self._sender = Sender(
            self._rpc,
            self._account,
            contracts.chain_id,
            receipt_timeout_s=receipt_timeout_s,
            log=wallet_log,
            fees=self._fees,
        )
        self._reader = Reader(self._rpc, contracts)
        self._games = Web3Games(self._rpc, contracts)
        self._requests = Web3Requests(self._rpc, contracts)
        self._reports = Web3Reports(self._rpc, contracts)

    @property
    def contracts(self) -> Contracts:
        return self._contracts

    @property
    def wallet(self) -> Address:
        return self._sender.address

    @property
    def games(self) -> Web3Games:
        """The run's disputes, through the same endpoints."""
        return self._games

    @property
    def requests(self) -> Web3Requests:
        """The run's requests for data."""
        return self._requests

    @property
    def reports(self) -> Web3Reports:
        """The run's reports of peers that signed twice."""
        return self._reports

    async def connect(self) -> None:
        """Reach an endpoint and check that it is the right chain with our contracts.

        Raises ``ChainUnreachable``, or ``ChainError`` with reason ``WrongChain`` or ``ForeignContract``. The same is
        checked before the first use of every endpoint, so calling this is only needed to fail early.
        """
        await self._rpc.request("eth_chainId")

    async def clock(self) -> ClockView:
        return await self._reader.clock()

    async def peer(self, peer: PeerId) -> PeerRecord | None:
        return await self._reader.peer(peer)

    async def claimed(self, peers: Sequence[PeerId]) -> tuple[int, ...]:
        return await self._reader.claimed(peers)

    async def balance(self, address: Address) -> Balance:
        return await self._reader.balance(address)

    async def epochs(self) -> EpochsView:
        return await self._reader.epochs()

    async def send(self, intent: Intent) -> Receipt:
        if await self._is_done(intent):
            return await self._nothing_to_do()
        try:
            gas = await self._allow_bond(intent) if isinstance(intent, BONDED) else 0
            if isinstance(intent, Stake):
                await self._require_tokens(intent.amount_micro * WEI_PER_MICRO, STAKE_MISSING)
            contract, data = await self._call(intent)
            mined = await self._sender.send(contract, data, purpose=label(intent))
        except ChainError as error:
            if isinstance(intent, SAID_BY_REFUSAL.get(error.reason, ())) or await self._is_done(intent):
                return await self._nothing_to_do()
            raise
        return Receipt(mined.transaction, gas + mined.gas, mined.block, mined.block_hash)

    async def estimate(self, intent: Intent) -> Cost:
        """What ``send`` would cost now, as the node tries it. Tokens that a faucet would add are not there yet, and a
        challenge or dispute without an allowance for its bond is refused with ``ERC20InsufficientAllowance``."""
        if await self._is_done(intent):
            return Cost(0, 0)
        contract, data = await self._call(intent)
        call = {"from": self.wallet, "to": contract, "data": data}
        try:
            gas, price = await gather(
                self._rpc.request("eth_estimateGas", call), price_wei(self._rpc.request, self._fees)
            )
        except RpcRefused as refused:
            if await self._is_done(intent):  # by somebody else, since it was looked at
                return Cost(0, 0)
            raise contract_error(refused) from refused
        return Cost(quantity(gas), quantity(gas) * price)

    async def block_hash(self, number: int) -> str:
        # An intent is taken out of the outbox for what this says: no single endpoint decides it.
        block = await self._rpc.agreed(
            "eth_getBlockByNumber", hex(number), False, by=lambda found: str(found.get("hash"))
        )
        return str(field(block, "hash")) if block is not None else ""

    async def close(self) -> None:
        await self._rpc.close()

    async def _is_done(self, intent: Intent) -> bool:
        return await is_done(self._reader, self._contracts, self.wallet, intent)

    async def _call(self, intent: Intent) -> Call:
        """Contract and call data; a stake carries the wallet's permit to take its tokens."""
        if not isinstance(intent, Stake):
            return transaction(self._contracts, intent)
        at, amount_wei = self._contracts, intent.amount_micro * WEI_PER_MICRO
        nonce, header = await gather(
            self._reader.read(at.token, function("SwarmToken", "nonces"), self.wallet),
            self._rpc.request("eth_getBlockByNumber", "latest", False),
        )
        # To the hour, so that whoever died before it was broadcast signs the very same transaction again.
        deadline = (quantity(field(header, "timestamp")) // PERMIT_VALID_S + 2) * PERMIT_VALID_S
        digest = permit_digest(at, self.wallet, at.vault, amount_wei, nonce, deadline)
        return stake_with_permit(at, intent, deadline, sign_digest(bytes(self._account.key), digest))

    async def _require_tokens(self, amount_wei: int, missing: tuple[str, str]) -> None:
        """Ask the faucet where the wallet has too few. ``missing``: what they are for, and what it means that they are
        not there. Raises ``ChainError('ERC20InsufficientBalance')``."""
        held = (await self.balance(self.wallet)).token_wei
        if held >= amount_wei:
            return
        try:
            await self._rpc.request("swarm_faucet", self.wallet)
            held = (await self.balance(self.wallet)).token_wei
        except RpcRefused as refused:
            why = refused.what
        else:
            why = f"the faucet left it at {held} wei"
        if held < amount_wei:
            raise ChainError(
                f"The wallet {self.wallet} has too few tokens for {missing[0]} ({amount_wei} wei needed): {why}.",
                f"Nothing was sent. {missing[1]}",
                "Send tokens of this swarm to the wallet.",
                reason="ERC20InsufficientBalance",
            )

    async def _allow_bond(self, intent: Challenge | OpenDispute | AskForData) -> int:
        """Let the vault take the bond, where it may not yet; the gas that it took."""
        at = self._contracts
        bond_wei, allowed_wei = await gather(
            self._bond_wei(intent),
            self._reader.read(at.token, function("SwarmToken", "allowance"), self.wallet, at.vault),
        )
        await self._require_tokens(bond_wei, BOND_MISSING)
        if allowed_wei >= bond_wei:
            return 0
        contract, data = approval(at.token, at.vault, bond_wei)
        return (await self._sender.send(contract, data)).gas

    async def _bond_wei(self, intent: Challenge | OpenDispute | AskForData) -> int:
        if isinstance(intent, AskForData):
            return BOND_MICRO * WEI_PER_MICRO
        if isinstance(intent, OpenDispute):
            return int(await self._reader.read(self._contracts.disputes, function("DisputeGame", "BOND_WEI")))
        bond_micro = await self._reader.read(self._contracts.settlement, function("Settlement", "bondMicro"))
        return int(bond_micro) * WEI_PER_MICRO

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
        for holder, name, view, known in WIRED:
            contract: Address = getattr(self._contracts, holder)
            answer = await ask("eth_call", {"to": contract, "data": function(name, view).call_data()}, "latest")
            if str(answer)[-40:].lower() != getattr(self._contracts, known)[2:].lower():
                raise foreign_contract(contract)
