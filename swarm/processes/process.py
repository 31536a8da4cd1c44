"""Why this module exists: long-running commands end by signals in order, with the right exit code, leaving nothing.

Ctrl-C and SIGTERM cancel the command's main task; whatever it owns is closed on the way out; then the process ends at
once, without waiting for a computation that is still running on the engine's thread: what counts is on disk already.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from swarm.failures import report

ORDERLY_END_S = 20.0
"""How long a command may take to end in order after a signal; then it ends anyway, its guardian ends its children."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_signal(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run ``main`` in a fresh event loop; returns its exit code, or 128 + n when signal n ended it.

    A second signal cancels what is left of the orderly end. Raises what ``main`` raises, unless a signal came first.
    """
    received: list[int] = []
    watchdogs: list[threading.Timer] = []

    async def supervised() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(main())

        def on_signal(number: int) -> None:
            received.append(number)
            task.cancel()
            # A screen whose terminal is gone can block for ever on the way out.
            watchdog = threading.Timer(ORDERLY_END_S, os._exit, (128 + number,))
            watchdog.daemon = True
            watchdog.start()
            watchdogs.append(watchdog)

        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal, number)
        try:
            return await task
        except asyncio.CancelledError:
            if not received:
                raise
        except Exception as error:
            if not received:
                raise
            report(error)
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        return 128 + received[0]

    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(supervised())
    finally:
        asyncio.set_event_loop(None)
        for watchdog in watchdogs:
            watchdog.cancel()


def leave(exit_code: int) -> NoReturn:
    """End this process now, with its output written, without waiting for threads."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # whoever read it may be gone
            stream.flush()
    os._exit(exit_code)


def peak_mb() -> int:
    """The largest resident memory that this process ever had, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
