"""Why this module exists: which of our functions must give which vectors: the ones that a training step really uses.

An operator may have several implementations (rows or columns, matrix products or key by key, alone or under
``exact``); each is held to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from verde.numerics import (
    adamw,
    attention,
    elementwise,
    gated,
    gemm,
    loss,
    noise,
    norm,
    reduce,
    rotary,
    sampling,
    slices,
)
from verde.numerics.aten_scatter import scatter_sum
from verde.numerics.kernels.attention import MASKED
from verde.numerics.mode import exact

Tensor = torch.Tensor
Outputs = Mapping[str, Any]
Implementation = Callable[..., Outputs]

OF_ONE = ("exp", "expm1", "log", "sin", "cos", "tanh", "sigmoid", "silu", "gelu_tanh", "sqrt", "rsqrt")
ARITHMETIC = ("add", "sub", "mul", "div")


def _y(function: Callable[..., Any]) -> Implementation:
    """A function whose one result is called y."""
    return lambda **inputs: {"y": function(**inputs)}


def _exactly(function: Callable[..., Any]) -> Implementation:
    """What torch computes inside ``exact``; its one result is called y."""

    def call(**inputs: Any) -> Outputs:
        with exact():
            return {"y": function(**inputs)}

    return call


def _of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The same function with arguments called a and b."""
    return lambda a, b: function(a, b)


