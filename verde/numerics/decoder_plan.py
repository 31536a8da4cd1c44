"""Why this module exists: what a decoder of a known family computes, read once from the unmodified model.

Families are recognised by their exact class; everything else, and every option that is not listed here, is left to
``verde.numerics.mode``, which computes any model. Matrices that read the same row stand on top of each other: each of
their rows keeps its own exponent, so the bits are those of separate products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from verde.numerics import backend, elementwise
from verde.numerics.gemm import quantise_rows, rows_of_weight
from verde.numerics.kernels.decoder import GELU_TANH, SILU
from verde.numerics.place import on_host
from verde.numerics.slices import Operand, Quantised

FAMILIES = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma3ForCausalLM")

_ACTIVATIONS = {"silu": SILU, "gelu_pytorch_tanh": GELU_TANH}
_WIDEST_HEAD = 256
_LORA = "peft.tuners.lora.layer.Linear"

Row = np.ndarray[Any, np.dtype[np.float32]] | torch.Tensor
"""An array of the host, or a tensor of the device on which the model lies."""


@dataclass(frozen=True)
class Adapter:
    """What LoRA adds to one of a matrix's maps, whose outputs begin at ``first``: scale · up · (down · row).

    ``down`` [r, K], ``up`` [N, r], ``scale`` float32 without axes.
    """

    first: int
    down: Operand
    up: Operand
    scale: torch.Tensor


@dataclass(frozen=True)
class Matrix:
    """Some linear maps of one row: quantised weights, a bias or none, and what adapters add to the product."""

    weight: Operand
    bias: torch.Tensor | None
    adapters: tuple[Adapter, ...] = ()


@dataclass(frozen=True)
class Layer:
    """One layer. Norm weights are float32 rows, empty where the family has no such norm; ``window`` 0 sees all keys."""

    heads: Matrix
    output: Matrix
    gate_up: Matrix
    down: Matrix
    input_norm: Row
    head_norms: tuple[Row, Row]
    attention_norm: Row
    mlp_norm: Row
    mlp_output_norm: Row
    rotary: int
    window: int


@dataclass(frozen=True)
class Plan:
    """A whole decoder. ``frequencies``: one row of inverse frequencies per kind of layer (``Layer.rotary``)."""

    embedding: torch.Tensor
    embedding_scale: torch.Tensor | None
    layers: tuple[Layer, ...]
    final_norm: Row
    head: Matrix
    frequencies: tuple[torch.Tensor, ...]
    num_heads: int
    num_kv_heads: int
    width: int
    eps: np.float32
    scale: np.float32
    activation: int


def plan_of(model: nn.Module, vocab_size: int | None = None) -> Plan | None:
    """The plan of a model that ``mode.exact`` has settled, from its present weights; ``None`` for unknown ones.

    Costs two bytes per weight. A changed weight, and another route of ``backend``, need a new plan. ``vocab_size``: how
    many tokens get logits (all by default).
    """
    if not _is_known(model):
        return None
    with torch.no_grad():
        return _read(model, vocab_size)


def _is_known(model: Any) -> bool:
    import transformers

    if type(model).__name__ not in FAMILIES or type(model) is not getattr(transformers, type(model).__name__, None):
        return False
    config = model.config
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", None)
    width = model.model.layers[0].self_attn.head_dim
    return (
        activation in _ACTIVATIONS
        and width <= _WIDEST_HEAD
        and width % 2 == 0
        and not getattr(config, "final_logit_softcapping", None)
        and not getattr(config, "attn_logit_softcapping", None)
        and not getattr(config, "use_bidirectional_attention", None)
        and not model.training
        and all(_is_plain(part) for layer in model.model.layers for part in _maps(layer))
    )


def _maps(layer: Any) -> tuple[Any, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    heads = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    return (*heads, mlp.gate_proj, mlp.up_proj, mlp.down_proj)


def _is_plain(part: Any) -> bool:
    """A linear map, or one of peft's with at most one adapter of the plain kind."""
    if type(part) is nn.Linear:
        return True
    kind = type(part)
    return (
        f"{kind.__module__}.{kind.__qualname__}" == _LORA
        and type(part.base_layer) is nn.Linear
        and len(part.active_adapters) <= 1
        and not part.merged
        and not part.lora_variant
        and all(type(dropout) is nn.Identity for dropout in part.lora_dropout.values())
        and all(
            type(thin) is nn.Linear and thin.bias is None for thin in (*part.lora_A.values(), *part.lora_B.values())
        )
    )


