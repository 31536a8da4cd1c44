"""The doctor finds each of these faults, planted into a machine where all else is well, and names the cure.

python too old            package missing           another torch             device not there
memory too small          memory tight              disk full                 home not writable
few open files            daemon missing            model missing             key readable by others
another identity          wallet's password wrong   no backup                 backup older than the key
backup old                restored                  no bootnode               bootnode: no TCP
bootnode: somebody else   bootnode: another run     bootnode: newer version   bootnode: older version
one of two bootnodes      clock ahead               clock behind              not reachable
only on loopback          port taken                endpoint dead             endpoint behind
another chain             chain stands still        clock behind the chain    no code
foreign contracts         contract version          registered to another     signing key elsewhere
no gas money              stake missing, no tokens  stake missing             barred
run over                  wrong arithmetic
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chain.base import Balance
from protocol.ids import Address
from swarm.doctor import sound
from swarm.doctor.checks_machine import GIB, disk_needed, memory_needed, size_of, work_of
from swarm.doctor.examination import examination
from swarm.doctor.facts import BootnodeFacts, ModelFacts, Package
from swarm.doctor.findings import Finding, Level, fail, in_words, is_fit
from swarm.policy.plan import demand
from tests.swarm.app.conftest import spec_for

replace = msgspec.structs.replace
STRANGER = Address("0x" + "11" * 20)
NOW = sound.NOW


def machine(**changes: Any) -> dict[str, Any]:
    return {"machine": sound.SoundMachine(replace(sound.MACHINE, **changes))}


def model(**changes: Any) -> dict[str, Any]:
    return {"machine": sound.SoundMachine(model=replace(sound.MODEL, **changes))}


def identity(**changes: Any) -> dict[str, Any]:
    return {"identity": sound.SoundIdentity(replace(sound.IDENTITY, **changes))}


def network(**changes: Any) -> dict[str, Any]:
    return {"network": sound.SoundNetwork(replace(sound.NETWORK, **changes))}


def bootnode(*others: BootnodeFacts, **changes: Any) -> dict[str, Any]:
    return network(bootnodes=(replace(sound.BOOTNODE, **changes), *others))


def chain(**changes: Any) -> dict[str, Any]:
    return {"chain": sound.SoundChain(replace(sound.CHAIN, **changes))}


def endpoint(*others: Any, **changes: Any) -> dict[str, Any]:
    return chain(endpoints=(replace(sound.ENDPOINT, **changes), *others))


def record(**changes: Any) -> dict[str, Any]:
    rest = {name: changes.pop(name) for name in ("balance", "has_faucet") if name in changes}
    return chain(record=replace(sound.CHAIN.record, **changes), **rest)


async def wrong_arithmetic() -> Finding:
    return fail("numerics", "This machine does not compute exact/1.", "See `swarm doctor --numerics`.")


POOR = Balance(0, 0)
FAULTS = [
    ("python too old", machine(python=(3, 10)), "python", "fail", "Install Python 3.11"),
    ("package missing", machine(packages=(Package("web3", "", None),)), "packages", "fail", "run_swarm.sh setup"),
    ("another torch", machine(packages=(Package("torch", "2.13.0", "2.9"),)), "packages", "warn", "setup"),
    ("device not there", machine(device="cuda"), "device", "fail", "SWARM_ENGINE__DEVICE=cpu"),
    ("memory too small", machine(ram_free=GIB // 2), "memory", "fail", "close other programs"),
    ("memory tight", machine(ram_free=int(1.2 * GIB)), "memory", "warn", "Close other programs"),
    (
        "vram too small", machine(device="cuda:0", devices=("cpu", "cuda:0"), vram_free=GIB // 4),
        "memory", "fail", "close",
    ),
    ("disk full", machine(disk_free=GIB // 2), "disk", "fail", "--home DIR"),
    ("home not writable", machine(home_problem="read-only"), "disk", "fail", "owner or mode"),
    ("few open files", machine(open_files=256), "open files", "warn", "ulimit -n 4096"),
    ("daemon missing", machine(daemon_problem="p2pd is missing."), "p2p daemon", "fail", "run_swarm.sh setup"),
    ("model missing", model(problem="/x does not exist."), "model", "fail", "--model"),
    ("model to download", model(is_download=True), "model", "warn", "--model DIRECTORY"),
    ("key readable by others", identity(key_mode=0o644), "key file", "fail", "chmod 600"),
    ("another identity", identity(problem="another peer's", fix="Put back the file."), "key file", "fail", "Put back"),
    (
        "password wrong",
        identity(wallet_problem="It does not open.", wallet_fix="Give it."),
        "wallet",
        "fail",
        "Give it",
    ),
    ("no password", identity(wallet_is_open=None), "wallet", "warn", "SWARM_WALLET_PASSWORD"),
    ("no backup", identity(backup_at=None), "backup", "warn", "swarm identity backup FILE"),
    ("backup older than the key", identity(num_keys=1), "backup", "warn", "swarm identity backup FILE"),
    ("backup old", identity(backup_at=NOW - 31 * 86_400), "backup", "warn", "Make a new one"),
    ("restored", identity(is_restored=True), "restored", "warn", "never runs it again"),
    ("no bootnode", network(bootnodes=()), "bootnodes", "fail", "present join token"),
    ("bootnode: no address", bootnode(failed="address", steps=()), "bootnode", "fail", "present join token"),
    ("bootnode: no TCP", bootnode(failed="tcp", steps=()), "bootnode", "fail", "firewall"),
    ("bootnode: somebody else", bootnode(failed="handshake"), "bootnode", "fail", "present address"),
    ("bootnode: another run", bootnode(failed="dht"), "bootnode", "fail", "present run"),
    ("bootnode: newer version", bootnode(failed="dht", speaks=99), "bootnode", "fail", "Install the newer version"),
    ("bootnode: older version", bootnode(failed="dht", speaks=1), "wire version", "fail", "same version"),
    ("one of two bootnodes", bootnode(sound.BOOTNODE, failed="tcp"), "bootnode 1", "warn", "firewall"),
    ("records of another version", network(rejected=(("wrong_version", 3),)), "wire version", "warn", "same version"),
    ("clock ahead", bootnode(clock_ahead_s=-60.0), "clock", "fail", "timedatectl"),
    ("clock a little behind", bootnode(clock_ahead_s=5.0), "clock", "warn", "timedatectl"),
    ("not reachable", bootnode(reachable=False), "reachable", "warn", "forward one TCP port"),
    ("port taken", network(problem="Port 4001 is taken.", fix="Use 0."), "listening", "fail", "Use 0."),
    ("endpoint dead", endpoint(problem="HTTP status 401"), "endpoint", "fail", "--rpc URL"),
    ("endpoint behind", endpoint(sound.ENDPOINT, head=900), "endpoint 1", "warn", "left out"),
    ("one of two endpoints dead", endpoint(sound.ENDPOINT, problem="gone"), "endpoint 1", "warn", "--rpc URL"),
    ("another chain", endpoint(chain_id=1), "chain id", "fail", "endpoint of chain 84532"),
    ("chain stands still", endpoint(head_at=int(NOW) - 999), "chain time", "fail", "Compare the clock"),
    ("clock behind the chain", endpoint(head_at=int(NOW) + 60), "chain time", "fail", "timedatectl"),
    ("no code", chain(codes=(("registry", True), ("clock", False))), "contracts", "fail", "present join token"),
    ("foreign contracts", chain(problem="Not this run's."), "contracts", "fail", "present join token"),
    ("contract version", chain(domain=("RL Swarm", "2")), "contract version", "fail", "version of this program"),
    ("registered to another", record(owner=STRANGER), "registration", "fail", f"wallet.json of {STRANGER}"),
    ("signing key elsewhere", record(signer=STRANGER), "signing account", "fail", "swarm identity rotate"),
    ("no gas money", record(balance=POOR), "balance", "fail", f"to {sound.WALLET}"),
    ("stake missing, no tokens", record(balance=POOR, stake_micro=0), "stake", "fail", "Send 25 tokens"),
    ("stake missing", record(stake_micro=0, has_faucet=True), "stake", "warn", "swarm stake 25"),
    ("barred", record(barred_until=20), "membership", "fail", "Wait until then"),
    ("run over", chain(ends_at=int(NOW) - 1), "membership", "fail", "Join another run"),
    ("wrong arithmetic", {"numerics": wrong_arithmetic}, "numerics", "fail", "swarm doctor --numerics"),
]


async def examined(**probes: Any) -> list[Finding]:
    found: dict[str, Any] = {
        "machine": sound.SoundMachine(),
        "identity": sound.SoundIdentity(),
        "network": sound.SoundNetwork(),
        "chain": sound.SoundChain(),
    } | probes
    numerics = found.pop("numerics", None)
    return await examination(
        found["machine"],
        found["identity"],
        found["network"],
        found["chain"],
        _TOKEN,
        sound.BATCH,
        numerics=numerics,
        now=lambda: NOW,
    )


def _token() -> Any:
    from protocol.run import JoinToken, RunContracts

    return JoinToken(spec_for(), RunContracts(*[STRANGER] * len(RunContracts.__struct_fields__)), (), (), "tiny")


_TOKEN = _token()


@pytest.mark.asyncio
async def test_a_sound_machine_has_nothing_to_mend():
    findings = await examined()
    assert [finding for finding in findings if finding.level is not Level.OK or finding.fix] == []
    assert is_fit(findings)
    assert in_words(findings)[-1] == "This machine is fit to take part."
    assert {"python", "device", "memory", "disk", "model", "key file", "backup", "bootnode", "wire version", "clock",
            "reachable", "endpoint", "chain id", "contracts", "contract version", "balance", "stake",
            "registration"} <= {finding.name for finding in findings}  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("probes", "name", "level", "fix"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS]
)
async def test_each_planted_fault_is_named_with_its_cure(probes, name, level, fix):
    findings = await examined(**probes)
    (found,) = [finding for finding in findings if finding.name == name]
    assert (found.level.value, fix in found.fix) == (level, True), found
    # Nothing that is well is blamed: only what follows from the fault may be told besides it.
    blamed = {one.name for one in findings if one.level in (Level.WARN, Level.FAIL)} - {name}
    assert blamed <= _FOLLOWS.get(name, set()), blamed
    assert is_fit(findings) is (level == "warn")
    lines = in_words(findings)
    assert any(line.strip().startswith("→") and fix in line for line in lines)


_FOLLOWS = {"bootnode": {"wire version"}, "wire version": {"bootnode"}, "stake": {"balance"}}
"""A bootnode of another version is two findings; a wallet without tokens has no gas money either."""


def test_at_least_twenty_faults_are_planted():
    assert len(FAULTS) >= 20


def test_the_estimate_of_memory_is_the_stated_one():
    known = ModelFacts("m", num_params=500_000_000, num_layers=24, hidden=896, feed_forward=4864, vocabulary=151_936)
    batch = replace(sound.BATCH, engine="native", lora_rank=0)
    size = size_of(known)
    assert size is not None
    assert memory_needed(known, batch) == demand(size, work_of(batch)).peak > 16 * 500_000_000
    assert memory_needed(known, replace(batch, engine="exact")) > 50 * 500_000_000
    assert disk_needed(known, batch) == 500_000_000 * 12 * (3 + 4 * 3)
    adapters = 8 * 24 * (8 * 896 + 3 * (896 + 4864))
    auto = replace(batch, engine="exact", lora_rank=None)
    assert memory_needed(known, auto) < 12 * 500_000_000
    assert disk_needed(known, auto) == adapters * 12 * 15
    small = replace(known, num_params=3_000_000)
    assert memory_needed(small, auto) == memory_needed(small, replace(auto, lora_rank=0))
    assert memory_needed(ModelFacts("hub/name", is_download=True), batch) is None


@pytest.mark.asyncio
async def test_without_a_swarm_the_rest_is_examined_and_told_to_be_missing():
    findings = await examination(
        sound.SoundMachine(), sound.SoundIdentity(), None, sound.SoundChain(), None, sound.BATCH,
        no_token="There is no join.yaml.", now=lambda: NOW,
    )  # fmt: skip
    assert is_fit(findings)
    skipped = {finding.name: finding.what for finding in findings if finding.level is Level.SKIPPED}
    assert skipped == {"bootnodes": "There is no join.yaml.", "chain": "There is no join.yaml."}


@pytest.mark.asyncio
async def test_hostile_text_of_an_endpoint_is_only_text():
    findings = await examined(**endpoint(problem="\x1b[2J[bold red]<script>"))
    assert [line for line in in_words(findings) if "\x1b" in line] == []
