"""Why this module exists: code that a model wrote is run as if an enemy had written it, and costs no more than agreed.

One process per answer, locked up from inside (``swarm.judges.cell``) and watched from outside: its time is limited,
what it says is cut off, and it is killed in the end, whatever it does. It can write nowhere.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rewards.scoring.stages import Undecided
from swarm.judges.protection import python, require_protection, standard_library

OUTPUT_CAP = 256 * 1024
"""Bytes that are read of what a cell says."""

START_S = 20.0
"""How long a cell may take to lock itself up, on a machine that is busy."""

_BASE_BYTES = 96 * 1024 * 1024
"""Address space that Python takes before it runs anything."""

_PROGRAM = Path(__file__).parent / "cell_main.py"
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "PATH": ""}


@dataclass(frozen=True)
class Limits:
    """``cpu_s``: of computing, which is the same on a busy machine; ``memory_bytes``: on top of Python's own."""

    cpu_s: int
    memory_bytes: int

    @property
    def wall_s(self) -> int:
        """How long it may take in all, sleeping and waiting for the machine included."""
        return 4 * self.cpu_s


@dataclass(frozen=True)
class Outcome:
    """``values``: texts of what the calls returned (``values.text_of``), until the first that did not; ``why``: why it
    did not, empty where all did."""

    values: tuple[str, ...]
    why: str


def run(code: str, calls: Sequence[str], limits: Limits) -> Outcome:
    """Run ``code`` in a fresh cell and make the calls, one after the other. Blocks for ``limits.wall_s`` at most, once
    the cell is locked up.

    Raises ``ConfigError`` where this machine cannot lock it up, ``Undecided`` where the cell could not be started.
    """
    require_protection()
    job = {
        "code": code,
        "calls": list(calls),
        "readable": standard_library(),
        "cpu_s": limits.cpu_s,
        "memory_bytes": _BASE_BYTES + limits.memory_bytes,
    }
    try:
        process = subprocess.Popen(
            [python(), "-s", "-S", "-P", "-B", str(_PROGRAM)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=_ENVIRONMENT, cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Undecided(f"no process could be started: {error}") from error
    try:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(job).encode("utf-8", "surrogatepass"))
            process.stdin.close()
        except OSError as error:
            raise Undecided(f"the cell did not start: {error}") from error
        return _listen(process, len(calls), limits)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _listen(process: subprocess.Popen[bytes], num_calls: int, limits: Limits) -> Outcome:
    assert process.stdout is not None
    assert process.stderr is not None
    said, is_ready, is_late = b"", False, False
    deadline = time.monotonic() + START_S
    while len(said) < OUTPUT_CAP:
        is_there, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not is_there:
            is_late = True
            break
        part = os.read(process.stdout.fileno(), 65536)
        if not part:
            break
        said += part
        if not is_ready and b"\n" in said:
            if not said.startswith(b"ready\n"):
                raise Undecided(f"the cell cannot be locked up: {said.decode('utf-8', 'replace').strip()[:200]}")
            is_ready, deadline = True, time.monotonic() + limits.wall_s
    if not is_ready:
        raise Undecided(f"the cell did not start: {_last_words(process, is_late)}")
    lines = said.decode("utf-8", "replace").split("\n")[1:-1]
    values = [line[2:] for line in lines[:num_calls] if line.startswith("= ")]
    failed = next((line[2:] for line in lines if line.startswith("! ")), "")
    if len(values) >= num_calls and not failed:
        return Outcome(tuple(values), "")
    if failed:
        return Outcome(tuple(values), failed)
    if is_late:
        return Outcome(tuple(values), f"takes longer than {limits.wall_s} s")
    if len(said) >= OUTPUT_CAP:
        return Outcome(tuple(values), "says more than is read")
    code = process.wait()
    if code == -signal.SIGKILL:
        return Outcome(tuple(values), f"computes longer than {limits.cpu_s} s")
    return Outcome(tuple(values), f"ends before it is done (exit {code})")


def _last_words(process: subprocess.Popen[bytes], is_late: bool) -> str:
    if is_late:
        return f"nothing happened in {START_S:g} s"
    assert process.stderr is not None
    lines = process.stderr.read(4096).decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"it ended with {process.wait()}"
