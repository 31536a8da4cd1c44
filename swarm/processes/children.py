"""Why this module exists: the launcher and the host own other processes, and must never lose or leak one.

A ``Child`` runs in a session of its own (Ctrl-C in the terminal reaches only its owner), writes to its own log file,
is started again after a crash with growing pauses unless that cannot help, and is ended with SIGTERM, then SIGKILL.
One that lives and does not get on is noticed, told of with the reason, and started again where that can help. The new
process is told why it was started (``RESTARTED``), so that its own log says it, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from protocol.errors import SwarmError
from protocol.events import Restarted
from swarm.failures import from_json
from swarm.observe.health import Condition, Health
from swarm.observe.notes import Note

FINAL_EXIT_CODES = frozenset({0, 2, 3})
"""Exit codes that starting again cannot change: done, configuration, identity."""

MAX_RESTARTS = 5
"""How often in a row a child may end before it is given up."""

MAX_SAME_FAILURES = 2
"""How often in a row a child may fail with the very same words: then starting again does not help either."""

STEADY_S = 60.0
"""A child that ran for so long had started well: an earlier failure is no reason to expect the next one."""

STOP_GRACE_S = 8.0
"""How long a child may take to end after SIGTERM."""

RESTARTED = "RLSWARM_RESTARTED"
"""Environment variable: a ``Restarted`` event as JSON, for a process that is started again."""

LOOK_S = 15.0
"""Seconds between looks at whether a child gets on."""

UNWELL = frozenset({Condition.STALLED, Condition.DEAF})

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
_TAIL_BYTES = 32 * 1024


class Child:
    """One supervised process. ``on_event`` hears of restarts and stalls; ``before_restart`` tidies up after an end.

    A command that ends its output with its error as JSON (``--json``) is understood: see ``error``. ``look`` (blocking,
    called on a thread) says how it is. ``gives_up``: whether a child that fails again and again is left alone; if not,
    only exit codes that starting again cannot change end it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_file: Path,
        on_event: Callable[[Note], None],
        before_restart: Callable[[], None] = lambda: None,
        *,
        look: Callable[[], Health] | None = None,
        gives_up: bool = True,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self.exit_code: int | None = None
        self._look = look
        self._gives_up = gives_up
        self._stalled_for = ""
        self._restarted: Restarted | None = None
        self._command = command
        self._on_event = on_event
        self._before_restart = before_restart
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def supervise(self) -> int:
        """Run until the child ends for good; returns its exit code (negative: the signal that ended it)."""
        num_restarts = num_same = 0
        last_words = ""
        while True:
            self.exit_code = None
            started_at = time.monotonic()
            self._stalled_for = ""
            code = await self._run_watched()
            self.exit_code = code
            if time.monotonic() - started_at > STEADY_S and not self._stalled_for:
                num_restarts, last_words = 0, ""
            error = self.error()
            words = error.what if error is not None else ""
            num_same = num_same + 1 if words and words == last_words else 1
            is_final = code in FINAL_EXIT_CODES and not self._stalled_for
            is_hopeless = self._gives_up and (num_same >= MAX_SAME_FAILURES or num_restarts >= MAX_RESTARTS)
            if self._stopping or is_final or is_hopeless:
                return code
            last_words = words
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**num_restarts)
            num_restarts += 1
            why = self._stalled_for or f"ended with {describe_exit(code)}{f' ({words})' if words else ''}"
            self._restarted = Restarted(why, num_restarts)
            self._trouble(f"{why}; starting it again in {pause_s:g} s.")
            self._before_restart()
            await asyncio.sleep(pause_s)
            if self._stopping:
                return code

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for whoever is still there after the grace period."""
        self._stopping = True
        await self._end()

    async def _run_watched(self) -> int:
        """Run once, looking now and then at whether it gets on."""
        if self._look is None:
            return await self._run_once()
        watching = asyncio.ensure_future(self._watch(self._look))
        try:
            return await self._run_once()
        finally:
            watching.cancel()

    async def _watch(self, look: Callable[[], Health]) -> None:
        """Tell of a stall once; end the process where the cause is its own, so that it is started again."""
        told = unseen = ""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                found, unseen = await asyncio.to_thread(look), ""
            except Exception as error:  # a log that cannot be read now says nothing about its peer
                if not unseen:
                    self._trouble(f"cannot be looked at: {error}")
                unseen = str(error) or type(error).__name__
                continue
            if found.condition not in UNWELL:
                if told:
                    self._on_event(Note(f"{self.name} gets on again."))
                told = ""
            elif found.elsewhere and found.condition is Condition.STALLED:
                if not told:
                    self._trouble(f"is stalled, and starting it again would not help: {found.why}")
                told = found.why
            else:
                self._stalled_for = f"is {found.condition}: {found.why.rstrip('.')}"
                await self._end()
                return

    def _trouble(self, what: str) -> None:
        self._on_event(Note(f"{self.name} {what}", is_trouble=True))

    async def _end(self) -> None:
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

    def error(self) -> SwarmError | None:
        """The error that the child ended with, if its last line tells one."""
        return from_json(next(reversed(self._tail()), ""))

    def last_words(self, num_lines: int = 6) -> str:
        """The end of the child's log, for an error message."""
        return "\n".join(self._tail()[-num_lines:])

    def _tail(self) -> list[str]:
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, 2) - _TAIL_BYTES))
                return log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return []

    async def _run_once(self) -> int:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
            log.flush()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment(),
            )
        if self._stopping:
            self._process.terminate()
        return await self._process.wait()

    def _environment(self) -> dict[str, str] | None:
        if self._restarted is None:
            return None
        return dict(os.environ) | {RESTARTED: msgspec.json.encode(self._restarted).decode()}


def describe_exit(code: int) -> str:
    """An exit code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
