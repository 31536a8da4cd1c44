"""Why this module exists: ``Site`` and ``Foundation`` on a real EVM chain, through its JSON-RPC endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chain.abi import deployment_data, function
from chain.base import WEI_PER_MICRO, Cost
from chain.deploy import SUPPLY_WEI, Deployment, deploy
from chain.fees import FeePolicy
from chain.reader import address
from chain.rpc import gather, quantity
from chain.rules import Rules
from chain.run_deploy import Founding, RunDeployment, create_run, creation_data
from protocol.errors import ChainError
from protocol.ids import Address, ContentId
from protocol.run import RunContracts
from swarm.app.foundation import ChainContracts, RunView
from swarm.app.pricing import Teller, allowed

PARTS = ("SwarmBase", "SwarmCourts", "SwarmDeployment")
GAS = {"SwarmCourts": 9_900_000, "SwarmDeployment": 9_600_000}
"""Gas of the later parts of a set-up, for their price before the earlier ones are there to be asked."""

PER_RUN = ("clock", "contributions", "settlement", "vault", "reputation", "equivocation", "disputes", "requests")


class Web3Site(Teller):
    """See ``Site``."""

    async def nonces(self) -> tuple[int, int]:
        mined, waiting = await gather(
            self._rpc.request("eth_getTransactionCount", self.address, "latest"),
            self._rpc.request("eth_getTransactionCount", self.address, "pending"),
        )
        return quantity(mined), quantity(waiting)

    async def estimate(self, there: tuple[Address, ...]) -> Cost:
        part, *later = PARTS[len(there) :]
        arguments = there or (self.address, SUPPLY_WEI)
        first = await self.gas(None, deployment_data(part, *arguments))
        return await self.cost(first + sum(GAS[name] for name in later))

    async def deploy(self, file: Path) -> Deployment:
        url, log = await self.answering(), self.wallet_log(file)
        return await deploy(url, self._account, file, wallet_log=log, fees=self._fees)


class Web3Foundation(Teller):
    """See ``Foundation``."""

    def __init__(
        self, urls: Sequence[str], contracts: ChainContracts, account: Any, fees: FeePolicy | None = None
    ) -> None:
        super().__init__(urls, contracts.chain_id, account, fees)
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
            self.read(at.factory, function("RunFactory", "REGISTRY")),
            self.read(at.factory, function("RunFactory", "TOKEN")),
        )
        return (registry.lower(), token.lower()) == (at.registry.lower(), at.token.lower())

    async def runs(self) -> tuple[RunView, ...]:
        factory = self._contracts.factory
        count = await self.read(factory, function("RunFactory", "numRuns"))
        views = await gather(*(self.read(factory, function("RunFactory", "runAt"), number) for number in range(count)))
        return tuple(self._view(number, raw) for number, raw in enumerate(views))

    async def run(self, creator: Address, run_id: ContentId) -> RunView | None:
        factory = self._contracts.factory
        try:
            raw = await self.read(factory, function("RunFactory", "run"), creator, bytes.fromhex(run_id))
        except ChainError as error:
            if error.reason == "RunUnknown":
                return None
            raise
        return self._view(None, raw)

    async def token_wei(self, account: Address) -> int:
        return int(await self.read(self._contracts.token, function("SwarmToken", "balanceOf"), account))

    async def allowance_wei(self, owner: Address) -> int:
        allowance = function("SwarmToken", "allowance")
        return int(await self.read(self._contracts.token, allowance, owner, self._contracts.factory))

    async def estimate_approval(self, micro: int) -> Cost:
        return await self.cost(await self.gas(self._contracts.token, self._approval(micro)))

    async def estimate_creation(self, new: Founding) -> Cost:
        """As if the budget were approved: the endpoint is asked to pretend so."""
        at = self._contracts
        pretended = {at.token: allowed(self.address, at.factory, new.budget_micro * WEI_PER_MICRO)}
        return await self.cost(await self.gas(at.factory, creation_data(new), pretended))

    async def create(self, new: Founding, file: Path) -> RunDeployment:
        at = self._contracts
        # What creating needs of the chain's set-up are its addresses; who deployed it is another matter.
        shared = Deployment(at.chain_id, at.registry, at.token, at.factory, self.address, 0, SUPPLY_WEI)
        url, log = await self.answering(), self.wallet_log(file)
        return await create_run(url, self._account, shared, new, file, wallet_log=log, fees=self._fees)

    def _approval(self, micro: int) -> str:
        return function("SwarmToken", "approve").call_data(self._contracts.factory, micro * WEI_PER_MICRO)

    def _view(self, number: int | None, raw: Any) -> RunView:
        run_id, creator, model_hash, task_hash, name, budget_micro, created_at, parts, rules, *_ = raw
        at = self._contracts
        per_run = dict(zip(PER_RUN, map(address, parts), strict=False))
        return RunView(
            number=number,
            run_id=ContentId(run_id.hex()),
            creator=address(creator),
            model_hash=ContentId(model_hash.hex()),
            task_hash=ContentId(task_hash.hex()),
            name=name,
            budget_micro=budget_micro,
            created_at=created_at,
            contracts=RunContracts(registry=at.registry, token=at.token, factory=at.factory, **per_run),
            rules=Rules(*rules),
        )
