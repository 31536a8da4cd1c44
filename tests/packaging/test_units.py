"""The systemd units: what systemd itself thinks of them, and what people rely on."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from swarm.observe.health import STALE_ROUNDS
from swarm.processes.children import FINAL_EXIT_CODES
from swarm.processes.process import ORDERLY_END_S
from tests.command_lines import is_built, refusal

FOLDER = Path(__file__).parents[2] / "packaging" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/rl-swarm/run_swarm.sh"
MOST_EXPOSED = "20"
"""Tenths; systemd counts 0 as sealed and 100 as open."""


def read(unit):
    parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str
    parser.read_string(unit.read_text())
    return parser["Service"]


@pytest.fixture
def copied(tmp_path):
    """The units with a program that this machine has."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, shutil.which("true")))
    return tmp_path


def analyze(*arguments):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd-analyze")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_there_is_a_unit_for_each_long_running_command():
    assert [unit.name for unit in UNITS] == [
        "rl-swarm-host.service", "rl-swarm-leaderboard.service", "rl-swarm@.service",
    ]  # fmt: skip


def test_systemd_takes_them_without_a_word(copied):
    done = analyze("verify", *(copied / unit.name for unit in UNITS))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_they_are_sealed(copied, unit):
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", copied / unit.name)
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd cannot judge a file")
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_they_start_is_a_command_line_of_ours(unit):
    command = read(unit)["ExecStart"].split()
    assert command[0] == PROGRAM
    if not is_built(command[1]):
        pytest.skip(f"this version has no {command[1]}")
    assert refusal([part.replace("%i", "1") for part in command[1:]]) == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_they_come_back_after_failures_but_not_after_those_that_stay(unit):
    service = read(unit)
    assert service["Restart"] == "on-failure"
    assert {0, *map(int, service["RestartPreventExitStatus"].split())} == FINAL_EXIT_CODES
    assert set(map(int, service["SuccessExitStatus"].split())) == {128 + 2, 128 + 15}
    assert int(service["TimeoutStopSec"]) > ORDERLY_END_S
    assert "password" not in unit.read_text().lower()


def test_a_peers_watchdog_is_slower_than_its_word_and_there_is_one():
    service = read(FOLDER / "rl-swarm@.service")
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) >= 60
    assert STALE_ROUNDS == 2
