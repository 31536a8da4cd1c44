"""Why this module exists: the aten operators that only move, name or compare values are exact by nature; here they are.

They run natively on any type. Two kinds need a look at their arguments: constants must be numbers of binary32, and
memory that nobody wrote must not be read, so new tensors are filled with zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from protocol.errors import NotReproducible
from verde.numerics.aten_table import number

aten = torch.ops.aten

_VIEWS = """
view _unsafe_view _reshape_alias reshape transpose transpose_ t t_ permute expand expand_as slice select squeeze
squeeze_ unsqueeze unsqueeze_ alias detach detach_ lift lift_fresh lift_fresh_copy as_strided diagonal unfold split
split_with_sizes unbind narrow movedim unflatten view_as real is_same_size chunk
"""
_COPIES = """
clone contiguous copy_ cat stack repeat repeat_interleave flip roll index index_select gather embedding masked_select
where masked_fill masked_fill_ masked_scatter tril triu tril_ triu_ constant_pad_nd slice_backward select_backward
slice_scatter select_scatter index_copy_ index_copy index_fill index_fill_ take_along_dim diag_embed
split_copy view_copy expand_copy permute_copy transpose_copy
"""
_CREATED = """
zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full scalar_tensor zero_ fill_ fill eye
"""
_QUESTIONS = """
eq ne lt le gt ge isnan isinf isfinite logical_and logical_or logical_not logical_xor any all equal nonzero
count_nonzero _local_scalar_dense is_nonzero isin signbit
"""
_UNWRITTEN = "empty empty_like new_empty empty_strided new_empty_strided"

_BY_NATURE = frozenset(f"aten::{name}" for text in (_VIEWS, _COPIES, _CREATED, _QUESTIONS) for name in text.split())
_NEW = frozenset(f"aten::{name}" for name in _UNWRITTEN.split())

_LARGEST_EXACT_INTEGER = 1 << 24


def mover(operator: OpOverload) -> Callable[[tuple[Any, ...], dict[str, Any]], Any] | None:
    """What runs ``operator`` on (args, kwargs) if it is exact by nature, else None."""
    name = operator._schema.name
    if operator._overloadname == "out" or operator._overloadname.endswith("_out"):
        return None
    if name == "aten::_to_copy":
        return _convert
    if name == "aten::copy_":
        return _copy
    if name == "aten::arange":
        return lambda args, kwargs: _arange(operator, args, kwargs)
    if name in _NEW:
        return lambda args, kwargs: _float32_or_whole(operator(*args, **kwargs), str(operator)).zero_()
    if name in _BY_NATURE:
        return lambda args, kwargs: operator(*map(_constant, args), **{k: _constant(v) for k, v in kwargs.items()})
    return None


def _constant(value: Any) -> Any:
    return number(value).item() if isinstance(value, float) else value


def _float32_or_whole(x: torch.Tensor, operator: str) -> torch.Tensor:
    if x.dtype != torch.float32 and (x.is_floating_point() or x.is_complex()):
        raise NotReproducible(f"{operator} in {x.dtype}", "exact/1 computes in float32 only")
    return x


def _convert(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """``Tensor.to``: to float32 from anything (one rounding at most), to integers and booleans by cutting off."""
    wanted = kwargs.get("dtype")
    if wanted is not None and wanted != torch.float32 and (wanted.is_floating_point or wanted.is_complex):
        raise NotReproducible(f"a conversion to {wanted}", "exact/1 computes in float32 only")
    if wanted is not None and wanted != torch.bool and not wanted.is_floating_point and args[0].is_floating_point():
        _require_in_range(args[0], wanted)
    result: torch.Tensor = aten._to_copy.default(*args, **kwargs)
    if args[0].dtype == torch.float64 and result.dtype == torch.float32:
        result = torch.where(result.abs() < 2.0**-126, 0.0, result)
    return result


def _require_in_range(x: torch.Tensor, wanted: torch.dtype) -> None:
    """Raises ``NotReproducible`` for numbers that the integers do not hold: processors disagree about those."""
    bounds = torch.iinfo(wanted)
    if x.numel() and not bool(((x >= bounds.min) & (x < bounds.max + 1)).all()):
        raise NotReproducible(f"a conversion to {wanted} out of range", "processors disagree about its result")


def _copy(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    target, source = args[0], args[1]
    if target.dtype != source.dtype:
        _float32_or_whole(target, "aten.copy_")
    result: torch.Tensor = aten.copy_.default(*args, **kwargs)
    return result


def _arange(operator: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """Counting in whole numbers is exact in any type that holds them; other steps are refused."""
    if not all(float(value).is_integer() and abs(value) <= _LARGEST_EXACT_INTEGER for value in args):
        raise NotReproducible("aten.arange with fractions", "its elements would depend on how they are counted")
    return _float32_or_whole(operator(*args, **kwargs), "aten.arange")
