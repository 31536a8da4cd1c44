"""Why this module exists: a run that dies of memory after an hour could have been told in the first second. Pure."""

from __future__ import annotations

from swarm.doctor.facts import Batch, MachineFacts, ModelFacts
from swarm.doctor.findings import Finding, fail, ok, skipped, warn
from swarm.policy.base import FULL_TRAINING_CAP, LORA_RANK

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
GIB = 1024**3
LIBRARIES_BYTES = int(0.9 * GIB)
"""What a peer takes before it has a model: torch, hivemind, compiled kernels and the daemon."""

WEIGHT_BYTES = 4
"""Per parameter, in float32."""

TRAINED_BYTES = 12
"""Per parameter that is trained: its gradient and AdamW's two moments."""

SLICED_BYTES = 4
"""Per parameter, for the exact engine: weights cut into bytes for its products, both ways round."""

STATE_BYTES = 12
"""Per trained parameter of a state on disk: weights and two moments."""

KEPT_ROUNDS = 4
"""Rounds whose states are kept for checks, about."""

CACHE_BYTES = 64 * 1024**2
"""Keys and values of the completions that are sampled at a time, at most."""

LEAST_PASS_BYTES, LEAST_PASS_TOKENS = 32 * 1024**2, 128
"""What one training pass keeps: so many bytes, or so many tokens' where these take more."""

LEAST_FILES = 512
LEAST_DISK = GIB


def memory_needed(model: ModelFacts, batch: Batch) -> int | None:
    """Bytes that a peer with this model takes at most, estimated: 0.9 GiB for libraries; 4 bytes per parameter (4 more
    for the exact engine), 12 per trained one, and as much again for an auditor's copy of a state; 64 MiB of keys and
    values; one training pass.

    ``None`` when the model's size is not known. An estimate, not a plan: it errs on the high side."""
    trained = num_trained(model, batch)
    if model.num_params is None or trained is None:
        return None
    per_param = WEIGHT_BYTES + (SLICED_BYTES if batch.engine == "exact" else 0)
    per_token = 4 * (model.num_layers * (24 * model.hidden + 8 * model.feed_forward) + 4 * model.vocabulary)
    one_pass = max(LEAST_PASS_BYTES, LEAST_PASS_TOKENS * per_token)
    copies = 2 * TRAINED_BYTES if batch.engine == "exact" else TRAINED_BYTES
    return LIBRARIES_BYTES + model.num_params * per_param + trained * copies + CACHE_BYTES + one_pass


def num_trained(model: ModelFacts, batch: Batch) -> int | None:
    """Parameters that are trained: all, or adapters beside every linear map, which have as many rows and columns as
    these. ``None`` when the model's size is not known."""
    if model.num_params is None:
        return None
    rank = batch.lora_rank
    if rank is None:
        rank = LORA_RANK if model.num_params > FULL_TRAINING_CAP else 0
    if not rank:
        return model.num_params
    return rank * model.num_layers * (8 * model.hidden + 3 * (model.hidden + model.feed_forward))


def disk_needed(model: ModelFacts, batch: Batch) -> int | None:
    """Bytes of states, estimated: three of one's own, and of four rounds one's own and those kept for others."""
    trained = num_trained(model, batch)
    return None if trained is None else trained * STATE_BYTES * (3 + KEPT_ROUNDS * (1 + batch.num_holders))


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
    needed = memory_needed(model, batch)
    is_cpu = machine.device == "cpu" or machine.vram_free is None
    free, place = (machine.ram_free, "RAM") if is_cpu else (machine.vram_free or 0, "VRAM")
    if needed is None:
        return skipped("memory", f"{_size(free)} {place} free; the model's size is not known.")
    said = f"about {_size(needed)} of {place} for {model.name}, {_size(free)} free"
    if needed > free:
        return fail(
            "memory",
            f"Needs {said}: it would be killed in training.",
            "Take a smaller model (--model), close other programs, or use a machine with more memory.",
        )
    if needed > 0.8 * free:
        return warn("memory", f"Needs {said}: that is tight.", "Close other programs, or take a smaller model.")
    return ok("memory", f"needs {said}")


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
