"""Why this module exists: the same behaviour tests run against the fake chain and against the real contracts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from eth_account.signers.local import LocalAccount

from chain import sender as sender_module
from chain.abi import function
from chain.base import WEI_PER_MICRO, Chain, Contracts, Enrol, Stake
from chain.deploy import deploy
from chain.devchain import DevChain
from chain.fake import FakeChain, FakeWorld
from chain.gate import Faucet, Gate, Tokens
from chain.requests import Requests
from chain.rpc import Rpc
from chain.rules import Rules
from chain.run_deploy import Founding, RunDeployment, create_run
from chain.sender import Sender
from chain.web3_chain import Web3Chain
from chain.web3_requests import Web3Requests
from protocol.ids import Address, ContentId
from protocol.merkle import MerkleTree
from tests.chain.players import Player, content
from tests.chain.stub_pool import Pool

RULES = Rules(
    round_s=100,
    start_members=3,
    absence_rounds=2,
    quorum_size=48,
    poster_s=10,
    epoch_rounds=2,
    challenge_s=40,
    dispute_s=30,
    unbonding_s=600,
    answer_s=60,
    barred_rounds=3,
    min_stake_micro=1_000_000,
    bond_micro=500_000,
    round_emission_micro=10_000_000,
    trace_s=300,
    move_s=200,
    dispute_bond_micro=400_000,
)
BUDGET_MICRO = 50_000_000
FIRST_STATE = MerkleTree(
    ((1 + number).to_bytes(32, "big"), bytes.fromhex(content(f"first chunk {number}"))) for number in range(2)
)
"""The run begins with a state of two chunks."""
BLOCK_TIME_S = 0.1


async def found(
    dev_chain: DevChain, folder: Path, rules: Rules, model: ContentId | None = None
) -> RunDeployment:
    """Registry, token and factory, and a run of these rules; what ``folder`` names already is found again."""
    shared = await deploy(dev_chain.url, dev_chain.account, folder / "chain.json")
    name, first = content(str(folder)), model or FIRST_STATE.root
    founding = Founding(name, first, content("task"), "a test's run", rules, BUDGET_MICRO)
    return await create_run(dev_chain.url, dev_chain.account, shared, founding, folder / "run.json")


class Bench:
    """A fresh run of the contracts' rules: chains for wallets, and time that moves on command."""

    contracts: Contracts
    run: ContentId
    requests: Requests

    def chain_for(self, account: LocalAccount) -> Chain:
        raise NotImplementedError

    async def pass_time(self, seconds: int) -> None:
        raise NotImplementedError

    async def give_tokens(self, player: Player, amount_micro: int) -> None:
        """Put tokens into a player's wallet."""
        raise NotImplementedError

    async def close(self) -> None: ...

    def chain(self, player: Player) -> Chain:
        return self.chain_for(player.account)

    async def join(self, *players: Player, units: int = 1) -> None:
        """Register, stake and enrol, one after the other."""
        for player in players:
            chain = self.chain(player)
            await chain.send(player.registration(self.contracts))
            await chain.send(Stake(player.peer, units * RULES.min_stake_micro, 0))
            await chain.send(Enrol(player.peer))


class FakeBench(Bench):
    def __init__(self, rules: Rules = RULES) -> None:
        self.run = content("run")
        self.world = FakeWorld(rules, budget_micro=BUDGET_MICRO, run=self.run)
        self.world.requests.first_state = FIRST_STATE.root
        self.contracts = self.world.contracts
        self.requests = self.world.requests

    def chain_for(self, account: LocalAccount) -> FakeChain:
        return FakeChain(self.world, Address(account.address))

    async def pass_time(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    async def give_tokens(self, player: Player, amount_micro: int) -> None:
        self.world.ground.pay(player.wallet, amount_micro)


class AnvilBench(Bench):
    """The real contracts, deployed afresh on the session's dev chain, reached through a gate with a faucet."""

    def __init__(self, dev_chain: DevChain) -> None:
        self.dev_chain = dev_chain
        self.rpc = Rpc([dev_chain.url])
        self._chains: dict[str, Web3Chain] = {}

    async def open(self, folder: Path, rules: Rules = RULES, model: ContentId | None = None) -> None:
        """Deploy everything, with a registry and a token of this test's own."""
        self.deployment = await found(self.dev_chain, folder, rules, model)
        self.run = self.deployment.run
        self.contracts = self.deployment.contracts
        self._founder = Sender(self.rpc, self.dev_chain.account, self.contracts.chain_id)
        stake_wei = rules.min_stake_micro * WEI_PER_MICRO
        tokens = Tokens(self.contracts.token, stake_wei, 100 * stake_wei)
        self.gate = Gate(self.dev_chain.url, faucet=Faucet(self._founder, tokens=tokens))
        self.url = await self.gate.start()
        self.requests = Web3Requests(self.rpc, self.contracts)

    async def give_tokens(self, player: Player, amount_micro: int) -> None:
        data = function("SwarmToken", "transfer").call_data(player.wallet, amount_micro * WEI_PER_MICRO)
        await self._founder.send(self.contracts.token, data)

    def chain_for(self, account: LocalAccount) -> Web3Chain:
        if account.address not in self._chains:
            self._chains[account.address] = Web3Chain([self.url], self.contracts, account)
        return self._chains[account.address]

    async def pass_time(self, seconds: int) -> None:
        await self.rpc.request("evm_increaseTime", hex(seconds))
        await self.rpc.request("evm_mine")

    async def close(self) -> None:
        for chain in self._chains.values():
            await chain.close()
        await self.gate.stop()
        await self.rpc.close()


@pytest.fixture(scope="session")
def dev_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevChain]:
    """One anvil for the session; tests deploy their own contracts on it."""
    chain = asyncio.run(DevChain.start(tmp_path_factory.mktemp("devchain"), block_time_s=BLOCK_TIME_S))
    yield chain
    asyncio.run(chain.stop())


@pytest_asyncio.fixture
async def anvil(dev_chain: DevChain, tmp_path: Path) -> AsyncIterator[AnvilBench]:
    bench = AnvilBench(dev_chain)
    await bench.open(tmp_path)
    yield bench
    await bench.close()


@pytest.fixture(params=["fake", pytest.param("anvil", marks=pytest.mark.integration)])
def maybe_dev_chain(request: pytest.FixtureRequest) -> DevChain | None:
    """The dev chain for tests on the real contracts; it is only started when such a test is selected."""
    return request.getfixturevalue("dev_chain") if request.param == "anvil" else None


@pytest_asyncio.fixture
async def bench(maybe_dev_chain: DevChain | None, tmp_path: Path) -> AsyncIterator[Bench]:
    """Both kinds, one after the other."""
    if maybe_dev_chain is None:
        yield FakeBench()
        return
    anvil = AnvilBench(maybe_dev_chain)
    await anvil.open(tmp_path)
    yield anvil
    await anvil.close()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    for name, seconds in (
        ("RECEIPT_POLL_S", 0.01),
        ("RESEND_AFTER_S", 0.05),
        ("RAISE_FEE_AFTER_S", 0.15),
        ("LOOK_EVERY_S", 0.02),
        ("TAKEN_AFTER_S", 0.05),
    ):
        monkeypatch.setattr(sender_module, name, seconds)
    return Pool()
