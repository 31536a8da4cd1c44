"""Why this module exists: one of the processes that take a training step together; the peer starts it and talks to it.

Everything that belongs to ``torch.distributed`` and ``accelerate`` (a process group, singletons, environment variables,
NCCL's habit of ending the process where a collective fails) happens here and never in the peer, which holds keys.

It speaks over one pipe. To it: ``Task``, and to rank 0 then the state's tensors as bytes, which rank 0 hands to the
others. From it: ``Alive`` whenever it gets on, then ``Done`` (rank 0: and the new tensors), or ``Failed`` as its last
word. It watches whose child it is, and ends when its peer does, however that goes.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from protocol.ids import ContentId
from protocol.run import LearnRules
from swarm.grpo.adamw import TrainState
from swarm.grpo.step import Sample
from swarm.policy.base import StepReport
from swarm.policy.trl_options import TrlOptions

if TYPE_CHECKING:
    from swarm.policy.trl_engine import TrlEngine

_LOOK_S = 0.5
_LONGER = 4
"""Collectives wait so many times longer than the peer does: it knows better which process is to blame."""


@dataclass(frozen=True)
class Job:
    """What a worker is started for. ``model``: directory or hub name; ``device``: ``cpu`` or ``cuda`` (then rank r has
    card r); ``folder``: where the processes find each other (no port is opened but on the loopback interface);
    ``peer``: the process that starts them."""

    model: str
    rules: LearnRules
    temperature: float
    device: str
    num_threads: int
    num_processes: int
    patience_s: float
    folder: Path = Path()
    peer: int = 0


@dataclass(frozen=True)
class Task:
    """One step: samples as ids, in the same order for all; ``step`` and ``base``: of the state that goes with it."""

    samples: tuple[Sample, ...]
    seed: int
    step: int
    base: ContentId
    options: TrlOptions


@dataclass(frozen=True)
class Alive:
    """It got on: a library, the model, the state, a micro-batch."""


@dataclass(frozen=True)
class Done:
    report: StepReport


@dataclass(frozen=True)
class Failed:
    what: str
    is_memory: bool


def errors_of(folder: Path, rank: int) -> Path:
    """Where a worker's stderr goes."""
    return folder / f"worker-{rank}.log"


def work(job: Job, rank: int, peer: Connection) -> None:
    """The worker's whole life."""
    _stay_with(job)
    _be_quiet(errors_of(job.folder, rank))
    try:
        _serve(job, rank, peer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        _leave(job)  # the peer has gone
    except BaseException as error:
        from swarm.policy.memory import ran_out

        said = " ".join(str(error).split())[:300]
        peer.send(Failed(f"{type(error).__name__}: {said}" if said else type(error).__name__, ran_out(error)))
        raise


def tensors_of(state: TrainState) -> list[torch.Tensor]:
    """What is handed over: parameters, first moments, second moments."""
    return [tensor.detach() for tensor in (*state.parameters, *state.first, *state.second)]


def send_tensors(peer: Connection, tensors: Sequence[torch.Tensor]) -> None:
    """Their bytes, one message each; the other side knows names, shapes and dtypes."""
    for tensor in tensors:
        peer.send_bytes(_bytes_of(tensor.cpu().contiguous()))


def receive_tensors(peer: Connection, into: Sequence[torch.Tensor]) -> None:
    """The counterpart of ``send_tensors``."""
    for tensor in into:
        if tensor.device.type == "cpu" and tensor.is_contiguous():
            peer.recv_bytes_into(_bytes_of(tensor))
        else:
            arrived = torch.empty(tensor.shape, dtype=tensor.dtype)
            peer.recv_bytes_into(_bytes_of(arrived))
            tensor.copy_(arrived)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return tensor.view(-1).view(torch.uint8).numpy().data


def _serve(job: Job, rank: int, peer: Connection) -> None:
    from torch import distributed

    # accelerate takes these for granted; where the processes meet is a file, so MASTER_ADDR and a port are not used.
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(job.num_processes), "LOCAL_WORLD_SIZE": str(job.num_processes)}
    os.environ["OMP_NUM_THREADS"] = str(job.num_threads)
    loopback = "lo" if sys.platform == "linux" else "lo0"
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    on_gpu = job.device == "cuda"
    if on_gpu:
        from accelerate.utils.environment import check_cuda_p2p_ib_support

        torch.cuda.set_device(rank)
        if not check_cuda_p2p_ib_support():  # as accelerate's own launcher does for cards that cannot
            os.environ |= {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=(job.folder / "meeting").as_uri(),
        rank=rank,
        world_size=job.num_processes,
        timeout=timedelta(seconds=_LONGER * job.patience_s),
    )
    peer.send(Alive())
    engine = _opened(job, f"cuda:{rank}" if on_gpu else "cpu")
    peer.send(Alive())
    while True:
        task: Task = peer.recv()
        peer.send(Done(_step(engine, task, rank, peer)))
        if rank == 0:
            send_tensors(peer, tensors_of(engine.state))


def _opened(job: Job, device: str) -> TrlEngine:
    from swarm.policy.trl_engine import TrlEngine

    return TrlEngine.open(job.model, job.rules, device=device, temperature=job.temperature, num_threads=job.num_threads)


def _step(engine: TrlEngine, task: Task, rank: int, peer: Connection) -> StepReport:
    from torch import distributed

    from swarm.policy.handed_in import Share

    peer.send(Alive())
    if engine.state.base != task.base:
        raise ValueError("the model's files have changed since the peer loaded them")
    held = tensors_of(engine.state)
    if rank == 0:
        receive_tensors(peer, held)
    for tensor in held:
        distributed.broadcast(tensor, 0)
    engine.state.step = task.step
    engine.options = task.options
    share = Share(rank, distributed.get_world_size())
    return engine.learn(task.samples, task.seed, share=share, on_pass=lambda: peer.send(Alive()))


def _stay_with(job: Job) -> None:
    """End when the peer ends, also by kill -9, also if it has ended by now; other children of it may hold the pipe's
    end, so that is not asked."""

    def watch() -> None:
        while os.getppid() == job.peer:
            time.sleep(_LOOK_S)
        _leave(job)

    threading.Thread(target=watch, name="stay-with-peer", daemon=True).start()


def _leave(job: Job) -> NoReturn:
    shutil.rmtree(job.folder, ignore_errors=True)
    os._exit(0)


def _be_quiet(errors: Path) -> None:
    """Nothing on the peer's terminal; Ctrl-C there is the peer's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
