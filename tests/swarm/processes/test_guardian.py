"""The guardian, against real processes: nothing that an owner started outlives it, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from swarm.processes.guardian import TOKENS, clear_scratch, scratch_prefix, wards

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
LAUNCHER = """
    import os, signal, subprocess, sys
    from swarm.processes.guardian import TOKENS, start_guardian

    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background are to ignore it
    depth, kind = int(sys.argv[1]), sys.argv[2]
    guardian = start_guardian(grace_s=0.6)
    if depth:
        command = [sys.executable, __file__, str(depth - 1), kind]
    elif kind == "stubborn":
        command = [sys.executable, "-c", {stubborn!r}]
    else:
        command = ["sleep", "600"]
    child = subprocess.Popen(command, stdout=None if depth else subprocess.DEVNULL)
    print(os.environ[TOKENS].rpartition(":")[2], os.getpid(), child.pid, guardian.process.pid, flush=True)
    child.wait()
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    script = tmp_path / "launcher.py"
    script.write_text(textwrap.dedent(LAUNCHER).format(stubborn=STUBBORN))
    return script


class Family:
    """A started launcher and what it reported: its token, and the processes below it."""

    def __init__(self, script: Path, depth: int = 0, kind: str = "plain") -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.owner = subprocess.Popen(
            [sys.executable, str(script), str(depth), kind],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        assert self.owner.stdout is not None
        self.tokens, self.below = [], set()
        for _ in range(depth + 1):
            token, *pids = self.owner.stdout.readline().split()
            self.tokens.append(token)
            self.below |= {psutil.Process(int(pid)) for pid in pids}
        self.below -= {psutil.Process(self.owner.pid)}

    @property
    def alive(self) -> set[psutil.Process]:
        return {process for process in self.below if is_alive(process)}


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def eventually(true: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    process = subprocess.Popen(["sleep", "600"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


@pytest.mark.parametrize("depth", [0, 2])
def test_everything_below_a_killed_owner_is_gone_within_two_seconds(
    launcher: Path, bystander: psutil.Process, depth: int
) -> None:
    family = Family(launcher, depth)
    assert len(family.alive) == 2 * depth + 2  # per owner a child and a guardian
    family.owner.kill()
    family.owner.wait()
    assert eventually(lambda: not family.alive, 20.0), family.alive
    assert is_alive(bystander)


def test_a_child_that_ignores_the_request_to_end_is_killed(launcher: Path) -> None:
    family = Family(launcher, 0, "stubborn")
    family.owner.kill()
    family.owner.wait()
    assert eventually(lambda: not family.alive, 20.0), family.alive


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_an_owner_that_dies_of_a_signal_leaves_nobody(launcher: Path, name: signal.Signals) -> None:
    family = Family(launcher, 1)
    os.killpg(family.owner.pid, name)  # as Ctrl-C does: the whole foreground group
    family.owner.wait(60)
    assert eventually(lambda: not family.alive, 20.0), family.alive


def test_ctrl_c_in_the_terminal_does_not_reach_the_guardian(launcher: Path) -> None:
    family = Family(launcher)
    guardian = next(process for process in family.below if "guardian.py" in " ".join(process.cmdline()))
    assert os.getsid(guardian.pid) != os.getsid(family.owner.pid)
    guardian.send_signal(signal.SIGINT)
    guardian.send_signal(signal.SIGTERM)
    assert family.owner.poll() is None
    family.owner.kill()
    family.owner.wait()
    assert eventually(lambda: not family.alive, 20.0)


def test_killing_an_inner_owner_leaves_the_outer_one_alone(launcher: Path) -> None:
    outer = Family(launcher, 1)
    inner = next(process for process in outer.below if process.ppid() == outer.owner.pid and is_launcher(process))
    below_inner = set(inner.children(recursive=True))
    assert len(below_inner) == 2
    inner.kill()
    assert eventually(lambda: not any(is_alive(process) for process in below_inner), 20.0)
    outer.owner.kill()
    outer.owner.wait()
    assert eventually(lambda: not outer.alive, 2.0)


def is_launcher(process: psutil.Process) -> bool:
    return "launcher.py" in " ".join(process.cmdline())


def test_release_ends_the_guardian_and_takes_the_token_back() -> None:
    code = """
    import os, subprocess
    from swarm.processes.guardian import TOKENS, start_guardian, wards
    guardian = start_guardian(grace_s=0.4)
    left = subprocess.Popen(["sleep", "600"])
    assert [process.pid for process in wards(guardian.token)] == [left.pid]
    guardian.release()
    guardian.release()
    print(left.wait(5), guardian.is_alive, os.environ.get(TOKENS, "none"))
    """
    environment = {name: value for name, value in os.environ.items() if name != TOKENS} | {"PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", textwrap.dedent(code)]
    said = subprocess.run(run, capture_output=True, text=True, env=environment, timeout=20, check=True)
    assert said.stdout.split() == ["-15", "False", "none"]


def test_sockets_of_the_dead_are_cleared_and_others_stay() -> None:
    token = "0123456789ab"
    ours, theirs = Path(f"/tmp/rlswarm-{token}-p2pd-x.sock"), Path("/tmp/rlswarm-ba9876543210-p2pd-x.sock")
    for path in (ours, theirs):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    clear_scratch(token)
    assert (ours.exists(), theirs.exists()) == (False, True)
    theirs.unlink()


def test_the_scratch_place_is_named_after_the_innermost_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKENS, "outer:inner")
    assert scratch_prefix() == "/tmp/rlswarm-inner-"
    assert len(f"{scratch_prefix()}p2pclient-0123456789a.sock") < 100  # the limit for a socket path is 104 on macOS
    assert list(wards("nobody carries this")) == []


def test_the_guardian_is_small(launcher: Path) -> None:
    family = Family(launcher)
    guardian = next(process for process in family.below if "guardian.py" in " ".join(process.cmdline()))
    assert guardian.memory_info().rss < 40 * 2**20
    family.owner.kill()
    family.owner.wait()
    assert eventually(lambda: not family.alive, 20.0)
