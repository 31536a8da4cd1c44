"""Why this module exists: a run is created once, with its budget in escrow, however often its founder is restarted.

The factory knows runs by creator and run id, so a founder that died in between looks its run up and goes on. A chain
that forgot it gets the same contracts at the same addresses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from chain.abi import function
from chain.base import WEI_PER_MICRO, Contracts
from chain.deploy import Deployment, read_file, write_file
from chain.ethereum import LocalAccount
from chain.fees import FeePolicy
from chain.keys import checksum_address
from chain.nonces import WalletLog
from chain.reader import Reader
from chain.rpc import Rpc
from chain.rules import Rules
from chain.sender import Sender
from chain.transactions import approval
from protocol.errors import ChainError, ConfigError
from protocol.ids import Address, ContentId

MAX_NAME_BYTES = 64


class Founding(msgspec.Struct, frozen=True):
    """A run to be created. ``run``: its id; ``model`` and ``task``: what it trains on what, as content ids."""

    run: ContentId
    model: ContentId
    task: ContentId
    name: str
    rules: Rules
    budget_micro: int


class RunDeployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """deployment-….json: where a run is. ``transaction``: empty when the founder did not see it mined."""

    contracts: Contracts
    run: ContentId
    creator: Address
    rules: Rules
    budget_micro: int
    transaction: str = ""
    block: int = 0
    gas: int = 0


async def create_run(
    url: str,
    account: LocalAccount,
    shared: Deployment,
    founding: Founding,
    file: Path,
    *,
    wallet_log: WalletLog | None = None,
    fees: FeePolicy | None = None,
) -> RunDeployment:
    """The contracts of ``founding``'s run on the chain at ``url``, created where they are not there yet.

    Takes the budget out of ``account``'s wallet, once. ``wallet_log``: as for
    ``chain.deploy.deploy``. Raises ``ConfigError`` when ``file`` cannot be read, or when the run was created with other
    rules, ``ChainError`` when the factory refuses.
    """
    rpc = Rpc([url])
    try:
        sender = Sender(rpc, account, shared.chain_id, log=wallet_log, fees=fees)
        factory = _Factory(rpc, shared)
        written = read_file(file, RunDeployment)
        if written is not None:
            _require_same(written.rules, written.budget_micro, founding, str(file))
        view = await factory.find(sender.address, founding.run)
        if view is None:
            planned = RunDeployment(
                contracts=await factory.addresses_of(sender.address, founding.run),
                run=founding.run,
                creator=sender.address,
                rules=founding.rules,
                budget_micro=founding.budget_micro,
            )
            write_file(file, planned)
            written = await _create(sender, factory, founding, planned)
            write_file(file, written)
            return written
        rules, budget_micro = Rules(*view[8]), view[5]
        _require_same(rules, budget_micro, founding, f"the run {founding.run[:16]} on the chain")
        contracts = factory.contracts(view[7])
        if written is None or written.contracts != contracts:
            written = RunDeployment(contracts, founding.run, sender.address, rules, budget_micro)
            write_file(file, written)
        return written
    finally:
        await rpc.close()


class _Factory:
    """What the factory says about runs."""

    def __init__(self, rpc: Rpc, shared: Deployment) -> None:
        self._shared = shared
        nowhere = shared.factory
        self.reader = Reader(
            rpc, Contracts(shared.chain_id, shared.registry, shared.token, shared.factory, *([nowhere] * 8))
        )

    @property
    def address(self) -> Address:
        return self._shared.factory

    @property
    def token(self) -> Address:
        return self._shared.token

    async def find(self, creator: Address, run: ContentId) -> Any | None:
        """The factory's view of a run, ``None`` when there is none."""
        try:
            return await self.reader.read(self.address, function("RunFactory", "run"), creator, bytes.fromhex(run))
        except ChainError as error:
            if error.reason == "RunUnknown":
                return None
            raise

    async def addresses_of(self, creator: Address, run: ContentId) -> Contracts:
        """Where the run's contracts are, or will be."""
        view = function("RunFactory", "addressesOf")
        return self.contracts(await self.reader.read(self.address, view, creator, bytes.fromhex(run)))

    def contracts(self, parts: tuple[str, ...]) -> Contracts:
        shared = self._shared
        own = [checksum_address(bytes.fromhex(part[2:])) for part in parts]
        return Contracts(shared.chain_id, shared.registry, shared.token, shared.factory, *own)


async def _create(sender: Sender, factory: _Factory, founding: Founding, planned: RunDeployment) -> RunDeployment:
    budget_wei = founding.budget_micro * WEI_PER_MICRO
    allowed_wei = await factory.reader.read(
        factory.token, function("SwarmToken", "allowance"), sender.address, factory.address
    )
    gas = 0
    if allowed_wei < budget_wei:
        contract, data = approval(factory.token, factory.address, budget_wei)
        gas = (await sender.send(contract, data)).gas
    mined = await sender.send(factory.address, creation_data(founding))
    return msgspec.structs.replace(planned, transaction=mined.transaction, block=mined.block, gas=gas + mined.gas)


def creation_data(founding: Founding) -> str:
    """The factory's call that creates the run, as ``0x`` hex. A name that is too long is cut."""
    return function("RunFactory", "createRun").call_data(
        bytes.fromhex(founding.run),
        bytes.fromhex(founding.model),
        bytes.fromhex(founding.task),
        founding.name.encode()[:MAX_NAME_BYTES].decode(errors="ignore"),
        msgspec.structs.astuple(founding.rules),
        founding.budget_micro,
    )


def _require_same(rules: Rules, budget_micro: int, founding: Founding, what: str) -> None:
    if (rules, budget_micro) != (founding.rules, founding.budget_micro):
        raise ConfigError(
            f"{what} was created with other rules: {rules}, and a budget of {budget_micro} micro.",
            "The contracts keep those that they were made with.",
            "Restore the configuration, or begin a new run in another home folder.",
        )
