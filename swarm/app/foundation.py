"""Why this module exists: a chain is set up and a run is created before there is a run whose ``Chain`` could be asked.

``Foundation`` is what the commands need of a chain without a run; ``swarm.app.factory`` has it on an EVM chain. A run
is what its creator signed for: model and task by hash, rules, and a budget in escrow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from chain.base import Cost
from chain.deploy import Deployment
from chain.rules import Rules
from chain.run_deploy import Founding, RunDeployment
from protocol.ids import Address, ContentId
from protocol.run import RunContracts


class ChainContracts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What serves every run of a chain."""

    chain_id: int
    registry: Address
    token: Address
    factory: Address


class RunView(msgspec.Struct, frozen=True):
    """A run as the factory knows it. ``name`` is a stranger's text. ``created_at``: unix seconds. ``number``: in order
    of creation, from 0; None where it was not looked up."""

    number: int | None
    run_id: ContentId
    creator: Address
    model_hash: ContentId
    task_hash: ContentId
    name: str
    budget_micro: int
    created_at: int
    contracts: RunContracts
    rules: Rules


class Site(Protocol):
    """A chain that is to be set up by one account. Errors as for ``Foundation``."""

    @property
    def address(self) -> Address:
        """The account that pays."""
        ...

    async def chain_id(self) -> int: ...

    async def has_code(self, address: Address) -> bool: ...

    async def nonces(self) -> tuple[int, int]:
        """How many transactions of the account are mined, and how many with those that wait in the node's pool."""
        ...

    async def estimate(self, there: tuple[Address, ...]) -> Cost:
        """What is still to be paid: all parts, or those that follow the ones that are ``there``."""
        ...

    async def deploy(self, file: Path) -> Deployment:
        """Create what ``file`` says and is not there, and keep the file up to date (see ``chain.deploy``)."""
        ...

    async def close(self) -> None: ...


class Foundation(Protocol):
    """A chain without a run. Every method raises ``ChainUnreachable``, and ``ChainError`` on refusal."""

    @property
    def contracts(self) -> ChainContracts: ...

    async def runs(self) -> tuple[RunView, ...]:
        """All runs of the factory, oldest first."""
        ...

    async def run(self, creator: Address, run_id: ContentId) -> RunView | None:
        """The run that ``creator`` made under that id, ``None`` when there is none."""
        ...

    async def token_wei(self, account: Address) -> int: ...

    async def allowance_wei(self, owner: Address) -> int:
        """Tokens that the factory may take from ``owner``."""
        ...

    async def estimate_approval(self, micro: int) -> Cost: ...

    async def estimate_creation(self, new: Founding) -> Cost: ...

    async def create(self, new: Founding, file: Path) -> RunDeployment:
        """Create a run and put its budget into escrow, once; ``file`` says how far it is (see ``chain.run_deploy``)."""
        ...

    async def close(self) -> None: ...
