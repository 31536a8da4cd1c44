"""Why this module exists: ``verde.numerics.elementwise`` on a device: an operator, and whether it gave numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from protocol.errors import NotReproducible
from verde.numerics.place import require_numbers
from verde.numerics.portable import angles, route, scalar

Tensor = torch.Tensor

OF_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    **{
        name: getattr(scalar, name)
        for name in ("exp", "expm1", "log", "tanh", "sigmoid", "silu", "gelu_tanh", "sqrt", "rsqrt")
    },
    "sin": angles.sin,
    "cos": angles.cos,
    "flush_": scalar.flush,
}
OF_TWO: dict[str, Callable[[Any, Any], Tensor]] = {
    name: getattr(scalar, name)
    for name in ("add", "sub", "mul", "div", "silu_backward", "gelu_tanh_backward", "tanh_backward")
}


def of_one(operator: str, x: Tensor) -> Tensor:
    """Raises ``NumericsError`` where the result is NaN or infinite."""
    x = _checked(operator, x)
    fused = route.kernels(x.device)
    if fused is not None and fused.takes_one(operator, x):
        return fused.of_one(operator, x)  # type: ignore[no-any-return]
    out = OF_ONE[operator](x)
    require_numbers(operator, f"a tensor of shape {tuple(x.shape)}", out)
    return out


def of_two(operator: str, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Likewise; numbers and host tensors without dimensions are constants, all else broadcasts on the device."""
    a, b = (_number(x) if _is_constant(x) else _checked(operator, x) for x in (a, b))  # type: ignore[arg-type]
    tensors = [x for x in (a, b) if isinstance(x, Tensor)]
    if not tensors:
        a, tensors = torch.tensor(a), [torch.tensor(a)]
    fused = route.kernels(tensors[0].device)
    if fused is not None and fused.takes_two(operator, a, b):
        return fused.of_two(operator, a, b)  # type: ignore[no-any-return]
    out = OF_TWO[operator](a, b)
    require_numbers(operator, f"a tensor of shape {tuple(out.shape)}", out)
    return out


def _is_constant(x: Any) -> bool:
    return not isinstance(x, Tensor) or (x.dim() == 0 and x.is_cpu)


def _number(x: Tensor | float) -> float:
    return float(np.float32(x.item() if isinstance(x, Tensor) else x))


def _checked(operator: str, x: Tensor) -> Tensor:
    if x.dtype is not torch.float32:
        raise NotReproducible(operator, f"exact/1 computes float32, not {x.dtype}")
    return x.detach() if x.requires_grad else x
