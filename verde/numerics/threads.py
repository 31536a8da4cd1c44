"""Why this module exists: compiled kernels should use the cores that torch was given, and no more.

numba's own threading layer aborts when two threads enter parallel kernels at once, and a swarm runs several peers in
one process. So kernels are plain compiled functions over a range of rows that release the interpreter's lock, and the
ranges are handed to a pool here. A kernel writes each of its rows from that row's inputs only, so the split never
changes a bit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch

from verde.numerics.subnormals import start_thread

# Below this many elements of work a kernel is done before a second thread has woken up.
_WORTH_A_THREAD = 1 << 17

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def run_rows(kernel: Callable[..., Any], num_rows: int, *args: Any, cost: int = 1) -> None:
    """Call ``kernel(start, stop, *args)`` so that the ranges cover ``0 … num_rows`` once; return when all are done.

    ``cost`` is about how many elements one row reads and writes; little work stays in the calling thread. The kernel
    must not depend on how rows are grouped. The first exception of a range is raised here, after all have ended.
    """
    parts = min(torch.get_num_threads(), num_rows, 1 + num_rows * cost // _WORTH_A_THREAD)
    if parts <= 1:
        if num_rows:
            kernel(0, num_rows, *args)
        return
    bounds = [num_rows * part // parts for part in range(parts + 1)]
    executor = _executor(parts - 1)
    others: list[Future[Any]] = [executor.submit(kernel, start, stop, *args) for start, stop in pairwise(bounds[1:])]
    try:
        kernel(bounds[0], bounds[1], *args)
    finally:
        failures = [failure for other in others if (failure := other.exception()) is not None]
    if failures:
        raise failures[0]


def _executor(workers: int) -> ThreadPoolExecutor:
    """A pool of at least ``workers`` threads; it only ever grows, and its threads sleep when there is nothing to do."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < workers:
            # The smaller pool finishes what it was given; its threads end when nobody holds it any more.
            _pool, _pool_size = ThreadPoolExecutor(workers, "exact", start_thread), workers
        return _pool


def _forget_pool() -> None:
    """Threads do not survive a fork: the child starts a pool of its own at first use."""
    global _pool, _pool_size, _lock
    _pool, _pool_size, _lock = None, 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
