"""Why this module exists: states must be small enough to ship, or nobody can audit them; large models' are not.

LoRA (Hu et al. 2021, section 4.1): beside each linear map of the frozen model stand two thin matrices, and only these
are trained: W·x + 2·B·(A·x). Their tensors and moments are the state; the model under them is named by its files' hash.
The layers are ``peft``'s. A starts as seeded noise and B as zero, so the first state computes what the model computes.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import torch

from protocol.codec import content_id_of
from protocol.errors import ConfigError
from protocol.seeds import derive_seed
from swarm.policy.base import FULL_TRAINING_CAP, LORA_RANK
from swarm.policy.base_files import weights_id
from swarm.policy.gguf_unpack import is_gguf, unpacked
from swarm.policy.load import LoadedModel, load_model
from verde.numerics.noise import initial

_FORMAT = "rl-swarm/lora/1"
_SCALE = 2
_NAME = "default"


def open_model(name_or_path: str | Path, device: str = "cpu", *, lora_rank: int | None = 0) -> tuple[LoadedModel, int]:
    """The model as it is trained, and its rank: all of it (0), adapters of a rank, or, for ``None``, as its size
    suggests. Raises ``ConfigError`` as ``load_model`` does, and for a model without linear maps."""
    if is_gguf(name_or_path):
        name_or_path = unpacked(Path(name_or_path))
    loaded = load_model(name_or_path, device)
    if lora_rank is None:
        num_parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
        lora_rank = LORA_RANK if num_parameters > FULL_TRAINING_CAP else 0
    return (_with_adapters(loaded, name_or_path, lora_rank) if lora_rank else loaded), lora_rank


def copy_of(loaded: LoadedModel, *, is_trained: bool) -> LoadedModel:
    """The same model with tensors of its own for what is trained; what is frozen is shared.

    ``is_trained`` False freezes the copy, too.
    """
    frozen = {id(parameter): parameter for parameter in loaded.model.parameters() if not parameter.requires_grad}
    model = copy.deepcopy(loaded.model, frozen)
    if not is_trained:
        model.requires_grad_(False)
    return dataclasses.replace(loaded, model=model)


def _with_adapters(loaded: LoadedModel, name_or_path: str | Path, rank: int) -> LoadedModel:
    from peft import LoraConfig, inject_adapter_in_model

    base = content_id_of((_FORMAT, loaded.base, weights_id(name_or_path), rank))
    config = LoraConfig(
        r=rank,
        lora_alpha=_SCALE * rank,
        lora_dropout=0.0,
        bias="none",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        model: Any = inject_adapter_in_model(config, loaded.model, adapter_name=_NAME)
    except ValueError as error:
        raise ConfigError(
            f"Adapters cannot be put beside the layers of {name_or_path}: {error}.",
            "Nothing was started.",
            "Train all of its weights with learn.lora_rank 0, or use another model.",
        ) from error
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_thin = "lora_" in name
            parameter.requires_grad_(is_thin)
            if is_thin:
                parameter.copy_(_first(name, parameter, base))
    return dataclasses.replace(loaded, model=model.eval(), base=base)


def _first(name: str, parameter: torch.Tensor, base: str) -> torch.Tensor:
    """Where a thin matrix starts: noise of the same spread as ``torch.nn.Linear``'s for A, zero for B."""
    if "lora_B" in name:
        return torch.zeros_like(parameter)
    seed = derive_seed("lora", base, name)
    return initial(seed, parameter.shape, 1 / math.sqrt(3 * parameter.shape[1]))
