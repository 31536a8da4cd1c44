"""Why this module exists: ``activation(gate) · up`` of a feed-forward, and its gradients, are one pass each."""

from __future__ import annotations

import numpy as np
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import memory
from verde.numerics.kernels import gated as kernels
from verde.numerics.place import on_host
from verde.numerics.portable import layers
from verde.numerics.threads import run_rows

_FORWARD = {"silu": kernels.silu_gated_kernel, "gelu_tanh": kernels.gelu_gated_kernel}
_BACKWARD = {"silu": kernels.silu_gated_backward_kernel, "gelu_tanh": kernels.gelu_gated_backward_kernel}

# An exponential costs about as much as so many plain elements.
_COST = 8


def gated(activation: str, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """``mul(activation(gate), up)`` of two float32 tensors of one shape; ``activation`` is ``silu`` or ``gelu_tanh``.

    Raises ``NotReproducible`` for other activations, ``NumericsError`` for NaN or infinity.
    """
    kernel = _kernel(_FORWARD, activation)
    gate, up = gate.detach().contiguous(), up.detach().contiguous()
    if not on_host(gate):
        return layers.gated(activation, gate, up)
    out, bad_1 = memory.empty(*gate.shape), np.zeros(1, np.int32)
    run_rows(kernel, gate.numel(), _flat(gate), _flat(up), _flat(out), bad_1, cost=_COST)
    _refuse(bad_1, gate)
    return out


def gated_backward(
    activation: str, g: torch.Tensor, gate: torch.Tensor, up: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(dgate, dup) of ``gated`` for the gradient ``g`` of its result."""
    kernel = _kernel(_BACKWARD, activation)
    g, gate, up = (tensor.detach().contiguous() for tensor in (g, gate, up))
    if not on_host(gate):
        return layers.gated_backward(activation, g, gate, up)
    dgate, dup, bad_1 = memory.empty(*gate.shape), memory.empty(*gate.shape), np.zeros(1, np.int32)
    task = (_flat(g), _flat(gate), _flat(up), _flat(dgate), _flat(dup), bad_1)
    run_rows(kernel, gate.numel(), *task, cost=2 * _COST)
    _refuse(bad_1, gate)
    return dgate, dup


def _kernel(table: dict[str, object], activation: str) -> object:
    if activation not in table:
        raise NotReproducible(f"a gated {activation}", "only silu and gelu_tanh are computed in one pass")
    return table[activation]


def _flat(x: torch.Tensor) -> np.ndarray:
    return x.view(-1).numpy()


def _refuse(bad_1: np.ndarray, x: torch.Tensor) -> None:
    if bad_1[0]:
        raise NumericsError("gated activation", f"tensors of shape {list(x.shape)}")
