"""Why this module exists: what a peer learned is of use outside of the swarm, in files that plain libraries read.

Adapters become ``peft``'s two files; merged, or where all weights were trained, a model becomes a ``transformers``
directory in float32 safetensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file, save_model

from protocol.errors import ConfigError
from swarm.policy.load import LoadedModel

_SCALE = 2
_ADAPTER = ".default"


def save_adapters(loaded: LoadedModel, folder: Path, *, rank: int, base: str) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``. ``base``: what the adapters belong to, a name or
    a path. Raises ``ConfigError`` for a model of which all weights were trained."""
    from peft import LoraConfig

    if not rank:
        raise ConfigError(
            "All weights of this model were trained: there are no adapters.", "Nothing was written.", "Add --merged."
        )
    named = {name: tensor for name, tensor in loaded.model.named_parameters() if "lora_" in name}
    targets = sorted({name.split(".lora_")[0] for name in named})
    config = LoraConfig(
        r=rank,
        lora_alpha=_SCALE * rank,
        lora_dropout=0.0,
        bias="none",
        target_modules=targets,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    tensors = {
        f"base_model.model.{name.replace(_ADAPTER, '')}": tensor.detach().cpu().contiguous().clone()
        for name, tensor in named.items()
    }
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def save_merged(loaded: LoadedModel, folder: Path) -> None:
    """Write the whole model with its tokenizer, adapters added into its weights. ``loaded`` is used up."""
    model: Any = loaded.model
    with torch.no_grad():
        for name, module in list(model.named_modules()):
            if not hasattr(module, "base_layer") or not hasattr(module, "merge"):
                continue
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.base_layer)
    save_model(model, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    config["dtype"] = "float32"
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    model.generation_config.save_pretrained(str(folder))
    loaded.tokenizer.save_pretrained(str(folder))
