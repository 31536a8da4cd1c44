"""When memory runs out: less at once while sampling, with the same results; a step that does not fit changes none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from protocol.errors import OutOfMemory
from swarm.policy.generate import Limits
from swarm.policy.memory import memory_told, ran_out

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
