"""Why this module exists: one kernel per layer costs a fraction of one per aten operator, and the bits are the same.

Only layers whose class is known by its full name are taken, and only where nothing about them is unusual; everything
else stays on the way through ``verde.numerics.aten``.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from verde.numerics import fused_layers as layers

Forward = Callable[..., torch.Tensor]

_MODELS = "transformers.models"
_FAMILIES = ("llama", "qwen2", "qwen3", "gemma3", "mistral")
_SILU = frozenset({"transformers.activations.SiLUActivation", "torch.nn.modules.activation.SiLU"})
_GELU_TANH = frozenset({"transformers.activations.GELUTanh"})
_ROTARY = "apply_rotary_pos_emb"

_state = threading.local()
_lock = threading.Lock()
_users: weakref.WeakKeyDictionary[nn.Module, int] = weakref.WeakKeyDictionary()


def _is_on() -> bool:
    """Whether this thread computes in a block that asked for fused layers."""
    return bool(getattr(_state, "depth", 0))


@contextmanager
def fusing(model: nn.Module) -> Iterator[None]:
    """Within the block, this thread computes the known layers of ``model`` with one kernel each.

    Other threads are not affected. Layers are given back as they were when the last user leaves.
    """
    with _lock:
        if _users.get(model, 0) == 0:
            for module in model.modules():
                _replace(module)
        _users[model] = _users.get(model, 0) + 1
    _state.depth = getattr(_state, "depth", 0) + 1
    try:
        yield
    finally:
        _state.depth -= 1
        layers.forget()
        with _lock:
            _users[model] -= 1
            if _users[model] == 0:
                for module in model.modules():
                    _give_back(module)


class _Fused:
    """A module's forward while it is replaced: ours on threads that fuse, its own on all others."""

    def __init__(self, ours: Forward, own: Forward) -> None:
        self._ours, self._own = ours, own

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        if _is_on() and len(args) == 1 and not kwargs and args[0].dtype == torch.float32:
            return self._ours(args[0])
        return self._own(*args, **kwargs)


def _replace(module: nn.Module) -> None:
    make = _KNOWN.get(_name_of(module))
    _rotary_of(module)
    if make is None or "forward" in module.__dict__:
        return
    ours = make(module)
    if ours is not None:
        module.__dict__["forward"] = _Fused(ours, module.forward)


def _give_back(module: nn.Module) -> None:
    if isinstance(module.__dict__.get("forward"), _Fused):
        del module.__dict__["forward"]


def _name_of(module: nn.Module) -> str:
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}"


def _linear(module: Any) -> Forward:
    return lambda x: layers.Linear.apply(x, module.weight, module.bias, False)  # type: ignore[no-any-return, no-untyped-call]


def _conv1d(module: Any) -> Forward:
    return lambda x: layers.Linear.apply(x, module.weight, module.bias, True)  # type: ignore[no-any-return, no-untyped-call]


def _rms_norm(module: Any) -> Forward:
    epsilon = module.variance_epsilon
    return lambda x: layers.RMSNorm.apply(x, x, module.weight, epsilon, False)  # type: ignore[no-any-return, no-untyped-call]


def _rms_norm_from_one(module: Any) -> Forward:
    return lambda x: layers.RMSNorm.apply(x, x, module.weight, module.eps, True)  # type: ignore[no-any-return, no-untyped-call]


def _gated_mlp(module: Any) -> Forward | None:
    kind = _name_of(module.act_fn)
    activation = "silu" if kind in _SILU else "gelu_tanh" if kind in _GELU_TANH else None
    if activation is None:
        return None
    return lambda x: module.down_proj(
        layers.Gated.apply(module.gate_proj(x), module.up_proj(x), activation)  # type: ignore[no-untyped-call]
    )


def _class_of(family: str, name: str) -> str:
    return f"{_MODELS}.{family}.modeling_{family}.{family.capitalize()}{name}"


_KNOWN: dict[str, Callable[[Any], Forward | None]] = {
    "torch.nn.modules.linear.Linear": _linear,
    "transformers.pytorch_utils.Conv1D": _conv1d,
    **{_class_of(family, "RMSNorm"): _rms_norm for family in _FAMILIES if family != "gemma3"},
    **{_class_of(family, "MLP"): _gated_mlp for family in _FAMILIES},
    _class_of("gemma3", "RMSNorm"): _rms_norm_from_one,
}
_ROTARY_HOLDERS = {_class_of(family, "Attention"): f"{_MODELS}.{family}.modeling_{family}" for family in _FAMILIES}


def _rotary_of(module: nn.Module) -> None:
    """Attention layers find their rotary function in their own file: there it becomes one that knows ours."""
    file = sys.modules.get(_ROTARY_HOLDERS.get(_name_of(module), ""))
    own = getattr(file, _ROTARY, None)
    if own is not None and not isinstance(own, _FusedRotary):
        setattr(file, _ROTARY, _FusedRotary(own))


class _FusedRotary:
    """transformers' ``apply_rotary_pos_emb``: ours on threads that fuse, its own on all others and for other shapes."""

    def __init__(self, own: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> None:
        self._own = own

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not _is_on() or unsqueeze_dim != 1 or not _is_plain(q, k, cos, sin):
            return self._own(q, k, cos, sin, unsqueeze_dim=unsqueeze_dim)
        return layers.Rotary.apply(q, cos, sin), layers.Rotary.apply(k, cos, sin)  # type: ignore[no-untyped-call]


def _is_plain(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> bool:
    return (
        q.dim() == k.dim() == 4
        and cos.dim() == 3
        and cos.shape == sin.shape
        and q.shape[2:] == k.shape[2:] == cos.shape[1:]
        and cos.shape[0] in (1, q.shape[0])
        and q.shape[0] == k.shape[0]
        and not (cos.requires_grad or sin.requires_grad)
    )


def cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """``F.cross_entropy``: ours on threads that fuse, torch's own (taken apart by aten) on others and for all else."""
    is_usual = logits.dim() == 2 and target.dim() == 1 and logits.dtype == torch.float32 and target.dtype == torch.long
    is_plain = weight is None and size_average is None and reduce is None and not label_smoothing
    if _is_on() and is_usual and is_plain and logits.numel() and reduction in ("mean", "sum"):
        return layers.cross_entropy(logits, target, ignore_index, reduction == "mean")
    return torch.nn.functional.cross_entropy(
        logits, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
    )
