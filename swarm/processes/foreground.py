"""Why this module exists: a dashboard has the terminal, and must be able to die without taking the swarm with it.

The program runs in a process of its own in the terminal's foreground. Whatever ends it, the terminal is as it was
before; one that died is shown again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence

from swarm.observe.notes import Note
from swarm.processes.children import describe_exit

MAX_FAILURES = 3
"""How often in a row it may die before it is given up."""

STEADY_S = 30.0
"""One that ran for so long had started well."""

END_S = 5.0
"""How long it may take to give the screen back when it is asked to end."""

_GIVE_BACK = b"\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?1000;1002;1003;1004;1006;1015;2004;2026;2048l\x1b[<u"
"""Leave the second screen, show the cursor, no colours, no mouse, no focus, no bracketed paste, plain keys."""


class Foreground:
    """A program that has the terminal for as long as it runs."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self._command = command
        self._environment = environment

    async def show(self, on_event: Callable[[Note], None]) -> bool:
        """Run it until the person quits (True), or until it died too often (False). Cancelling ends it in order."""
        num_failures = 0
        while num_failures < MAX_FAILURES:
            started_at = time.monotonic()
            code = await self._run_once()
            if code == 0:
                return True
            num_failures = 1 if time.monotonic() - started_at > STEADY_S else num_failures + 1
            on_event(Note(f"The dashboard ended with {describe_exit(code)}; the swarm goes on.", is_trouble=True))
        return False

    async def _run_once(self) -> int:
        with _terminal_kept():
            process = await asyncio.create_subprocess_exec(*self._command, env=self._environment)
            try:
                return await process.wait()
            except asyncio.CancelledError:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), END_S)
                except TimeoutError:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
                raise


@contextlib.contextmanager
def _terminal_kept() -> Iterator[None]:
    """Whatever the block does to the terminal is undone after it."""
    try:
        settings = termios.tcgetattr(0)
    except termios.error:
        settings = None  # no terminal: nothing to keep
    try:
        yield
    finally:
        if settings is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(0, termios.TCSANOW, settings)
                sys.stdout.flush()
                os.write(1, _GIVE_BACK)
