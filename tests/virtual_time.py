"""Why this module exists: what a test says about seconds must not depend on how busy the machine is.

In a ``VirtualTimeLoop`` time stands still while anything can run, and jumps to the next timer when nothing can: sleeps,
time-outs and deadlines come in the order that the code gives them, at no cost. A test marked ``virtual_time`` runs in
one. What it uses must take the time from ``now`` and talk to nothing outside the process but its files.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

STARTED_AT = 1_700_000_000
"""Unix seconds at which every loop starts."""


class _Clockwork(selectors.DefaultSelector):
    """Waits for no timer: when no socket has anything, the time of the next one has come."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock only its timers move. Calls into threads run in the loop, and so take no time."""

    def __init__(self) -> None:
        self._clockwork = _Clockwork()
        super().__init__(self._clockwork)

    def time(self) -> float:
        return self._clockwork.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Like a thread's work it begins after the caller went on, and runs to its end even when nobody waits."""
        future = self.create_future()

        def run() -> None:
            try:
                result = func(*args)
            except Exception as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self.call_soon(run)
        return future


def now() -> float:
    """Unix seconds in the running loop's time."""
    return STARTED_AT + asyncio.get_running_loop().time()
