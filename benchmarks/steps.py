"""Why this module exists: what a whole training step costs in exact/1, next to the same step as a user runs it.

A step is forward, loss, backward, clipping and AdamW on an unmodified Hugging Face model: natively with sdpa attention
and torch's fused AdamW, exactly inside ``exact(model)`` with the AdamW of docs/exact-1.md. Slicing the changed weights
is part of it. Each kind has weights of its own; steps take turns.
"""

from __future__ import annotations

import copy
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from verde.numerics import adamw
from verde.numerics.mode import exact

TINY = Path(__file__).resolve().parents[1] / "models" / "tiny"

TWO_LAYERS_OF_HALF_A_BILLION = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 2,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}

_RATES = adamw.Rates(*(adamw.binary32(Fraction(value)) for value in ("1/1000000", "0", "1")))


def large_model() -> Any:
    """Two layers of Qwen2.5-0.5B with its vocabulary, random weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    config = AutoConfig.for_model("qwen2", **TWO_LAYERS_OF_HALF_A_BILLION)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


def tiny_model() -> Any:
    """The bundled model."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(TINY, attn_implementation="sdpa")


class Steps:
    """One batch of ``batch`` sequences of ``length`` random tokens, and a model for each kind of step."""

    def __init__(self, model: Any, batch: int, length: int, device: str = "cpu") -> None:
        draw = torch.Generator().manual_seed(2)
        self._ids = torch.randint(0, model.config.vocab_size, (batch, length), generator=draw).to(device)
        self._native, self._exact = model.to(device), copy.deepcopy(model)
        self._optimiser = torch.optim.AdamW(self._native.parameters(), lr=1e-6, weight_decay=0.0, fused=True)
        self._parameters = list(self._exact.parameters())
        self._first = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._second = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._step = 0

    def native(self) -> None:
        self._optimiser.zero_grad()
        self._native(input_ids=self._ids, labels=self._ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(self._native.parameters(), 1.0)
        self._optimiser.step()

    def native_as(self, dtype: torch.dtype) -> None:
        """From here on, native steps compute in another type (weights and moments included)."""
        self._native.to(dtype)
        self._optimiser = torch.optim.AdamW(self._native.parameters(), lr=1e-6, weight_decay=0.0, fused=True)

    def exact(self) -> None:
        self._step += 1
        with exact(self._exact):
            self._exact(input_ids=self._ids, labels=self._ids).loss.backward()
        gradients = [parameter.grad for parameter in self._parameters]
        clip, _ = adamw.clip_factor(gradients, _RATES.max_norm)
        with torch.no_grad():
            adamw.update(self._parameters, self._first, self._second, gradients, self._step, clip, _RATES)
        for parameter in self._parameters:
            parameter.grad = None


def timed(work: Any) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
