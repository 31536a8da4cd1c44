"""Why this module exists: matrix products that give one result everywhere, at the speed of vendor kernels.

A product quantises its operands (``slices``), contracts the integers by the machine's best route (``backend``) and
rounds once (``kernels/epilogue``). Section 4 of docs/exact-1.md is the rule. A weight's slices are kept until it
changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import backend, memory
from verde.numerics.kernels.epilogue import outer_kernel
from verde.numerics.place import on_host
from verde.numerics.portable import products
from verde.numerics.slices import Operand, Quantised, quantise_both, quantise_columns, quantise_rows
from verde.numerics.threads import run_rows

__all__ = [
    "Quantised",
    "bmm",
    "columns_of_weight",
    "linear",
    "linear_backward",
    "matmul",
    "multiply",
    "quantise_both",
    "quantise_columns",
    "quantise_rows",
    "rows_of_weight",
]

_NO_BIAS = np.empty(0, np.float32)

ONE_WAY_ABOVE = 1 << 25
"""Elements. Of a weight with more (an output embedding), slices are kept one way round at a time: made anew they cost
little beside its products, and both ways would take as much memory as the weight itself."""


def multiply(
    a: Operand, b: Operand, out: torch.Tensor | None = None, *, bias_C: torch.Tensor | None = None
) -> torch.Tensor:
    """a · b^T: float32 [rows of a, rows of b], each element one DOT, then ``add(DOT, bias)`` where there is a bias.

    ``out``: a contiguous float32 matrix to write into. Raises ``NumericsError`` where a result overflows.
    """
    if a.length != b.length:
        raise ValueError(f"rows of {a.length} and of {b.length} values cannot be multiplied")
    if out is not None and (out.shape != (a.rows, b.rows) or out.dtype != torch.float32 or not out.is_contiguous()):
        raise ValueError(f"out must be a contiguous float32 matrix of shape {[a.rows, b.rows]}")
    if isinstance(a, products.DeviceQuantised) and isinstance(b, products.DeviceQuantised):
        return products.multiply(a, b, out, bias_C)
    if not (isinstance(a, Quantised) and isinstance(b, Quantised)):
        raise ValueError("the operands of a product lie on one device")
    out = memory.empty(a.rows, b.rows) if out is None else out
    bias = _NO_BIAS if bias_C is None else bias_C.detach().contiguous().numpy()
    out_RC, bad_R = out.detach().numpy(), np.zeros(a.rows, np.bool_)
    if a.values_R is not None and b.values_R is not None:
        left, right = a.values_R.contiguous().numpy(), b.values_R.contiguous().numpy()
        run_rows(outer_kernel, a.rows, left, right, bias, out_RC, bad_R, cost=b.rows)
    elif a.length == 0:
        out.zero_() if bias_C is None else out.copy_(bias_C.expand_as(out))
    elif a.rows and b.rows:
        backend.contract(a, b, bias, out_RC, bad_R)
    if bad_R.any():
        raise NumericsError("matrix product", f"a result of shape {list(out.shape)}")
    return out


def matmul(a_MK: torch.Tensor, b_KN: torch.Tensor) -> torch.Tensor:
    """The product of two float32 matrices, [M, N]. Any strides."""
    return multiply(quantise_rows(a_MK), quantise_columns(b_KN, copies=2))


def bmm(a_BMK: torch.Tensor, b_BKN: torch.Tensor) -> torch.Tensor:
    """B independent products of float32 matrices, [B, M, N]."""
    if not on_host(a_BMK, b_BKN):
        return products.bmm(a_BMK, b_BKN)
    batch, height, _ = a_BMK.shape
    out_BMN = memory.empty(batch, height, b_BKN.shape[2])
    for a_MK, b_KN, out_MN in zip(a_BMK, b_BKN, out_BMN, strict=True):
        multiply(quantise_rows(a_MK), quantise_columns(b_KN, copies=2), out_MN)
    return out_BMN


def linear(
    x_RK: torch.Tensor,
    weight_NK: torch.Tensor,
    bias_N: torch.Tensor | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """x · weight^T (+ bias), [R, N]. The weight's slices are kept (see ``rows_of_weight``); no gradient is recorded."""
    if on_host(weight_NK) and weight_NK.is_contiguous() and backend.prefers_floats(len(x_RK)):
        return multiply(quantise_rows(x_RK), quantise_rows(weight_NK, copies=2), out, bias_C=bias_N)
    return multiply(quantise_rows(x_RK), rows_of_weight(weight_NK), out, bias_C=bias_N)


