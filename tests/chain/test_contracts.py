"""The contracts' own tests (Solidity, run by forge), their costs, and what only a real chain shows: seeds that are
hashes of blocks."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from eth_hash.auto import keccak

from benchmarks.gas_bench import Bench, Member, open_bench
from chain import forge
from chain.abi import CONTRACT_NAMES, artifact, decode_refusal
from chain.build import CONTRACTS_FOLDER
from chain.rpc import RpcRefused

SOLIDITY_TESTS = sorted((CONTRACTS_FOLDER / "test").glob("*.t.sol"))
GAS_FILE = Path(__file__).with_name("gas.json")
ROUND_S = 60
GROWTH = 1.05
EIP_2935 = "0x0000F90827F1C53a10cb7A02335B175320002935"

LIBRARY = {
    *("CheckpointUnorderedInsertion", "FailedDeployment", "InsufficientBalance", "InvalidAccountNonce"),
    *("InvalidShortString", "NotInitializing", "SafeCastOverflowedUintDowncast", "SafeERC20FailedOperation"),
    *("StringTooLong", "ECDSAInvalidSignature", "ECDSAInvalidSignatureLength", "ECDSAInvalidSignatureS"),
}
"""Errors of OpenZeppelin that its own tests cover; those of the token's standards start with ERC."""


FREE = ("BadOpening", "MalformedLeaf", "SearchBegun", "Unfit")
"""Errors that no contract declares, but a file."""


OWNERS = {
    "RoundClock": "RoundClock|Membership",
    "Settlement": "Settlement|Epochs",
    "DataRequests": "DataRequests|ContributionFields",
}
"""In Solidity an inherited error is named after the contract that declares it."""


def own_errors() -> list[tuple[str, str]]:
    """(contract, error) for every custom error of ours."""
    return [
        (contract, entry["name"])
        for contract in CONTRACT_NAMES
        for entry in artifact(contract)["abi"]
        if entry["type"] == "error" and entry["name"] not in LIBRARY and not entry["name"].startswith("ERC")
    ]


@pytest.mark.parametrize(("contract", "error"), own_errors())
def test_every_custom_error_has_a_test_that_provokes_it(contract, error):
    owners = OWNERS.get(contract, contract)
    if error == "InvalidInitialization":
        owners = "Initializable"
    pattern = re.compile(
        rf"(\b({owners})\.|[( ]){error}\.selector" if error in FREE else rf"\b({owners})\.{error}\.selector"
    )
    assert any(pattern.search(path.read_text()) for path in SOLIDITY_TESTS)


@pytest.mark.integration
def test_the_tests_in_solidity_pass():
    done = forge.run_forge(["test", "--no-match-contract", "GasTest"])
    assert done.returncode == 0, done.stdout[-6000:]
    (summary,) = re.findall(r"(\d+) tests passed, (\d+) failed, (\d+) skipped", done.stdout)
    written = sum(len(re.findall(r"function (?:test|invariant)", path.read_text())) for path in SOLIDITY_TESTS)
    assert [int(number) for number in summary] == [written - 1, 0, 0]


@pytest.mark.integration
def test_no_call_costs_more_than_it_did():
    """To accept new costs, copy ``forge.GAS_REPORT`` to ``tests/chain/gas.json``."""
    done = forge.run_forge(["test", "--match-contract", "GasTest", "--isolate"])
    assert done.returncode == 0, done.stdout[-6000:]
    costs = json.loads(forge.GAS_REPORT.read_text())
    allowed = json.loads(GAS_FILE.read_text())
    assert set(costs) == set(allowed)
    assert {name: gas for name, gas in costs.items() if int(gas) > GROWTH * int(allowed[name])} == {}


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """The real contracts with one run of three members, on a chain that mines when it is told to."""
    async with open_bench(tmp_path) as bench:
        for number in range(3):
            await bench.join(Member.numbered(number))
        await open_round(bench)
        yield bench


async def open_round(bench: Bench) -> None:
    await bench.pass_time(ROUND_S)
    await bench.send("advance", bench.creator, "RoundClock", "advance", await bench.read("RoundClock", "round"))


@pytest.mark.integration
@pytest.mark.asyncio
async def test_the_seed_is_the_hash_of_the_block_after_the_opening(bench: Bench) -> None:
    opened_block = (await bench.read("RoundClock", "clock"))[4]
    await bench.node.request("anvil_mine", hex(1))
    assert (await bench.read("RoundClock", "seedOf", 1)) == bytes(32)
    await bench.node.request("anvil_mine", hex(1))
    block = await bench.node.request("eth_getBlockByNumber", hex(opened_block + 1), False)
    seed = await bench.read("RoundClock", "seedOf", 1)
    assert "0x" + seed.hex() == block["hash"]
    await bench.node.request("anvil_mine", hex(300))  # beyond BLOCKHASH, within the history contract
    assert await bench.read("RoundClock", "seedOf", 1) == seed
    await open_round(bench)
    assert await bench.read("RoundClock", "seedOf", 1) == seed
    assert await bench.read("RoundClock", "seedOf", 2) != seed


@pytest.mark.integration
@pytest.mark.asyncio
async def test_a_seed_that_nobody_wrote_down_in_time_has_a_known_substitute(bench: Bench) -> None:
    previous = await bench.read("RoundClock", "seedOf", 0)
    await bench.node.request("anvil_setCode", EIP_2935, "0x")
    await bench.node.request("anvil_mine", hex(300))
    expected = keccak(previous + (1).to_bytes(32, "big"))
    assert await bench.read("RoundClock", "seedOf", 1) == expected
    await bench.send("fix", bench.creator, "RoundClock", "fixSeed")
    await open_round(bench)
    assert await bench.read("RoundClock", "seedOf", 1) == expected


@pytest.mark.integration
@pytest.mark.asyncio
async def test_a_round_that_ends_before_its_seed_is_mined_has_none(bench: Bench) -> None:
    await bench.node.request("evm_increaseTime", hex(ROUND_S))
    await bench.send("advance", bench.creator, "RoundClock", "advance", 1)
    assert await bench.read("RoundClock", "seedOf", 1) == bytes(32)
    with pytest.raises(RpcRefused) as caught:
        await bench.read("RoundClock", "isDrawn", keccak(b"quorum"), 2, Member.numbered(0).signer, 1)
    refusal = decode_refusal(caught.value.data)
    assert refusal is not None
    assert refusal.name == "SeedNotReady"


@pytest.mark.integration
@pytest.mark.asyncio
async def test_a_run_fits_into_the_transactions_of_its_chain(bench: Bench) -> None:
    """EIP-7825 caps a transaction at 2**24 gas."""
    assert max(bench.gas[name] for name in ("deploy_base", "deploy_courts", "deploy_rest", "create_run")) < 2**24
