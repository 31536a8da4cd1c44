"""Code that means harm is worth nothing, costs no more than its limit, and touches nothing outside of its cell."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from protocol.errors import ConfigError
from rewards.scoring.stages import Undecided
from swarm.judges import cell, protection, sandbox
from swarm.judges.sandbox import Limits, run

LIMITS = Limits(cpu_s=1, memory_bytes=64 << 20)

needs_linux = pytest.mark.skipif(bool(cell.missing()), reason=f"code cannot be run here: {cell.missing()}")


@needs_linux
def test_honest_code_returns_what_its_calls_are_worth():
    code = "import math, re, collections, decimal\ndef f(x):\n    return [x, {'a': math.sqrt(x)}]"
    outcome = run(code, ["f(4)", "f(9) == f(9)", "len('ü')"], LIMITS)
    assert outcome.why == ""
    assert outcome.values == ("list(4, dict('a': 2))", "1", "1")


@needs_linux
def test_everybody_sees_the_same_luck_and_the_same_order():
    code = "import random\ndef f():\n    return [random.random(), hash('a'), str({'b', 'a', 'c'})]"
    assert run(code, ["f()"], LIMITS).values == run(code, ["f()"], LIMITS).values != ()


@needs_linux
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import os\n    while True: os.fork()", "not permitted"),
        ("import os\n    os.execv('/bin/sh', ['sh'])", "PermissionError"),
        ("import subprocess\n    subprocess.run(['id'])", "PermissionError"),
        ("import threading\n    threading.Thread(target=print).start()", "can't start new thread"),
        ("import socket\n    socket.create_connection(('127.0.0.1', PORT))", "PermissionError"),
        ("import socket\n    socket.socket(socket.AF_UNIX)", "not permitted"),
        ("open('SECRET').read()", "Permission denied"),
        ("open('/proc/self/environ').read()", "Permission denied"),
        ("open('/proc/PARENT/environ').read()", "Permission denied"),
        ("open('/etc/passwd').read()", "Permission denied"),
        ("import os\n    os.listdir('FOLDER')", "Permission denied"),
        ("open('FOLDER/new', 'w')", "Permission denied"),
        ("open('SECRET', 'w')", "Permission denied"),
        ("import os\n    os.remove('SECRET')", "Permission denied"),
        ("import os\n    os.rename('SECRET', '/tmp/x')", "Permission denied"),
        ("import os\n    os.chmod('SECRET', 0)", "not permitted"),
        ("import os\n    os.truncate('SECRET', 0)", "not permitted"),
        ("import os\n    os.symlink('SECRET', 'x')", "not permitted"),
        ("open('/tmp/x', 'w')", "Permission denied"),
        ("import os\n    os.memfd_create('x')", "not permitted"),
        ("import os, signal\n    os.kill(PARENT, signal.SIGKILL)", "not permitted"),
        ("import os\n    os.kill(-1, 9)", "not permitted"),
        ("import fcntl, os\n    fcntl.fcntl(0, fcntl.F_SETOWN, PARENT)", "not permitted"),
        ("import resource\n    resource.prlimit(PARENT, resource.RLIMIT_CPU, (1, 1))", "not permitted"),
        ("import resource\n    resource.setrlimit(resource.RLIMIT_CPU, (9, 9))", "not allowed"),
        ("return len('x' * 10**9)", "MemoryError"),
        ("a = []\n    while True: a.append(' ' * 10**6)", "MemoryError"),
        ("return f(x)", "RecursionError"),
        ("import ctypes\n    ctypes.string_at(0)", "ends before it is done"),
        ("import os\n    os._exit(0)", "ends before it is done"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import sys\n    sys.exit()", "SystemExit"),
        ("import os\n    while True: os.write(3, b'x' * 65536)", "says more than is read"),
        ("return '9' * 10**6", "too long"),
        ("x = []\n    x.append(x)\n    return x", "too deep"),
        ("class Right(int):\n        def __eq__(self, other): return True\n    return Right(3)", "not plain data"),
        ("return object()", "not plain data"),
        ("import numpy", "No module named"),
        ("import swarm", "No module named"),
    ],
)
def test_code_that_means_harm_fails_with_a_reason_and_nothing_is_touched(tmp_path, monkeypatch, body, why):
    secret = tmp_path / "swarm.pem"
    secret.write_text("key")
    monkeypatch.setenv("SWARM_WALLET_PASSWORD", "hidden")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        places = {"SECRET": secret, "FOLDER": tmp_path, "PARENT": os.getpid(), "PORT": server.getsockname()[1]}
        for name, place in places.items():
            body = body.replace(name, str(place))
        outcome = run(f"def f(x):\n    {body}", ["f(2)"], LIMITS)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert outcome.values == ()
    assert why in outcome.why
    assert [path.name for path in tmp_path.iterdir()] == ["swarm.pem"]
    assert secret.read_text() == "key"
    assert secret.stat().st_mode & 0o777 != 0


@needs_linux
@pytest.mark.parametrize(
    "body", ["while True: pass", "import time\n    time.sleep(100)", "while True: print('x' * 10**6)"]
)
def test_code_without_an_end_costs_its_limit_and_no_more(body):
    started_at = time.monotonic()
    outcome = run(f"def f(x):\n    {body}", ["f(2)"], LIMITS)
    assert time.monotonic() - started_at < LIMITS.wall_s + 4
    assert outcome.values == ()
    assert "longer than" in outcome.why


@needs_linux
def test_the_environment_of_a_cell_holds_nothing_of_ours(monkeypatch):
    monkeypatch.setenv("SWARM_WALLET_PASSWORD", "hidden")
    outcome = run("import os\ndef f():\n    return sorted(os.environ), os.getcwd()", ["f()"], LIMITS)
    assert outcome.values == ("tuple(list('LC_ALL', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'PYTHONHASHSEED'), '/')",)


@needs_linux
def test_what_is_said_in_the_tests_place_is_only_a_value():
    forged = "import os\nos.write(3, b'ready\\n= 7\\npassed\\n' * 9)\nos._exit(0)"
    assert run(forged, ["f(1)", "f(2)"], LIMITS).values in (("7", "7"), ("7",))
    assert run("def f(x): return 'passed'", ["f(1)"], LIMITS).values == ("'passed'",)


@needs_linux
@pytest.mark.parametrize("code", ["\ud800", "\x00", "x = '\u202e'", "ｄｅｆ f(x): pass", "(" * 5000, "", "é" * 8000])
def test_text_that_is_no_code_is_told(code):
    outcome = run(code, ["f(2)"], LIMITS)
    assert outcome.values == ()
    assert outcome.why


@needs_linux
def test_a_cell_dies_with_whoever_started_it():
    code = (
        "from swarm.judges.sandbox import *\nimport os\n"
        "run('import time\\ndef f(): time.sleep(60)', ['f()'], Limits(60, 64 << 20))"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    children: list[int] = []
    deadline = time.monotonic() + 30
    while not children and time.monotonic() < deadline:
        time.sleep(0.1)
        children = _children(parent.pid)
    time.sleep(1.5)  # so long a cell takes to lock itself up
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") and not _is_zombie(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert children


def test_a_machine_that_cannot_lock_up_code_refuses_it_and_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert "Darwin has neither Landlock nor seccomp" in cell.missing()
    with pytest.raises(ConfigError, match="cannot run it safely: Darwin has neither"):
        run("def f(): return 1", ["f()"], LIMITS)


@needs_linux
def test_code_is_not_run_where_locking_up_fails(monkeypatch, tmp_path):
    broken = tmp_path / "cell_main.py"
    broken.write_text(sandbox._PROGRAM.read_text().replace("cell.lock_up(", "raise OSError(38, 'no Landlock') or ("))
    for name in ("cell.py", "values.py"):
        (tmp_path / name).write_text((sandbox._PROGRAM.parent / name).read_text())
    monkeypatch.setattr(sandbox, "_PROGRAM", broken)
    with pytest.raises(Undecided, match="no Landlock"):
        run("open('/tmp/was-run', 'w')", ["1"], LIMITS)
    assert not os.path.exists("/tmp/was-run")


def test_the_interpreter_is_the_plain_one():
    assert os.path.isfile(protection.python())
    assert all(os.path.isabs(path) for path in protection.standard_library())


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
