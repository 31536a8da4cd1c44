"""Why this module exists: elementwise aten operators in terms of section 2 of docs/exact-1.md."""

from __future__ import annotations

from typing import Any

import torch

from protocol.errors import NotReproducible
from verde.numerics import elementwise
from verde.numerics.aten_table import implements, number, operand

aten = torch.ops.aten
Operand = torch.Tensor | float | int


@implements(aten.add.Tensor, aten.add.Scalar)
def add(a: Operand, b: Operand, alpha: float = 1) -> torch.Tensor:
    return elementwise.add(operand(a), _times(b, alpha))


@implements(aten.add_.Tensor)
def add_(a: torch.Tensor, b: Operand, alpha: float = 1) -> torch.Tensor:
    """Gradients are added up so: a second tensor of every weight, and a copy of it, are saved."""
    if alpha == 1 and isinstance(b, torch.Tensor) and elementwise.add_(a, b):
        return a
    result = add(a, b, alpha)
    if result.dtype != a.dtype:
        raise NotReproducible(f"aten.add_.Tensor on {a.dtype} with a result in {result.dtype}")
    return a.copy_(result)


@implements(aten.sub.Tensor, aten.sub.Scalar)
def sub(a: Operand, b: Operand, alpha: float = 1) -> torch.Tensor:
    return elementwise.sub(operand(a), _times(b, alpha))


@implements(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(a: Operand, b: Operand, alpha: float = 1) -> torch.Tensor:
    return elementwise.sub(operand(b), _times(a, alpha))


def _times(value: Operand, alpha: float) -> torch.Tensor:
    """``value`` times ``alpha``, rounded: a sum with alpha is two operations, never one contracted one."""
    return operand(value) if alpha == 1 else elementwise.mul(number(alpha), operand(value))


@implements(aten.mul.Tensor, aten.mul.Scalar)
def mul(a: Operand, b: Operand) -> torch.Tensor:
    return elementwise.mul(operand(a), operand(b))


@implements(aten.div.Tensor, aten.div.Scalar, any_type=True)
def div(a: Operand, b: Operand) -> torch.Tensor:
    return elementwise.div(operand(a), operand(b))


@implements(aten.reciprocal.default)
def reciprocal(x: torch.Tensor) -> torch.Tensor:
    return elementwise.div(number(1), operand(x))


@implements(aten.neg.default)
def neg(x: torch.Tensor) -> torch.Tensor:
    return elementwise.flush_(torch.neg(operand(x)))


@implements(aten.abs.default)
def absolute(x: torch.Tensor) -> torch.Tensor:
    return elementwise.flush_(torch.abs(operand(x)))


@implements(aten.pow.Tensor_Scalar)
def power(x: torch.Tensor, exponent: float) -> torch.Tensor:
    x = operand(x)
    if exponent == 1:
        return elementwise.flush_(x.clone())
    if exponent == 2:
        return elementwise.mul(x, x)
    if exponent == 3:
        return elementwise.mul(elementwise.mul(x, x), x)
    raise NotReproducible(f"aten.pow.Tensor_Scalar with exponent {exponent}", "exact/1 has squares and cubes only")


@implements(aten.sqrt.default)
def sqrt(x: torch.Tensor) -> torch.Tensor:
    return elementwise.sqrt(operand(x))


@implements(aten.rsqrt.default)
def rsqrt(x: torch.Tensor) -> torch.Tensor:
    return elementwise.rsqrt(operand(x))


@implements(aten.exp.default)
def exp(x: torch.Tensor) -> torch.Tensor:
    return elementwise.exp(operand(x))


@implements(aten.expm1.default)
def expm1(x: torch.Tensor) -> torch.Tensor:
    return elementwise.expm1(operand(x))


@implements(aten.log.default)
def log(x: torch.Tensor) -> torch.Tensor:
    return elementwise.log(operand(x))


@implements(aten.sin.default)
def sin(x: torch.Tensor) -> torch.Tensor:
    return elementwise.sin(operand(x))


@implements(aten.cos.default)
def cos(x: torch.Tensor) -> torch.Tensor:
    return elementwise.cos(operand(x))


@implements(aten.tanh.default)
def tanh(x: torch.Tensor) -> torch.Tensor:
    return elementwise.tanh(operand(x))


@implements(aten.tanh_backward.default)
def tanh_backward(gradient: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    return elementwise.tanh_backward(gradient, output)


@implements(aten.sigmoid.default)
def sigmoid(x: torch.Tensor) -> torch.Tensor:
    return elementwise.sigmoid(operand(x))


@implements(aten.sigmoid_backward.default)
def sigmoid_backward(gradient: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    return elementwise.mul(elementwise.mul(gradient, output), elementwise.sub(number(1), output))


@implements(aten.silu.default)
def silu(x: torch.Tensor) -> torch.Tensor:
    return elementwise.silu(operand(x))


@implements(aten.silu_backward.default)
def silu_backward(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return elementwise.silu_backward(gradient, x)


@implements(aten.gelu.default)
def gelu(x: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
    _require_tanh(approximate)
    return elementwise.gelu_tanh(operand(x))


@implements(aten.gelu_backward.default)
def gelu_backward(gradient: torch.Tensor, x: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
    _require_tanh(approximate)
    return elementwise.gelu_tanh_backward(gradient, x)


def _require_tanh(approximate: str) -> None:
    if approximate != "tanh":
        raise NotReproducible("aten.gelu with erf", "exact/1 has the tanh form of GELU only")


@implements(aten.maximum.default)
def maximum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return elementwise.flush_(torch.maximum(operand(a), operand(b)))


@implements(aten.minimum.default)
def minimum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return elementwise.flush_(torch.minimum(operand(a), operand(b)))


@implements(aten.relu.default)
def relu(x: torch.Tensor) -> torch.Tensor:
    return elementwise.flush_(torch.relu(operand(x)))


@implements(aten.threshold_backward.default)
def threshold_backward(gradient: torch.Tensor, x: torch.Tensor, threshold: float) -> torch.Tensor:
    return elementwise.flush_(torch.where(x > number(threshold), gradient, 0.0))


@implements(aten.clamp.default, aten.clamp.Tensor)
def clamp(x: torch.Tensor, min: Any = None, max: Any = None) -> torch.Tensor:
    bounded = operand(x)
    if min is not None:
        bounded = torch.maximum(bounded, operand(min))
    if max is not None:
        bounded = torch.minimum(bounded, operand(max))
    return elementwise.flush_(bounded.clone() if bounded is x else bounded)


@implements(aten.clamp_min.default, aten.clamp_min.Tensor)
def clamp_min(x: torch.Tensor, min: Operand) -> torch.Tensor:
    return clamp(x, min=min)


@implements(aten.clamp_max.default, aten.clamp_max.Tensor)
def clamp_max(x: torch.Tensor, max: Operand) -> torch.Tensor:
    return clamp(x, max=max)


@implements(aten.floor.default)
def floor(x: torch.Tensor) -> torch.Tensor:
    return elementwise.flush_(torch.floor(operand(x)))


@implements(aten.ceil.default)
def ceil(x: torch.Tensor) -> torch.Tensor:
    return elementwise.flush_(torch.ceil(operand(x)))
