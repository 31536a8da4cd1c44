"""Why this module exists: a fresh clone becomes a working program without a question being asked.

`run_swarm.sh` runs it with the Python it found, before anything is installed, so it imports the standard library only.
It brings `.venv` to the state that constraints.txt and pyproject.toml describe, then replaces itself by what was asked
for. A stamp says which state `.venv` is in: a second run reads three small files and starts. A marker says that an
installation was under way: after a crash or Ctrl-C the environment is made anew. Everything printed goes to stderr.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "ready"
UNFINISHED = VENV / "unfinished"
LOG = VENV / "setup.log"
INPUTS = ("constraints.txt", "pyproject.toml", "packaging/pycosat/pycosat.py", "chain/install.py")

NEEDED_BYTES = 4 * 10**9
"""Free space that a first set-up asks for; with the CPU build of PyTorch `.venv` takes 2 GB of it."""

PLATFORMS = "Linux (x86_64, arm64) with glibc 2.35 or newer, macOS 14 or newer on Apple silicon, Windows through WSL 2"
"""Where every part has a build: PyTorch 2.13 has none for Intel Macs or musl, anvil none for older glibc."""

EXIT_MACHINE = 2
EXIT_NETWORK = 4

NO_SPACE = re.compile(r"No space left on device|Errno 28|Disk quota exceeded")
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|name resolution|Failed to establish|Max retries exceeded|ConnectTimeout"
    r"|ReadTimeout|Read timed out|ProxyError|Network is unreachable|Connection (?:broken|refused|reset|aborted)"
    r"|IncompleteRead|CERTIFICATE_VERIFY_FAILED|SELF_SIGNED_CERT|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT"
)


class SetupError(Exception):
    """What happened, what it means, what to do; `exit_code` as in the README."""

    def __init__(self, what: str, so_what: str, next_step: str, exit_code: int = 1) -> None:
        super().__init__(f"{what}\n{so_what}\n{next_step}")
        self.exit_code = exit_code


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def wanted_state() -> str:
    """What `.venv` is made from, as one line: the inputs' hash and where the clone lies (scripts name their folder)."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes() + b"\0")
    return f"{digest.hexdigest()} {ROOT}"


def is_ready() -> bool:
    """The stamp fits, nothing is under way, and its Python still runs (an upgraded system may have removed it)."""
    if UNFINISHED.exists() or not STAMP.exists() or STAMP.read_text() != wanted_state():
        return False
    return fits_choice() and runs("-c", "")


def runs(*arguments: str) -> bool:
    """Whether the environment's Python exists, starts, and ends well with these arguments."""
    return PYTHON.exists() and subprocess.run([PYTHON, "-I", *arguments], capture_output=True).returncode == 0


def fits_choice() -> bool:
    """False when the user chose, with SWARM_PYTHON, another version than the environment has."""
    config = VENV / "pyvenv.cfg"
    if not os.environ.get("SWARM_PYTHON") or not config.exists():
        return True
    version = re.search(r"^version(?:_info)? *= *(\d+\.\d+)", config.read_text(), re.MULTILINE)
    return version is not None and version[1] == "{}.{}".format(*sys.version_info[:2])