def linear_backward(
    dy_RN: torch.Tensor, x_RK: torch.Tensor | Operand, weight_NK: torch.Tensor, *, needs_input: bool = True
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """(dx [R, K] = dy · weight, dweight [N, K] = dy^T · x) of ``linear``; dx is ``None`` unless needed.

    ``x_RK`` may be given as ``quantise_columns(x, copies=2)``. The bias' gradient is ``reduce.sum_columns(dy)``.
    """
    columns_of_x = x_RK if not isinstance(x_RK, torch.Tensor) else quantise_columns(x_RK, copies=2)
    if not needs_input:
        return None, multiply(quantise_columns(dy_RN), columns_of_x)
    rows, columns = quantise_both(dy_RN)
    return multiply(rows, columns_of_weight(weight_NK)), multiply(columns, columns_of_x)


@dataclass(slots=True)
class _Kept:
    storage: StorageWeakRef
    version: int
    slices: Operand


_kept: dict[tuple[object, ...], _Kept] = {}
_kept_lock = threading.Lock()


def rows_of_weight(weight_NK: torch.Tensor) -> Operand:
    """``quantise_rows(weight, copies=2)``, kept until the weight is changed or freed.

    A change is noticed by the tensor's version counter, which every in-place operation of torch raises. Who writes
    around it (``weight.data``, numpy) calls ``torch.autograd.graph.increment_version`` afterwards. Views of one storage
    (``weight.T``) share what is kept. Tensors made in inference mode count no versions: they are quantised each time.
    """
    return _slices(weight_NK, True)


def columns_of_weight(weight_NK: torch.Tensor) -> Operand:
    """``quantise_columns(weight, copies=2)`` for gradients of inputs, kept likewise."""
    return _slices(weight_NK, False)


def forget_slices() -> None:
    """Drop everything that is kept (memory; nothing changes but time)."""
    with _kept_lock:
        _kept.clear()


def _slices(weight: torch.Tensor, by_rows: bool) -> Operand:
    if weight.dim() != 2:
        raise NotReproducible("linear", f"a weight is a matrix, not {list(weight.shape)}")
    if not weight.is_contiguous() and weight.T.is_contiguous():
        return _slices(weight.T, not by_rows)
    quantise: Callable[..., Operand] = quantise_rows if by_rows else quantise_columns
    if weight.is_inference():
        return quantise(weight, copies=2)
    storage = weight.untyped_storage()
    place = backend.route().name if on_host(weight) else str(weight.device)
    key = (place, storage._cdata, weight.storage_offset(), *weight.shape, *weight.stride(), by_rows)
    with _kept_lock:
        found = _kept.get(key)
        if found is not None and found.version == weight._version and not found.storage.expired():
            return found.slices
    if weight.numel() >= ONE_WAY_ABOVE:
        with _kept_lock:
            _kept.pop((*key[:-1], not by_rows), None)
    version = weight._version
    quantised = quantise(weight, copies=2)
    slices: Operand = backend.prepared(quantised) if isinstance(quantised, Quantised) else quantised.prepared()
    with _kept_lock:
        for stale in [stale for stale, kept in _kept.items() if kept.storage.expired()]:
            del _kept[stale]
        _kept[key] = _Kept(StorageWeakRef(storage), version, slices)
    return slices
