"""Why this module exists: attention and its gradient (docs/exact-1.md section 5) on a device, by products of doubles.

Significands are exact doubles and so is every sum of their products, so batched products of doubles are one route for
all devices. Shapes: B batch, H query heads, N key-value heads, G = H / N, Q queries, L keys, D width of a head,
P = B · N pairs.
"""

from __future__ import annotations

import torch

from verde.numerics.place import require_numbers
from verde.numerics.portable import route
from verde.numerics.portable.products import bmm, quantised_pairs, rounded_pairs
from verde.numerics.portable.rows import sum_along
from verde.numerics.portable.scalar import div, exp, mul, power_of_two, sub

Tensor = torch.Tensor

CAUSAL = 1


def forward(
    query_BHQD: Tensor, key_BNLD: Tensor, value_BNLD: Tensor, mask: Tensor | None, scale: float, kind: int
) -> tuple[Tensor, Tensor]:
    """(output [B, Q, H, D], weights [P, G·Q, L]); arguments as in ``verde.numerics.attention``."""
    batch, num_heads, num_queries, _ = query_BHQD.shape
    num_kv_heads, length, width = value_BNLD.shape[1:]
    pairs = batch * num_kv_heads
    vq, token_exponents = quantised_pairs(value_BNLD.reshape(pairs, length, width), 2)
    scores = _scores(query_BHQD, key_BNLD)
    weights, uq, e = _weights(scores, mask, scale, kind, (batch, num_heads, num_queries), token_exponents)
    output = rounded_pairs(uq, vq, e, None).view(batch, num_heads, num_queries, width)
    return output.transpose(1, 2).contiguous(), weights


def weights_of(query_BHQD: Tensor, key_BNLD: Tensor, mask: Tensor | None, scale: float, kind: int) -> Tensor:
    """Attention weights [P, G·Q, L], 0 where masked."""
    batch, num_heads, num_queries, _ = query_BHQD.shape
    scores = _scores(query_BHQD, key_BNLD)
    none = torch.zeros((len(scores), scores.shape[2], 1), dtype=torch.int64, device=scores.device)
    return _weights(scores, mask, scale, kind, (batch, num_heads, num_queries), none)[0]


def _scores(query_BHQD: Tensor, key_BNLD: Tensor) -> Tensor:
    """DOT of every query with every key that it shares a head with: [P, G·Q, L]."""
    length, width = key_BNLD.shape[2:]
    keys = key_BNLD.reshape(-1, length, width)
    return bmm(query_BHQD.reshape(len(keys), -1, width), keys.transpose(1, 2))


def _weights(
    scores: Tensor, mask: Tensor | None, scale: float, kind: int, sizes: tuple[int, int, int], token_exponents: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(weights, quantise(w · 2^E) as doubles, their exponents) of scores [P, G·Q, L]; ``sizes`` = (B, H, Q)."""
    batch, num_heads, num_queries = sizes
    pairs, _, length = scores.shape
    fused = route.kernels(scores.device)
    if fused is not None and scores.numel() and fused.takes_rows(length):
        mask_BHQL = None if mask is None else _seen(mask, kind, num_queries, length, scores.device)
        is_causal = mask is None and kind == CAUSAL
        uq, e = fused.attention_weights(scores, mask_BHQL, scale, is_causal, sizes[1:], token_exponents)
        return scores, uq, e
    seen = _seen(mask, kind, num_queries, length, scores.device)
    scores = mul(scores, scale).view(batch, num_heads, num_queries, length)
    if seen is None:
        powers = exp(sub(scores, scores.amax(-1, keepdim=True)))
    else:
        seen = seen.expand(scores.shape)
        most = torch.where(seen, scores, -torch.inf).amax(-1, keepdim=True)
        # What is not seen is set to the largest before the exponential: it must not overflow.
        powers = torch.where(seen, exp(sub(torch.where(seen, scores, most), most)), 0.0)
        powers = torch.where(seen.any(-1, keepdim=True), powers, 0.0)
    total = sum_along(powers, -1, keepdim=True)
    weights = torch.where(total == 0, 0.0, div(powers, torch.where(total == 0, 1.0, total)))
    require_numbers("attention", f"scores [{batch}, {num_heads}, {num_queries}, {length}]", weights)
    weights = weights.view(pairs, -1, length)
    return weights, *_scaled_weights(weights, token_exponents)


def _seen(mask: Tensor | None, kind: int, num_queries: int, length: int, device: torch.device) -> Tensor | None:
    """Which keys a query sees, to be broadcast to [B, H, Q, L]; ``None``: all."""
    if mask is not None:
        return mask[(None,) * (4 - mask.dim())][..., :length]
    if kind == CAUSAL:
        positions = torch.arange(max(length, num_queries), device=device)
        return (positions[None, :length] <= positions[:num_queries, None])[None, None]
    return None


def _scaled_weights(weights: Tensor, token_exponents: Tensor) -> tuple[Tensor, Tensor]:
    """uq = quantise(w · 2^E) as doubles, and the exponents [P, rows, 1]."""
    u = weights.double() * power_of_two(token_exponents).transpose(1, 2)
    most = u.amax(-1, keepdim=True)
    e = torch.where(most == 0, 0, (most.view(torch.int64) >> 52) - 1022)
    e = e + (torch.round(most * power_of_two(15 - e)) > 32639.0).to(torch.int64)
    # Two factors: the scale alone may lie beyond the doubles when all values are tiny.
    first = (15 - e) >> 1
    return torch.round(u * power_of_two(first) * power_of_two(15 - e - first)), e


def backward(
    gradient_BQHD: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values."""
    pairs, rows, length = weights.shape
    grad = gradient_BQHD.transpose(1, 2).reshape(pairs, rows, -1)
    queries = query.reshape(pairs, rows, -1)
    keys, values = key.reshape(pairs, length, -1), value.reshape(pairs, length, -1)
    of_weights = bmm(grad, values.transpose(1, 2))
    fused = route.kernels(weights.device)
    if fused is not None and weights.numel() and fused.takes_rows(length):
        of_scores = fused.attention_gradient(weights, of_weights, scale)
    else:
        total = sum_along(mul(weights, of_weights), -1, keepdim=True)
        of_scores = mul(mul(weights, sub(of_weights, total)), scale)
        require_numbers("attention", f"gradients of shape {list(weights.shape)}", of_scores)
    of_query = bmm(of_scores, keys)
    of_key = bmm(of_scores.transpose(1, 2), queries)
    of_value = bmm(weights.transpose(1, 2), grad)
    return of_query.view(query.shape), of_key.view(key.shape), of_value.view(value.shape)
