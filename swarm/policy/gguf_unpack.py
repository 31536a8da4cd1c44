"""Why this module exists: a GGUF file becomes an ordinary model directory, once per machine, by a rule that is written.

The rule (docs/models.md): every value is computed in binary32 as the format says, scale times integer, plus or minus a
minimum where there is one, each product and sum rounded once, to nearest even. So one file has one set of weights on
every machine, and what a run is named after is the same. The directory lies in the user's cache under the file's
SHA-256; its float32 weights are mapped, so that peers of one machine share them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError
from swarm.policy.gguf_header import BadGguf, GgufHeader, read_header

RULE = "gguf/1"
"""Names this rule, and the libraries that apply it: a change of either makes another directory."""

NOTHING_DONE = "No model was loaded, nothing was started and no credits are touched."
NEXT_STEP = "Download the file again, take another quantisation of it (Q4_0, Q4_K, Q8_0, F16), or use safetensors."


def is_gguf(name_or_path: str | Path) -> bool:
    """Whether this names a GGUF file, by its ending or its first bytes."""
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        return path.suffix.lower() == ".gguf"
    with path.open("rb") as opened:
        return path.suffix.lower() == ".gguf" or opened.read(4) == b"GGUF"


def checked_header(file: Path) -> GgufHeader:
    """The header of a file that can be a model here. Raises ``ConfigError``, saying why not."""
    try:
        header = read_header(file)
    except (BadGguf, OSError) as error:
        raise ConfigError(f"The model {file} cannot be used: {error}.", NOTHING_DONE, NEXT_STEP) from error
    if not header.architecture or not header.tensors:
        raise ConfigError(f"The model {file} names no architecture, or has no tensors.", NOTHING_DONE, NEXT_STEP)
    if not header.length("tokenizer.ggml.tokens"):
        raise ConfigError(f"The model {file} has no tokenizer.", NOTHING_DONE, NEXT_STEP)
    return header


def unpacked(file: Path) -> Path:
    """The model directory of a GGUF file; made at the first call (minutes for billions of parameters, 4 bytes each).

    Raises ``ConfigError`` for files that are damaged, hostile, of an architecture that cannot be read, or not causal.
    """
    file = file.expanduser().resolve()
    if not file.is_file():
        raise ConfigError(f"The model file {file} does not exist.", NOTHING_DONE, "Correct the path of --model.")
    checked_header(file)
    folder = cache_root() / f"{_sha256(file)}-{RULE.replace('/', '-')}-{_libraries()}"
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        _unpack(file, made)
        made.chmod(0o755)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was faster, with the same bytes
                raise
    except ConfigError:
        raise
    except Exception as error:  # transformers and gguf raise many classes for files that they cannot use
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:300]
        raise ConfigError(f"The model {file} cannot be unpacked: {said}.", NOTHING_DONE, NEXT_STEP) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def cache_root() -> Path:
    """Where unpacked models are kept; the folder may be deleted at any time that no peer runs."""
    from platformdirs import user_cache_path

    return user_cache_path("rl-swarm") / "models"


def _unpack(file: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import save_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
    model, report = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=torch.float32, output_loading_info=True, **where
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ConfigError(
            f"The model {file} lacks {len(missing)} tensors, among them {missing[0]}.", NOTHING_DONE, NEXT_STEP
        )
    odd = [name for name, tensor in model.state_dict().items() if tensor.dtype != torch.float32]
    if odd:
        raise ConfigError(f"{odd[0]} of the model {file} was not dequantised.", NOTHING_DONE, NEXT_STEP)
    save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    config = model.config.to_dict()
    for name in ("transformers_version", "_name_or_path", "quantization_config", "dtype"):
        config.pop(name, None)  # what is no property of the file, or not true any more
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    for written in folder.iterdir():
        descriptor = os.open(written, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _libraries() -> str:
    from importlib.metadata import version

    return "-".join(version(name) for name in ("gguf", "transformers"))


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