def check_machine() -> None:
    """Raises `SetupError` where the program cannot run, before anything is downloaded."""
    system, machine = platform.system(), platform.machine().lower()
    libc, libc_version = platform.libc_ver()
    supported = {"Linux": ("x86_64", "amd64", "aarch64", "arm64"), "Darwin": ("arm64",)}
    musl = system == "Linux" and libc != "glibc"
    if machine not in supported.get(system, ()) or musl or sys.implementation.name != "cpython":
        name = f"{sys.implementation.name} on {system} {machine}" + (" without glibc" if musl else "")
        why = "PyTorch has no build for this platform, so nothing was installed."
        raise SetupError(f"This machine is not supported: {name}.", why, f"Supported: {PLATFORMS}.", EXIT_MACHINE)
    if system == "Linux" and tuple(int(part) for part in libc_version.split(".")[:2]) < (2, 35):
        raise SetupError(
            f"This system's C library is too old: glibc {libc_version}.",
            "The dev chain needs 2.35 or newer, so nothing was installed.",
            "Use Debian 12, Ubuntu 22.04, Fedora 36 or newer.",
            EXIT_MACHINE,
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        raise SetupError(
            f"{sys.executable} cannot make virtual environments: it has no module {error.name}.",
            "Nothing was installed.",
            f"Install that module (Debian and Ubuntu: the package {package}), or name another Python: SWARM_PYTHON=…",
            EXIT_MACHINE,
        ) from error
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        raise no_space(free)


def no_space(free: int) -> SetupError:
    return SetupError(
        f"Too little disk space: {free / 1e9:.1f} GB are free at {ROOT}.",
        f"Set-up needs {NEEDED_BYTES / 1e9:.0f} GB there (9 GB for the CUDA build of PyTorch). It did not finish.",
        "Free some space and run the same command again.",
        EXIT_MACHINE,
    )


@contextlib.contextmanager
def one_at_a_time() -> Iterator[int]:
    """Holds a lock on the clone's folder; children inherit it, so an orphaned installer keeps the next run waiting."""
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up is under way in this folder; waiting for it to end …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def run_step(what: str, command: list[str | Path], lock: int, expected: int = 0) -> list[str]:
    """Runs `command` quietly, its output into the log, with one line of progress. Returns its last lines.

    `expected`: how many packages pip is to collect, 0 for other commands. Raises `SetupError` in words.
    """
    environment = os.environ | {"PIP_CONSTRAINT": "constraints.txt", "PIP_BUILD_CONSTRAINT": "constraints.txt"}
    environment |= {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", pass_fds=(lock,),
    )  # fmt: skip
    tail: deque[str] = deque(maxlen=200)
    try:
        with LOG.open("a") as log, Progress(what, expected) as progress:
            for line in lines_of(child):
                if line is not None:
                    log.write(line + "\n")
                    tail.append(line)
                progress.show(line)
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    if code != 0:
        raise explain(what, list(tail), code)
    return list(tail)


def lines_of(child: subprocess.Popen[str]) -> Iterator[str | None]:
    """The child's output line by line, and `None` for every second in which it said nothing."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line


class Progress:
    """One line on a terminal, redrawn; in a log a new line whenever another phase begins, and every 15 s."""

    def __init__(self, what: str, expected: int) -> None:
        self.what, self.expected, self.collected, self.detail = what, expected, 0, ""
        self.started = self.last_said = time.monotonic()
        self.live = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        say(f"{self.what} …")
        return self

    def show(self, line: str | None) -> None:
        """Takes one line of the child's output (`None`: a second passed) and says how far things are."""
        if line and line.startswith("Collecting "):
            self.collected += 1
            self.detail = f"{min(self.collected, self.expected)}/{self.expected} {line.split()[1]}"
        elif line and line.lstrip().startswith(("Downloading ", "Building wheel ")):
            self.detail = line.strip()
        elif line and line.startswith("Installing collected packages"):
            self.detail = f"copying {line.count(',') + 1} packages into .venv"
        now = time.monotonic()
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + f"  {now - self.started:4.0f} s  {self.detail}"[:width])
            sys.stderr.flush()
        elif now - self.last_said > 15:
            self.last_said = now
            say(f"  {now - self.started:4.0f} s  {self.detail}")

    def __exit__(self, *_: object) -> None:
        if self.live:
            sys.stderr.write("\r\x1b[K")
        say(f"  took {time.monotonic() - self.started:.0f} s")


