"""Why this module exists: one place where an aten operator and its exact implementation are written next to each other.

The ``aten_*`` modules fill ``TABLE`` with ``implements``; ``verde.numerics.aten`` reads it. An implementation takes the
operator's own arguments and returns new float32 tensors; it is called with dispatch switched off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from protocol.errors import NotReproducible, NumericsError

Implementation = Callable[..., Any]

TABLE: dict[OpOverload, Implementation] = {}
"""Operators on float32 tensors that docs/exact-1.md defines, by aten overload."""

ANY_TYPE: set[OpOverload] = set()
"""Those of them that are ours for integer tensors as well."""

SMALLEST_NORMAL = 2.0**-126


def implements(*operators: OpOverload, any_type: bool = False) -> Callable[[Implementation], Implementation]:
    """Decorator: the function computes these overloads, for integer tensors too if ``any_type``.

    Raises ``ValueError`` when one has an implementation already.
    """

    def enter(function: Implementation) -> Implementation:
        for operator in operators:
            if operator in TABLE:
                raise ValueError(f"{operator} is in the table twice.")
            TABLE[operator] = function
        if any_type:
            ANY_TYPE.update(operators)
        return function

    return enter


def number(value: float | int | bool) -> torch.Tensor:
    """A constant as a 0-dimensional float32 tensor: the nearest binary32, subnormals as +0.

    Raises ``NumericsError`` for NaN, infinities and numbers beyond binary32.
    """
    constant = torch.tensor(value, dtype=torch.float32)
    if not math.isfinite(constant.item()):
        raise NumericsError("a constant", repr(value))
    return constant if abs(constant.item()) >= SMALLEST_NORMAL else torch.zeros(())


def operand(value: Any) -> torch.Tensor:
    """A float32 tensor from a tensor (integers and booleans are converted) or a Python number.

    Raises ``NotReproducible`` for tensors of other floating-point widths, which exact/1 does not compute with.
    """
    if not isinstance(value, torch.Tensor):
        return number(value)
    if value.dtype == torch.float32:
        return value
    if value.is_floating_point() and value.dim() == 0:
        return number(value.item())
    if value.is_floating_point() or value.is_complex():
        raise NotReproducible(f"arithmetic in {value.dtype}", "exact/1 computes in float32 only")
    return value.to(torch.float32)


def only_float32(operator: str, dtype: torch.dtype | None) -> None:
    """Raises ``NotReproducible`` when an operator is asked for a result in another floating-point width."""
    if dtype not in (None, torch.float32):
        raise NotReproducible(f"{operator} in {dtype}", "exact/1 computes in float32 only")
