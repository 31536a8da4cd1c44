"""Why this module exists: a run that dies of memory after an hour could have been told in the first second. Pure."""

from __future__ import annotations

from swarm.doctor.facts import Batch, MachineFacts, ModelFacts
from swarm.doctor.findings import Finding, fail, ok, skipped, warn
from swarm.policy import plan

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
GIB = 1024**3
STATE_BYTES = 12
"""Per trained parameter of a state on disk: weights and two moments."""

KEPT_ROUNDS = 4
"""Rounds whose states are kept for checks, about."""

LEAST_FILES = 512
LEAST_DISK = GIB


def memory_needed(model: ModelFacts, batch: Batch) -> int | None:
    """Bytes that a peer with this model, and its processes, take at the worst moment, by ``swarm.policy.plan``;
    ``None`` when the model's size is not known."""
    size = size_of(model)
    return None if size is None else plan.demand(size, work_of(batch)).total


def work_of(batch: Batch, *, on_gpu: bool = False) -> plan.Workload:
    """What the plan asks of a round."""
    return plan.Workload(
        engine=batch.engine,
        lora_rank=batch.lora_rank,
        sequence=batch.sequence,
        completion=batch.completion,
        prompts=batch.prompts,
        processes=batch.processes,
        on_gpu=on_gpu,
    )


def size_of(model: ModelFacts) -> plan.ModelSize | None:
    """The shape that the memory plan asks for; ``None`` when the model's size is not known."""
    if model.num_params is None:
        return None
    return plan.ModelSize(
        num_params=model.num_params,
        num_layers=model.num_layers,
        hidden=model.hidden,
        feed_forward=model.feed_forward,
        vocabulary=model.vocabulary,
        stored=model.stored,
        family=model.family,
    )


def disk_needed(model: ModelFacts, batch: Batch) -> int | None:
    """Bytes of states, estimated: three of one's own, and of four rounds one's own and those kept for others."""
    size = size_of(model)
    if size is None:
        return None
    return plan.num_trained(size, batch.lora_rank) * STATE_BYTES * (3 + KEPT_ROUNDS * (1 + batch.num_holders))


def check_machine(machine: MachineFacts, model: ModelFacts, batch: Batch) -> list[Finding]:
    """Python, libraries, device, memory, disk, files, daemon, model."""
    return [
        _python(machine),
        _packages(machine),
        _device(machine),
        _memory(machine, model, batch),
        _disk(machine, model, batch),
        _files(machine),
        _daemon(machine),
        _model(model),
    ]


def _python(machine: MachineFacts) -> Finding:
    found = ".".join(map(str, machine.python))
    if OLDEST_PYTHON <= machine.python <= NEWEST_PYTHON:
        return ok("python", f"Python {found}")
    return fail(
        "python",
        f"Python {found}; this program is for 3.11 to 3.13.",
        "Install Python 3.11, 3.12 or 3.13 and run `./run_swarm.sh setup`; SWARM_PYTHON=/path/to/python chooses it.",
    )


def _packages(machine: MachineFacts) -> Finding:
    missing = [package.name for package in machine.packages if package.found is None]
    if missing:
        return fail("packages", f"Not installed: {', '.join(missing)}.", "Run `./run_swarm.sh setup` again.")
    other = [one for one in machine.packages if one.wanted and one.found and one.found.split("+")[0] != one.wanted]
    if other:
        named = ", ".join(f"{one.name} {one.found} (tested with {one.wanted})" for one in other)
        return warn("packages", f"Other versions than tested: {named}.", "Run `./run_swarm.sh setup` again.")
    return ok("packages", ", ".join(f"{one.name} {one.found}" for one in machine.packages if one.wanted))


def _device(machine: MachineFacts) -> Finding:
    kind = machine.device.partition(":")[0]
    if machine.device in machine.devices or (kind == machine.device and kind in {_kind(d) for d in machine.devices}):
        return ok("device", f"{machine.device}, {machine.num_cores} cores")
    usable = ", ".join(machine.devices) or "none"
    return fail(
        "device",
        f"The device {machine.device} cannot be used here; usable: {usable}.",
        "Set engine.device to one of these (SWARM_ENGINE__DEVICE=cpu), or install the driver and a torch built for it.",
    )


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _memory(machine: MachineFacts, model: ModelFacts, batch: Batch) -> Finding:
    on_gpu = machine.device != "cpu" and machine.vram_free is not None
    free, place = (machine.vram_free or 0, "VRAM") if on_gpu else (machine.ram_free, "RAM")
    size = size_of(model)
    if size is None:
        return skipped("memory", f"{_size(free)} {place} free; the model's size is not known.")
    work = work_of(batch, on_gpu=on_gpu)
    found = plan.plan(size, work, free)
    said = f"about {_size(found.demand.total)} of {place} for {model.name}, {_size(free)} free"
    if not found.fits:
        return fail(
            "memory",
            f"Needs {said}: it would be killed in training.",
            f"{would_fit(size, work, free)} Or close other programs, or use a machine with more memory.",
        )
    if found.cache < work.cache:
        return warn("memory", f"Needs {said}, in smaller batches: that is slower.", "Close other programs.")
    if found.demand.total > 0.8 * free:
        return warn("memory", f"Needs {said}: that is tight.", "Close other programs, or take a smaller model.")
    return ok("memory", f"needs {said}")


def would_fit(size: plan.ModelSize, work: plan.Workload, free: int) -> str:
    """Which model would fit, in words."""
    largest = plan.largest_fitting(size, work, free)
    if largest < 1_000_000:
        return "No model fits beside what is running now."
    return f"Take a model of at most {largest / 1e6:.0f} M parameters (--model), trained through adapters."


def _disk(machine: MachineFacts, model: ModelFacts, batch: Batch) -> Finding:
    if machine.home_problem:
        return fail(
            "disk",
            f"The home {machine.home} cannot be used: {machine.home_problem}.",
            "Correct its owner or mode, or choose another one with --home DIR.",
        )
    needed = max(LEAST_DISK, disk_needed(model, batch) or 0)
    said = f"{_size(machine.disk_free)} free in {machine.home}, about {_size(needed)} needed"
    if machine.disk_free < needed:
        return fail("disk", f"{said}.", "Make room, or choose a home on another disk with --home DIR.")
    return ok("disk", said)


def _files(machine: MachineFacts) -> Finding:
    if machine.open_files < LEAST_FILES:
        return warn(
            "open files",
            f"A process may open {machine.open_files} files; connections to many peers need {LEAST_FILES}.",
            "Run `ulimit -n 4096` before, or raise LimitNOFILE of the service.",
        )
    return ok("open files", f"{machine.open_files} allowed")


def _daemon(machine: MachineFacts) -> Finding:
    if machine.daemon_problem:
        return fail("p2p daemon", machine.daemon_problem, "Run `./run_swarm.sh setup` again; it brings the daemon.")
    return ok("p2p daemon", "is there")


def _model(model: ModelFacts) -> Finding:
    if model.problem:
        return fail(
            "model", model.problem, "Name a model directory, a hub name, or leave --model out for the tiny one."
        )
    if model.is_download:
        return warn(
            "model",
            f"{model.name} is not on this machine; it is downloaded at the first start.",
            "Start once with a network, or give --model DIRECTORY.",
        )
    size = "" if model.num_params is None else f", {model.num_params / 1e6:.1f} M parameters"
    return ok("model", f"{model.name}{size}")


def _size(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.1f} GiB"
