"""Why this module exists: what a peer learned has one name (a hash) and survives being killed while it is written.

The name is the Merkle root of ``verde.commit``, for every engine, so that a state can be shipped and shown in pieces.
On disk a state is ``state.json`` (small, readable) and the safetensors file that it names. The data file is written and
flushed first; replacing ``state.json`` is the one moment at which the new state takes over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch

from protocol.errors import ConfigError, VerificationError
from protocol.ids import ZERO_ROOT, ContentId
from swarm.grpo.adamw import TrainState
from swarm.policy.base import StateParts
from swarm.policy.disk import replace_file, temporary_for, write_file
from verde.commit import (
    FORMAT,
    TensorRow,
    join,
    manifest_bytes,
    parse_manifest,
    split,
    state_root,
    tensor_row,
)

_INDEX = "state.json"
_INDEX_CAP = 64 * 1024
_DATA_NAME = re.compile(r"state-[0-9a-f]{64}\.safetensors")
SMALLEST_NORMAL = 2.0**-126
_PARTS = ("weight", "first", "second")


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    step: int
    state: ContentId
    file: str


def state_hash(state: TrainState) -> ContentId:
    """The Merkle root of ``verde.commit``; its tensors are named ``weight/N``, ``first/N`` and ``second/N``.

    Bytes are little-endian, row-major. Tied weights are one parameter and appear once.
    """
    return _root(state.step, state.base, _tensors(state))


def genesis_hash(
    state_names: tuple[str, ...], parameters: list[torch.Tensor], base: ContentId = ZERO_ROOT
) -> ContentId:
    """``state_hash`` at step 0 with zero moments, without allocating the moments of more than one parameter."""
    by_name = dict(zip(state_names, parameters, strict=True))

    def tensors() -> Iterator[tuple[TensorRow, memoryview]]:
        for part in sorted(_PARTS):
            for name, parameter in sorted(by_name.items()):
                tensor = parameter if part == "weight" else torch.zeros_like(parameter)
                yield tensor_row(f"{part}/{name}", tensor.shape), _raw(tensor)

    return state_root(split(0, base, tensors(), keep_chunks=False)[0])


def state_parts(state: TrainState) -> StateParts:
    """The state as it is shipped. Needs its memory once more."""
    manifest, chunks = split(state.step, state.base, _rows(_tensors(state)))
    return StateParts(manifest_bytes(manifest), chunks)


def adopt_parts(state: TrainState, parts: StateParts) -> None:
    """Replace ``state`` in place by one from the network; untouched when that one cannot be used.

    Raises ``VerificationError`` when the parts are damaged, incomplete or those of another model.
    """
    expected = _tensors(state)
    manifest = parse_manifest(parts.manifest)
    rows = [tensor_row(name, tensor.shape) for name, tensor in sorted(expected.items())]
    joined = join(manifest, parts.chunks, rows, base=state.base)
    with torch.no_grad():
        for name, data in joined.items():
            if data:
                expected[name].copy_(torch.frombuffer(data, dtype=torch.float32).view(expected[name].shape))
    state.step = manifest.step


def save_state(state: TrainState, directory: Path) -> ContentId:
    """Write ``state`` into ``directory`` (made if missing) and drop the one it replaces. Returns its hash.

    Killed at any moment, the directory holds the old state or the new one, never a mixture.
    """
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in _tensors(state).items()}
    name = _root(state.step, state.base, tensors)
    file = directory / f"state-{name}.safetensors"
    temporary = temporary_for(file)
    save_file(tensors, temporary, metadata={"format": FORMAT})
    replace_file(temporary, file)
    index = _Index(FORMAT, state.step, name, file.name)
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
    if _root(index.step, state.base, loaded) != index.state:
        raise _damaged(directory, "its content does not have the hash that it is filed under")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(loaded[name])
    state.step = index.step


def has_state(directory: Path) -> bool:
    """Whether a state was ever completely saved in ``directory``."""
    return (directory / _INDEX).is_file()


def _tensors(state: TrainState) -> dict[str, torch.Tensor]:
    groups = (state.parameters, state.first, state.second)
    return {
        f"{part}/{name}": tensor
        for part, tensors in zip(_PARTS, groups, strict=True)
        for name, tensor in zip(state.names, tensors, strict=True)
    }


def _root(step: int, base: ContentId, tensors: dict[str, torch.Tensor]) -> ContentId:
    return state_root(split(step, base, _rows(tensors), keep_chunks=False)[0])


def _rows(tensors: dict[str, torch.Tensor]) -> Iterator[tuple[TensorRow, memoryview]]:
    for name, tensor in sorted(tensors.items()):
        yield tensor_row(name, tensor.shape), _raw(tensor)


def _raw(tensor: torch.Tensor) -> memoryview:
    if tensor.dtype != torch.float32:
        raise ValueError(f"States are float32; a tensor of shape {tuple(tensor.shape)} is {tensor.dtype}.")
    return memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def _read_index(directory: Path) -> _Index:
    try:
        raw = (directory / _INDEX).read_bytes()
        if len(raw) > _INDEX_CAP:
            raise ValueError("the index is too large")
        index = msgspec.json.decode(raw, type=_Index)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise _damaged(directory, f"{error}") from error
    if index.format != FORMAT or not _DATA_NAME.fullmatch(index.file) or index.step < 0:
        raise _damaged(directory, "its index is of another format")
    return index


def _damaged(directory: Path, why: str) -> ConfigError:
    return ConfigError(
        f"The saved state in {directory} cannot be used: {why}.",
        "Training did not continue from it; credits already settled are not touched.",
        "Restore the folder from a backup, or move it away to start again from the run's first state.",
    )


def require_numbers(state: TrainState) -> None:
    """Raise ``VerificationError`` for a state with NaN, an infinity, a subnormal number or a negative zero."""
    for tensor in (*state.parameters, *state.first, *state.second):
        values = tensor.detach()
        odd = ~values.isfinite() | ((values.abs() < SMALLEST_NORMAL) & (values.view(torch.int32) != 0))
        if bool(odd.any()):
            raise VerificationError(
                "A state holds NaN, an infinity, a subnormal number or a negative zero.",
                "No engine ships these; nothing was computed from it.",
                "Ask another holder for the state; if all serve the same, its owner made it otherwise.",
            )
