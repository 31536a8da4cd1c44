"""Why this module exists: models compute their rotary tables when they are made, with the machine's own ``pow``.

Those tables, and the scales that some models keep beside them, are computed again here, exactly. What a model computes
for itself and keeps out of its weights must be one of these; anything else is refused by name, because it might differ
between machines.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from protocol.errors import NotReproducible
from verde.numerics import elementwise
from verde.numerics.aten_table import number
from verde.numerics.noise import inv_freq

_CLOSE = 1e-4
"""A table that differs from the formula by more, relatively, is not rounded differently but is another table."""

_TURN = 6.283185307179586


def settle_tables(model: nn.Module) -> None:
    """Replace, in place and for good, every float buffer that is not part of the weights by its exact values.

    Raises ``NotReproducible`` with the buffer's name when exact/1 does not define it: rotary scaling other than
    ``default``, ``linear`` and ``llama3``, an attention scaling factor, or a buffer of unknown meaning.
    """
    for prefix, module in model.named_modules():
        for name in sorted(module._non_persistent_buffers_set):
            buffer = module._buffers.get(name)
            if buffer is None or not (buffer.is_floating_point() or buffer.is_complex()):
                continue
            shown = f"{prefix}.{name}" if prefix else name
            exact = _exact_values(module, name, shown, buffer)
            _require_close(shown, buffer, exact)
            if not torch.equal(buffer, exact):
                buffer.copy_(exact)


def _exact_values(module: Any, name: str, shown: str, buffer: torch.Tensor) -> torch.Tensor:
    if name.endswith("inv_freq"):
        return _frequencies(module, name, shown, 2 * buffer.numel())
    if name == "embed_scale" and buffer.dim() == 0 and isinstance(module, nn.Embedding):
        return elementwise.sqrt(number(module.embedding_dim))
    raise NotReproducible(f"the buffer {shown}", "the model computes it in a way that exact/1 does not know")


def _require_close(shown: str, found: torch.Tensor, exact: torch.Tensor) -> None:
    if found.shape != exact.shape or bool(((found - exact).abs() > _CLOSE * exact.abs()).any()):
        raise NotReproducible(f"the buffer {shown}", "it does not hold what its configuration says")


def _frequencies(module: Any, name: str, shown: str, width: int) -> torch.Tensor:
    """The inverse frequencies [width / 2] that the module's configuration asks for."""
    layer_type = name.removesuffix("inv_freq").removesuffix("original_").removesuffix("_")
    parameters, kind, scaling = _rotary_parameters(module, shown, layer_type)
    if scaling != 1.0:
        raise NotReproducible(f"rotary embedding with an attention factor ({shown})")
    frequencies = _unscaled(parameters["rope_theta"], width)
    if kind == "default":
        return frequencies
    if kind == "linear":
        return elementwise.div(frequencies, number(parameters["factor"]))
    if kind == "llama3":
        return _llama3(frequencies, parameters)
    raise NotReproducible(f"rotary embedding of type {kind} ({shown})")


@cache
def _unscaled(base: float, width: int) -> torch.Tensor:
    return inv_freq(base, width)


def _rotary_parameters(module: Any, shown: str, layer_type: str) -> tuple[dict[str, Any], str, float]:
    """(parameters, type, factor on cosines and sines), of one layer type where a model has several."""
    config = getattr(module, "config", None)
    parameters = getattr(config, "rope_parameters", None)
    kind = getattr(module, "rope_type", None)
    scaling = getattr(module, "attention_scaling", None)
    if layer_type:
        parameters = (parameters or {}).get(layer_type)
        kind = kind.get(layer_type) if isinstance(kind, dict) else kind
        scaling = getattr(module, f"{layer_type}_attention_scaling", scaling)
    if not isinstance(parameters, dict) or "rope_theta" not in parameters or not isinstance(kind, str):
        raise NotReproducible(f"the buffer {shown}", "its configuration does not say how it is computed")
    return parameters, kind, 1.0 if scaling is None else float(scaling)


def _llama3(frequencies: torch.Tensor, parameters: dict[str, Any]) -> torch.Tensor:
    """Llama 3.1's scaling: long waves slowed by ``factor``, short ones kept, those between interpolated."""
    factor, context = number(parameters["factor"]), number(parameters["original_max_position_embeddings"])
    low, high = number(parameters["low_freq_factor"]), number(parameters["high_freq_factor"])
    wavelength = elementwise.div(number(_TURN), frequencies)
    slowed = elementwise.div(frequencies, factor)
    smooth = elementwise.div(elementwise.sub(elementwise.div(context, wavelength), low), elementwise.sub(high, low))
    between = elementwise.add(
        elementwise.div(elementwise.mul(elementwise.sub(number(1), smooth), frequencies), factor),
        elementwise.mul(smooth, frequencies),
    )
    is_long, is_short = wavelength > elementwise.div(context, low), wavelength < elementwise.div(context, high)
    return torch.where(is_long, slowed, torch.where(is_short, frequencies, between))
