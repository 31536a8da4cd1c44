"""Why this module exists: any Hugging Face causal language model becomes a policy, or an error that says why not.

Weights come from safetensors only and no code of the model's authors is run, so a directory from a stranger can at
worst be refused. ``transformers`` is imported inside the functions: ``swarm --help`` and the tests of the node do
without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from protocol.errors import ConfigError
from protocol.ids import ContentId
from swarm.policy.base_files import base_id
from swarm.policy.gguf_unpack import is_gguf, unpacked
from verde.numerics.weights import settle_weights

_NOTHING_DONE = "No model was loaded, nothing was started and no credits are touched."
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_SMALLEST_NORMAL = 2.0**-126
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model in evaluation mode (no dropout) with its tokenizer.

    ``plain_attention``: every layer is full softmax attention that takes a ready-made 4-D mask and position ids, which
    allows the shared-prompt layout of ``swarm.policy.packing``. ``context_length`` 0 means that none is declared.
    ``base`` names the files that training does not change.
    """

    model: Any
    tokenizer: Any
    end_ids: tuple[int, ...]
    vocab_size: int
    context_length: int
    plain_attention: bool
    device: torch.device
    base: ContentId


def load_model(name_or_path: str | Path, device: str = "cpu") -> LoadedModel:
    """The model and tokenizer in a directory or GGUF file, or of a hub name, in float32 on ``device``.

    ``auto`` is a GPU if there is one.

    Raises ``ConfigError`` for a missing directory, missing or damaged files, weights that are not safetensors, a model
    that is not a causal language model or needs its own code, missing tensors, a missing tokenizer, an unusable device.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    name, is_directory = _locate(unpacked(Path(name_or_path)) if is_gguf(name_or_path) else name_or_path)
    common: dict[str, Any] = {"local_files_only": is_directory, "trust_remote_code": False}
    target = _usable_device(device)
    try:
        config = AutoConfig.from_pretrained(name, **common)
        _require_causal(name, config)
        tokenizer = AutoTokenizer.from_pretrained(name, **common)
        pair: Any = AutoModelForCausalLM.from_pretrained(
            name, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **common
        )
    except ConfigError:
        raise
    except Exception as error:  # transformers raises a dozen unrelated classes for unusable files
        raise _refusal(f"The model {name} cannot be loaded: {_first_line(error)}.") from error
    model, report = pair
    missing = sorted(report["missing_keys"])
    if missing:
        raise _refusal(f"The weights of {name} lack {len(missing)} tensors, among them {missing[0]}.")
    _flush_subnormals(model)
    settle_weights(model)  # so that a run's first state has one name, whichever engine loads it
    model.eval().to(target)
    loaded = _describe(model, tokenizer, target, base_id(name, is_directory))
    if loaded.plain_attention:
        from swarm.policy.cache import ATTENTION_NAME

        model.set_attn_implementation(ATTENTION_NAME)
    return loaded


def _locate(name_or_path: str | Path) -> tuple[str, bool]:
    """What to hand to transformers, and whether it is a directory (checked for the files that it must have)."""
    text = str(name_or_path)
    path = Path(text).expanduser()
    if not path.is_dir():
        if path.exists():
            raise _refusal(
                f"{path} is a file; a model is a GGUF file, or a directory of config.json, tokenizer and safetensors."
            )
        if isinstance(name_or_path, Path) or text.startswith(("/", ".", "~")) or text.count("/") > 1:
            raise _refusal(f"The model directory {path} does not exist.")
        return text, False
    if not (path / "config.json").is_file():
        raise _refusal(f"{path} has no config.json, so it is not a model directory.")
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        pickled = any(True for pattern in _PICKLES for _ in path.glob(pattern))
        raise _refusal(
            f"{path} has its weights only as pickles, which can run code when they are opened."
            if pickled
            else f"{path} has no weights in safetensors format."
        )
    for file in weights:
        _require_complete(file)
    if not any((path / name).is_file() for name in _TOKENIZER_FILES):
        raise _refusal(f"{path} has no tokenizer ({', '.join(_TOKENIZER_FILES)}).")
    return str(path), True


def _require_complete(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise _refusal(f"{file} is damaged or cut off: {_first_line(error)}.") from error


def _require_causal(name: str, config: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    expected = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    declared = tuple(config.architectures or ())
    if expected is None or config.is_encoder_decoder or (declared and expected not in declared):
        kind = declared[0] if declared else config.model_type
        raise _refusal(f"{name} is a {kind}, not a causal language model, so it cannot continue a prompt.")


def _usable_device(device: str) -> torch.device:
    """``auto``: the GPU where torch sees one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        target = torch.device(device)
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"The device {device!r} cannot be used: {_first_line(error)}.",
            _NOTHING_DONE,
            "Choose `cpu`, or `cuda` with a torch build that supports your GPU.",
        ) from error
    return target


def _describe(model: Any, tokenizer: Any, device: torch.device, base: ContentId) -> LoadedModel:
    config = model.config.get_text_config(decoder=True)
    ends: set[int] = set()
    for declared in (tokenizer.eos_token_id, model.generation_config.eos_token_id, config.eos_token_id):
        ends.update(declared if isinstance(declared, list | tuple) else () if declared is None else (declared,))
    # A padded embedding has rows that no token stands for; they are never drawn.
    vocab_size = min(config.vocab_size, len(tokenizer))
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        end_ids=tuple(sorted(end for end in ends if 0 <= end < vocab_size)),
        vocab_size=vocab_size,
        context_length=int(getattr(config, "max_position_embeddings", 0) or 0),
        plain_attention=_has_plain_attention(model, config),
        device=device,
        base=base,
    )


def _has_plain_attention(model: Any, config: Any) -> bool:
    import inspect

    from transformers.cache_utils import DynamicCache, DynamicLayer

    accepts_positions = "position_ids" in inspect.signature(model.forward).parameters
    return (
        accepts_positions
        and all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
        and model._supports_attention_backend
        and model.config._attn_implementation == "sdpa"
        and not getattr(config, "alibi", False)
    )


def _flush_subnormals(model: Any) -> None:
    """Subnormal weights and negative zeros become 0: exact arithmetic reads them so, and a state has one name."""
    with torch.no_grad():
        for parameter in model.parameters():
            is_small = parameter.abs() < _SMALLEST_NORMAL
            if bool((is_small & (parameter.view(torch.int32) != 0)).any()):  # else a mapped file need not be copied
                parameter.masked_fill_(is_small, 0.0)


def _refusal(what: str) -> ConfigError:
    return ConfigError(
        what, _NOTHING_DONE, "Point `--model` to a directory with a causal language model in safetensors format."
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:300]
