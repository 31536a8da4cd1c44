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
from verde.numerics import batched, gemm, spans
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
from verde.numerics.place import on_host
from verde.numerics.portable import attention as portable
from verde.numerics.threads import run_rows

_OPERATOR = "attention"

_FEW_ROWS = 16
"""Up to this many query rows per key a pass over the keys is cheaper than a matrix product."""

_KEEP_ELEMENTS = 1 << 22
"""Weights of at most so many elements are kept for the backward pass; more are computed again."""

_KEEP_ELEMENTS_ON_DEVICE = 1 << 28

_BATCHED_PRODUCTS = 1 << 21
"""Up to so many products per pair (batch, key-value head), all pairs are multiplied at once as doubles."""

_NO_PLANES, _NO_WHOLE = np.empty((0, 0), np.int8), np.empty((0, 0))
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
            if on_host(query) and grouped <= _FEW_ROWS and query.shape[3] > 1 and not needs_gradient:
                return by_key(query, key, value, mask, scale, kind)
            ctx.spans = seen = _spans(query, key, value, mask, kind)
            if seen is not None:
                query, key, value = query.contiguous(), key.contiguous(), value.contiguous()  # once, for both ways
                output, weights = spans.forward(query, key, value, seen, scale)
                if needs_gradient:
                    ctx.save_for_backward(query, key, value, None, weights)
                return output
            output, weights = by_products(query, key, value, mask, scale, kind)
            if needs_gradient:
                most = _KEEP_ELEMENTS if on_host(query) else _KEEP_ELEMENTS_ON_DEVICE
                kept = weights if weights.numel() <= most else None
                ctx.save_for_backward(query, key, value, mask, kept)
            return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            query, key, value, mask, weights = ctx.saved_tensors
            if ctx.spans is not None:
                return (*spans.backward(gradient, query, key, value, weights, ctx.spans, ctx.scale), None, None, None)
            if weights is None:
                weights = _weights_again(query, key, mask, ctx.scale, ctx.kind)
            if not on_host(query):
                return (*portable.backward(gradient, query, key, value, weights, ctx.scale), None, None, None)
            return (*_gradients(gradient, query, key, value, weights, ctx.scale), None, None, None)


def _spans(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, kind: int
) -> spans.Spans | None:
    """The keys that queries see, where they are few. Contractions of one term are never quantised: not those."""
    num_queries, width = query.shape[2:]
    length, value_width = value.shape[2:]
    if mask is None or kind != MASKED or not on_host(query) or min(num_queries, length, width, value_width) < 2:
        return None
    return spans.spans_of(mask, len(query), num_queries, length)


def by_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float, kind: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(output [B, Q, H, D], weights [B·N, G·Q, L]) by matrix products; arguments as in the kernel's text."""
    if not on_host(query):
        return portable.forward(query, key, value, mask, scale, kind)
    batch, num_heads, num_queries, _ = query.shape
    num_kv_heads, length, width = value.shape[1:]
    pairs, rows = batch * num_kv_heads, num_heads // num_kv_heads * num_queries
    scores = _scores(query, key)
    values, exponents = value.reshape(pairs, length, width), torch.empty(pairs * rows, dtype=torch.int32)
    task = (scores, mask, scale, kind, (batch, num_heads, num_queries))
    if _is_short(rows, length, query.shape[3], width):
        whole, uq = batched.rows(values), torch.empty(pairs * rows, length, dtype=torch.float64)
        _to_weights(*task, whole.exponents, (_NO_PLANES, uq.numpy(), exponents.numpy()))
        # The tokens' exponents are in the weights already: as columns, values have none of their own.
        unscaled = torch.zeros(pairs, width, dtype=torch.int32)
        output = batched.product(uq.view(pairs, rows, length), whole.values, exponents.view(pairs, rows), unscaled)
    else:
        planes = torch.empty(pairs * rows, 3 * length, dtype=torch.int8)
        tokens = [gemm.quantise_rows(value_LD, copies=2) for value_LD in values]
        own = torch.stack([token_values.exponents_R for token_values in tokens])
        _to_weights(*task, own, (planes.numpy(), _NO_WHOLE, exponents.numpy()))
        output = torch.empty(pairs, rows, width)
        for pair, token_values in enumerate(tokens):
            at = slice(pair * rows, (pair + 1) * rows)
            stacked = token_values.planes.view(length, 2, width).transpose(0, 1).reshape(2 * length, width)
            right = Quantised(stacked, torch.zeros(width, dtype=torch.int32), length, 2, False)
            gemm.multiply(Quantised(planes[at], exponents[at], length, 3, True), right, output[pair])
    by_head = output.view(batch, num_heads, num_queries, width)
    return by_head.transpose(1, 2).contiguous(), scores