def _read(model: Any, vocab_size: int | None) -> Plan:
    core, config = model.model, model.config
    is_gemma = type(model).__name__ == "Gemma3ForCausalLM"
    names = ["inv_freq"]
    if hasattr(core.rotary_emb, "layer_types"):
        names = [f"{layer_type}_inv_freq" for layer_type in core.rotary_emb.layer_types]
    attention = core.layers[0].self_attn
    activation = getattr(config, "hidden_activation", None) or config.hidden_act
    return Plan(
        embedding=core.embed_tokens.weight.detach(),
        embedding_scale=core.embed_tokens.embed_scale.detach() if is_gemma else None,
        layers=tuple(_layer(layer, names, is_gemma) for layer in core.layers),
        final_norm=_norm(core.norm, is_gemma),
        head=_matrix([model.lm_head], vocab_size),
        frequencies=tuple(getattr(core.rotary_emb, name).detach().clone() for name in names),
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        width=attention.head_dim,
        eps=np.float32(config.rms_norm_eps),
        scale=np.float32(attention.scaling),
        activation=_ACTIVATIONS[activation],
    )


def _layer(layer: Any, names: Sequence[str], is_gemma: bool) -> Layer:
    attention, mlp, none = layer.self_attn, layer.mlp, np.empty(0, np.float32)
    has_head_norms = hasattr(attention, "q_norm")
    return Layer(
        heads=_matrix([attention.q_proj, attention.k_proj, attention.v_proj]),
        output=_matrix([attention.o_proj]),
        gate_up=_matrix([mlp.gate_proj, mlp.up_proj]),
        down=_matrix([mlp.down_proj]),
        input_norm=_norm(layer.input_layernorm, is_gemma),
        head_norms=(_norm(attention.q_norm, is_gemma), _norm(attention.k_norm, is_gemma))
        if has_head_norms
        else (none, none),
        attention_norm=_norm(layer.post_attention_layernorm, is_gemma) if is_gemma else none,
        mlp_norm=_norm(layer.pre_feedforward_layernorm if is_gemma else layer.post_attention_layernorm, is_gemma),
        mlp_output_norm=_norm(layer.post_feedforward_layernorm, is_gemma) if is_gemma else none,
        rotary=names.index(f"{attention.layer_type}_inv_freq") if len(names) > 1 else 0,
        window=int(getattr(attention, "sliding_window", None) or 0),
    )


def _matrix(maps: Sequence[Any], num_rows: int | None = None) -> Matrix:
    parts: list[nn.Linear] = [getattr(part, "base_layer", part) for part in maps]
    adapters, first = [], 0
    for part, inner in zip(maps, parts, strict=True):
        if part is not inner and not part.disable_adapters:
            adapters += [_adapter(part, name, first) for name in part.active_adapters if name in part.lora_A]
        first += inner.out_features
    bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])[:num_rows]
    if len(parts) == 1 and num_rows in (None, parts[0].out_features):
        return Matrix(rows_of_weight(parts[0].weight.detach()), bias, tuple(adapters))
    weight = torch.cat([part.weight for part in parts])[:num_rows]
    quantised = quantise_rows(weight, copies=2)
    ready = backend.prepared(quantised) if isinstance(quantised, Quantised) else quantised.prepared()
    return Matrix(ready, bias, tuple(adapters))


def _adapter(part: Any, name: str, first: int) -> Adapter:
    down, up = part.lora_A[name].weight.detach(), part.lora_B[name].weight.detach()
    scale = torch.tensor(part.scaling[name], dtype=torch.float32, device=up.device)
    return Adapter(first, rows_of_weight(down), rows_of_weight(up), scale)


def _norm(norm: Any, plus_one: bool) -> Row:
    weight = norm.weight.detach()
    factor = elementwise.add(weight, torch.ones(())) if plus_one else weight.clone()
    return factor.numpy() if on_host(factor) else factor
