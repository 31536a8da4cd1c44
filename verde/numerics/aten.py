"""Why this module exists: under exact arithmetic every aten call is one of three things: exact by nature, defined by
docs/exact-1.md and computed here, or refused by name. There is no fourth way, so nothing native slips in silently.

Pure dispatch: ``verde.numerics.mode`` calls ``run`` for each operator of a model, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch._ops import OpOverload

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import (  # noqa: F401 (each fills its part of the table when it is imported)
    aten_elementwise,
    aten_order,
    aten_products,
    aten_scatter,
    aten_softmax,
    aten_sums,
)
from verde.numerics.aten_moves import mover
from verde.numerics.aten_table import ANY_TYPE, TABLE, Implementation

Call = Callable[[tuple[Any, ...], dict[str, Any]], Any]

_plans: dict[OpOverload, Call] = {}


def run(operator: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operator's result under exact/1.

    Raises ``NotReproducible`` with the operator's name when exact/1 does not define it, and ``NumericsError`` when a
    result holds NaN or an infinity. Must be called with dispatch modes switched off.
    """
    plan = _plans.get(operator)
    if plan is None:
        plan = _plans[operator] = _plan(operator)
    return plan(args, kwargs)


def _plan(operator: OpOverload) -> Call:
    by_nature = mover(operator)
    if by_nature is not None:
        return by_nature
    exact = TABLE.get(operator)
    if exact is not None:
        return _computed(operator, exact)
    functional = _without_underscore(operator)
    if functional is not None and functional in TABLE:
        return _in_place(operator, _computed(functional, TABLE[functional]))
    return lambda args, kwargs: _on_integers(operator, args, kwargs)


def _computed(operator: OpOverload, exact: Implementation) -> Call:
    def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if operator not in ANY_TYPE and not _has_fractions(args):
            return _on_integers(operator, args, kwargs)
        try:
            return exact(*args, **kwargs)
        except NumericsError as error:
            raise NumericsError(str(operator), error.tensor) from None

    return call


def _in_place(operator: OpOverload, functional: Call) -> Call:
    def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = functional(args, kwargs)
        if result.dtype != args[0].dtype:
            raise NotReproducible(f"{operator} on {args[0].dtype} with a result in {result.dtype}")
        return args[0].copy_(result)

    return call


def _without_underscore(operator: OpOverload) -> OpOverload | None:
    name = operator._schema.name.removeprefix("aten::")
    packet = getattr(torch.ops.aten, name.removesuffix("_"), None) if name.endswith("_") else None
    return getattr(packet, operator._overloadname, None) if packet is not None else None


def _on_integers(operator: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Integers and booleans are exact by nature, as long as nothing is drawn and no fraction enters or leaves."""
    if _has_fractions(args) or _has_fractions(kwargs.values()) or torch.Tag.nondeterministic_seeded in operator.tags:
        raise NotReproducible(str(operator))
    result = operator(*args, **kwargs)
    if _has_fractions((result,)):
        raise NotReproducible(f"{operator} from integers to fractions")
    return result


def _has_fractions(values: Iterable[Any]) -> bool:
    for value in values:
        if isinstance(value, torch.Tensor):
            if value.is_floating_point() or value.is_complex():
                return True
        elif isinstance(value, list | tuple):
            if _has_fractions(value):
                return True
        elif isinstance(value, float | complex):
            return True
    return False
