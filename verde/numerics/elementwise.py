"""Why this module exists: the elementwise operators of exact/1 (docs/exact-1.md sections 2 and 6) over tensors.

Tensors are float32, of any shape and stride, all on one device (constants may be the host's); a result is a new tensor
with the strides that torch's own operator would give it. ``NumericsError`` where a result is NaN or an infinity
(infinite or NaN inputs included). Inputs are taken to be ``out`` of something: no subnormal and no -0 (``flush_`` makes
any tensor so). Nothing here records a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics.kernels.elementwise import OF_ONE, OF_TWO, WITH_NUMBER, flush_kernel
from verde.numerics.place import on_host
from verde.numerics.portable import elementwise as portable
from verde.numerics.threads import run_rows

Operand = torch.Tensor | float | int

_NATIVE: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
}
_COST = {"exp": 4, "log": 6, "sin": 50, "cos": 50, "tanh": 8, "sigmoid": 5, "silu": 5, "expm1": 20, "gelu_tanh": 10}


def exp(x: torch.Tensor) -> torch.Tensor:
    """e^x, to 0.52 units in the last place."""
    return _of_one("exp", x)


def expm1(x: torch.Tensor) -> torch.Tensor:
    """e^x - 1, accurate near 0."""
    return _of_one("expm1", x)


def log(x: torch.Tensor) -> torch.Tensor:
    """The natural logarithm; ``NumericsError`` for 0 and negatives."""
    return _of_one("log", x)


def sin(x: torch.Tensor) -> torch.Tensor:
    """The sine of x radians, of any size."""
    return _of_one("sin", x)


def cos(x: torch.Tensor) -> torch.Tensor:
    """The cosine of x radians, of any size."""
    return _of_one("cos", x)


def tanh(x: torch.Tensor) -> torch.Tensor:
    """The hyperbolic tangent."""
    return _of_one("tanh", x)


def tanh_backward(g: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Gradient of tanh whose result was ``t``, for the gradient ``g`` of that result; of one shape."""
    return _of_two("tanh_backward", g, t)


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """1 / (1 + e^-x)."""
    return _of_one("sigmoid", x)


def silu(x: torch.Tensor) -> torch.Tensor:
    """x · sigmoid(x)."""
    return _of_one("silu", x)


