"""Why this module exists: long-running commands end by signals in order, with the right exit code, leaving nothing.

Ctrl-C and SIGTERM cancel the command's main task; whatever it owns is closed on the way out; then the process ends at
once, without waiting for a computation that is still running on the engine's thread: what counts is on disk already.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from protocol.errors import SwarmError

ORDERLY_END_S = 20.0
"""How long a command may take to end in order after a signal; then it ends anyway, its guardian ends its children."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_signal(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run ``main`` in a fresh event loop; returns its exit code, or 128 + n when signal n ended it."""
    received: list[int] = []

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

        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal, number)
        try:
            return await task
        except asyncio.CancelledError:
            if not received:
                raise
            return 128 + received[0]

    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(supervised())
    finally:
        asyncio.set_event_loop(None)


def leave(exit_code: int) -> None:
    """End this process now, with its output written, without waiting for threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def print_error(error: SwarmError) -> None:
    """What, so what, what next: a line each on stderr."""
    for part in (f"error: {error.what}", error.so_what, error.next_step):
        if part:
            print(part, file=sys.stderr, flush=True)


def peak_mb() -> int:
    """The largest resident memory that this process ever had, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
