"""Why this module exists: five small models, trained for 100 steps, have one hash each, whatever machine computes them.

``golden.json`` beside this file holds the hashes. A machine whose hash differs does not compute exact/1; a change of
the arithmetic changes them and is a new version. ``python -m verde.numerics.golden`` prints this machine's as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from verde.numerics import elementwise, noise, reduce

FAMILIES = ("llama", "qwen2", "qwen3", "gemma3", "gpt2")
"""Between them: grouped heads, biases, tied embeddings, norms of queries and keys, sliding windows, scaled rotary
tables, layer norms, transposed weights, learned positions."""

STEPS = 100
EARLY_STEP = 3
"""After so many steps a first hash is taken: enough for most mistakes, in a fraction of the time."""

VOCABULARY = 48
_ROWS, _LENGTH, _PADDING = 2, 12, 3
_LEARNING_RATE, _DECAY, _MAX_NORM = 1e-3, 0.01, 1.0
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def expected() -> dict[str, dict[str, str]]:
    """The hashes in golden.json: family, then ``early`` and ``final``."""
    text = (Path(__file__).parent / "golden.json").read_text(encoding="utf-8")
    return {str(family): dict(hashes) for family, hashes in json.loads(text)["hashes"].items()}


def seed_of(name: str) -> int:
    """64 bits that belong to a name."""
    return int.from_bytes(hashlib.sha256(f"golden/{name}".encode()).digest()[:8], "little")


def small_model(family: str, attention: str = "eager") -> Any:
    """A causal language model of two layers whose weights are drawn by name. Raises ``KeyError`` for other families."""
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(*_CONFIGURATIONS[family][:1], **_CONFIGURATIONS[family][1]), attn_implementation=attention
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Vectors are norms and biases: near the constants that they start from.
            drawn = noise.initial(seed_of(f"{family}/{name}"), parameter.shape, 0.08)
            parameter.copy_(drawn if parameter.dim() > 1 else elementwise.add(drawn, parameter))
    return model


_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
_WINDOWS = {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 8}
_GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 128,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {**_SIZES, "rope_parameters": _LLAMA3}),
    "qwen2": ("qwen2", {**_SIZES, "hidden_size": 32, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {**_SIZES}),
    "gemma3": ("gemma3_text", {**_SIZES, **_WINDOWS}),
    "gpt2": ("gpt2", _GPT2),
}


def tokens(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids [2, 12], attention mask) of a step; the first row is padded on the left."""
    ids = torch.from_numpy(noise.words(seed_of("tokens"), step, _ROWS * _LENGTH).astype("int64") % (VOCABULARY - 2) + 2)
    ids, mask = ids.view(_ROWS, _LENGTH), torch.ones(_ROWS, _LENGTH, dtype=torch.long)
    ids[0, :_PADDING], mask[0, :_PADDING] = 0, 0
    return ids, mask


def train(model: nn.Module, steps: int, computing: AbstractContextManager[Any]) -> Iterator[str]:
    """Train for ``steps`` inside ``computing`` and yield the SHA-256 of weights, moments and losses after each step.

    On the device that the model lies on.
    """
    parameters = list(model.parameters())
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    optimiser = AdamW(flat)
    losses: list[torch.Tensor] = []
    with computing:
        for step in range(steps):
            losses.append(_backward(model, step))
            gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
            optimiser.update(gradients)
            with torch.no_grad():
                for parameter, values in zip(parameters, _split(optimiser.weights, parameters), strict=True):
                    parameter.copy_(values)
                    parameter.grad = None
            yield _digest([optimiser.weights, optimiser.first, optimiser.second, *losses])


def _backward(model: Any, step: int) -> torch.Tensor:
    device = next(model.parameters()).device
    ids, mask = (x.to(device) for x in tokens(step))
    loss = model(input_ids=ids, attention_mask=mask, labels=torch.where(mask == 0, -100, ids)).loss
    loss.backward()
    return loss.detach().clone()


def _split(flat: torch.Tensor, parameters: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    pieces = flat.split([parameter.numel() for parameter in parameters])
    return (piece.view(p.shape) for piece, p in zip(pieces, parameters, strict=True))


class AdamW:
    """Section 8 of docs/exact-1.md, on all weights as one vector, one operator at a time."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights, self.first, self.second = weights, torch.zeros_like(weights), torch.zeros_like(weights)
        self._power1 = self._power2 = weights.new_ones(())

    def update(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step in place of ``weights``, ``first`` and ``second``."""
        add, sub, mul, div, sqrt = (getattr(elementwise, name) for name in ("add", "sub", "mul", "div", "sqrt"))
        with torch._C._DisableTorchDispatch():
            bound = div(_MAX_NORM, add(reduce.model_norm(gradients), 1e-6)).clamp(max=1.0)
            gradient = mul(torch.cat([g.reshape(-1) for g in gradients]), bound)
            self._power1, self._power2 = mul(self._power1, _BETA1), mul(self._power2, _BETA2)
            self.first = add(mul(self.first, _BETA1), mul(gradient, sub(1.0, _BETA1)))
            self.second = add(mul(self.second, _BETA2), mul(mul(gradient, gradient), sub(1.0, _BETA2)))
            root = div(sqrt(self.second), sqrt(sub(1.0, self._power2)))
            change = mul(div(self.first, add(root, _EPSILON)), div(_LEARNING_RATE, sub(1.0, self._power1)))
            kept = sub(1.0, mul(_LEARNING_RATE, _DECAY))
            self.weights = sub(mul(self.weights, kept), change)


def _digest(tensors: Sequence[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def hashes(
    family: str, steps: int = STEPS, *, fused: bool = True, attention: str = "eager", device: str = "cpu"
) -> list[str]:
    """This machine's hashes after each step, in exact/1, computed on ``device``."""
    from verde.numerics.mode import exact

    model = small_model(family, attention).to(device)
    return list(train(model, steps, exact(model, fused=fused)))


def native_hashes(family: str, steps: int, device: str = "cpu") -> list[str]:
    """The same training in the machine's own arithmetic: what differs between machines."""
    return list(train(small_model(family).to(device), steps, nullcontext()))


def main(arguments: Sequence[str]) -> None:
    """Print hashes as JSON. Arguments: number of steps (100 by default), then families (all by default)."""
    steps = int(arguments[0]) if arguments else STEPS
    found = {}
    for family in arguments[1:] or FAMILIES:
        each = hashes(family, steps)
        found[family] = {"early": each[min(EARLY_STEP, steps) - 1], "final": each[-1]}
    print(json.dumps({"version": "exact/1", "steps": steps, "hashes": found}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
