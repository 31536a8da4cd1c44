"""Why this module exists: generation and training must never hold up the loop that serves the DHT and the blobs.

All calls into an engine run on one thread of their own, in the order they were made. torch releases the GIL in its
kernels, so the loop keeps answering; a second process would cost every peer another copy of torch in memory. What a
long call leaves behind goes back to the system.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from swarm.processes.heap import trim

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LONG_S = 0.5
"""A call that took longer made more pieces of memory than it costs to tidy up."""


class EngineRoom:
    """One thread, one engine, one call at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def call(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """``function(*args, **kwargs)`` on the engine's thread. A cancelled call still runs to its end there."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: _tidily(function, *args, **kwargs))

    def close(self) -> None:
        """Take no more calls; does not wait for the one under way."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _tidily(function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    started_at = time.monotonic()
    try:
        return function(*args, **kwargs)
    finally:
        if time.monotonic() - started_at > LONG_S:
            trim()
