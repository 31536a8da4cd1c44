"""Why this module exists: a program follows from a model's public configuration and the shape of a step, nothing else.

``Architecture`` is read from ``config.json``; shapes count rows and columns; ``Rates`` are the run's rules as binary32.
What is not specified or not there yet is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from protocol.errors import NotBuiltYet
from verde.numerics.noise import inv_freq
from verde.numerics.oracle import rotary
from verde.numerics.oracle.rounding import rne

_FAMILIES = ("llama", "qwen2", "qwen3")


def not_built(what: str) -> NotBuiltYet:
    """The error for what has no program in this version."""
    return NotBuiltYet(
        f"There is no program for {what}.",
        "A dispute about such a step cannot be opened; spot-checks work, and no credits are touched.",
        "Use a model and rules that programs cover: Llama, Qwen2 or Qwen3, no top-k, no KL term.",
    )


@dataclass(frozen=True)
class Architecture:
    """A Llama-type decoder. ``vocabulary``: rows of the embedding; ``num_tokens``: those that are tokens.

    ``pad_token`` gets no gradient of its embedding (None: all do).
    """

    num_layers: int
    hidden: int
    feed_forward: int
    num_heads: int
    num_kv_heads: int
    width: int
    vocabulary: int
    num_tokens: int
    eps: float
    frequencies: tuple[float, ...]
    is_tied: bool
    attention_bias: bool
    output_bias: bool
    mlp_bias: bool
    head_norms: bool
    pad_token: int | None

    @property
    def scale(self) -> float:
        """What scores are multiplied with, before it becomes binary32."""
        return float(self.width**-0.5)


def architecture(config: Mapping[str, Any], num_tokens: int) -> Architecture:
    """The architecture in the values of a ``config.json``; ``num_tokens``: size of the tokenizer.

    Raises ``NotBuiltYet`` for other families, activations, rotary scalings and sliding windows.
    """
    family = config["model_type"]
    if family not in _FAMILIES:
        raise not_built(f"models of type {family}")
    if config.get("hidden_act", "silu") != "silu":
        raise not_built(f"the activation {config['hidden_act']}")
    if config.get("use_sliding_window"):
        raise not_built("sliding windows")
    is_llama = family == "llama"
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or (128 if family == "qwen3" else config["hidden_size"] // heads)
    bias = bool(config.get("attention_bias", False)) if family != "qwen2" else True
    return Architecture(
        num_layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        feed_forward=config["intermediate_size"],
        num_heads=heads,
        num_kv_heads=config.get("num_key_value_heads") or heads,
        width=width,
        vocabulary=config["vocab_size"],
        num_tokens=min(config["vocab_size"], num_tokens),
        eps=float(config.get("rms_norm_eps", 1e-6)),
        frequencies=_frequencies(config, width),
        is_tied=bool(config.get("tie_word_embeddings", False)),
        attention_bias=bias,
        output_bias=bias and family != "qwen2",
        mlp_bias=bool(config.get("mlp_bias", False)) and is_llama,
        head_norms=family == "qwen3",
        pad_token=config.get("pad_token_id"),
    )


def _frequencies(config: Mapping[str, Any], width: int) -> tuple[float, ...]:
    """Inverse frequencies [width / 2] of the rotary embedding, as section 5 defines its scalings."""
    rope = config.get("rope_parameters") or {
        "rope_theta": config.get("rope_theta", 10000.0),
        **(config.get("rope_scaling") or {}),
    }
    plain = [float(f) for f in inv_freq(float(rope["rope_theta"]), width)]
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return tuple(plain)
    if kind == "linear":
        return tuple(rotary.linear(plain, rne(Fraction(rope["factor"]))))
    if kind != "llama3":
        raise not_built(f"rotary scaling {kind}")
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    return tuple(rotary.llama3(plain, *(rne(Fraction(rope[name])) for name in names)))


@dataclass(frozen=True)
class DrawShape:
    """A sampling check: rows of one rollout each, ``prompt`` columns (padded on the left), ``draws`` tokens drawn.

    Data: ``ids position segment`` I32 [rows, prompt + draws - 1] (segment 0, or -1 for padding), ``seed`` I32 [rows, 2]
    (low word, high word). Result ``tokens`` I32 [rows, draws]: what is drawn after the prompt and each claimed token.
    """

    rows: int
    prompt: int
    draws: int


@dataclass(frozen=True)
class PassShape:
    """One micro-batch as ``docs/exact-1.md`` section 10 lays it out.

    ``columns`` in all, the first ``prompt`` of them prompts; ``samples`` of them, ``tokens`` in all their completions.
    Data: ``ids position segment`` I32 [rows, columns]; per token ``row source token sample`` I32 [tokens] (the kept
    column that predicts it, 0 being the last of the prompt); ``advantage weight`` F32 [samples].
    """

    rows: int
    columns: int
    prompt: int
    samples: int
    tokens: int

    @property
    def kept(self) -> int:
        """Columns that have logits."""
        return self.columns - self.prompt + 1


_NONE = np.float32(0)

StepShape = tuple[tuple[PassShape, ...], ...]
"""Per update its micro-batches, in order. Data of micro-batch m of update u are named ``u/m/ids`` and so on."""


@dataclass(frozen=True)
class LearnRates:
    """A run's rules as binary32. ``most``: the second clip of the ratio, None without; ``max_norm`` 0: no clipping.

    ``kl``: weight of the KL term; other than 0 there is no program.
    """

    learning_rate: np.float32
    weight_decay: np.float32
    max_norm: np.float32
    low: np.float32
    high: np.float32
    most: np.float32 | None
    temperature: np.float32
    kl: np.float32 = _NONE