def _broadcast(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """The function of one row against the same row laid over another axis."""
    return lambda a, b: function(a[None].expand(2, -1), b)[1]


def _gradient(function: Callable[[Tensor], Tensor]) -> Implementation:
    """The gradient that autograd takes inside ``exact``."""

    def call(g: Tensor, x: Tensor) -> Outputs:
        x = x.clone().requires_grad_()
        with exact():
            (dx,) = torch.autograd.grad(function(x), x, g)
        return {"dx": dx}

    return call


def _significands(x: Tensor) -> Outputs:
    rows, columns = slices.quantise_rows(x[None]), slices.quantise_columns(x[:, None])
    answers = []
    for quantised in (rows, columns):
        size = quantised.length
        high = quantised.part(slice(None), 0, size).to(torch.int64)
        low = quantised.part(slice(None), size, 2 * size).to(torch.int64)
        answers.append(((256 * high + low)[0], quantised.exponents_R[0].to(torch.int64)))
    return {"q": answers[0][0], "e": answers[0][1]} if torch.equal(answers[0][0], answers[1][0]) else {"q": x, "e": x}


def _layer_norm_gradients(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, ...]:
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    bias = torch.zeros_like(weight, requires_grad=True)
    with exact():
        return torch.autograd.grad(F.layer_norm(x, weight.shape, weight, bias, eps), (x, weight, bias), g)


def _layer_norm_weights(g: Tensor, x: Tensor, eps: float) -> Outputs:
    _, dw, db = _layer_norm_gradients(g, x, x.new_ones(x.shape[1]), eps)
    return {"dw": dw, "db": db}


def _softmax_backward(g: Tensor, p: Tensor) -> Outputs:
    with exact():
        return {"dx": torch.ops.aten._softmax_backward_data(g, p, -1, torch.float32)}


def _log_softmax_backward(g: Tensor, y: Tensor) -> Outputs:
    with exact():
        return {"dx": torch.ops.aten._log_softmax_backward_data(g, y, -1, torch.float32)}


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def _rms_norm_gradients(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, ...]:
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    with exact():
        return torch.autograd.grad(_rms_norm(x, weight, eps), (x, weight), g)


def _fused_rms_norm_gradients(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, ...]:
    return norm.rms_norm_backward(g, x, weight, norm.rms_norm(x, weight, eps)[1])


def _log_prob_backward(g: Tensor, x: Tensor, token: Tensor) -> Outputs:
    x = x.clone().requires_grad_()
    with exact():
        y = x.gather(1, token[:, None])[:, 0] - x.logsumexp(-1)
        return {"dx": torch.autograd.grad(y, x, g)[0]}


def _fused_log_prob_backward(g: Tensor, x: Tensor, token: Tensor) -> Outputs:
    return {"dx": loss.token_log_probs_backward(g, x, token, loss.token_log_probs(x, token)[1])}


GATES = ("silu", "gelu_tanh")


def _gate(gelu: int, x: Tensor, y: Tensor) -> Tensor:
    return (F.gelu(x, approximate="tanh") if gelu else F.silu(x)) * y


def _gated_backward(gelu: int, g: Tensor, x: Tensor, y: Tensor) -> Outputs:
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    with exact():
        dx, dy = torch.autograd.grad(_gate(gelu, x, y), (x, y), g)
    return {"dx": dx, "dy": dy}


def _fused_gated_backward(gelu: int, g: Tensor, x: Tensor, y: Tensor) -> Outputs:
    dx, dy = gated.gated_backward(GATES[gelu], g, x, y)
    return {"dx": dx, "dy": dy}


def _angles(position: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [1, L, D] of the angles at each position."""
    angles = elementwise.mul(position[:, None].float(), frequencies)
    tables = (elementwise.cos(angles), elementwise.sin(angles))
    cos, sin = (torch.cat((table, table), dim=-1)[None] for table in tables)
    return cos, sin


def _fused_rotate(x: Tensor, position: Tensor, frequencies: Tensor) -> Tensor:
    return rotary.rotate(x[None, None], *_angles(position, frequencies))[0, 0]


def _fused_rotate_backward(g: Tensor, position: Tensor, frequencies: Tensor) -> Outputs:
    return {"dx": rotary.rotate_backward(g[None, None], *_angles(position, frequencies))[0, 0]}


def _rotate_backward(g: Tensor, position: Tensor, frequencies: Tensor) -> Outputs:
    x = torch.zeros_like(g, requires_grad=True)
    with exact():
        (dx,) = torch.autograd.grad(_rotate(x, position, frequencies), x, g)
    return {"dx": dx}


def _rotate(x: Tensor, position: Tensor, frequencies: Tensor) -> Tensor:
    angles = position[:, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    half = x.shape[-1] // 2
    return x * angles.cos() + torch.cat((-x[:, half:], x[:, :half]), dim=-1) * angles.sin()


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    return attention.attend(q[None], k[None, None], v[None, None], mask, scale, is_causal=False)[0].transpose(0, 1)


def _by_products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    output, _ = attention.by_products(q[None], k[None, None], v[None, None], mask, scale, MASKED)
    return output[0].transpose(0, 1)


def _by_key(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    if q.shape[-1] == 1:
        # Contractions of one term are products of the values themselves; ``attend`` does not come here with them.
        return _by_products(q, k, v, mask, scale)
    return attention.by_key(q[None], k[None, None], v[None, None], mask, scale, MASKED)[0].transpose(0, 1)


def _attention_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Outputs:
    q, k, v = (x.clone().requires_grad_() for x in (q, k, v))
    dq, dk, dv = torch.autograd.grad(_attend(q, k, v, mask, scale), (q, k, v), g)
    return {"dq": dq, "dk": dk, "dv": dv}


def _sample(logits: Tensor, seed: int, position: Tensor, temperature: float, top_k: int) -> Outputs:
    rows = torch.zeros_like(position)
    seeds = sampling.seed_words([seed] * len(position)).to(position.device)
    arguments = {"temperature": temperature, "top_k": top_k, "row_N": rows}
    token = sampling.draw(logits[None], seeds, position, **arguments)
    claimed = sampling.draw(logits[None], seeds, position, claim_N=token.flip(0), **arguments)
    return {"token": token if torch.equal(token, claimed) else token - len(logits)}


def _clip(a: Tensor, b: Tensor, max_norm: float) -> Outputs:
    factor, _ = adamw.clip_factor([a, b], np.float32(max_norm))
    return {"a": elementwise.mul(a, float(factor)), "b": elementwise.mul(b, float(factor))}


def _adamw(p: Tensor, g: Tensor, lr: float, weight_decay: float) -> Outputs:
    p, m, v = p.clone(), torch.zeros_like(p), torch.zeros_like(p)
    rates = adamw.Rates(np.float32(lr), np.float32(weight_decay), np.float32(0))
    for step, gradient in enumerate(g, start=1):
        adamw.update([p], [m], [v], [gradient], step, np.float32(1), rates)
    return {"p": p, "m": m, "v": v}


IMPLEMENTATIONS: Mapping[str, Mapping[str, Implementation]] = {
    **{name: {"elementwise": _y(getattr(elementwise, name))} for name in OF_ONE},
    **{
        name: {
            "elementwise": _y(getattr(elementwise, name)),
            "elementwise, broadcast": _y(_broadcast(getattr(elementwise, name))),
            "exact": _exactly(_of_two(getattr(torch, name))),
        }
        for name in ARITHMETIC
    },
    "silu_backward": {
        "elementwise": lambda g, x: {"dx": elementwise.silu_backward(g, x)},
        "exact": _gradient(F.silu),
    },
    "gelu_tanh_backward": {
        "elementwise": lambda g, x: {"dx": elementwise.gelu_tanh_backward(g, x)},
        "exact": _gradient(lambda x: F.gelu(x, approximate="tanh")),
    },
    "in": {"elementwise": _y(lambda x: elementwise.flush_(x.clone()))},
    "sum": {
        "all": _y(lambda x: reduce.sum_all(x)),
        "rows": _y(lambda x: reduce.sum_rows(x[None])[0]),
        "columns": _y(lambda x: reduce.sum_columns(x[:, None])[0]),
        "scatter": _y(lambda x: scatter_sum(x.new_zeros(len(x), dtype=torch.int64), x[:, None], 1)[0, 0]),
        "exact": _exactly(lambda x: x.sum()),
    },
    "mean": {"exact": _exactly(lambda x: x.mean())},
    "scatter": {
        "scatter_sum": _y(lambda size, index, x: scatter_sum(index, x[:, None], size)[:, 0]),
        "exact": _exactly(lambda size, index, x: x.new_zeros(size).index_add(0, index, x)),
    },
    "model_norm": {"reduce": _y(lambda a, b: reduce.model_norm([a, b]))},
    "significands": {"slices": _significands},
    "matmul": {
        "matmul": _y(lambda a, b: gemm.matmul(a, b)),
        "linear": _y(lambda a, b: gemm.linear(a, b.T)),
        "linear, contiguous": _y(lambda a, b: gemm.linear(a, b.T.contiguous())),
        "bmm": _y(lambda a, b: gemm.bmm(a[None], b[None])[0]),
        "transposed": _y(lambda a, b: gemm.matmul(b.T, a.T).T),
        "exact": _exactly(lambda a, b: a @ b),
    },
    "rms_norm": {
        "exact": _exactly(_rms_norm),
        "norm": _y(lambda x, weight, eps: norm.rms_norm(x, weight, eps)[0]),
    },
    "rms_norm_backward": {
        "exact": lambda **inputs: {"dx": _rms_norm_gradients(**inputs)[0]},
        "norm": lambda **inputs: {"dx": _fused_rms_norm_gradients(**inputs)[0]},
    },
    "rms_norm_weight": {
        "exact": lambda g, x, eps: {"dw": _rms_norm_gradients(g, x, x.new_ones(x.shape[1]), eps)[1]},
        "norm": lambda g, x, eps: {"dw": _fused_rms_norm_gradients(g, x, x.new_ones(x.shape[1]), eps)[1]},
    },
    "layer_norm": {"exact": _exactly(lambda x, weight, bias, eps: F.layer_norm(x, weight.shape, weight, bias, eps))},
    "layer_norm_backward": {"exact": lambda **inputs: {"dx": _layer_norm_gradients(**inputs)[0]}},
    "layer_norm_weights": {"exact": _layer_norm_weights},
    "softmax": {"exact": _exactly(lambda x: x.softmax(-1))},
    "softmax_backward": {"exact": _softmax_backward},
    "log_softmax": {"exact": _exactly(lambda x: x.log_softmax(-1))},
    "log_softmax_backward": {"exact": _log_softmax_backward},
    "logsumexp": {"exact": _exactly(lambda x: x.logsumexp(-1))},
    "log_prob": {
        "exact": _exactly(lambda x, token: x.gather(1, token[:, None])[:, 0] - x.logsumexp(-1)),
        "loss": _y(lambda x, token: loss.token_log_probs(x, token)[0]),
    },
    "log_prob_backward": {"exact": _log_prob_backward, "loss": _fused_log_prob_backward},
    "gated": {"exact": _exactly(_gate), "gated": _y(lambda gelu, x, y: gated.gated(GATES[gelu], x, y))},
    "gated_backward": {"exact": _gated_backward, "gated": _fused_gated_backward},
    "attention": {"attend": _y(_attend), "products": _y(_by_products), "key by key": _y(_by_key)},
    "attention_backward": {"attend": _attention_backward},
    "inv_freq": {"noise": _y(noise.inv_freq)},
    "rotate": {"exact": _exactly(_rotate), "rotary": _y(_fused_rotate)},
    "rotate_backward": {"exact": _rotate_backward, "rotary": _fused_rotate_backward},
    "words": {"noise": _y(lambda **inputs: noise.words(**inputs).astype("int64"))},
    "gumbel": {"noise": _y(noise.gumbel)},
    "sample": {"draw": _sample},
    "clip": {"clip_factor": _clip},
    "adamw": {"update": _adamw},
    "initial": {"noise": _y(lambda seed, size, std, mean: noise.initial(seed, (size,), std, mean))},
}
