"""Whatever is wrong with what a person gave has its own exit code, and is told as what, so what, and what to do."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from identity.keyfile import load_key, open_key
from identity.lock import IdentityLock
from identity.wallet import create_wallet, open_wallet
from protocol.ids import Address
from protocol.run import JoinToken, format_token
from swarm.cli import execute
from swarm.settings.home import Home, PeerHome
from swarm.settings.joining import read_join_file
from swarm.tasks.registry import load_task
from tests.integration.conftest import Start
from tests.integration.processes import Command, Family, wait_until
from tests.protocol.test_run import TOKEN
from tests.swarm.policy.conftest import make_model_directory

NOBODY = "http://127.0.0.1:9"
"""The discard port: nothing of ours ever listens there."""

Refused = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model_directory(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """``refused(code, "run", …)`` runs a command in this process; it must end with ``code`` and tell why, twice."""

    def run(code: int, *arguments: str) -> dict[str, Any]:
        assert execute([*arguments, "--json"]) == code
        out, err = capsys.readouterr()
        return told(code, out, err)

    return run


def told(code: int, out: str, err: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert body.keys() == {"error", "exit_code", "what", "so_what", "next"}
    assert body["exit_code"] == code
    assert body["what"]
    assert body["so_what"]
    assert body["next"]
    assert err.rstrip().endswith(f"error: {body['what']}\n{body['so_what']}\n{body['next']}")
    assert "Traceback" not in err
    return body


@pytest.fixture
def peer(tmp_path: Path) -> PeerHome:
    """A peer that has run before: identity and wallet exist."""
    peer = Home(tmp_path).peer("1")
    open_key(peer.key_file)
    open_wallet(peer.wallet_file)
    return peer


def away() -> JoinToken:
    """A token that can be read, of a swarm that is not there."""
    run = msgspec.structs.replace(TOKEN.run, task=load_task("sums").spec)
    return msgspec.structs.replace(TOKEN, run=run, rpc=(NOBODY,))


def taken_port() -> socket.socket:
    taken = socket.create_server(("127.0.0.1", 0))
    taken.listen()
    return taken


# --- settings --------------------------------------------------------------------------------------------------------

COMMANDS = ["local", "host", "run", "claim"]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_key_in_a_file_names_file_key_and_the_nearest_one(
    refused: Refused, tmp_path: Path, command: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("game:\n  num_question: 4\n")
    body = refused(2, command, "--config", str(file), "--home", str(tmp_path))
    assert body["what"] == f"{file}: there is no setting game.num_question."
    assert body["next"] == "Did you mean game.num_questions?"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_variable_names_the_nearest_one(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("SWARM_RUN__SEDE", "1")
    assert refused(2, command, "--home", str(tmp_path))["next"] == "Did you mean SWARM_RUN__SEED?"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_configuration_file_is_told(refused: Refused, tmp_path: Path, command: str) -> None:
    body = refused(2, command, "--config", str(tmp_path / "none.yaml"), "--home", str(tmp_path))
    assert body["what"] == f"The configuration file {tmp_path}/none.yaml cannot be read: No such file or directory."


@pytest.mark.parametrize("command", [["local"], ["host"], ["run", "--join", format_token(TOKEN)]])
def test_a_home_that_cannot_be_written_is_told(refused: Refused, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("")
    body = refused(2, *command, "--home", str(tmp_path / "file" / "home"))
    assert body["what"].startswith(f"The home directory {tmp_path}/file/home cannot be used")


def test_an_unknown_task_names_the_known_ones(refused: Refused, tmp_path: Path, model: Path) -> None:
    body = refused(2, "host", "--task", "riddles", "--model", str(model), "--home", str(tmp_path))
    assert body["what"] == "There is no task 'riddles'."
    assert "sums" in body["next"]
    assert not (tmp_path / "host" / "chain").exists()


# --- models ----------------------------------------------------------------------------------------------------------


def spoil(model: Path, how: str) -> Path:
    """A directory that is no causal language model in safetensors format."""
    if how == "does not exist":
        shutil.rmtree(model)
    elif how == "only as pickles":
        (model / "model.safetensors").rename(model / "pytorch_model.bin")
    else:
        config = json.loads((model / "config.json").read_text())
        config |= {"model_type": "bert", "architectures": ["BertForMaskedLM"]}
        (model / "config.json").write_text(json.dumps(config))
    return model


SPOILT = ["does not exist", "only as pickles", "not a causal language model"]


@pytest.mark.parametrize("how", SPOILT)
def test_a_model_that_cannot_be_used_ends_a_host_before_it_starts_a_chain(
    refused: Refused, tmp_path: Path, model: Path, how: str
) -> None:
    bad = spoil(shutil.copytree(model, tmp_path / "bad"), how)
    body = refused(2, "host", "--model", str(bad), "--home", str(tmp_path / "home"))
    assert how in body["what"]
    assert str(bad) in body["what"]
    assert "--model" in body["next"]
    assert not (tmp_path / "home" / "host" / "chain").exists()


# --- identity and wallet ---------------------------------------------------------------------------------------------


def run_or_claim(command: str, peer: PeerHome) -> list[str]:
    home = str(peer.root.parent.parent)
    return [command, "--peer", peer.name, "--home", home, "--join", format_token(away()), "--rpc", NOBODY]


@pytest.mark.parametrize("command", ["run", "claim"])
def test_an_identity_that_others_can_read_is_refused(refused: Refused, peer: PeerHome, command: str) -> None:
    peer.key_file.chmod(0o644)
    body = refused(3, *run_or_claim(command, peer))
    assert f"{peer.key_file} can be read or changed by other users (mode 0644)" in body["what"]
    assert f"chmod 600 '{peer.key_file}'" in body["next"]


@pytest.mark.parametrize("command", ["run", "claim"])
def test_pem_text_is_refused(refused: Refused, peer: PeerHome, command: str) -> None:
    peer.key_file.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert "holds PEM text" in refused(3, *run_or_claim(command, peer))["what"]


@pytest.mark.parametrize("command", ["run", "claim"])
def test_an_identity_that_is_gone_is_not_made_anew(refused: Refused, peer: PeerHome, command: str) -> None:
    peer.key_file.unlink()
    assert str(peer.key_file) in refused(3, *run_or_claim(command, peer))["what"]
    assert not peer.key_file.exists()


@pytest.mark.parametrize("command", ["run", "claim"])
def test_a_wrong_password_from_the_environment_is_refused(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, peer: PeerHome, command: str
) -> None:
    monkeypatch.setenv("SWARM_WALLET_PASSWORD", "guess")
    assert f"does not open the wallet at {peer.wallet_file}" in refused(3, *run_or_claim(command, peer))["what"]


@pytest.mark.parametrize("command", ["run", "claim"])
def test_a_wrong_or_missing_password_file_is_refused(
    refused: Refused, tmp_path: Path, peer: PeerHome, command: str
) -> None:
    file = tmp_path / "password"
    body = refused(3, *run_or_claim(command, peer), "--password-file", str(file))
    assert f"{file} cannot be read" in body["what"]
    file.write_text("guess\n")
    file.chmod(0o600)
    body = refused(3, *run_or_claim(command, peer), "--password-file", str(file))
    assert "does not open the wallet" in body["what"]


def test_a_wallet_without_its_password_is_refused(refused: Refused, peer: PeerHome) -> None:
    peer.wallet_file.unlink()
    peer.wallet_file.with_name("wallet.password").unlink()
    create_wallet(peer.wallet_file, "mine")
    body = refused(3, *run_or_claim("run", peer))
    assert "needs its password" in body["what"]
    assert "SWARM_WALLET_PASSWORD" in body["next"]


@pytest.mark.parametrize("command", ["run", "claim"])
def test_an_identity_that_already_runs_is_refused(refused: Refused, peer: PeerHome, command: str) -> None:
    with IdentityLock(peer.root, load_key(peer.key_file).peer):
        assert "already running on this machine" in refused(3, *run_or_claim(command, peer))["what"]


def test_a_hosts_identity_is_checked_like_any_other(refused: Refused, tmp_path: Path, model: Path) -> None:
    key_file = Home(tmp_path).host / "bootnode" / "swarm.pem"
    key_file.parent.mkdir(parents=True)
    key_file.write_text("-----BEGIN PRIVATE KEY-----\n")
    key_file.chmod(0o600)
    assert "holds PEM text" in refused(3, "host", "--model", str(model), "--home", str(tmp_path))["what"]


# --- joining ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "claim"])
def test_a_chain_that_nobody_serves_is_told_with_its_address(refused: Refused, peer: PeerHome, command: str) -> None:
    body = refused(4, *run_or_claim(command, peer))
    assert (body["error"], NOBODY in body["what"]) == ("ChainUnreachable", True)


@pytest.mark.parametrize(
    ("join", "what"),
    [
        (format_token(TOKEN)[:-9], "This join token cannot be read"),
        (format_token(TOKEN)[:30], "This join token cannot be read"),
        ("hello", "it does not start with swarm1-"),
        (
            format_token(msgspec.structs.replace(TOKEN, run=msgspec.structs.replace(TOKEN.run, wire_version=9))),
            "This swarm speaks wire version 9",
        ),
        ("/ip4/10.0.0.7/tcp/1/p2p/QmB", "Addresses alone do not say which chain"),
    ],
)
def test_a_join_that_leads_nowhere_is_refused_at_once(refused: Refused, tmp_path: Path, join: str, what: str) -> None:
    assert what in refused(2, "run", "--join", join, "--home", str(tmp_path))["what"]
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_belongs_to_no_swarm_says_how_to_join_one(refused: Refused, tmp_path: Path) -> None:
    body = refused(2, "run", "--home", str(tmp_path))
    assert body["what"] == f"There is no {tmp_path}/join.yaml."
    assert "--join TOKEN" in body["next"]
    assert list(tmp_path.iterdir()) == []


# --- against a host that runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(start: Start, home: Path, model: Path) -> Command:
    command = start("host", "--json", SWARM_RUN__MODEL=str(model), SWARM_RUN__MIN_PEERS="64")
    wait_until(lambda: command.stdout.read_text().endswith("\n") or command.process.poll() is not None, "a token")
    assert command.process.poll() is None, command.told()
    return command


@pytest.fixture(scope="module")
def token(host: Command, home: Path) -> JoinToken:
    return read_join_file(home / "join.yaml")


@pytest.mark.integration
@pytest.mark.parametrize("how", SPOILT)
def test_a_model_that_cannot_be_used_ends_a_peer(
    refused: Refused, token: JoinToken, tmp_path: Path, model: Path, how: str
) -> None:
    bad = spoil(shutil.copytree(model, tmp_path / "bad"), how)
    body = refused(2, "run", "--join", format_token(token), "--model", str(bad), "--home", str(tmp_path / "home"))
    assert how in body["what"]


@pytest.mark.integration
def test_another_chain_and_foreign_contracts_are_refused(refused: Refused, token: JoinToken, peer: PeerHome) -> None:
    replace = msgspec.structs.replace
    other_chain = replace(token, run=replace(token.run, chain_id=1))
    foreign = replace(token, contracts=replace(token.contracts, contributions=Address("0x" + "1" * 40)))
    home = str(peer.root.parent.parent)
    for wrong, what in ((other_chain, "serves chain 31337, the run lives on chain 1"), (foreign, "is not one of this")):
        for command in ("run", "claim"):
            body = refused(5, command, "--join", format_token(wrong), "--home", home)
            assert what in body["what"]


@pytest.mark.integration
def test_a_bootnode_that_cannot_be_reached_is_told_with_the_step_that_failed(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, token: JoinToken, tmp_path: Path, model: Path
) -> None:
    monkeypatch.setenv("SWARM_NETWORK__START_TIMEOUT_S", "3")
    monkeypatch.setenv("SWARM_NETWORK__HOST", "127.0.0.1")
    peer_id = token.bootnodes[0].rpartition("/")[2]
    address = f"/ip4/127.0.0.1/tcp/9/p2p/{peer_id}"
    where = ["--join", address, "--rpc", token.rpc[0], "--model", str(model), "--home", str(tmp_path)]
    body = refused(4, "run", *where)
    assert address in body["what"]
    assert "no TCP connection" in body["what"]


@pytest.mark.integration
def test_a_taken_network_port_is_told(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, token: JoinToken, tmp_path: Path, model: Path
) -> None:
    with taken_port() as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SWARM_NETWORK__HOST", "127.0.0.1")
        monkeypatch.setenv("SWARM_NETWORK__PORT", str(port))
        body = refused(2, "run", "--join", format_token(token), "--model", str(model), "--home", str(tmp_path))
    assert f"Port {port} on 127.0.0.1" in body["what"]


@pytest.mark.integration
def test_a_second_host_in_the_same_home_is_refused_and_harms_nothing(
    refused: Refused, host: Command, token: JoinToken, home: Path, model: Path
) -> None:
    body = refused(3, "host", "--model", str(model), "--home", str(home))
    assert f"in process {host.process.pid}" in body["what"]
    assert read_join_file(home / "join.yaml") == token
    assert host.process.poll() is None


@pytest.mark.integration
@pytest.mark.parametrize(("setting", "words"), [("CHAIN__GATE", "The gate cannot listen"), ("NETWORK_", "Port")])
def test_a_taken_port_of_a_host_is_told_and_nothing_is_left_running(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path, setting: str, words: str
) -> None:
    with taken_port() as taken:
        port = taken.getsockname()[1]
        for name in ("SWARM_NETWORK__HOST", "SWARM_CHAIN__GATE_HOST"):
            monkeypatch.setenv(name, "127.0.0.1")
        monkeypatch.setenv(f"SWARM_{setting}_PORT", str(port))
        body = refused(2, "host", "--model", str(model), "--home", str(tmp_path))
    assert body["what"].startswith(words)
    assert str(port) in body["what"]
    assert not (tmp_path / "join.yaml").exists()


# --- when it happens to a part of a private swarm --------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize(
    ("wrong", "code", "what"),
    [
        ("model", 2, "host: The model directory /nowhere does not exist."),
        ("identity", 3, "can be read or changed by other users (mode 0644)"),
        ("password", 3, "peer 1: The password does not open the wallet at"),
        ("rpc", 4, "peer 1: No chain endpoint answers"),
    ],
)
def test_what_ends_a_child_ends_the_launcher_in_the_childs_own_words(
    start: Start, family: Family, tmp_path: Path, model: Path, wrong: str, code: int, what: str
) -> None:
    settings = {"SWARM_RUN__MODEL": str(model)}
    peer = Home(tmp_path).peer("1")
    if wrong == "model":
        settings["SWARM_RUN__MODEL"] = "/nowhere"
    elif wrong == "identity":
        peer.root.mkdir(parents=True)
        peer.key_file.write_bytes(b"\x08\x02\x12\x20" + b"\x01" * 32)
        peer.key_file.chmod(0o644)
    elif wrong == "password":
        create_wallet(peer.wallet_file, "mine")
        peer.key_file.write_bytes(b"\x08\x02\x12\x20" + b"\x01" * 32)
        peer.key_file.chmod(0o600)
        settings["SWARM_WALLET_PASSWORD"] = "guess"
    elif wrong == "rpc":
        settings["SWARM_CHAIN__RPC"] = NOBODY
    command = start("local", "--peers", "1", "--no-tui", "--json", "--home", str(tmp_path), **settings)
    assert command.wait() == code, command.told()
    assert what in told(code, command.stdout.read_text(), command.stderr.read_text())["what"]
    wait_until(lambda: not family.of("swarm.cli", str(tmp_path)), "every process of it has ended", 15)
