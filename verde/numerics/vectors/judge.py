"""Why this module exists: the oracle's answer to a case: operator and named inputs in, named outputs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verde.numerics.oracle import (
    attention,
    contraction,
    elementwise,
    initialisation,
    norms,
    optimiser,
    rotary,
    rounding,
    sampling,
    softmax,
    sums,
    transcendental,
)

Outputs = dict[str, Any]
OF_ONE = ("exp", "expm1", "log", "sin", "cos", "tanh", "sigmoid", "silu", "gelu_tanh", "sqrt", "rsqrt")
OF_TWO = ("add", "sub", "mul", "div")
GRADIENTS = ("silu_backward", "gelu_tanh_backward")


def _of_one(name: str) -> Callable[..., Outputs]:
    function = getattr(transcendental, name, None) or getattr(elementwise, name)
    return lambda x: {"y": [function(one) for one in x]}


def _of_two(name: str) -> Callable[..., Outputs]:
    function = getattr(elementwise, name)
    return lambda a, b: {"y": [function(*pair) for pair in zip(a, b, strict=True)]}


def _gradient(name: str) -> Callable[..., Outputs]:
    function = getattr(elementwise, name)
    return lambda g, x: {"dx": [function(*pair) for pair in zip(g, x, strict=True)]}


def _rows(function: Callable[..., list[float]], per_row: tuple[str, ...], result: str) -> Callable[..., Outputs]:
    """A function of rows for matrices: inputs named in ``per_row`` are taken row by row, the others whole."""

    def of_matrix(**inputs: Any) -> Outputs:
        count = len(inputs[per_row[0]])
        fixed = {name: value for name, value in inputs.items() if name not in per_row}
        return {result: [function(**{name: inputs[name][i] for name in per_row}, **fixed) for i in range(count)]}

    return of_matrix


def _significands(x: list[float]) -> Outputs:
    q, e = contraction.significands(x)
    return {"q": q, "e": e}


def _layer_norm_weights(g: Any, x: Any, eps: float) -> Outputs:
    dw, db = norms.layer_norm_weight_gradients(g, x, eps)
    return {"dw": dw, "db": db}


def _attention(q: Any, k: Any, v: Any, mask: Any, scale: float) -> Outputs:
    rows = [
        [attention.attend(one, k, v, allowed, scale) for one, allowed in zip(head, mask, strict=True)] for head in q
    ]
    return {"y": rows}


def _attention_backward(g: Any, q: Any, k: Any, v: Any, mask: Any, scale: float) -> Outputs:
    dq, dk, dv = attention.attend_backward(g, q, k, v, mask, scale)
    return {"dq": dq, "dk": dk, "dv": dv}


GATES = (
    (elementwise.silu, elementwise.silu_backward),
    (elementwise.gelu_tanh, elementwise.gelu_tanh_backward),
)


def _gated(gelu: int, x: Any, y: Any) -> Outputs:
    function, _ = GATES[gelu]
    return {"y": [elementwise.mul(function(a), b) for a, b in zip(x, y, strict=True)]}


def _gated_backward(gelu: int, g: Any, x: Any, y: Any) -> Outputs:
    function, gradient = GATES[gelu]
    triples = list(zip(g, x, y, strict=True))
    return {
        "dx": [gradient(elementwise.mul(c, b), a) for c, a, b in triples],
        "dy": [elementwise.mul(c, function(a)) for c, a, _ in triples],
    }


def _clip(a: Any, b: Any, max_norm: float) -> Outputs:
    a, b = optimiser.clip([a, b], max_norm)
    return {"a": a, "b": b}


def _adamw(p: list[float], g: Any, lr: float, weight_decay: float) -> Outputs:
    """``g`` is [steps, N]: the gradients of steps 1, 2, …"""
    moments = [optimiser.Moments()] * len(p)
    for row in g:
        after = [optimiser.adamw(*one, lr, weight_decay) for one in zip(p, row, moments, strict=True)]
        p, moments = [x for x, _ in after], [m for _, m in after]
    return {"p": p, "m": [m.m for m in moments], "v": [m.v for m in moments]}


ORACLE: dict[str, Callable[..., Outputs]] = {
    **{name: _of_one(name) for name in OF_ONE},
    **{name: _of_two(name) for name in OF_TWO},
    **{name: _gradient(name) for name in GRADIENTS},
    "in": lambda x: {"y": [rounding.into(one) for one in x]},
    "sum": lambda x: {"y": sums.total(x)},
    "mean": lambda x: {"y": sums.mean(x)},
    "scatter": lambda size, index, x: {"y": sums.scatter(size, index, x)},
    "model_norm": lambda a, b: {"y": sums.model_norm([a, b])},
    "significands": _significands,
    "matmul": lambda a, b: {"y": contraction.matmul(a, b)},
    "rms_norm": _rows(norms.rms_norm, ("x",), "y"),
    "rms_norm_backward": _rows(norms.rms_norm_backward, ("g", "x"), "dx"),
    "rms_norm_weight": lambda g, x, eps: {"dw": norms.rms_norm_weight_gradient(g, x, eps)},
    "layer_norm": _rows(norms.layer_norm, ("x",), "y"),
    "layer_norm_backward": _rows(norms.layer_norm_backward, ("g", "x"), "dx"),
    "layer_norm_weights": _layer_norm_weights,
    "softmax": _rows(softmax.softmax, ("x",), "y"),
    "softmax_backward": _rows(softmax.softmax_backward, ("g", "p"), "dx"),
    "log_softmax": _rows(softmax.log_softmax, ("x",), "y"),
    "log_softmax_backward": _rows(softmax.log_softmax_backward, ("g", "y"), "dx"),
    "logsumexp": lambda x: {"y": [softmax.logsumexp(row) for row in x]},
    "log_prob": _rows(softmax.token_log_prob, ("x", "token"), "y"),
    "log_prob_backward": _rows(softmax.token_log_prob_backward, ("g", "x", "token"), "dx"),
    "gated": _gated,
    "gated_backward": _gated_backward,
    "attention": _attention,
    "attention_backward": _attention_backward,
    "inv_freq": lambda base, dim: {"y": rotary.inv_freq(base, dim)},
    "rotate": lambda x, position, frequencies: {
        "y": [rotary.rotate(row, at, frequencies) for row, at in zip(x, position, strict=True)]
    },
    "rotate_backward": lambda g, position, frequencies: {
        "dx": [rotary.rotate_backward(row, at, frequencies) for row, at in zip(g, position, strict=True)]
    },
    "words": lambda seed, position, size: {"y": [sampling.word(seed, position, v) for v in range(size)]},
    "gumbel": lambda seed, position, size: {
        "y": [transcendental.gumbel(sampling.word(seed, position, v)) for v in range(size)]
    },
    "sample": lambda logits, seed, position, temperature, top_k: {
        "token": [sampling.sample(logits, seed, at, temperature, top_k) for at in position]
    },
    "initial": lambda seed, size, std, mean: {
        "y": [initialisation.element(seed, i, std, mean) for i in range(size)]
    },
    "clip": _clip,
    "adamw": _adamw,
}  # fmt: skip
