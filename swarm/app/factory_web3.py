"""Why this module exists: ``Site`` and ``Foundation`` on a real EVM chain, through its JSON-RPC endpoints."""

from __future__ import annotations

import msgspec
from eth_abi.abi import encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak

from chain.abi import Function, deployment_data, function
from chain.base import WEI_PER_MICRO, Cost, Receipt
from chain.deploy import created_address
from chain.fees import FeePolicy, offer
from chain.keys import checksum_address
from chain.rpc import Rpc, RpcRefused, quantity
from chain.rules import Rules
from chain.sender import Sender, contract_error
from protocol.errors import ChainError
from protocol.ids import Address, ContentId
from protocol.run import RunContracts
from swarm.app.foundation import ChainContracts, Deployed, NewRun, RunView

from typing import Any

PER_RUN = ("clock", "contributions", "settlement", "vault", "reputation", "equivocation")
ALLOWANCES_SLOT = 1
"""Storage slot of the token's allowances (OpenZeppelin's ERC20), for prices of what is not approved yet."""

DEPLOYMENT = "SwarmDeployment"


class _Account:
    """What both have: an endpoint, an account, and prices."""

    def __init__(self, urls: tuple[str, ...], chain_id: int, account: Any) -> None:
        self._rpc = Rpc(urls)
        self._sender = Sender(self._rpc, account, chain_id)

    @property
    def address(self) -> Address:
        return self._sender.address

    async def chain_id(self) -> int:
        return quantity(await self._rpc.request("eth_chainId"))

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

    async def _cost(self, to: Address | None, data: str, overrides: dict[str, Any] | None = None) -> Cost:
        call = {"from": self.address, "data": data} | ({"to": to} if to else {})
        more = ["latest", overrides] if overrides else []
        try:
            gas = quantity(await self._rpc.request("eth_estimateGas", call, *more))
        except RpcRefused as refused:
            raise contract_error(refused) from refused
        price = await offer(self._rpc.request, FeePolicy())
        return Cost(gas, gas * price.fee_wei)

    async def _has_code(self, contract: Address) -> bool:
        code: str = await self._rpc.request("eth_getCode", contract, "latest")
        return len(code) > 2
