"""Why this module exists: a state means nothing without the files that training leaves alone, so its name covers them.

Architecture, end tokens, tokenizer and chat template decide what a prompt is and when a rollout ends. Their hash is the
``base`` of every state (``verde.commit``), so a run, which is named by its genesis state, names them, too. Weights are
not in it where they are trained and therefore in the state itself; frozen ones have a hash of their own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from protocol.codec import content_id_of
from protocol.errors import ConfigError
from protocol.ids import ContentId

_FORMAT = "rl-swarm/base/1"
_NAMES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)


def base_id(name: str, is_directory: bool) -> ContentId:
    """Content id of (format, (file name, SHA-256) of each file of the list above that the model has, sorted by name).

    ``name`` is a directory or a hub name whose files were already downloaded; nothing is fetched.
    """
    found = [(file, path) for file in _NAMES if (path := _path(name, file, is_directory)) is not None]
    return content_id_of((_FORMAT, tuple((file, hashlib.sha256(path.read_bytes()).digest()) for file, path in found)))


def weights_id(name_or_path: str | Path) -> ContentId:
    """Content id of (file name, SHA-256) of the model's safetensors files, sorted by name: of weights that are frozen.

    Raises ``ConfigError`` where a hub name's files are not in the cache.
    """
    files = _weight_files(str(name_or_path))
    if not files:
        raise ConfigError(
            f"The weight files of {name_or_path} are not on this machine.",
            "Nothing was started: a run names the model that its adapters belong to by these files.",
            "Load the model once with a network, or name its directory.",
        )
    return content_id_of(tuple((path.name, _sha256(path)) for path in sorted(files, key=lambda path: path.name)))


def _weight_files(name: str) -> list[Path]:
    directory = Path(name).expanduser()
    if not directory.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(name, file) for file in ("model.safetensors", "model.safetensors.index.json"))
        cached = next((path for path in found if isinstance(path, str)), None)
        if cached is None:
            return []
        directory = Path(cached).parent
    return [path for path in directory.glob("*.safetensors") if path.is_file()]


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _path(name: str, file: str, is_directory: bool) -> Path | None:
    if is_directory:
        path = Path(name, file)
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, file)
    return Path(cached) if isinstance(cached, str) else None
