"""Why this module exists: no child outlives its owner, even when the owner is killed with -9.

A long-running command (launcher, host, peer) calls ``start_guardian`` once. That puts a token into its environment,
which every program it starts inherits, and starts a small watching process that holds one end of a pipe. When the pipe
closes, the owner is gone, however it went: the guardian ends every process whose environment carries the token, first
politely, then for certain, clears the sockets that they left in the scratch place, and ends itself. Owners nest: a peer
under a launcher carries the launcher's token and adds its own.

The guardian runs in a session of its own, so that Ctrl-C in the terminal does not reach it. It finds programs that were
*executed* by the owner or its descendants (subprocesses of any depth, re-parented ones too); a process that only forked
has its parent's original environment and is not seen. This file is run as a script, with the standard library and
psutil alone, and imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

TOKENS = "RLSWARM_GUARD_TOKENS"
"""Environment variable: tokens of all owners above a process, outermost first, joined by colons."""

_SCRATCH = "/tmp/rlswarm-"
_POLL_S = 0.05
_READY = b"watching"
_FALLBACK_TAG = secrets.token_hex(6)
_watching: list[Guardian] = []  # a handle that nobody keeps must not close its pipe


def scratch_prefix() -> str:
    """Prefix of socket paths of the innermost owner; its guardian removes what begins so. Short: socket paths are."""
    token = os.environ.get(TOKENS, "").rpartition(":")[2] or _FALLBACK_TAG
    return f"{_SCRATCH}{token}-"


@dataclass
class Guardian:
    """The owner's handle. As a context manager it releases on exit."""

    process: subprocess.Popen[bytes]
    token: str
    _outer_tokens: str

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def release(self, timeout_s: float = 10.0) -> None:
        """Orderly end: call it after ending one's children. Whatever is left of them is ended, then the guardian is.

        Raises ``subprocess.TimeoutExpired`` when a child cannot be ended in ``timeout_s``. A second call is harmless.
        """
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(timeout_s)
        if os.environ.get(TOKENS, "").rpartition(":")[2] == self.token:
            if self._outer_tokens:
                os.environ[TOKENS] = self._outer_tokens
            else:
                del os.environ[TOKENS]

    def __enter__(self) -> Guardian:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def start_guardian(*, grace_s: float = 1.2) -> Guardian:
    """Watch over everything that this process starts from now on; returns when the watch is on.

    ``grace_s``: time that children get between being asked to end and being killed. Raises ``OSError`` when the
    guardian cannot be started. Changes ``os.environ``: call it before other threads start programs.
    """
    outer = os.environ.get(TOKENS, "")
    token = secrets.token_hex(6)
    environment = {name: value for name, value in os.environ.items() if name != TOKENS}  # never its own prey
    process = subprocess.Popen(
        [sys.executable, "-I", os.path.abspath(__file__), token, str(os.getpid()), str(grace_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as ready:
        if ready.read() != _READY:
            raise OSError("the guardian process ended at once")
    os.environ[TOKENS] = f"{outer}:{token}" if outer else token
    guardian = Guardian(process, token, outer)
    _watching.append(guardian)
    return guardian


def wards(token: str) -> Iterator[psutil.Process]:
    """Living processes whose environment carries ``token``: those that were started under its owner, at any depth."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, SystemError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if token in process.environ().get(TOKENS, "").split(":"):
                yield process


def end_wards(token: str, *, grace_s: float) -> None:
    """End all of ``token``'s processes: the topmost are asked at once, the rest halfway, and killed after ``grace_s``.

    The topmost go first because a peer that is asked ends its own daemon in order.
    """
    started = time.monotonic()
    asked: set[psutil.Process] = set()
    while living := list(wards(token)):
        passed_s = time.monotonic() - started
        if passed_s > grace_s + 10.0:
            return  # what survives SIGKILL for so long hangs in the kernel
        pids = {process.pid for process in living}
        for process in living:
            with contextlib.suppress(psutil.Error):
                if passed_s >= grace_s:
                    process.kill()
                elif process not in asked and (passed_s >= grace_s / 2 or process.ppid() not in pids):
                    process.terminate()
                    asked.add(process)
        time.sleep(_POLL_S)


def clear_scratch(token: str) -> None:
    """Remove the sockets that ``token``'s daemons left."""
    for path in glob.glob(f"{_SCRATCH}{token}-*"):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _wait_for_owner(owner_pid: int) -> None:
    """Until the pipe on stdin closes, or the owner is no longer our parent (a forked copy may hold the pipe open)."""
    while os.getppid() == owner_pid:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1):
            return


def main() -> None:
    token, owner_pid, grace_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    os.write(1, _READY)
    os.close(1)
    _wait_for_owner(owner_pid)
    end_wards(token, grace_s=grace_s)
    clear_scratch(token)


if __name__ == "__main__":
    main()