def explain(what: str, output: list[str], code: int) -> SetupError:
    """A failed step as an error in words, told from what the step printed. Our own steps say it by their exit code."""
    text = "\n".join(output)
    if NO_SPACE.search(text):
        return no_space(shutil.disk_usage(ROOT).free)
    again = f"Run the same command again; the whole output is in {LOG}."
    if code == EXIT_NETWORK or NO_NETWORK.search(text):
        return SetupError(
            f"“{what}” could not download what it needs: the package index cannot be reached.",
            "The first set-up needs the network; later runs do not. Nothing was started.",
            f"Check the connection, and your proxy or pip settings if you have any. {again}",
            EXIT_NETWORK,
        )
    shown = "\n".join("    " + line for line in output[-12:])
    said = EXIT_MACHINE if code == EXIT_MACHINE else 1
    return SetupError(f"“{what}” failed:\n{shown}", "Set-up did not finish, and nothing was started.", again, said)


def make_ready(lock: int) -> None:
    """Installs what constraints.txt and pyproject.toml ask for, and the dev-chain binary. Raises `SetupError`."""
    check_machine()
    usable = runs("-m", "pip", "-V")
    if VENV.exists() and (UNFINISHED.exists() or not usable or not fits_choice() or not made_here()):
        say("The environment in .venv is unfinished, or made for another Python or folder; making it anew.")
        shutil.rmtree(VENV)
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)
    LOG.write_text("")
    if not PYTHON.exists():
        base = getattr(sys, "_base_executable", sys.executable)
        run_step(f"Making .venv with Python {platform.python_version()}", [base, "-I", "-m", "venv", VENV], lock)
    pins = sum(1 for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    # Without --no-compile pip compiles 16,000 files, of which a part is ever imported.
    pip = [PYTHON, "-I", "-m", "pip", "install", "--no-compile", "--progress-bar", "off"]
    say(f"Installing {pins} packages, once: some 550 MB to download (3 GB where pip takes PyTorch for CUDA).")
    run_step("Installing packages", [*pip, "./packaging/pycosat", "-e", ".[dev]"], lock, pins)
    run_step("Compiling and checking", [PYTHON, "-I", "-c", "import hivemind, textual, torch, trl, web3"], lock)
    run_step("Getting the dev chain (anvil)", [PYTHON, "-m", "chain.install"], lock)
    run_step("Compiling the exact arithmetic", [PYTHON, "-m", "swarm.policy.exact_warm", "models/tiny"], lock)
    STAMP.write_text(wanted_state())
    UNFINISHED.unlink()
    say("Set-up is complete.")


def made_here() -> bool:
    """False when `.venv` was made in another folder: its scripts name that folder."""
    script = VENV / "bin" / "pip"
    return not script.exists() or str(VENV) in script.read_text(errors="replace")[:500]


def start(arguments: list[str]) -> NoReturn:
    """Replaces this process: `test` runs the tests, options alone the private swarm, anything else is a command."""
    command: list[str | Path] = [VENV / "bin" / "swarm", *arguments]
    if not arguments or arguments[0].startswith("-"):
        command = [VENV / "bin" / "swarm", "local", *arguments]
    elif arguments[0] == "test":
        command = [PYTHON, "-P", ROOT / "tests" / "run.py", *arguments[1:]]
    os.execv(command[0], [str(part) for part in command])


def main() -> None:
    for name in ("PYTHONHOME", "PYTHONPATH"):  # another installation's modules must not shadow the environment's
        os.environ.pop(name, None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if not is_ready():
            with one_at_a_time() as lock:
                if not is_ready():
                    make_ready(lock)
    except SetupError as error:
        say(f"run_swarm.sh: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        failed = no_space(0) if error.errno == 28 else None
        say(f"run_swarm.sh: {failed or error}\n" + ("" if failed else f"Set-up did not finish. Check {ROOT}."))
        sys.exit(EXIT_MACHINE)
    except KeyboardInterrupt:
        say("\nSet-up was interrupted; the next run starts it again.")
        sys.exit(130)
    start(sys.argv[1:])


if __name__ == "__main__":
    main()
