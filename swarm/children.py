"""Why this module exists: the launcher and the host own other processes, and must never lose or leak one.

A ``Child`` runs in a session of its own (Ctrl-C in the terminal reaches only its owner), writes to its own log file,
is started again after a crash with growing pauses, and is ended with SIGTERM, then SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

FATAL_EXIT_CODES = frozenset({0, 2, 3})
"""Exit codes that starting again cannot change: done, configuration, identity."""

MAX_RESTARTS = 5
"""How often in a row a child may crash before it is given up."""

STEADY_S = 60.0
"""A child that ran for so long had started well: an earlier crash is no reason to expect the next one."""

STOP_GRACE_S = 8.0
"""How long a child may take to end after SIGTERM."""


class Child:
    """One supervised process. ``on_event`` hears one line in words per start, crash and end."""

    def __init__(self, name: str, command: Sequence[str], log_file: Path, on_event: Callable[[str], None]) -> None:
        self.name = name
        self.log_file = log_file
        self.exit_code: int | None = None
        self._command = command
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def supervise(self) -> int:
        """Run until the child ends for good; returns its exit code (negative: the signal that ended it)."""
        restarts = 0
        while True:
            self.exit_code = None
            started_at = time.monotonic()
            code = await self._run_once()
            if time.monotonic() - started_at > STEADY_S:
                restarts = 0
            if self._stopping or code in FATAL_EXIT_CODES or restarts >= MAX_RESTARTS:
                self.exit_code = code
                return code
            pause_s = min(30.0, 0.5 * 2**restarts)
            restarts += 1
            self._on_event(f"{self.name} ended with {describe_exit(code)}; starting it again in {pause_s:g} s.")
            await asyncio.sleep(pause_s)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for whoever is still there after the grace period."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def last_words(self, num_lines: int = 6) -> str:
        """The end of the child's log, for an error message."""
        try:
            lines = self.log_file.read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-num_lines:])

    async def _run_once(self) -> int:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._stopping:
            self._process.terminate()
        return await self._process.wait()


def describe_exit(code: int) -> str:
    """An exit code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
