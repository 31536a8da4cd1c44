"""A run is created once, with its budget in escrow, whatever happens to its founder. On anvil."""

from pathlib import Path

import msgspec
import pytest

from chain.base import WEI_PER_MICRO
from chain.deploy import Deployment, deploy
from chain.devchain import DevChain
from chain.run_deploy import Founding, create_run
from chain.web3_chain import Web3Chain
from protocol.errors import ChainError, ConfigError
from tests.chain.conftest import BUDGET_MICRO, RULES
from tests.chain.players import content

pytestmark = [pytest.mark.asyncio, pytest.mark.integration]

replace = msgspec.structs.replace
FOUNDING = Founding(content("run"), content("model"), content("task"), "a run", RULES, BUDGET_MICRO)


async def shared_of(dev_chain: DevChain, folder: Path) -> Deployment:
    return await deploy(dev_chain.url, dev_chain.account, folder / "chain.json")


async def test_creating_a_run_again_changes_nothing(dev_chain: DevChain, tmp_path: Path) -> None:
    shared, file = await shared_of(dev_chain, tmp_path), tmp_path / "run.json"
    first = await create_run(dev_chain.url, dev_chain.account, shared, FOUNDING, file)
    assert first.transaction
    written = file.read_bytes()
    assert await create_run(dev_chain.url, dev_chain.account, shared, FOUNDING, file) == first
    assert file.read_bytes() == written
    chain = Web3Chain([dev_chain.url], first.contracts, dev_chain.account)
    await chain.connect()
    escrow = await chain.balance(first.contracts.settlement)
    assert escrow.token_wei == BUDGET_MICRO * WEI_PER_MICRO
    assert (await chain.clock()).round == 0
    await chain.close()


async def test_a_founder_that_died_after_sending_finds_its_run(dev_chain: DevChain, tmp_path: Path) -> None:
    shared, file = await shared_of(dev_chain, tmp_path), tmp_path / "run.json"
    first = await create_run(dev_chain.url, dev_chain.account, shared, FOUNDING, file)
    file.write_bytes(msgspec.json.encode(replace(first, transaction="", block=0, gas=0)))
    again = await create_run(dev_chain.url, dev_chain.account, shared, FOUNDING, file)
    assert again.contracts == first.contracts
    file.unlink()
    assert (await create_run(dev_chain.url, dev_chain.account, shared, FOUNDING, file)).contracts == first.contracts


async def test_another_run_has_other_contracts(dev_chain: DevChain, tmp_path: Path) -> None:
    shared = await shared_of(dev_chain, tmp_path)
    first = await create_run(dev_chain.url, dev_chain.account, shared, FOUNDING, tmp_path / "one.json")
    other = replace(FOUNDING, run=content("another run"))
    second = await create_run(dev_chain.url, dev_chain.account, shared, other, tmp_path / "two.json")
    assert first.contracts.settlement != second.contracts.settlement
    assert first.contracts.registry == second.contracts.registry


async def test_other_rules_for_the_same_run_are_refused(dev_chain: DevChain, tmp_path: Path) -> None:
    shared, file = await shared_of(dev_chain, tmp_path), tmp_path / "run.json"
    await create_run(dev_chain.url, dev_chain.account, shared, FOUNDING, file)
    other = replace(FOUNDING, rules=replace(RULES, round_s=101))
    for place in (file, tmp_path / "lost.json"):
        with pytest.raises(ConfigError):
            await create_run(dev_chain.url, dev_chain.account, shared, other, place)


@pytest.mark.parametrize(
    "change",
    [
        {"round_s": 0},
        {"start_members": 0},
        {"absence_rounds": 0},
        {"quorum_size": 0},
        {"epoch_rounds": 0},
        {"round_emission_micro": 0},
        {"unbonding_s": 2 * RULES.round_s + RULES.move_s + RULES.challenge_s + RULES.answer_s + RULES.dispute_s - 1},
    ],
)
async def test_senseless_rules_make_no_run(dev_chain: DevChain, tmp_path: Path, change: dict[str, int]) -> None:
    shared = await shared_of(dev_chain, tmp_path)
    founding = replace(FOUNDING, rules=replace(RULES, **change))
    with pytest.raises(ChainError) as caught:
        await create_run(dev_chain.url, dev_chain.account, shared, founding, tmp_path / "run.json")
    assert caught.value.reason == "ParameterOutOfRange"
