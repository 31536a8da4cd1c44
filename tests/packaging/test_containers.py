"""The image and the compose file: linted, whole, and made of command lines and settings that exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from swarm.settings.config import load_settings
from tests.command_lines import is_built, refusal

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "docker"
OURS = ("host", "peer1", "peer2", "peer3", "leaderboard")


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def steps():
    """The Dockerfile's instructions: (name, the rest), continued lines joined."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def test_the_linter_finds_nothing():
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists() and shutil.which("hadolint") is None:
        pytest.skip("hadolint has no build for this machine")
    command = [linter if linter.exists() else "hadolint", FOLDER / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_everything_that_is_copied_is_there_and_let_through(steps):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*", "nothing is let through that is not named"
    for name, rest in steps:
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored, source


def test_the_image_holds_every_package(steps):
    from tests.test_architecture import PACKAGES

    copied = {source for name, rest in steps if name == "COPY" for source in rest.split()[:-1]}
    assert copied >= {*PACKAGES, "configs", "models", "constraints.txt", "pyproject.toml"}


def test_the_image_runs_as_nobody_special_and_says_how_it_is(steps):
    assert [rest for name, rest in steps if name == "USER"] == ["10001"]
    assert any(name == "HEALTHCHECK" and '"swarm", "health"' in rest for name, rest in steps)
    assert [rest for name, rest in steps if name == "ENTRYPOINT"] == ['["swarm"]']
    assert [rest for name, rest in steps if name == "VOLUME"] == ["/data"]


def test_every_service_has_a_health_check_and_comes_back(compose):
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert service.get("logging", {}).get("options"), f"{name}: its log may not fill the disk"


@pytest.mark.parametrize("name", OURS)
def test_what_the_services_start_and_ask_are_command_lines_of_ours(compose, name):
    service = compose["services"][name]
    commands = [service["command"]]
    if service["healthcheck"]["test"][1] == "swarm":
        commands.append(service["healthcheck"]["test"][2:])
    for command in commands:
        if not is_built(command[0]):
            pytest.skip(f"this version has no {command[0]}")
        assert refusal(command) == ""


@pytest.mark.parametrize("name", OURS)
def test_what_the_services_set_are_settings_of_ours(compose, name, monkeypatch):
    environment = compose["services"][name].get("environment", {})
    load_settings("join", environment=environment)
    assert all(isinstance(value, str) for value in environment.values())


def test_peers_wait_for_the_host_and_each_is_one_of_its_own(compose):
    peers = [compose["services"][name] for name in OURS[1:4]]
    assert all(peer["depends_on"] == {"host": {"condition": "service_healthy"}} for peer in peers)
    assert [peer["command"][2] for peer in peers] == ["1", "2", "3"]
    assert [peer["healthcheck"]["test"][-1] for peer in peers] == ["1", "2", "3"]
    assert compose["services"]["host"]["command"][-3] == "3", "round 1 waits for all of them"


def test_containers_of_ours_have_no_rights_and_reach_outside_on_loopback_only(compose):
    for name in OURS:
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "privileged" not in service
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_names_and_addresses_fit_together(compose):
    host = compose["services"]["host"]
    announced = host["command"][host["command"].index("--announce") + 1]
    assert host["networks"]["swarm"]["ipv4_address"] == announced
    volumes = {volume.split(":")[0] for one in compose["services"].values() for volume in one.get("volumes", ())}
    for volume in volumes:
        assert volume in compose["volumes"] or (FOLDER / volume).exists(), volume
