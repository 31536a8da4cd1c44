"""Why this module exists: attention whose mask leaves each query few keys is computed over those keys alone.

The bits are those of ``verde.numerics.attention`` by matrix products (docs/exact-1.md, section 5: both steps look at
allowed tokens only, and no sum depends on an order); see ``kernels/spans`` for the layout. On the host only.

Shapes: B batch, H query heads, N key-value heads, Q queries, L keys, D width of a head.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics.kernels.spans import attend_spans_kernel, find_spans_kernel, span_gradients_kernel
from verde.numerics.threads import run_rows

_latest = threading.local()

_MOST_SPANS = 4
_SPARSE = 3
"""A key by itself costs some three times what it costs in a matrix product."""


@dataclass(frozen=True)
class Spans:
    """Per query of each batch (B·Q of them): spans of keys [.., S, 2], how many, and keys of all queries before it."""

    spans: np.ndarray
    counts: np.ndarray
    offsets: np.ndarray

    @property
    def num_seen(self) -> int:
        """Pairs of a query and a key that it sees, of one head."""
        return int(self.offsets[-1])


@dataclass(frozen=True)
class _Known:
    """What was found in a mask, for as long as that tensor lives unchanged (its version tells)."""

    mask: weakref.ref[torch.Tensor]
    about: tuple[int, ...]
    spans: Spans | None


def spans_of(mask: torch.Tensor, batch: int, num_queries: int, length: int) -> Spans | None:
    """What a boolean mask [B or 1, H or 1, Q, L] lets queries see; ``None`` where whole products cost less, or where
    heads differ or queries see keys in many places. The layers of a model share a mask: the latest is remembered."""
    if mask.is_inference():  # nobody could tell whether it changed
        return _look_for_spans(mask, batch, num_queries, length)
    about = (mask._version, batch, num_queries, length)
    known: _Known | None = getattr(_latest, "known", None)
    if known is None or known.mask() is not mask or known.about != about:
        found = _look_for_spans(mask, batch, num_queries, length)
        known = _latest.known = _Known(weakref.ref(mask), about, found)
    return known.spans


def _look_for_spans(mask: torch.Tensor, batch: int, num_queries: int, length: int) -> Spans | None:
    mask = mask[(None,) * (4 - mask.dim())][..., :length]
    if mask.shape[1] > 1:
        return None
    mask = mask.expand(batch, 1, num_queries, length)
    if int(torch.count_nonzero(mask)) * _SPARSE > mask.numel():
        return None
    mask_NL = mask.reshape(-1, length).contiguous().view(torch.uint8).numpy()
    spans = np.zeros((len(mask_NL), _MOST_SPANS, 2), np.int32)
    counts = np.zeros(len(mask_NL), np.int32)
    run_rows(find_spans_kernel, len(mask_NL), mask_NL, spans, counts, cost=length)
    if counts.max(initial=0) > _MOST_SPANS:
        return None
    offsets = np.zeros(len(mask_NL) + 1, np.int64)
    np.cumsum((spans[:, :, 1] - spans[:, :, 0]).sum(1), out=offsets[1:])
    return Spans(spans, counts, offsets)


def forward(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, spans: Spans, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(output [B, Q, H, D of a value], weights of what is seen, flat). Heads are at least two wide.

    Raises ``NumericsError`` for NaN and infinity.
    """
    inputs = _by_pair(query, key, value)
    batch, num_heads, num_queries, _ = query.shape
    sizes = (key.shape[1], num_heads // key.shape[1], num_queries)
    pairs, rows, _ = inputs[0].shape
    weights = torch.empty(num_heads * spans.num_seen)
    out_PRE, bad_P = torch.empty(pairs, rows, value.shape[3]), np.zeros(pairs, np.bool_)
    run_rows(
        attend_spans_kernel,
        pairs,
        *(tuple(x.numpy() for x in inputs), _arrays(spans), sizes, np.float32(scale)),
        *(weights.numpy(), out_PRE.numpy(), bad_P),
        cost=_cost(spans, query, batch),
    )
    _refuse(bad_P, query, key)
    by_head = out_PRE.view(batch, num_heads, num_queries, value.shape[3])
    return by_head.transpose(1, 2).contiguous(), weights


def backward(
    gradient_BQHE: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    weights: torch.Tensor,
    spans: Spans,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of queries, keys and values, from the weights that ``forward`` gave. Errors alike."""
    inputs = _by_pair(query, key, value)
    pairs, rows, _ = inputs[0].shape
    gradient = gradient_BQHE.transpose(1, 2).reshape(pairs, rows, -1).contiguous()
    sizes = (key.shape[1], query.shape[1] // key.shape[1], query.shape[2])
    outputs, bad_P = tuple(torch.empty_like(x) for x in inputs), np.zeros(pairs, np.bool_)
    run_rows(
        span_gradients_kernel,
        pairs,
        *(tuple(x.numpy() for x in inputs), gradient.numpy(), _arrays(spans), sizes, np.float32(scale)),
        *(weights.numpy(), tuple(x.numpy() for x in outputs), bad_P),
        cost=2 * _cost(spans, query, len(query)),
    )
    _refuse(bad_P, query, key)
    of_query, of_key, of_value = outputs
    return of_query.view(query.shape), of_key.view(key.shape), of_value.view(value.shape)


def _by_pair(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """[B·N, rows, D] each, contiguous: queries of the heads that share a key one after the other."""
    pairs = key.shape[0] * key.shape[1]
    return tuple(x.detach().reshape(pairs, -1, x.shape[3]).contiguous() for x in (query, key, value))


def _arrays(spans: Spans) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return spans.spans, spans.counts, spans.offsets


def _cost(spans: Spans, query: torch.Tensor, batch: int) -> int:
    """About how many elements a pair reads and writes."""
    return spans.num_seen * query.shape[3] * query.shape[1] // max(1, batch)


def _refuse(bad_P: np.ndarray, query: torch.Tensor, key: torch.Tensor) -> None:
    if bad_P.any():
        raise NumericsError("attention", f"queries {list(query.shape)}, keys or values {list(key.shape)}")
