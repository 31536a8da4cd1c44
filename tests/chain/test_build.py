"""The checked-in artifacts fit their sources: by hash always, by compiling in the integration run."""

import pytest

from chain import build
from chain.abi import CONTRACT_NAMES, artifact, decode_refusal, function
from chain.refusals import WORDS


def test_artifacts_were_made_from_the_sources_as_they_are():
    assert build.stale_sources() == []


def test_a_changed_source_is_noticed(tmp_path, monkeypatch):
    for folder in ("leaf", "dispute"):
        (tmp_path / folder).mkdir()
    for pattern in (*build.PARTS, "package-lock.json"):
        for path in build.CONTRACTS_FOLDER.glob(pattern):
            (tmp_path / path.relative_to(build.CONTRACTS_FOLDER)).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "CONTRACTS_FOLDER", tmp_path)
    assert build.stale_sources() == []
    (tmp_path / "PeerProof.sol").write_text("// changed")
    assert "PeerRegistry: PeerProof.sol" in build.stale_sources()


@pytest.mark.integration
def test_compiling_the_sources_gives_the_checked_in_artifacts():
    assert build.main(["--check"]) == 0


def test_the_lock_file_names_no_registry():
    text = (build.CONTRACTS_FOLDER / "package-lock.json").read_text()
    assert '"resolved"' not in text
    assert text.count('"integrity"') >= 2


@pytest.mark.parametrize("contract", CONTRACT_NAMES)
def test_every_custom_error_of_ours_has_words(contract):
    ours = {
        entry["name"]
        for entry in artifact(contract)["abi"]
        if entry["type"] == "error" and not entry["name"].startswith(("ERC20", "ERC2612", "ECDSA", "SafeERC20"))
    }
    library = {
        *("InvalidAccountNonce", "InvalidShortString", "StringTooLong", "CheckpointUnorderedInsertion"),
        *("InvalidInitialization", "NotInitializing", "SafeCastOverflowedUintDowncast"),
        *("FailedDeployment", "InsufficientBalance"),
    }
    assert ours - library <= set(WORDS)


def test_no_contract_has_an_owner_or_a_setter():
    """Nobody can change a run's rules: every state-changing function is one of these."""
    writable = {
        contract: {
            entry["name"]
            for entry in artifact(contract)["abi"]
            if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
        }
        for contract in CONTRACT_NAMES
    }
    assert writable == {
        "PeerRegistry": {"registerSecp256k1", "registerRsa", "rotateSigner", "offerPeer", "acceptPeer"},
        "SwarmToken": {"approve", "permit", "transfer", "transferFrom", "burn", "burnFrom", "transferTelling"},
        "RunFactory": {"createRun"},
        "RoundClock": {"initialize", "enrol", "resign", "refresh", "prune", "advance", "fixSeed"}
        | {"eject", "stakeChanged", "recordResult", "recordRollback"},
        "Contributions": {"initialize", "post", "include", "rollback", "endRun"},
        "Settlement": {"initialize", "openEpoch", "challenge", "affirm", "voidEpoch", "claim", "claimMany"}
        | {"hold", "release", "strike", "stop", "reclaim"},
        "StakeVault": {"initialize", "deposit", "depositWithPermit", "requestExit", "withdraw", "slash"}
        | {"hold", "release", "holdBond", "returnBond", "burnBond", "splitBond"},
        "Reputation": {"initialize", "record", "eject"},
        "Equivocation": {"initialize", "prove"},
        "DisputeGame": {"initialize", "open", "postTrace", "reveal", "pick", "revealChunk", "pickElement"}
        | {"revealParts", "pickPart", "leaf", "leafState", "leafStep", "leafData"}
        | {"showResult", "showToken", "showStep", "expire"},
        "DataRequests": {"initialize", "ask", "show", "expire"},
        "SwarmBase": set(),
        "SwarmCourts": set(),
        "SwarmDeployment": set(),
    }


@pytest.mark.parametrize("contract", CONTRACT_NAMES)
def test_no_contract_is_larger_than_chains_take(contract):
    """EIP-170 limits what is deployed, EIP-3860 what deploys it. What deploys is the longer of the two."""
    limit = 2 * 24_576 if contract in ("SwarmBase", "SwarmCourts", "SwarmDeployment") else 24_576
    assert (len(artifact(contract)["bytecode"]) - 2) // 2 < limit


def test_refusals_are_decoded_from_revert_data():
    refusal = decode_refusal("0x" + function_selector("RoundStillOpen(uint64,uint64)") + f"{7:064x}{99:064x}")
    assert refusal is not None
    assert (refusal.name, refusal.arguments) == ("RoundStillOpen", {"round": 7, "closesAt": 99})


@pytest.mark.parametrize("data", ["", "0x", "0x12345678", "nonsense"])
def test_unknown_revert_data_is_no_refusal(data):
    assert decode_refusal(data) is None


def test_a_cut_off_refusal_keeps_its_name():
    refusal = decode_refusal("0x" + function_selector("RoundStillOpen(uint64,uint64)") + "00")
    assert refusal is not None
    assert (refusal.name, refusal.arguments) == ("RoundStillOpen", {})


def test_selectors_are_those_of_the_abi():
    assert function("SwarmToken", "balanceOf").selector.hex() == "70a08231"
    assert function("SwarmToken", "transfer").selector.hex() == "a9059cbb"


def function_selector(signature: str) -> str:
    from eth_hash.auto import keccak

    return keccak(signature.encode())[:4].hex()
