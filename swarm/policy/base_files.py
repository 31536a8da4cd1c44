"""Why this module exists: a state means nothing without the files that training leaves alone, so its name covers them.

Architecture, end tokens, tokenizer and chat template decide what a prompt is and when a rollout ends. Their hash is the
``base`` of every state (``verde.commit``), so a run, which is named by its genesis state, names them, too. Weights are
not in it: every one of them is trained and therefore in the state itself.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from protocol.codec import content_id_of
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


def _path(name: str, file: str, is_directory: bool) -> Path | None:
    if is_directory:
        path = Path(name, file)
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, file)
    return Path(cached) if isinstance(cached, str) else None
