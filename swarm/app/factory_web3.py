"""Why this module exists: ``Site`` and ``Foundation`` on a real EVM chain, through its JSON-RPC endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from chain.abi import Function, deployment_data, function
from chain.base import WEI_PER_MICRO, Cost
from chain.deploy import SUPPLY_WEI, Deployment, deploy, has_code
from chain.keys import checksum_address
from chain.rpc import Rpc, RpcRefused, field, gather, quantity
from chain.rules import Rules
from chain.run_deploy import MAX_NAME_BYTES, Founding, RunDeployment, create_run
from chain.sender import MIN_TIP_WEI, contract_error
from protocol.errors import ChainError
from protocol.ids import Address, ContentId
from protocol.run import RunContracts
from swarm.app.foundation import ChainContracts, RunView

REST_GAS = 9_000_000
"""Gas of the second half of a set-up, for its price before the first half is there to be asked."""

ALLOWANCES_SLOT = 1
"""Storage slot of the token's allowances (OpenZeppelin's ERC20), for prices of what is not approved yet."""

PER_RUN = ("clock", "contributions", "settlement", "vault", "reputation", "equivocation")


class _Account:
    """What both have: an endpoint, an account, and prices."""

    def __init__(self, urls: Sequence[str], chain_id: int, account: Any) -> None:
        self._urls = tuple(urls)
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

    async def _read(self, contract: Address, view: Function, *arguments: Any) -> Any:
        try:
            data = await self._rpc.request("eth_call", {"to": contract, "data": view.call_data(*arguments)}, "latest")
            return view.result(data)
        except RpcRefused as refused:
            raise contract_error(refused) from refused
        except (DecodingError, ValueError, TypeError) as error:
            raise _foreign(contract) from error

    async def _gas(self, to: Address | None, data: str, overrides: dict[str, Any] | None = None) -> int:
        call = {"from": self.address, "data": data} | ({"to": to} if to else {})
        try:
            return quantity(
                await self._rpc.request("eth_estimateGas", call, *(["latest", overrides] if overrides else []))
            )
        except RpcRefused as refused:
            raise contract_error(refused) from refused

    async def _cost(self, gas: int) -> Cost:
        header = await self._rpc.request("eth_getBlockByNumber", "latest", False)
        base_fee_wei = quantity(field(header, "baseFeePerGas"))
        return Cost(gas, gas * (base_fee_wei + max(MIN_TIP_WEI, base_fee_wei // 10)))

    async def _answering(self) -> str:
        """The first endpoint that serves the chain."""
        for url in self._urls[:-1]:
            rpc = Rpc([url], num_attempts=1)
            try:
                if quantity(await rpc.request("eth_chainId")) == self._chain_id:
                    return url
            except ChainError:
                continue
            finally:
                await rpc.close()
        return self._urls[-1]


class Web3Site(_Account):
    """See ``Site``."""

    async def nonces(self) -> tuple[int, int]:
        mined, waiting = await gather(
            self._rpc.request("eth_getTransactionCount", self.address, "latest"),
            self._rpc.request("eth_getTransactionCount", self.address, "pending"),
        )
        return quantity(mined), quantity(waiting)

    async def estimate(self, base: Address | None) -> Cost:
        if base is not None:
            return await self._cost(await self._gas(None, deployment_data("SwarmDeployment", base)))
        return await self._cost(await self._gas(None, self._base_data()) + REST_GAS)

    async def deploy(self, file: Path) -> Deployment:
        return await deploy(await self._answering(), self._account, file)

    def _base_data(self) -> str:
        return deployment_data("SwarmBase", self.address, SUPPLY_WEI)


class Web3Foundation(_Account):
    """See ``Foundation``."""

    def __init__(self, urls: Sequence[str], contracts: ChainContracts, account: Any) -> None:
        super().__init__(urls, contracts.chain_id, account)
        self._contracts = contracts

    @property
    def contracts(self) -> ChainContracts:
        return self._contracts

    async def stands(self) -> bool:
        """Whether the factory is there, and is that of the registry and the token."""
        at = self._contracts
        if not await self.has_code(at.factory):
            return False
        registry, token = await gather(
            self._read(at.factory, function("RunFactory", "REGISTRY")),
            self._read(at.factory, function("RunFactory", "TOKEN")),
        )
        return (registry.lower(), token.lower()) == (at.registry.lower(), at.token.lower())

    async def runs(self) -> tuple[RunView, ...]:
        factory = self._contracts.factory
        count = await self._read(factory, function("RunFactory", "numRuns"))
        views = await gather(*(self._read(factory, function("RunFactory", "runAt"), number) for number in range(count)))
        return tuple(self._view(number, raw) for number, raw in enumerate(views))

    async def run(self, creator: Address, run_id: ContentId) -> RunView | None:
        factory = self._contracts.factory
        try:
            raw = await self._read(factory, function("RunFactory", "run"), creator, bytes.fromhex(run_id))
        except ChainError as error:
            if error.reason == "RunUnknown":
                return None
            raise
        return self._view(None, raw)

    async def token_wei(self, account: Address) -> int:
        return int(await self._read(self._contracts.token, function("SwarmToken", "balanceOf"), account))

    async def allowance_wei(self, owner: Address) -> int:
        allowance = function("SwarmToken", "allowance")
        return int(await self._read(self._contracts.token, allowance, owner, self._contracts.factory))

    async def estimate_approval(self, micro: int) -> Cost:
        return await self._cost(await self._gas(self._contracts.token, self._approval(micro)))

    async def estimate_creation(self, new: Founding) -> Cost:
        """As if the budget were approved: the endpoint is asked to pretend so."""
        at = self._contracts
        amount = (new.budget_micro * WEI_PER_MICRO).to_bytes(32, "big").hex()
        pretended = {at.token: {"stateDiff": {_allowance_slot(self.address, at.factory): "0x" + amount}}}
        return await self._cost(await self._gas(at.factory, _creation(new), pretended))

    async def create(self, new: Founding, file: Path) -> RunDeployment:
        at = self._contracts
        # What creating needs of the chain's set-up are its addresses; who deployed it is another matter.
        shared = Deployment(at.chain_id, at.registry, at.token, at.factory, self.address, 0, SUPPLY_WEI)
        return await create_run(await self._answering(), self._account, shared, new, file)

    def _approval(self, micro: int) -> str:
        return function("SwarmToken", "approve").call_data(self._contracts.factory, micro * WEI_PER_MICRO)

    def _view(self, number: int | None, raw: Any) -> RunView:
        run_id, creator, model_hash, task_hash, name, budget_micro, created_at, parts, rules, *_ = raw
        at = self._contracts
        per_run = dict(zip(PER_RUN, map(_address, parts), strict=False))
        return RunView(
            number=number,
            run_id=ContentId(run_id.hex()),
            creator=_address(creator),
            model_hash=ContentId(model_hash.hex()),
            task_hash=ContentId(task_hash.hex()),
            name=name,
            budget_micro=budget_micro,
            created_at=created_at,
            contracts=RunContracts(registry=at.registry, token=at.token, factory=at.factory, **per_run),
            rules=Rules(*rules),
        )


def _creation(new: Founding) -> str:
    return function("RunFactory", "createRun").call_data(
        bytes.fromhex(new.run),
        bytes.fromhex(new.model),
        bytes.fromhex(new.task),
        new.name.encode()[:MAX_NAME_BYTES].decode(errors="ignore"),
        msgspec.structs.astuple(new.rules),
        new.budget_micro,
    )


def _allowance_slot(owner: Address, spender: Address) -> str:
    inner = keccak(encode(["address", "uint256"], [owner, ALLOWANCES_SLOT]))
    return "0x" + keccak(encode(["address", "bytes32"], [spender, inner])).hex()


def _address(text: str) -> Address:
    return checksum_address(bytes.fromhex(text[2:]))


def _foreign(contract: Address) -> ChainError:
    return ChainError(
        f"The contract at {contract} is not what it should be.",
        "Nothing was sent.",
        "Check the addresses in the settings, or set the chain up with `swarm deploy`.",
        reason="ForeignContract",
    )
