"""Why this module exists: what a peer learned has one name (a hash) and survives being killed while it is written.

On disk a state is ``state.json`` (small, readable) and the safetensors file that it names. The data file is written and
flushed first; replacing ``state.json`` is the one moment at which the new state takes over.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec
import torch

from protocol.codec import content_id_of
from protocol.errors import ConfigError
from protocol.ids import ContentId
from swarm.grpo.adamw import TrainState
from swarm.policy.disk import replace_file, temporary_for, write_file

_FORMAT = "rl-swarm/state/1"
_INDEX = "state.json"
_INDEX_CAP = 64 * 1024
_DATA_NAME = re.compile(r"state-[0-9a-f]{64}\.safetensors")
_PARTS = ("weight", "first", "second")


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    step: int
    state: ContentId
    file: str


def state_hash(state: TrainState) -> ContentId:
    """Content id of (format, step, rows), one row (part, name, dtype, shape, SHA-256 of the bytes) per tensor.

    Parts are weights, first and second moments; rows are sorted by part and name; bytes are little-endian, row-major.
    Tied weights are one parameter and appear once.
    """
    return _hash(state.step, _tensors(state))


def genesis_hash(state_names: tuple[str, ...], parameters: list[torch.Tensor]) -> ContentId:
    """``state_hash`` at step 0 with zero moments, without allocating the moments."""
    rows = {}
    for name, parameter in zip(state_names, parameters, strict=True):
        zeros = _Row(str(parameter.dtype), tuple(parameter.shape), _zeros_digest(parameter))
        rows[f"weight/{name}"] = _row(parameter)
        rows[f"first/{name}"] = rows[f"second/{name}"] = zeros
    return _hash_rows(0, rows)


def save_state(state: TrainState, directory: Path) -> ContentId:
    """Write ``state`` into ``directory`` (made if missing) and drop the one it replaces. Returns its hash.

    Killed at any moment, the directory holds the old state or the new one, never a mixture.
    """
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in _tensors(state).items()}
    name = _hash(state.step, tensors)
    file = directory / f"state-{name}.safetensors"
    temporary = temporary_for(file)
    save_file(tensors, temporary, metadata={"format": _FORMAT})
    replace_file(temporary, file)
    index = _Index(_FORMAT, state.step, name, file.name)
    write_file(directory / _INDEX, msgspec.json.format(msgspec.json.encode(index)))
    for other in directory.iterdir():
        if other.name != file.name and _DATA_NAME.fullmatch(other.name.removeprefix(".").removesuffix(".tmp")):
            other.unlink(missing_ok=True)
    return name


def load_state(state: TrainState, directory: Path) -> None:
    """Replace ``state`` in place by the one in ``directory``; untouched when that one cannot be used.

    Raises ``ConfigError`` when files are missing or damaged, or names, shapes, dtypes or the hash do not fit.
    """
    from safetensors import SafetensorError, safe_open

    index = _read_index(directory)
    expected = _tensors(state)
    try:
        with safe_open(directory / index.file, framework="pt") as file:
            names = set(file.keys())
            if names != set(expected):
                raise _damaged(directory, "it belongs to a model with other tensors")
            loaded = {name: file.get_tensor(name) for name in sorted(names)}
    except (SafetensorError, OSError) as error:
        raise _damaged(directory, f"{error}") from error
    for name, tensor in loaded.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise _damaged(directory, f"the tensor {name} has another shape or type than the model's")
    if _hash(index.step, loaded) != index.state:
        raise _damaged(directory, "its content does not have the hash that it is filed under")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(loaded[name])
    state.step = index.step


def has_state(directory: Path) -> bool:
    """Whether a state was ever completely saved in ``directory``."""
    return (directory / _INDEX).is_file()


class _Row(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    sha256: bytes


def _tensors(state: TrainState) -> dict[str, torch.Tensor]:
    groups = (state.parameters, state.first, state.second)
    return {
        f"{part}/{name}": tensor
        for part, tensors in zip(_PARTS, groups, strict=True)
        for name, tensor in zip(state.names, tensors, strict=True)
    }


def _hash(step: int, tensors: dict[str, torch.Tensor]) -> ContentId:
    return _hash_rows(step, {name: _row(tensor) for name, tensor in tensors.items()})


def _hash_rows(step: int, rows: dict[str, _Row]) -> ContentId:
    return content_id_of((_FORMAT, step, tuple(sorted(rows.items()))))


def _row(tensor: torch.Tensor) -> _Row:
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return _Row(str(tensor.dtype), tuple(tensor.shape), hashlib.sha256(raw.data).digest())


def _zeros_digest(tensor: torch.Tensor) -> bytes:
    digest = hashlib.sha256()
    block = bytes(1 << 16)
    remaining = tensor.numel() * tensor.element_size()
    while remaining:
        digest.update(block[:remaining])
        remaining -= min(remaining, len(block))
    return digest.digest()


def _read_index(directory: Path) -> _Index:
    try:
        raw = (directory / _INDEX).read_bytes()
        if len(raw) > _INDEX_CAP:
            raise ValueError("the index is too large")
        index = msgspec.json.decode(raw, type=_Index)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise _damaged(directory, f"{error}") from error
    if index.format != _FORMAT or not _DATA_NAME.fullmatch(index.file) or index.step < 0:
        raise _damaged(directory, "its index is of another format")
    return index


def _damaged(directory: Path, why: str) -> ConfigError:
    return ConfigError(
        f"The saved state in {directory} cannot be used: {why}.",
        "Training did not continue from it; credits already settled are not touched.",
        "Restore the folder from a backup, or move it away to start again from the run's first state.",
    )
