"""Why this module exists: a price must be known before a wallet is unlocked, also of what a signature would allow.

An endpoint is asked to estimate as if the account had approved what it is going to approve: with the token's storage
overridden for the one call (``eth_estimateGas`` with state overrides). Nothing here can sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_hash.auto import keccak

from chain.abi import Function, function
from chain.base import WEI_PER_MICRO, Contracts, Cost, Intent, OpenDispute, Stake
from chain.deploy import has_code
from chain.fees import FeePolicy, price_wei
from chain.keys import peer_key
from chain.nonces import WalletLog
from chain.reader import read_view
from chain.rpc import Rpc, RpcRefused, quantity
from chain.sender import contract_error
from chain.transactions import approval, reference, transaction
from chain.web3_chain import Web3Chain
from protocol.errors import ChainError, ChainUnreachable
from protocol.ids import Address
from swarm.app.unlocking import Onlooker

BALANCES_SLOT, ALLOWANCES_SLOT = 0, 1
"""Storage slots of the token (OpenZeppelin's ERC20)."""

PERMIT_GAS = 30_000
"""What a deposit with the owner's permit takes more than one that was approved before."""


class Teller:
    """An account on a chain: what it may read, and what things would cost it. Signs nothing."""

    def __init__(self, urls: Sequence[str], chain_id: int, account: Any, fees: FeePolicy | None = None) -> None:
        self._urls = tuple(urls)
        self._fees = fees or FeePolicy()
        self._chain_id = chain_id
        self._account = account
        self._rpc = Rpc(urls)

    @property
    def address(self) -> Address:
        return Address(self._account.address)

    async def chain_id(self) -> int:
        return quantity(await self._rpc.request("eth_chainId"))

    async def has_code(self, address: Address) -> bool:
        return await has_code(self._rpc, address)

    async def close(self) -> None:
        await self._rpc.close()

    async def has_faucet(self) -> bool:
        """Whether the endpoint is a swarm's own gate, which gives newcomers what they need."""
        try:
            await self._rpc.request("swarm_token")
        except RpcRefused:
            return False
        return True

    async def read(self, contract: Address, view: Function, *arguments: Any) -> Any:
        return await read_view(self._rpc, contract, view, *arguments, foreign=_foreign)

    async def gas(self, to: Address | None, data: str, overrides: dict[str, Any] | None = None) -> int:
        call = {"from": self.address, "data": data} | ({"to": to} if to else {})
        try:
            return quantity(
                await self._rpc.request("eth_estimateGas", call, *(["latest", overrides] if overrides else []))
            )
        except RpcRefused as refused:
            raise contract_error(refused) from refused

    def wallet_log(self, file: Path) -> WalletLog:
        """What the account signs for this chain, beside the ``file`` that says what was made."""
        return WalletLog(file.parent / "transactions" / f"{self._chain_id}-{self.address[2:10].lower()}.log")

    async def cost(self, gas: int) -> Cost:
        """What so much gas takes at the present price, as a run's ``Chain`` would say it."""
        return Cost(gas, gas * await price_wei(self._rpc.request, self._fees))

    async def answering(self) -> str:
        """The first endpoint that serves the chain: what signs next asks one endpoint, and must not meet another chain.

        Raises ``ChainUnreachable`` when none of them does.
        """
        for url in self._urls:
            rpc = Rpc([url], num_attempts=2)
            try:
                if quantity(await rpc.request("eth_chainId")) == self._chain_id:
                    return url
            except ChainUnreachable:
                continue
            finally:
                await rpc.close()
        raise ChainUnreachable(
            f"No endpoint of chain {self._chain_id} answers.", "Nothing was signed or sent.", "Correct chain.rpc."
        )


class LookingChain(Web3Chain):
    """A run's chain as an account without its key: it looks and estimates."""

    def __init__(
        self,
        urls: Sequence[str],
        contracts: Contracts,
        address: Address,
        *,
        num_attempts: int = 4,
        fees: FeePolicy | None = None,
    ) -> None:
        account: Any = Onlooker(address)
        super().__init__(urls, contracts, account, num_attempts=num_attempts, fees=fees)
        self._teller = Teller(urls, contracts.chain_id, account, fees)

    async def estimate(self, intent: Intent) -> Cost:
        """As ``Chain.estimate``; a stake, which carries a signed permit, and a dispute, whose bond is approved
        right before it, are estimated as if that were so."""
        if isinstance(intent, Stake):
            return await self._cost_of_stake(intent)
        if isinstance(intent, OpenDispute):
            return await self._cost_of_dispute(intent)
        return await super().estimate(intent)

    async def close(self) -> None:
        await self._teller.close()
        await super().close()

    async def _cost_of_dispute(self, intent: OpenDispute) -> Cost:
        if await self._is_done(intent):
            return Cost(0, 0)
        at = self.contracts
        to, data = transaction(at, intent)
        bond_wei = int(await self._reader.read(at.disputes, function("DisputeGame", "BOND_WEI")))
        approving = await self._teller.gas(*approval(at.token, at.vault, bond_wei))
        opening = await self._teller.gas(to, data, {at.token: allowed(self.wallet, at.vault, bond_wei)})
        return await self._teller.cost(approving + opening)

    async def _cost_of_stake(self, intent: Stake) -> Cost:
        at, wei = self.contracts, intent.amount_micro * WEI_PER_MICRO
        pretended = allowed(self.wallet, at.vault, wei)
        held = (await self.balance(self.wallet)).token_wei
        if held < wei and await self._teller.has_faucet():
            pretended["stateDiff"][_balance_slot(self.wallet)] = _word(wei)
        data = function("StakeVault", "deposit").call_data(peer_key(intent.peer), wei, reference(intent))
        return await self._teller.cost(PERMIT_GAS + await self._teller.gas(at.vault, data, {at.token: pretended}))


def allowed(owner: Address, spender: Address, wei: int) -> dict[str, dict[str, str]]:
    """The token's state in which ``spender`` may take ``wei`` from ``owner``, as an override."""
    inner = keccak(encode(["address", "uint256"], [owner, ALLOWANCES_SLOT]))
    return {"stateDiff": {"0x" + keccak(encode(["address", "bytes32"], [spender, inner])).hex(): _word(wei)}}


def _balance_slot(owner: Address) -> str:
    return "0x" + keccak(encode(["address", "uint256"], [owner, BALANCES_SLOT])).hex()


def _word(number: int) -> str:
    return "0x" + number.to_bytes(32, "big").hex()


def _foreign(contract: Address) -> ChainError:
    return ChainError(
        f"The contract at {contract} is not what it should be.",
        "Nothing was sent.",
        "Check the addresses in the settings, or set the chain up with `swarm deploy`.",
        reason="ForeignContract",
    )