def silu_backward(g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradient of silu at ``x`` for the gradient ``g`` of its result; of one shape."""
    return _of_two("silu_backward", g, x)


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """GELU in its tanh form."""
    return _of_one("gelu_tanh", x)


def gelu_tanh_backward(g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradient of gelu_tanh at ``x`` for the gradient ``g`` of its result; of one shape."""
    return _of_two("gelu_tanh_backward", g, x)


def sqrt(x: torch.Tensor) -> torch.Tensor:
    """The root, correctly rounded; ``NumericsError`` for negatives."""
    return _of_one("sqrt", x)


def rsqrt(x: torch.Tensor) -> torch.Tensor:
    """1 / sqrt(x): two roundings; ``NumericsError`` for 0 and negatives."""
    return _of_one("rsqrt", x)


def add(a: Operand, b: Operand) -> torch.Tensor:
    """a + b, broadcast."""
    return _arithmetic("add", a, b)


def sub(a: Operand, b: Operand) -> torch.Tensor:
    """a - b, broadcast."""
    return _arithmetic("sub", a, b)


def mul(a: Operand, b: Operand) -> torch.Tensor:
    """a · b, broadcast."""
    return _arithmetic("mul", a, b)


def div(a: Operand, b: Operand) -> torch.Tensor:
    """a / b, broadcast: always a division, never a product with a reciprocal."""
    return _arithmetic("div", a, b)


def flush_(x: torch.Tensor) -> torch.Tensor:
    """Make every subnormal and -0 of ``x`` +0, in place, and give ``x`` back; ``NumericsError`` for NaN, infinities."""
    return _settle("flush_", x)


def _settle(operator: str, x: torch.Tensor) -> torch.Tensor:
    """``out`` of a freshly rounded tensor, in place."""
    if not on_host(x):
        return x.copy_(portable.of_one("flush_", x))
    flat = _flat(_checked(operator, x))
    if flat is None:
        return x.copy_(_settle(operator, x.contiguous()))
    bad_1 = np.zeros(1, np.int32)
    run_rows(flush_kernel, flat.size, flat, bad_1)
    return _sound(operator, x, bad_1)


def _of_one(operator: str, x: torch.Tensor) -> torch.Tensor:
    if not on_host(x):
        return portable.of_one(operator, x)
    x, flat = _dense(_checked(operator, x))
    out, bad_1 = torch.empty_like(x), np.zeros(1, np.int32)
    run_rows(OF_ONE[operator], flat.size, flat, _flat(out), bad_1, cost=_COST.get(operator, 1))
    return _sound(operator, out, bad_1)


def _of_two(operator: str, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if not on_host(a, b):
        return portable.of_two(operator, a, b)
    a, b = _checked(operator, a), _checked(operator, b)
    if a.shape != b.shape:
        raise ValueError(f"{operator} takes two tensors of one shape, not {tuple(a.shape)} and {tuple(b.shape)}")
    if a.stride() != b.stride():
        a, b = a.contiguous(), b.contiguous()
    (a, flat_a), (_, flat_b) = _dense(a), _dense(b)
    out, bad_1 = torch.empty_like(a), np.zeros(1, np.int32)
    run_rows(OF_TWO[operator], flat_a.size, flat_a, flat_b, _flat(out), bad_1, cost=_COST.get(operator[:4], 4))
    return _sound(operator, out, bad_1)


def _arithmetic(operator: str, a: Operand, b: Operand) -> torch.Tensor:
    if not on_host(a, b):
        return portable.of_two(operator, a, b)
    a = _checked(operator, a) if isinstance(a, torch.Tensor) else torch.tensor(a, dtype=torch.float32)
    flat_a = _flat(a)
    if not isinstance(b, torch.Tensor):
        loop, other = WITH_NUMBER[operator], np.float32(b)
    else:
        b = _checked(operator, b)
        if a.shape == b.shape and a.stride() == b.stride():
            loop, other = OF_TWO[operator], _flat(b)
        elif b.numel() == 1 and b.dim() <= a.dim():
            loop, other = WITH_NUMBER[operator], np.float32(b.item())
        else:
            flat_a = None
    if flat_a is None:
        # One IEEE operation with one rounding is the same everywhere, so torch may broadcast it.
        return _settle(operator, _NATIVE[operator](a, b))
    out, bad_1 = torch.empty_like(a), np.zeros(1, np.int32)
    run_rows(loop, flat_a.size, flat_a, other, _flat(out), bad_1)
    return _sound(operator, out, bad_1)


def add_(a: torch.Tensor, b: torch.Tensor) -> bool:
    """``add`` into ``a``, where both lie alike in the host's memory; ``False`` (and nothing done) where they do not.

    Raises ``NumericsError`` where a result is no number; ``a`` is then changed."""
    alike = a.dtype == b.dtype == torch.float32 and a.shape == b.shape and a.stride() == b.stride()
    if not alike or not on_host(a, b):
        return False
    flat_a = _flat(a.detach())
    if flat_a is None:
        return False
    bad_1 = np.zeros(1, np.int32)
    run_rows(OF_TWO["add"], flat_a.size, flat_a, _flat(b.detach()), flat_a, bad_1)
    _sound("add", a, bad_1)
    return True


def _checked(operator: str, x: torch.Tensor) -> torch.Tensor:
    if x.dtype is not torch.float32:
        raise NotReproducible(operator, f"exact/1 computes float32, not {x.dtype}")
    return x.detach() if x.requires_grad else x


def _dense(x: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """``x`` itself where its elements fill one piece of memory, else a contiguous copy; and its flat array."""
    flat = _flat(x)
    if flat is None:
        x = x.contiguous()
        flat = _flat(x)
    return x, flat


def _flat(x: torch.Tensor) -> Any:
    """A flat array over ``x``'s memory, in the order of memory; None where there are gaps or overlaps."""
    if not x.is_contiguous():
        x = x.permute(sorted(range(x.dim()), key=x.stride, reverse=True))
        if not x.is_contiguous():
            return None
    return x.numpy().reshape(-1)


def _sound(operator: str, x: torch.Tensor, bad_1: Any) -> torch.Tensor:
    if bad_1[0]:
        raise NumericsError(operator, f"a tensor of shape {tuple(x.shape)}")
    return x
