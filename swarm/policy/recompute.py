"""Why this module exists: activations of a long prompt can take more memory than a large model; computed twice, none.

A decoder layer keeps its input alone and is computed again on the way back (Chen et al. 2016, "Training Deep Nets with
Sublinear Memory Cost"). Exact arithmetic gives the same bits the second time, so who does so and who does not agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def layers_of(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The decoder's layers, or none where the model has no list of them under the usual name."""
    for part in model.modules():
        layers = getattr(part, "layers", None)
        if isinstance(layers, torch.nn.ModuleList):
            return list(layers)
    return []


@contextmanager
def recomputed(model: torch.nn.Module) -> Iterator[None]:
    """In this block, layers keep their inputs only while gradients are recorded. Nothing that comes out changes."""
    with ExitStack() as stack:
        for layer in layers_of(model):
            stack.enter_context(_once_more(layer))
        yield


@contextmanager
def _once_more(layer: torch.nn.Module) -> Iterator[None]:
    plain: Callable[..., Any] = layer.forward

    def forward(hidden: torch.Tensor, *rest: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(hidden, *rest, **named)
        if not hidden.requires_grad:
            # A frozen embedding's output: without a gradient of its own, nothing of this layer would be learned.
            hidden = hidden.detach().requires_grad_()
        return checkpoint(
            lambda again: plain(again, *rest, **named), hidden, use_reentrant=True, preserve_rng_state=False
        )

    layer.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del layer.forward
