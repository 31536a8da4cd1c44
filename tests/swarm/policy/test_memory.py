"""When memory runs out: less at once while sampling, with the same results; a step that does not fit changes none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from protocol.errors import OutOfMemory
from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, SampleRequest, Sampling
from swarm.policy.generate import Limits
from swarm.policy.load import load_model
from swarm.policy.memory import memory_told, ran_out
from swarm.policy.native import NativeEngine

RULES = LearnRules(2, 1, 1000, 200_000_000, 200_000_000, 0, 0, 0, 10**9)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What happened in a process whose address space the kernel had nailed to what it had."""
    script = Path(__file__).with_name("short_of_memory.py")
    command = [sys.executable, script, tmp_path_factory.mktemp("state")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=280,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_drawing_goes_on_with_half_as_much_at_once_until_it_fits_and_draws_the_same(told):
    assert told["same_completions"] is True
    assert len(told["shrunk"]) >= 2
    assert all(later == earlier / 2 for earlier, later in zip(told["shrunk"], told["shrunk"][1:], strict=False))


def test_a_step_that_does_not_fit_is_one_typed_error_and_can_be_taken_later(told):
    assert told["refused"].startswith("The training step does not fit this machine's memory (")
    assert told["restored"] is True
    assert told["same_step"] is True


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
        OutOfMemory("x"),
    ],
)
def test_every_way_of_running_out_is_recognised(error):
    assert ran_out(error)
    with pytest.raises(OutOfMemory), memory_told("It did not fit", "s", "n"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), KeyError("x")])
def test_other_failures_stay_what_they_are(error):
    assert not ran_out(error)
    with pytest.raises(type(error)), memory_told("It did not fit", "s", "n"):
        raise error


def test_limits_halve_for_drawing_alone_and_end_somewhere():
    limits, num = Limits(), 0
    while limits is not None:
        assert limits.max_pass_bytes == Limits().max_pass_bytes, "it is a part of a step's arithmetic"
        limits, num = limits.halved(), num + 1
    assert num == 10


def test_the_native_engine_halves_what_it_draws_at_once_and_leaves_its_steps_as_they_are(monkeypatch):
    engine = NativeEngine(load_model(ROOT / "models" / "tiny"), RULES)
    tokens_per_pass, shrunk = engine._tokens_per_pass, []
    draw = engine._draw

    def cramped(prompts, seeds, sampling):
        if engine._limits.max_cache_bytes > 16 << 20:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] can't allocate memory")
        return draw(prompts, seeds, sampling)

    monkeypatch.setattr(engine, "_draw", cramped)
    engine.on_shrink = shrunk.append
    requests = [SampleRequest((ChatMessage("user", "What is 2 + 3?"),), seed) for seed in range(3)]
    assert len(engine.generate(requests, Sampling(4))) == 3
    assert [round(megabytes, 1) for megabytes in shrunk] == [33.6, 16.8]
    assert (engine._tokens_per_pass, engine._limits.max_pass_bytes) == (tokens_per_pass, Limits().max_pass_bytes)
    assert len(engine.generate(requests, Sampling(4))) == 3, "and stays so"
    assert len(shrunk) == 2


def test_where_not_even_one_fits_it_is_said(monkeypatch):
    engine = NativeEngine(load_model(ROOT / "models" / "tiny"), RULES)

    def never(prompts, seeds, sampling):
        raise MemoryError

    monkeypatch.setattr(engine, "_draw", never)
    with pytest.raises(OutOfMemory, match="Not even one completion fits"):
        engine.generate([SampleRequest((ChatMessage("user", "2 + 3"),), 0)], Sampling(4))
