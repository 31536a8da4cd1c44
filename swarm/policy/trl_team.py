"""Why this module exists: several processes take one training step, and whatever becomes of them, the peer goes on.

The peer is none of the processes: it hands its state and its samples over, waits, and takes the new state once all have
finished. So a process that dies, hangs or runs out of memory cannot leave half a step behind: the others are ended, the
step is given up, and new processes are started for the next one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import Empty, Queue
from tempfile import mkdtemp
from typing import NoReturn

import torch

from protocol.errors import ConfigError, OutOfMemory, StepFailed
from swarm.grpo.adamw import TrainState
from swarm.grpo.step import Sample
from swarm.policy.base import StepReport
from swarm.policy.trl_options import TrlOptions
from swarm.policy.trl_worker import (
    Alive,
    Done,
    Failed,
    Job,
    Task,
    errors_of,
    receive_tensors,
    send_tensors,
    tensors_of,
    work,
)

_LOOK_S = 0.2
_SETTLE_S = 2.0
"""How long a worker's death may take to show, where another's connection to it broke first."""
_LEAVE_S = 5.0
_SKIPPED = "This peer skips the round and earns nothing in it; its state is the one before, credits are not touched."


@dataclass(frozen=True)
class _Gone:
    """The pipe to a worker broke."""


_Word = Alive | Done | Failed | _Gone


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection


class Team:
    """``num_processes`` workers of one engine, started once, by ``start`` or the first ``step``. One caller at a time.

    They end by ``close``, when nobody holds the team any more, and when the peer ends. ``job.folder`` and ``job.peer``
    are set here; ``life``: what a worker does.
    """

    def __init__(self, job: Job, life: Callable[[Job, int, Connection], None] = work) -> None:
        self._job, self._life = job, life
        self._workers: list[_Worker] = []
        self._folder: Path | None = None
        self._closing: weakref.finalize[..., Team] | None = None

    @property
    def pids(self) -> list[int]:
        """Of the workers, by rank; empty before they are started."""
        return [worker.process.pid or 0 for worker in self._workers]

    def start(self) -> None:
        """Start the workers where they are not running, all anew where one of them has ended meanwhile; does not wait
        until they are ready. Raises ``StepFailed`` where the system starts no more processes."""
        if self._workers and all(worker.process.is_alive() for worker in self._workers):
            return
        self.close()
        self._folder = Path(mkdtemp(prefix="swarm-trl-"))
        self._closing = weakref.finalize(self, _end, self._workers, self._folder)
        job = replace(self._job, folder=self._folder, peer=os.getpid())
        spawn = multiprocessing.get_context("spawn")
        try:
            for rank in range(job.num_processes):
                ours, theirs = spawn.Pipe()
                process = spawn.Process(target=self._life, args=(job, rank, theirs), name=f"trl-{rank}", daemon=True)
                process.start()
                theirs.close()
                self._workers.append(_Worker(process, ours))
        except OSError as error:
            self.close()
            raise StepFailed(
                f"The processes of the training step cannot be started ({error}).",
                _SKIPPED,
                "Look at this machine's limits of processes and memory, or set trl.processes to 1.",
            ) from error

    def step(self, state: TrainState, samples: Sequence[Sample], seed: int, options: TrlOptions) -> StepReport:
        """One round's updates of ``state`` in place, or an error and ``state`` as it was.

        Raises ``OutOfMemory`` where a worker's memory ran out, and ``StepFailed`` where one failed otherwise, ended, or
        none got on for ``options.patience_s``.
        """
        self.start()
        held = tensors_of(state)
        arrived = [torch.empty(tensor.shape, dtype=tensor.dtype) for tensor in held]
        task = Task(tuple(samples), seed, state.step, state.base, options)
        words: Queue[tuple[int, _Word]] = Queue()
        talks = [
            threading.Thread(
                target=_talk,
                args=(rank, worker.pipe, task, held if rank == 0 else [], arrived if rank == 0 else [], words),
                name=f"trl-talk-{rank}",
                daemon=True,
            )
            for rank, worker in enumerate(self._workers)
        ]
        for talk in talks:
            talk.start()
        try:
            report = self._listen(words, options.patience_s)
        except BaseException:
            self.close()
            raise
        with torch.no_grad():
            for mine, new in zip(held, arrived, strict=True):
                mine.copy_(new)
        state.step += report.num_updates
        return report

    def close(self) -> None:
        """End the workers. Harmless where there are none."""
        if self._closing is not None:
            self._closing()
        self._workers, self._folder, self._closing = [], None, None

    def _listen(self, words: Queue[tuple[int, _Word]], patience_s: float) -> StepReport:
        reports: dict[int, StepReport] = {}
        passes = dict.fromkeys(range(len(self._workers)), 0)
        heard_at = time.monotonic()
        while len(reports) < len(self._workers):
            try:
                rank, word = words.get(timeout=_LOOK_S)
            except Empty:
                self._require_all_alive()
                if time.monotonic() - heard_at > patience_s:
                    self._hung(passes, patience_s)
                continue
            heard_at = time.monotonic()
            match word:
                case Alive():
                    passes[rank] += 1
                case Done(report):
                    reports[rank] = report
                case Failed(what, is_memory):
                    self._failed(rank, what, is_memory)
                case _Gone():
                    self._lost(rank)
        return reports[0]

    def _require_all_alive(self) -> None:
        for rank, worker in enumerate(self._workers):
            if not worker.process.is_alive():
                self._lost(rank)

    def _failed(self, rank: int, what: str, is_memory: bool) -> NoReturn:
        if is_memory:
            raise OutOfMemory(
                f"The training step does not fit the memory of process {rank} of {len(self._workers)} ({what}).",
                _SKIPPED,
                "Choose a smaller trl.batch_size, end other programs, or join a run with a smaller model.",
            )
        # Whoever talked to a process that was killed fails, too, and may be heard first.
        until = time.monotonic() + _SETTLE_S
        while time.monotonic() < until:
            for other, worker in enumerate(self._workers):
                if (worker.process.exitcode or 0) < 0:
                    self._lost(other)
            time.sleep(_LOOK_S)
        raise StepFailed(
            f"Process {rank} of {len(self._workers)} of the training step failed ({what}).",
            _SKIPPED,
            "New processes are started for the next round. If it stays, set trl.processes to 1, or engine.kind to"
            " another engine, and report it with the log.",
        )

    def _lost(self, rank: int) -> NoReturn:
        process = self._workers[rank].process
        process.join(_SETTLE_S)
        last = self._last_words(rank)
        raise StepFailed(
            f"Process {rank} of {len(self._workers)} of the training step {_how(process.exitcode)}"
            f"{f' ({last})' if last else ''}.",
            _SKIPPED,
            "New processes are started for the next round. Look whether this machine's memory ran out (a kill by signal"
            " 9); then choose a smaller trl.batch_size or fewer trl.processes.",
        )

    def _hung(self, passes: dict[int, int], patience_s: float) -> NoReturn:
        behind = min(passes, key=lambda rank: passes[rank])
        raise StepFailed(
            f"The {len(self._workers)} processes of the training step did not get on for {patience_s:g} s;"
            f" process {behind} got least far.",
            _SKIPPED,
            "They are ended, and new ones are started for the next round. If a micro-batch takes so long here, choose a"
            " smaller trl.batch_size or a longer trl.patience_s.",
        )

    def _last_words(self, rank: int) -> str:
        """The end of what a worker wrote about its death: nothing where it was killed and could not."""
        lines: list[str] = []
        if self._folder is not None and self._workers[rank].process.exitcode != -signal.SIGKILL:
            with contextlib.suppress(OSError):
                lines = errors_of(self._folder, rank).read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "fell silent"
    return f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"


def require_processes(count: int, device: str) -> str:
    """The kind of device (``cpu``, ``cuda``) that ``count`` processes use beside an engine on ``device``. Raises
    ``ConfigError`` for any other kind, and for fewer GPUs."""
    kind = device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    cards = torch.cuda.device_count()
    if kind == "cuda" and count > cards:
        raise ConfigError(
            f"trl.processes is {count}, and this machine has {cards} GPU{'' if cards == 1 else 's'}: each process takes"
            " one.",
            "Nothing was started; credits are not touched.",
            f"Set trl.processes to {max(1, cards)} at most.",
        )
    if kind not in ("cpu", "cuda"):
        raise ConfigError(
            f"trl.processes is {count}, and processes cannot share a device of the kind {kind}.",
            "Nothing was started; credits are not touched.",
            "Set trl.processes to 1, or engine.device to cpu or cuda.",
        )
    return kind


def _talk(
    rank: int,
    pipe: Connection,
    task: Task,
    held: Sequence[torch.Tensor],
    arrived: Sequence[torch.Tensor],
    words: Queue[tuple[int, _Word]],
) -> None:
    """On a thread of its own, because a pipe to a worker that hangs blocks. Ends when the worker does."""
    with contextlib.suppress(OSError):  # then its last word is still to be read
        pipe.send(task)
        send_tensors(pipe, held)
    try:
        while True:
            word = pipe.recv()
            if isinstance(word, Done):
                receive_tensors(pipe, arrived)
            words.put((rank, word))
            if not isinstance(word, Alive):
                return
    except (EOFError, OSError):
        words.put((rank, _Gone()))


def _end(workers: Sequence[_Worker], folder: Path) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.join(_LEAVE_S)
        worker.pipe.close()
    shutil.rmtree(folder, ignore_errors=True)
