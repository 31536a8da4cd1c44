"""Why this module exists: a comparison of expressions costs no more than its limit, and the next one is not hurt by it.

Worker processes (``swarm.judges.math_worker``) that are kept. One that computes longer than the limit (or sits there
for four times as long) is killed; the next comparison starts another one in its place.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import time
import weakref
from pathlib import Path

import psutil

from rewards.scoring.stages import Judged, Undecided

FULL = 1000

START_S = 120.0
"""How long a worker may take to load its library, on a machine that is busy."""

LOOK_S = 0.05
"""Between looks at what a worker used."""

_ROOT = Path(__file__).resolve().parents[2]


class MathPool:
    """Compares from any thread; ``num_workers`` at once, started when they are needed. ``limit_s``: CPU seconds of one
    comparison, which are the same on a busy machine.

    ``command`` starts a worker. Workers end with this process, or when the pool is closed or forgotten.
    """

    def __init__(self, limit_s: float, num_workers: int = 1, command: tuple[str, ...] = ()) -> None:
        self._limit_s = limit_s
        self._command = command or (sys.executable, "-m", "swarm.judges.math_worker")
        self._places: queue.Queue[_Worker | None] = queue.Queue()
        for _ in range(num_workers):
            self._places.put(None)
        self._alive: weakref.WeakSet[_Worker] = weakref.WeakSet()

    def compare(self, answer: str, truth: str) -> Judged:
        """1000 where they are equal, else 0. Blocks for four times the limit at most, once a worker is loaded and free.

        Raises ``Undecided`` where no worker can be started.
        """
        worker = self._places.get()
        kept: _Worker | None = None
        try:
            if worker is None or not worker.is_alive():
                worker = None
                worker = _Worker(self._command)
                self._alive.add(worker)
            judged = worker.compare(answer, truth, self._limit_s)
            kept = worker if worker.is_alive() else None
            return judged
        finally:
            if worker is not None and kept is None:
                worker.kill()
            self._places.put(kept)

    def close(self) -> None:
        """End the workers."""
        for worker in list(self._alive):
            worker.kill()


class _Worker:
    def __init__(self, command: tuple[str, ...]) -> None:
        kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {"PYTHONHASHSEED": "0", "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Undecided(f"no checker could be started: {error}") from error
        self._end = weakref.finalize(self, _end, self._process)
        self._usage = psutil.Process(self._process.pid)
        if self._line(START_S, START_S) != b"ready":
            self.kill()
            raise Undecided("the checker of mathematical expressions did not start")

    def compare(self, answer: str, truth: str, limit_s: float) -> Judged:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([answer, truth]).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            self.kill()
            raise Undecided("the checker was gone before it was asked") from error
        line = self._line(limit_s, 4 * limit_s)
        if line == b"1":
            return Judged(FULL)
        if line == b"0":
            return Judged(0)
        self.kill()
        return Judged(0, f"takes longer than {limit_s:g} s to check" if line is None else "breaks the checker")

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._end()

    def _line(self, cpu_s: float, wall_s: float) -> bytes | None:
        """What the worker says next, without the line break; ``None`` when it says nothing in time."""
        assert self._process.stdout is not None
        fd, said, deadline, used_s = self._process.stdout.fileno(), b"", time.monotonic() + wall_s, self._used_s()
        while not said.endswith(b"\n"):
            is_there, _, _ = select.select([fd], [], [], LOOK_S)
            if not is_there:
                if time.monotonic() >= deadline or self._used_s() - used_s >= cpu_s:
                    return None
                continue
            part = os.read(fd, 64)
            if not part:
                break
            said += part
        return said.strip()

    def _used_s(self) -> float:
        try:
            times = self._usage.cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue
