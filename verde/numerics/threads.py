"""Why this module exists: compiled kernels should use the cores that torch was given, and no more.

numba's own threading layer aborts when two threads enter parallel kernels at once, and a swarm runs several peers in
one process. So kernels are plain compiled functions over a range of rows that release the interpreter's lock, and the
ranges are handed to a pool here. A kernel writes each of its rows from that row's inputs only, so the split never
changes a bit.
"""

from __future__ import annotations

import os
import threading
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from verde.numerics.subnormals import start_thread

# Below this many elements of work a kernel is done before a second thread has woken up (some 70 us where it sleeps).
_WORTH_A_THREAD = 1 << 18

# What torch was given before the first block of ``torch_on_one_thread`` began, and how many blocks are open.
_given, _open_blocks = 1, 0
_count_lock = allocate_lock()
_here = threading.local()


def num_threads() -> int:
    """How many threads kernels may use: what torch was given, also inside of ``torch_on_one_thread``."""
    return _given if getattr(_here, "depth", 0) else torch.get_num_threads()


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """In this block torch's own operators stay on the calling thread, and the cores are left to ``run_rows``.

    The threads that torch wakes for an operator (OpenMP's) go on spinning for milliseconds when it is done: between the
    operators of a small model they take as much of a core as the model does. May be nested, and several threads may be
    in a block at once. ``torch.set_num_threads`` from elsewhere is overwritten when a block ends.
    """
    global _given, _open_blocks
    depth = getattr(_here, "depth", 0)
    if not depth:
        with _count_lock:
            if not _open_blocks:
                _given = torch.get_num_threads()
            _open_blocks += 1
        torch.set_num_threads(1)
    _here.depth = depth + 1
    try:
        yield
    finally:
        _here.depth = depth
        if not depth:
            with _count_lock:
                _open_blocks -= 1
            torch.set_num_threads(_given)


class _Worker:
    """A thread that waits for a range. Two bare locks hand it over and back: a step of a small model does so thousands
    of times, and a queue with futures costs several times as much."""

    __slots__ = ("_done", "_failure", "_go", "_task")

    def __init__(self) -> None:
        self._go, self._done = allocate_lock(), allocate_lock()
        self._go.acquire()
        self._done.acquire()
        self._task: tuple[Callable[..., Any], int, int, tuple[Any, ...]] | None = None
        self._failure: BaseException | None = None
        threading.Thread(target=self._serve, name="exact", daemon=True).start()
        self._done.acquire()
        # The worker's own setting became everybody's default, too.
        torch.set_num_threads(torch.get_num_threads())

    def begin(self, kernel: Callable[..., Any], start: int, stop: int, args: tuple[Any, ...]) -> None:
        self._task = (kernel, start, stop, args)
        self._go.release()

    def end(self) -> BaseException | None:
        """Wait for the range; what it raised, if anything."""
        self._done.acquire()
        failure, self._failure = self._failure, None
        return failure

    def _serve(self) -> None:
        start_thread()
        torch.set_num_threads(1)
        self._done.release()
        while True:
            self._go.acquire()
            task, self._task = self._task, None
            try:
                if task is not None:
                    kernel, start, stop, args = task
                    kernel(start, stop, *args)
            except BaseException as error:
                self._failure = error
            # Nothing that a range worked on is kept while the thread waits.
            task = kernel = args = None  # type: ignore[assignment]
            self._done.release()


# Workers that wait; as many as were ever busy at once. Appending and popping are atomic.
_idle: list[_Worker] = []


def run_rows(kernel: Callable[..., Any], num_rows: int, *args: Any, cost: int = 1) -> None:
    """Call ``kernel(start, stop, *args)`` so that the ranges cover ``0 … num_rows`` once; return when all are done.

    ``cost`` is about how many elements one row reads and writes; little work stays in the calling thread. The kernel
    must not depend on how rows are grouped. The first exception of a range is raised here, after all have ended.
    """
    parts = min(num_threads(), num_rows, 1 + num_rows * cost // _WORTH_A_THREAD)
    if parts <= 1:
        if num_rows:
            kernel(0, num_rows, *args)
        return
    workers: list[_Worker] = []
    first = num_rows // parts
    failures: list[BaseException] = []
    try:
        for part in range(1, parts):
            worker = _taken()
            worker.begin(kernel, num_rows * part // parts, num_rows * (part + 1) // parts, args)
            workers.append(worker)
        kernel(0, first, *args)
    finally:
        for worker in workers:
            failure = worker.end()
            _idle.append(worker)
            if failure is not None:
                failures.append(failure)
    if failures:
        raise failures[0]


def run_torch(work: Callable[..., Any], num_rows: int, *args: Any, cost: int) -> None:
    """``run_rows`` of a function that calls torch's operators: each stays on the thread that calls it."""
    with torch_on_one_thread():
        run_rows(work, num_rows, *args, cost=cost)


def _taken() -> _Worker:
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: the child makes its own at first use.
    os.register_at_fork(after_in_child=_idle.clear)
