"""Processes that take a training step together: its result is one process's, and none of them can hang the peer."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.context import SpawnProcess
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from protocol.errors import ConfigError, OutOfMemory, StepFailed
from swarm.policy.base import Sampling
from swarm.policy.native import NativeEngine
from swarm.policy.trl_engine import TrlEngine
from swarm.policy.trl_options import LOSS_TYPES, TrlOptions
from swarm.policy.trl_team import Team, require_processes
from swarm.policy.trl_worker import Alive, Failed, Job
from tests.swarm.policy.conftest import make_model_directory
from tests.swarm.policy.test_native import PROMPTS, REQUESTS, RULES, rollouts

ONE = TrlOptions(batch_size=3)
TWO = TrlOptions(batch_size=3, processes=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model_directory(tmp_path_factory.mktemp("models") / "tight", extra_rows=0)


@pytest.fixture
def pair(model):
    """An engine that learns alone, and one that learns with two processes."""
    made = []

    def opened(rules=RULES, one=ONE, two=TWO):
        made.extend(TrlEngine.with_options(options).open(model, rules) for options in (one, two))
        return made[-2:]

    yield opened
    for engine in made:
        engine.close()


def assert_alike(alone, together, *, atol=2e-4):
    assert alone.state.step == together.state.step > 0
    for kind in ("parameters", "first", "second"):
        for mine, other in zip(getattr(together.state, kind), getattr(alone.state, kind), strict=True):
            torch.testing.assert_close(mine, other, atol=atol, rtol=1e-3)


def moved(engine, model, rules=RULES):
    """The furthest that a number of the model went."""
    first = NativeEngine.open(model, rules)._state.parameters
    return max(float((a - b).detach().abs().max()) for a, b in zip(engine.state.parameters, first, strict=True))


def gone(pids):
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def wait_until(holds, timeout_s):
    until = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    return holds()


def test_two_processes_take_the_step_that_one_takes_and_one_that_hangs_leaves_the_state_as_it_was(pair, model):
    alone, together = pair()
    samples = rollouts(alone)[:-1]  # an odd number: one process fills a place with a row that weighs nothing
    for seed in (5, 6):  # the second step starts from moments
        ours, theirs = alone.step(samples, seed), together.step(samples, seed)
        assert (theirs.num_tokens, theirs.num_updates) == (ours.num_tokens, ours.num_updates)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3)
        assert theirs.loss == pytest.approx(ours.loss, abs=1e-5)
    assert_alike(alone, together)
    assert moved(alone, model) > 5e-3, "or the comparison would say nothing"

    before, workers = together.state_hash(), together._team.pids
    sockets = [socket for pid in workers for socket in psutil.Process(pid).net_connections("inet")]
    assert {socket.laddr.ip for socket in sockets} <= {"127.0.0.1", "::1"}
    os.kill(workers[1], signal.SIGSTOP)
    together.options = dataclasses.replace(TWO, patience_s=1.0)
    asked_at = time.monotonic()
    with pytest.raises(StepFailed, match="did not get on for 1 s; process 1 got least far") as caught:
        together.step(samples, 7)
    assert time.monotonic() - asked_at < 10
    assert "credits are not touched" in caught.value.so_what
    assert "trl.patience_s" in caught.value.next_step
    assert together.state_hash() == before
    assert gone(workers)


@pytest.mark.slow
def test_a_process_that_is_killed_costs_the_step_it_was_in_and_no_other(pair):
    alone, together = pair(one=TrlOptions(batch_size=1), two=TrlOptions(batch_size=1, processes=2))
    samples = rollouts(alone)
    together.step(samples, 1)
    before, workers = together.state_hash(), together._team.pids
    threading.Timer(0.1, os.kill, (workers[1], signal.SIGKILL)).start()
    with pytest.raises(StepFailed) as caught:
        together.step(samples, 2)
    assert caught.value.what == "Process 1 of 2 of the training step was killed by signal 9."
    assert together.state_hash() == before
    assert gone(workers)
    together.step(samples, 2)
    newer = together._team.pids
    os.kill(newer[0], signal.SIGKILL)  # while there is nothing to do
    assert wait_until(lambda: gone(newer[:1]), timeout_s=10)
    together.step(samples, 3)
    for seed in (1, 2, 3):
        alone.step(samples, seed)
    assert_alike(alone, together, atol=5e-4)


@pytest.mark.slow
def test_of_every_loss_the_step_of_two_processes_is_that_of_one(pair, tmp_path):
    # Means per completion or per micro-batch do not depend on the processes where all have equally much.
    alone, together = pair()
    length = min(len(sample.tokens) for sample in rollouts(alone))
    samples = [msgspec.structs.replace(sample, tokens=sample.tokens[:length]) for sample in rollouts(alone)]
    alone.save(tmp_path)
    norms = set()
    for loss_type in LOSS_TYPES:
        alone.options = TrlOptions(loss_type=loss_type, batch_size=16)
        together.options = TrlOptions(loss_type=loss_type, batch_size=8, processes=2)
        for engine in (alone, together):
            engine.load(tmp_path)
        ours, theirs = alone.step(samples, 5), together.step(samples, 5)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3), loss_type
        assert theirs.loss == pytest.approx(ours.loss, abs=1e-5), loss_type
        assert_alike(alone, together)
        norms.add(round(ours.grad_norm, 4))
    assert len(norms) > 3, "they are losses of several kinds"


@pytest.mark.slow
def test_adapters_and_a_kl_term_are_shared_by_processes_alike(pair):
    rules = msgspec.structs.replace(RULES, lora_rank=2, beta_nano=100_000_000)
    alone, together = pair(rules)
    samples = rollouts(alone)[:-1]
    for seed in (1, 2):
        ours, theirs = alone.step(samples, seed), together.step(samples, seed)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3)
    assert_alike(alone, together, atol=5e-4)


@pytest.mark.gpu
def test_two_gpus_take_the_step_that_one_takes(model):
    if torch.cuda.device_count() < 2:
        pytest.skip("This machine has fewer than two GPUs.")
    alone, together = (TrlEngine.with_options(options).open(model, RULES, device="cuda") for options in (ONE, TWO))
    samples = rollouts(alone)[:-1]
    ours, theirs = alone.step(samples, 5), together.step(samples, 5)
    together.close()
    assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-2)
    assert_alike(alone, together, atol=1e-3)


@pytest.mark.slow
def test_fewer_samples_than_processes_are_enough(pair):
    rules = msgspec.structs.replace(RULES, beta_nano=100_000_000)
    alone, together = pair(rules, two=dataclasses.replace(TWO, processes=3))
    sample = rollouts(alone)[:1]
    ours, theirs = alone.step(sample, 1), together.step(sample, 1)
    assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3)
    assert_alike(alone, together)


@pytest.mark.slow
def test_processes_end_with_their_peer_even_when_it_is_killed(model, tmp_path):
    script = tmp_path / "peer.py"
    script.write_text(
        "import sys, time\n"
        "from swarm.policy.trl_engine import TrlEngine\n"
        "from swarm.policy.trl_options import TrlOptions\n"
        "from swarm.policy.base import Sampling\n"
        "from tests.swarm.policy.test_native import REQUESTS, RULES\n"
        "if __name__ == '__main__':\n"
        "    engine = TrlEngine.with_options(TrlOptions(processes=2)).open(sys.argv[1], RULES)\n"
        "    engine.generate(REQUESTS, Sampling(2))\n"
        "    print(*engine._team.pids, flush=True)\n"
        "    time.sleep(600)\n"  # killed while they load: before there is anybody who watches
    )
    command = [sys.executable, str(script), str(model)]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as peer:
        workers = [int(pid) for pid in peer.stdout.readline().split()]
        assert len(workers) == 2
        assert not gone(workers)
        peer.kill()
    assert wait_until(lambda: gone(workers), timeout_s=60), "they end once their libraries are loaded"
    assert not list(scratch.glob("swarm-trl-*"))


def fails(job, rank, peer):
    if rank == 1:
        peer.send(Failed("OutOfMemoryError: tried to allocate 2 GiB", is_memory=True))
    time.sleep(60)


def leaves(job, rank, peer):
    peer.send(Alive())
    if rank == 0:
        print("no such card", file=open(job.folder / "worker-0.log", "w"))  # noqa: SIM115
        os._exit(7)
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("life", "error", "says"),
    [
        (fails, OutOfMemory, r"memory of process 1 of 2 \(OutOfMemoryError: tried to allocate 2 GiB\)"),
        (leaves, StepFailed, r"Process 0 of 2 of the training step ended with code 7 \(no such card\)"),
    ],
)
def test_what_became_of_a_process_is_said(life, error, says, model):
    engine = NativeEngine.open(model, RULES)
    before = engine.state_hash()
    team = Team(Job(str(model), RULES, 1.0, "cpu", 1, 2, 60.0), life)
    with pytest.raises(error, match=says):
        team.step(engine._state, [engine._sample(sample) for sample in rollouts(engine)], 1, TWO)
    assert engine.state_hash() == before
    assert team.pids == []


def test_more_processes_than_gpus_are_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert require_processes(2, "auto") == require_processes(2, "cuda") == "cuda"
    assert require_processes(3, "cpu") == "cpu"
    for device in ("cuda", "auto", "cuda:1"):
        with pytest.raises(ConfigError, match=r"trl\.processes is 3, and this machine has 2 GPUs"):
            TrlEngine.with_options(TrlOptions(processes=3)).open("/no/such/model", RULES, device=device)
    with pytest.raises(ConfigError, match="cannot share a device of the kind mps"):
        require_processes(2, "mps")


def test_a_machine_that_starts_no_more_processes_costs_the_step_and_not_what_is_drawn(pair, monkeypatch):
    alone, together = pair()

    def refused(process):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(SpawnProcess, "start", refused)
    assert rollouts(together) == rollouts(alone)
    with pytest.raises(StepFailed, match=r"cannot be started .*Resource temporarily unavailable"):
        together.step(rollouts(alone), 1)
    assert together.state_hash() == alone.state_hash()


def test_a_model_without_a_name_is_not_learnt_by_one_process_instead(model):
    opened = NativeEngine.open(model, RULES)
    engine = TrlEngine(opened.loaded, RULES, options=TWO)
    with pytest.raises(ConfigError, match="opened by its name"):
        engine.step(rollouts(opened), 1)


def test_one_process_starts_no_other(model):
    engine = TrlEngine.open(model, RULES)
    engine.generate([request for request in REQUESTS if request.prompt == PROMPTS[0]], Sampling(2))
    assert engine._team is None
