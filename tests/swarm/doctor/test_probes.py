"""Probes look at real files, endpoints and daemons, plant nothing and make nothing."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import msgspec
import pytest

from chain.fees import GWEI, FeePolicy
from identity.fence import FILE, Restored, write_restored
from identity.keyfile import create_key
from identity.lock import IdentityLock
from identity.signing_keys import make_signing_key
from identity.wallet import create_wallet
from protocol.messages import WIRE_VERSION
from protocol.run import JoinToken, RunContracts
from swarm.app.pricing import Teller
from swarm.app.unlocking import Onlooker
from swarm.dht import overlay
from swarm.doctor.checks_identity import check_identity
from swarm.doctor.checks_network import check_network
from swarm.doctor.facts import IdentityFacts
from swarm.doctor.findings import Finding
from swarm.doctor.look_chain import RealChain, ask_endpoint
from swarm.doctor.look_identity import RealIdentity
from swarm.doctor.look_machine import RealMachine, read_model
from swarm.doctor.look_network import RealNetwork
from swarm.settings.home import PeerHome
from tests.chain.stub_node import StubNode
from tests.swarm.app.conftest import spec_for
from tests.swarm.dht.people import Person, check_signature
from tests.swarm.dht.test_libp2p import running

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture
def home(tmp_path) -> PeerHome:
    home = PeerHome(tmp_path / "peers" / "1")
    create_key(home.key_file)
    create_wallet(home.wallet_file, "pass", machine_made=True)
    return home


def told(home: PeerHome, password: str | None = "pass", password_file: Path | None = None) -> dict[str, Finding]:
    before = sorted(home.root.rglob("*")) if home.root.exists() else []
    facts = RealIdentity(home, password=password, password_file=password_file).look()
    assert (sorted(home.root.rglob("*")) if home.root.exists() else []) == before, "it made something"
    return {finding.name: finding for finding in check_identity(facts, 0.0)}


def test_files_that_are_sound_are_told_so(home):
    levels = {name: finding.level.value for name, finding in told(home).items()}
    assert levels == {"key file": "ok", "wallet": "ok", "backup": "warn"}
    assert told(home, None)["wallet"].level == "warn"


def _readable(home: PeerHome) -> None:
    home.key_file.chmod(0o644)


def _gone(home: PeerHome) -> None:
    home.key_file.unlink()


def _cut(home: PeerHome) -> None:
    home.key_file.write_bytes(home.key_file.read_bytes()[:20])


def _another(home: PeerHome) -> None:
    home.key_file.unlink()
    other = create_key(home.root.parent / "other" / "swarm.pem")
    assert other.peer
    shutil.copy(home.root.parent / "other" / "swarm.pem", home.key_file)


def _signing_key(home: PeerHome) -> None:
    make_signing_key(home.root, 1)
    (home.root / "signing-001.key").write_text("zz")


def _fence(home: PeerHome) -> None:
    (home.root / FILE).write_text("{")


def _keystore(home: PeerHome) -> None:
    home.wallet_file.write_text("{}")


@pytest.mark.parametrize(
    ("plant", "name", "fix"),
    [
        (_readable, "key file", "chmod 600"),
        (_gone, "key file", "Put your backup of swarm.pem back"),
        (_cut, "key file", "Put your backup"),
        (_another, "key file", "Put back the file of"),
        (_signing_key, "key file", "Put your backup"),
        (_fence, "key file", "Restore the peer from its backup"),
        (_keystore, "wallet", "Put your backup of wallet.json"),
    ],
)
def test_faults_planted_into_files_are_found_with_their_cure(home, plant, name, fix):
    plant(home)
    found = told(home)[name]
    assert (found.level.value, fix in found.fix) == ("fail", True), found


def test_a_wrong_password_a_restored_and_a_running_peer_are_told(home):
    assert "Give the password" in told(home, "wrong")["wallet"].fix
    write_restored(home.root / FILE, Restored(1.0, 2.0))
    assert told(home)["restored"].level == "warn"


def test_who_runs_a_peer_is_told(home, tmp_path):
    import subprocess
    import sys

    with IdentityLock(home.root, "x", machine_folder=tmp_path):  # type: ignore[arg-type]
        code = (
            "import sys; from pathlib import Path; from swarm.settings.home import PeerHome;"
            "from swarm.doctor.look_identity import RealIdentity;"
            "print(RealIdentity(PeerHome(Path(sys.argv[1])), password=None, password_file=None).look().running_pid)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(home.root)], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0


def test_a_models_size_is_read_from_its_files_alone(tmp_path):
    tiny = read_model(str(MODELS / "tiny"))
    assert tiny.problem == ""
    assert tiny.num_params is not None
    config = json.loads((MODELS / "tiny" / "config.json").read_text())
    assert (tiny.hidden, tiny.num_layers) == (config["hidden_size"], config["num_hidden_layers"])
    assert tiny.family == config["model_type"]
    assert read_model(str(tmp_path / "none")).problem.endswith("does not exist.")
    assert read_model("Nobody/no-model-of-this-name").is_download
    broken = tmp_path / "broken"
    shutil.copytree(MODELS / "tiny", broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "damaged or cut off" in read_model(str(broken)).problem
    weights.write_bytes(b"\xff" * 100)
    assert "damaged or cut off" in read_model(str(broken)).problem


def test_this_machine_is_looked_at_and_nothing_is_made(tmp_path):
    place = tmp_path / "not" / "there"
    facts = RealMachine(place, "cpu", "tiny").look()
    assert not place.parent.exists()
    assert "cpu" in facts.devices
    assert facts.disk_free > 0
    assert facts.home_problem == facts.daemon_problem == ""
    (tmp_path / "file").write_text("")
    assert "not a directory" in RealMachine(tmp_path / "file" / "home", "cpu", "tiny").look().home_problem


@pytest.mark.asyncio
async def test_endpoints_are_asked_one_by_one_and_their_keys_are_not_shown():
    async with StubNode(
        eth_chainId=lambda: "0x7a69",
        eth_getBlockByNumber=lambda *_: {"number": "0x10", "timestamp": "0x64", "hash": "0x" + "00" * 32},
    ) as node:
        facts = await ask_endpoint(f"{node.url}/v2/my-secret-key")
        assert (facts.chain_id, facts.head, facts.head_at, facts.problem) == (31337, 16, 100, "")
        assert "my-secret-key" not in facts.shown
        node.raw, node.status = b"no key", 401
        refused = await ask_endpoint(f"{node.url}/v2/my-secret-key")
        assert "401" in refused.problem
        assert "my-secret-key" not in str(refused)
    gone = await ask_endpoint(node.url)
    assert gone.problem


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answers", "price"),
    [
        ({"eth_feeHistory": {"baseFeePerGas": [hex(7 * GWEI)], "reward": [[hex(3 * GWEI)]]}}, 9 * GWEI),
        ({"eth_feeHistory": {"baseFeePerGas": ["0x0"], "reward": []}, "eth_gasPrice": hex(5 * GWEI)}, 5 * GWEI),
    ],
)
async def test_a_wallet_is_measured_by_the_price_that_people_are_told_also_where_there_is_no_base_fee(answers, price):
    contracts = RunContracts(*["0x" + "11" * 20] * len(RunContracts.__struct_fields__))
    fees = FeePolicy(max_tip_wei=2 * GWEI)
    known = {name: lambda *_, answer=answer: answer for name, answer in answers.items()}
    block = {"number": "0x10", "timestamp": "0x64", "hash": "0x" + "00" * 32}  # as without a base fee
    async with StubNode(
        eth_chainId=lambda: "0x7a69", eth_getBlockByNumber=lambda *_: block, eth_getCode=lambda *_: "0x", **known
    ) as node:
        token = JoinToken(spec_for(chain_id=31337), contracts, (), (node.url,), "tiny")
        probe = RealChain((), lambda *_: pytest.fail("no contract is there"), fees)
        facts = await probe.look(token, IdentityFacts("1", exists=False))
        teller = Teller([node.url], 31337, Onlooker(contracts.vault), fees)
        assert (await teller.cost(10)).fee_wei == 10 * price
        await teller.close()
    assert (facts.problem, facts.gas_price_wei) == ("", price)


@pytest.mark.integration
@pytest.mark.asyncio
async def test_each_step_to_a_bootnode_is_told_with_what_fails(tmp_path):
    spec = spec_for()
    probe = RealNetwork(host="127.0.0.1", port=0, announce=(), start_s=60.0, verify=lambda _: check_signature)
    ann = Person("ann")
    async with running(ann, tmp_path, run=spec.id) as bootnode:
        (address,) = bootnode.addresses
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            dead = address.replace(address.split("/")[4], str(closed.getsockname()[1]))
            stranger = address.replace(ann.peer, Person("bob").peer)
            contracts = RunContracts(*["0x" + "11" * 20] * len(RunContracts.__struct_fields__))
            token = JoinToken(spec, contracts, (address, dead, stranger, "/ip4/x"), (), "tiny")
            facts = await probe.look(token)
        good, no_tcp, other, bad = facts.bootnodes
        assert [step for step, _ in good.steps] == ["tcp", "handshake", "dht"]
        assert all(ms >= 0 for _, ms in good.steps)
        assert good.reachable
        assert abs(good.clock_ahead_s or 0.0) < 5.0
        assert (no_tcp.failed, other.failed, bad.failed) == ("tcp", "handshake", "address")
        levels = [finding.level.value for finding in check_network(facts)]
        assert levels[:4] == ["ok", "warn", "warn", "warn"]
        foreign = msgspec.structs.replace(token, run=spec_for(unbonding_s=99_999), bootnodes=(address,))
        assert foreign.run.id != spec.id
        (elsewhere,) = (await probe.look(foreign)).bootnodes
        assert (elsewhere.failed, elsewhere.speaks) == ("dht", None)


@pytest.mark.integration
@pytest.mark.asyncio
async def test_a_bootnode_of_another_wire_version_is_recognised(tmp_path, monkeypatch):
    spec = spec_for()
    older = WIRE_VERSION - 1
    with monkeypatch.context() as patch:
        patch.setattr(overlay, "namespace_of", lambda run, version=older: f"rl-swarm/{version}/{run[:32]}")
        async with running(Person("ann"), tmp_path, run=spec.id) as bootnode:
            patch.undo()
            contracts = RunContracts(*["0x" + "11" * 20] * len(RunContracts.__struct_fields__))
            probe = RealNetwork(host="127.0.0.1", port=0, announce=(), start_s=60.0, verify=lambda _: check_signature)
            facts = await probe.look(JoinToken(spec, contracts, bootnode.addresses, (), "tiny"))
    assert (facts.bootnodes[0].failed, facts.bootnodes[0].speaks) == ("dht", older)
    found = {finding.name: finding for finding in check_network(facts)}
    assert found["wire version"].level == "fail"
    assert "update" in found["bootnode"].fix
