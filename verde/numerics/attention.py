"""Why this module exists: attention is one operator, so that a token's result is the same decoded, prefilled or padded.

Built from bare matrix products, the exponent of a column of values would depend on later tokens. Section 5 of
docs/exact-1.md gives each value token its own. Long passes go through matrix products; a few queries on a long cache
are computed key by key. Both give the same bits, and no copy of a shared key is made.

Shapes: B batch, H query heads, N key-value heads, G = H / N, Q queries, L keys, D width of a head.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import gemm
from verde.numerics.aten_table import number
from verde.numerics.gemm import Quantised
from verde.numerics.kernels.attention import (
    ALL,
    CAUSAL,
    MASKED,
    attend_kernel,
    gradient_kernel,
    weights_kernel,
)
from verde.numerics.threads import run_rows

_OPERATOR = "attention"

_FEW_ROWS = 16
"""Up to this many query rows per key a pass over the keys is cheaper than a matrix product."""

_KEEP_ELEMENTS = 1 << 22
"""Weights of at most so many elements are kept for the backward pass; more are computed again."""

_NO_UQ = (np.empty((0, 0), np.int8), np.empty(0, np.int32))
_NO_MASK = np.empty((0, 0, 0, 0), np.uint8)


def attend(
    query_BHQD: torch.Tensor,
    key_BNLD: torch.Tensor,
    value_BNLD: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    *,
    is_causal: bool,
) -> torch.Tensor:
    """Attention [B, Q, H, D of a value], with gradients for queries, keys and values.

    ``mask`` is boolean (true: may be seen) and expands to [B, H, Q, L]; without one, a query sees all keys, or with
    ``is_causal`` those up to its own position. A query that sees no key gets 0. Any strides.
    Raises ``NotReproducible`` for masks of numbers and other types than float32, ``NumericsError`` for NaN or infinity.
    """
    if mask is not None and mask.dtype != torch.bool:
        raise NotReproducible("attention with a mask of numbers", "exact/1 masks are booleans")
    for x in (query_BHQD, key_BNLD, value_BNLD):
        if x.dtype != torch.float32 or x.dim() != 4:
            raise NotReproducible(f"attention on {x.dtype} with {x.dim()} axes", "exact/1 computes in float32 only")
    kind = MASKED if mask is not None else CAUSAL if is_causal and query_BHQD.shape[2] > 1 else ALL
    result: torch.Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
        query_BHQD, key_BNLD, value_BNLD, mask, number(scale).item(), kind
    )
    return result


class _Attention(torch.autograd.Function):
    """Forward and backward of ``attend``; dispatch is off inside, as everything here is exact already."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
        kind: int,
    ) -> torch.Tensor:
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            needs_gradient = any(ctx.needs_input_grad[:3])
            ctx.scale, ctx.kind, weights = scale, kind, None
            grouped = query.shape[1] // key.shape[1] * query.shape[2]
            # Heads of width one would be a contraction of one term, which is a product of the values themselves.
            if grouped <= _FEW_ROWS and query.shape[3] > 1 and not needs_gradient:
                return by_key(query, key, value, mask, scale, kind)
            output, weights = by_products(query, key, value, mask, scale, kind)
            if needs_gradient:
                kept = weights if weights.numel() <= _KEEP_ELEMENTS else None
                ctx.save_for_backward(query, key, value, mask, kept)
            return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            query, key, value, mask, weights = ctx.saved_tensors
            if weights is None:
                weights = _weights(query, key, value, mask, ctx.scale, ctx.kind, None)
            return (*_gradients(gradient, query, key, value, weights, ctx.scale), None, None, None)


def by_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float, kind: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(output [B, Q, H, D], weights [B·N, G·Q, L]) by matrix products; arguments as in the kernel's text."""
    batch, num_heads, num_queries, _ = query.shape
    num_kv_heads, length, width = value.shape[1:]
    rows = num_heads // num_kv_heads * num_queries
    planes = torch.empty(batch * num_kv_heads * rows, 3 * length, dtype=torch.int8)
    exponents = torch.empty(len(planes), dtype=torch.int32)
    values = [gemm.quantise_rows(value_LD, copies=2) for value_LD in value.reshape(-1, length, width)]
    weights = _weights(query, key, value, mask, scale, kind, (planes, exponents, values))
    output = torch.empty(batch * num_kv_heads, rows, width)
    unscaled = torch.zeros(width, dtype=torch.int32)
    for pair, token_values in enumerate(values):
        at = slice(pair * rows, (pair + 1) * rows)
        left = Quantised(planes[at], exponents[at], length, 3, True)
        # The tokens' exponents are in the weights already: as columns, values have none of their own.
        stacked = token_values.planes.view(length, 2, width).transpose(0, 1).reshape(2 * length, width)
        gemm.multiply(left, Quantised(stacked, unscaled, length, 2, False), output[pair])
    by_head = output.view(batch, num_heads, num_queries, width)
    return by_head.transpose(1, 2).contiguous(), weights


