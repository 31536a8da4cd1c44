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

from verde.numerics import adamw, attention, elementwise, gemm, noise, reduce, sampling, slices
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
    _, dw, db = _layer_norm_gradients(g, x, torch.ones(x.shape[1]), eps)
    return {"dw": dw, "db": db}


def _softmax_backward(g: Tensor, p: Tensor) -> Outputs:
    with exact():
        return {"dx": torch.ops.aten._softmax_backward_data(g, p, -1, torch.float32)}


def _log_softmax_backward(g: Tensor, y: Tensor) -> Outputs:
    with exact():
        return {"dx": torch.ops.aten._log_softmax_backward_data(g, y, -1, torch.float32)}


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


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
    return attention.by_key(q[None], k[None, None], v[None, None], mask, scale, MASKED)[0].transpose(0, 1)


def _attention_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Outputs:
    q, k, v = (x.clone().requires_grad_() for x in (q, k, v))
    dq, dk, dv = torch.autograd.grad(_attend(q, k, v, mask, scale), (q, k, v), g)
    return {"dq": dq, "dk": dk, "dv": dv}


def _sample(logits: Tensor, seed: int, position: Tensor, temperature: float, top_k: int) -> Outputs:
    rows = torch.zeros_like(position)
    seeds = sampling.seed_words([seed] * len(position))
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
        "scatter": _y(lambda x: scatter_sum(torch.zeros(len(x), dtype=torch.int64), x[:, None], 1)[0, 0]),
        "exact": _exactly(lambda x: x.sum()),
    },
    "mean": {"exact": _exactly(lambda x: x.mean())},
    "scatter": {
        "scatter_sum": _y(lambda size, index, x: scatter_sum(index, x[:, None], size)[:, 0]),
        "exact": _exactly(lambda size, index, x: torch.zeros(size).index_add(0, index, x)),
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
    "rms_norm": {"exact": _exactly(_rms_norm)},
    "layer_norm": {"exact": _exactly(lambda x, weight, bias, eps: F.layer_norm(x, weight.shape, weight, bias, eps))},
    "layer_norm_backward": {"exact": lambda **inputs: {"dx": _layer_norm_gradients(**inputs)[0]}},
    "layer_norm_weights": {"exact": _layer_norm_weights},
    "softmax": {"exact": _exactly(lambda x: x.softmax(-1))},
    "softmax_backward": {"exact": _softmax_backward},
    "log_softmax": {"exact": _exactly(lambda x: x.log_softmax(-1))},
    "log_softmax_backward": {"exact": _log_softmax_backward},
    "logsumexp": {"exact": _exactly(lambda x: x.logsumexp(-1))},
    "attention": {"attend": _y(_attend), "products": _y(_by_products), "key by key": _y(_by_key)},
    "attention_backward": {"attend": _attention_backward},
    "inv_freq": {"noise": _y(noise.inv_freq)},
    "rotate": {"exact": _exactly(_rotate)},
    "words": {"noise": _y(lambda **inputs: noise.words(**inputs).astype("int64"))},
    "gumbel": {"noise": _y(noise.gumbel)},
    "sample": {"draw": _sample},
    "clip": {"clip_factor": _clip},
    "adamw": {"update": _adamw},
    "initial": {"noise": _y(lambda seed, size, std, mean: noise.initial(seed, (size,), std, mean))},
}
