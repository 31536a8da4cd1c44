"""Why this module exists: the machine is asked what it has, without loading a model or starting anything."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import psutil

from protocol.errors import ConfigError
from swarm.doctor.facts import MachineFacts, ModelFacts, Package
from swarm.policy.gguf_unpack import checked_header, is_gguf

DISTRIBUTION = "rl-swarm-peer"
LIBRARIES = ("torch", "transformers", "hivemind", "numba", "web3", "cryptography", "coincurve")
_PINNED = re.compile(r"([\w.-]+)==([\w.]+)$")
_HEADER_CAP = 64 * 1024 * 1024
_GGUF_FAMILIES = {"gemma3": "gemma3_text"}
"""What an architecture of GGUF is called in a ``config.json``, where that is another name."""


class RealMachine:
    """``MachineProbe`` of this machine. ``model``: a directory or a hub name; ``device``: the one of the settings."""

    def __init__(self, home: Path, device: str, model: str) -> None:
        self._home = home
        self._device = device
        self._model = model

    def look(self) -> MachineFacts:
        memory = psutil.virtual_memory()
        place, problem = _place_of(self._home)
        devices, vram_free = _devices(self._device)
        return MachineFacts(
            python=sys.version_info[:2],
            packages=_packages(),
            device=self._device,
            devices=devices,
            num_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            ram_total=memory.total,
            ram_free=memory.available,
            vram_free=vram_free,
            disk_free=0 if problem else shutil.disk_usage(place).free,
            open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            home=str(self._home),
            home_problem=problem,
            daemon_problem=_daemon_problem(),
        )

    def model(self) -> ModelFacts:
        return read_model(self._model)


def read_model(name: str) -> ModelFacts:
    """What a model directory says of its size; never loads weights. A name that is no path is one of the hub's."""
    path = Path(name).expanduser()
    if not path.exists():
        if name.startswith(("/", ".", "~")) or name.count("/") > 1:
            return ModelFacts(name, f"The model directory {path} does not exist.")
        return _of_the_hub(name)
    return _of_gguf(path) if is_gguf(path) else _of_directory(path.name, path)


def _of_gguf(path: Path) -> ModelFacts:
    try:
        header = checked_header(path)
    except ConfigError as error:
        return ModelFacts(path.name, error.what)
    return ModelFacts(
        name=path.name,
        num_params=sum(tensor.num_elements for tensor in header.tensors),
        num_layers=header.number("block_count"),
        hidden=header.number("embedding_length"),
        feed_forward=header.number("feed_forward_length"),
        vocabulary=header.length("tokenizer.ggml.tokens"),
        family=_GGUF_FAMILIES.get(header.architecture, header.architecture),
    )


def _of_the_hub(name: str) -> ModelFacts:
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub")
    snapshots = sorted((cache.expanduser() / f"models--{name.replace('/', '--')}" / "snapshots").glob("*/config.json"))
    return _of_directory(name, snapshots[-1].parent) if snapshots else ModelFacts(name, is_download=True)


def _of_directory(name: str, path: Path) -> ModelFacts:
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError):
        return ModelFacts(name, f"{path} has no readable config.json, so it is not a model directory.")
    family = str(config.get("model_type", ""))
    config = config.get("text_config") or config
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        return ModelFacts(name, f"{path} has no weights in safetensors format.")
    try:
        num_params = sum(_num_params(file) for file in weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return ModelFacts(name, f"The weights in {path} are damaged or cut off ({error}).")
    stored = sum(file.stat().st_size for file in weights)
    hidden = _whole(config.get("hidden_size") or config.get("n_embd"))
    return ModelFacts(
        name=name,
        num_params=num_params,
        num_layers=_whole(config.get("num_hidden_layers") or config.get("n_layer")),
        hidden=hidden,
        feed_forward=_whole(config.get("intermediate_size") or 4 * hidden),
        vocabulary=_whole(config.get("vocab_size")),
        stored=stored if stored < 3 * num_params else 0,
        family=family,
    )


def _num_params(file: Path) -> int:
    """Elements of all tensors in a safetensors file, by its header; the file must be as long as that says."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if not 0 < size < _HEADER_CAP:
            raise ValueError(f"{file.name} has no header")
        header: dict[str, Any] = json.loads(opened.read(size))
    header.pop("__metadata__", None)
    end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
    if file.stat().st_size != 8 + size + end:
        raise ValueError(f"{file.name} has {file.stat().st_size} bytes, not {8 + size + end}")
    total = 0
    for tensor in header.values():
        count = 1
        for length in tensor["shape"]:
            count *= int(length)
        total += count
    return total


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _packages() -> tuple[Package, ...]:
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        required = []
    pinned = {match[1]: match[2] for text in required if (match := _PINNED.match(text.split(";")[0].strip()))}
    return tuple(Package(name, pinned.get(name, ""), _version(name)) for name in LIBRARIES)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices(wanted: str) -> tuple[tuple[str, ...], int | None]:
    """Devices that torch can use, and the free memory of the wanted one where it has its own."""
    try:
        import torch
    except Exception:  # a torch that cannot be imported is told by its version, or here by having no device
        return (), None
    devices, free = ["cpu"], None
    if torch.cuda.is_available():
        devices += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        if wanted in devices and wanted != "cpu":
            free = torch.cuda.mem_get_info(torch.device(wanted))[0]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return tuple(devices), free


def free_memory(device: str) -> tuple[int, str]:
    """Free bytes where an engine of these settings computes, and what that place is called."""
    if device == "cpu":
        return psutil.virtual_memory().available, "RAM"
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    _, free = _devices(device)
    return (psutil.virtual_memory().available, "RAM") if free is None else (free, "VRAM")


def _place_of(home: Path) -> tuple[Path, str]:
    """The home, or the folder in which it would be made, and why nothing can be written there."""
    place = home.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return place, f"{place} is not a directory"
    return place, "" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written to"


def _daemon_problem() -> str:
    found = importlib.util.find_spec("hivemind")
    if found is None or not found.submodule_search_locations:
        return "hivemind, which brings the libp2p daemon, is not installed."
    daemon = Path(next(iter(found.submodule_search_locations))) / "hivemind_cli" / "p2pd"
    if not daemon.is_file():
        return f"The libp2p daemon {daemon} is missing."
    return "" if os.access(daemon, os.X_OK) else f"The libp2p daemon {daemon} may not be executed."