def _weights(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    kind: int,
    uq: tuple[torch.Tensor, torch.Tensor, list[Quantised]] | None,
) -> torch.Tensor:
    """Attention weights [B·N, G·Q, L]. ``uq``: where quantised weights go, and the values that they are for."""
    batch, num_heads, num_queries, width = query.shape
    num_kv_heads, length = key.shape[1:3]
    scores = gemm.bmm(
        query.reshape(batch * num_kv_heads, -1, width), key.reshape(-1, length, width).transpose(1, 2)
    )
    num_rows = batch * num_heads * num_queries
    if uq is None:
        exponent_BNL, places = np.zeros((batch, num_kv_heads, length), np.int32), _NO_UQ
    else:
        exponent_BNL = torch.cat([values.exponents_R for values in uq[2]]).view(batch, num_kv_heads, length).numpy()
        places = (uq[0].numpy(), uq[1].numpy())
    bad_R = np.zeros(num_rows, np.bool_)
    mask_BHQL = _mask_bytes(mask, num_queries, length)
    run_rows(
        weights_kernel,
        num_rows,
        *(scores.view(num_rows, length).numpy(), np.float32(scale), kind, mask_BHQL),
        *(num_heads, num_queries, exponent_BNL, places, bad_R),
        cost=16 * length,
    )
    if bad_R.any():
        raise NumericsError(_OPERATOR, f"scores [{batch}, {num_heads}, {num_queries}, {length}]")
    return scores


def _mask_bytes(mask: torch.Tensor | None, num_queries: int, length: int) -> np.ndarray:
    """The mask as the kernels read it: [B or 1, H or 1, Q, L], cut to the keys that there are."""
    if mask is None:
        return _NO_MASK
    mask = mask[(None,) * (4 - mask.dim())][..., :length]
    return mask.expand(-1, -1, num_queries, length).contiguous().view(torch.uint8).numpy()


def by_key(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float, kind: int
) -> torch.Tensor:
    """The output of ``by_products`` [B, Q, H, D] without any matrix product, straight from the caches' memory."""
    batch, num_heads, num_queries, width = query.shape
    num_kv_heads, length, value_width = value.shape[1:]
    output = torch.empty(batch, num_queries, num_heads, value_width)
    dense = [x if x.stride(3) == 1 else x.contiguous() for x in (query, key, value)]
    flats = tuple(_memory(x) for x in dense)
    layouts = np.array([[x.storage_offset(), *x.stride()[:3]] for x in dense], np.int64)
    grouped = num_heads // num_kv_heads
    shape = (num_kv_heads, grouped, num_queries, length, width, value_width)
    bad_P = np.zeros(batch * num_kv_heads, np.bool_)
    mask_BHQL = _mask_bytes(mask, num_queries, length)
    run_rows(
        attend_kernel,
        len(bad_P),
        *(flats, layouts, shape, np.float32(scale), kind, mask_BHQL, output.numpy(), bad_P),
        cost=length * (width + value_width) * (1 + grouped * num_queries // 4),
    )
    if bad_P.any():
        raise NumericsError(_OPERATOR, f"queries, keys or values [{batch}, {num_heads}, {num_queries}, {length}]")
    return output


def _memory(x: torch.Tensor) -> np.ndarray:
    """All of a tensor's storage, flat."""
    size = x.untyped_storage().nbytes() // x.element_size()
    return x.detach().as_strided((size,), (1,), 0).numpy()


def _gradients(
    gradient_BQHD: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    weights: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Section 5's products; those that contract over queries take the heads that share a key as one long row."""
    pairs, rows, length = weights.shape
    grad = gradient_BQHD.transpose(1, 2).reshape(pairs, rows, -1)
    queries = query.reshape(pairs, rows, -1)
    keys, values = key.reshape(pairs, length, -1), value.reshape(pairs, length, -1)
    of_scores = gemm.bmm(grad, values.transpose(1, 2))
    run_rows(
        gradient_kernel,
        pairs * rows,
        *(weights.view(-1, length).numpy(), of_scores.view(-1, length).numpy(), np.float32(scale)),
        cost=12 * length,
    )
    of_query = gemm.bmm(of_scores, keys).view(query.shape)
    of_key = gemm.bmm(of_scores.transpose(1, 2), queries).view(key.shape)
    of_value = gemm.bmm(weights.transpose(1, 2), grad).view(value.shape)
    return of_query, of_key, of_value