def _is_short(rows: int, length: int, width: int, value_width: int) -> bool:
    """Whether batched products of doubles pay; contractions of one term are never quantised, which they would do."""
    return min(rows, length, width, value_width) > 1 and rows * length * max(width, value_width) <= _BATCHED_PRODUCTS


def _scores(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """DOT of every query with every key that it shares a head with: [B·N, G·Q, L]."""
    length, width = key.shape[2:]
    keys = key.reshape(-1, length, width)
    queries = query.reshape(len(keys), -1, width)
    return _rows_by_rows(queries, keys, _is_short(queries.shape[1], length, width, width))


def _to_weights(
    scores: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    kind: int,
    sizes: tuple[int, int, int],
    token_exponents: torch.Tensor,
    uq: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Scores [B·N, G·Q, L] become weights in place. ``sizes`` = (B, H, Q); ``uq`` as in the kernel."""
    batch, num_heads, num_queries = sizes
    length = scores.shape[2]
    bad_R = np.zeros(batch * num_heads * num_queries, np.bool_)
    exponent_BNL = token_exponents.view(batch, -1, length).numpy()
    mask_BHQL = _mask_bytes(mask, num_queries, length)
    run_rows(
        weights_kernel,
        len(bad_R),
        *(scores.view(-1, length).numpy(), np.float32(scale), kind, mask_BHQL),
        *(num_heads, num_queries, exponent_BNL, uq, bad_R),
        cost=16 * length,
    )
    if bad_R.any():
        raise NumericsError(_OPERATOR, f"scores [{batch}, {num_heads}, {num_queries}, {length}]")


def _weights_again(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scale: float, kind: int
) -> torch.Tensor:
    """What ``by_products`` gives as weights, without the output."""
    if not on_host(query):
        return portable.weights_of(query, key, mask, scale, kind)
    scores = _scores(query, key)
    none = torch.zeros(key.shape[:3], dtype=torch.int32)
    uq = (_NO_PLANES, _NO_WHOLE, np.empty(0, np.int32))
    _to_weights(scores, mask, scale, kind, (query.shape[0], query.shape[1], query.shape[2]), none, uq)
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
    """The output of ``by_products`` [B, Q, H, D] without any matrix product, straight from the caches' memory.

    Raises ``NotReproducible`` for heads of width one, whose scores are products that are not quantised.
    """
    batch, num_heads, num_queries, width = query.shape
    if width == 1:
        raise NotReproducible("attention key by key with heads of width one", "such scores are not quantised")
    if not on_host(query):
        return portable.forward(query, key, value, mask, scale, kind)[0]
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
    short = _is_short(rows, length, queries.shape[2], values.shape[2])
    of_scores = _rows_by_rows(grad, values, short)
    run_rows(
        gradient_kernel,
        pairs * rows,
        *(weights.view(-1, length).numpy(), of_scores.view(-1, length).numpy(), np.float32(scale)),
        cost=12 * length,
    )
    if not short:
        of_query = gemm.bmm(of_scores, keys)
        of_key = gemm.bmm(of_scores.transpose(1, 2), queries)
        of_value = gemm.bmm(weights.transpose(1, 2), grad)
        return of_query.view(query.shape), of_key.view(key.shape), of_value.view(value.shape)
    left, right = batched.rows(of_scores), batched.columns(keys)
    of_query = batched.product(left.values, right.values, left.exponents, right.exponents)
    left, right = batched.columns(of_scores), batched.columns(queries)
    of_key = batched.product(left.values.transpose(1, 2), right.values, left.exponents, right.exponents)
    left, right = batched.columns(weights), batched.columns(grad)
    of_value = batched.product(left.values.transpose(1, 2), right.values, left.exponents, right.exponents)
    return of_query.view(query.shape), of_key.view(key.shape), of_value.view(value.shape)


def _rows_by_rows(left: torch.Tensor, right: torch.Tensor, short: bool) -> torch.Tensor:
    """Each row of the left with each row of the right matrix of a pair."""
    if not short:
        return gemm.bmm(left, right.transpose(1, 2))
    a, b = batched.rows(left), batched.rows(right)
    return batched.product(a.values, b.values.transpose(1, 2), a.exponents, b.exponents)
