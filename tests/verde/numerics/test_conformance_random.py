"""Questions that nobody wrote down: random shapes and numbers, every implementation against the oracle."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from protocol.errors import NumericsError
from verde.numerics.conformance import decoded
from verde.numerics.conformance_table import IMPLEMENTATIONS
from verde.numerics.oracle.rounding import NotANumber
from verde.numerics.vectors.encoding import encode, number
from verde.numerics.vectors.judge import ORACLE

Inputs = dict[str, Any]


class Dice:
    """Random inputs of one case; ``spread`` is how many binades its numbers cover."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.centre = self.random.choice([127, 127, 127, 120, 100, 150])
        self.spread = self.random.choice([1, 3, 8, 20])

    def size(self, most: int = 9) -> int:
        return self.random.randint(1, most)

    def one(self, centre: int | None = None) -> float:
        if self.random.random() < 0.08:
            return 0.0
        field = (centre or self.centre) - self.random.randrange(self.spread)
        mantissa = self.random.choice([0, 0x7FFFFF, self.random.getrandbits(23), self.random.getrandbits(4) << 19])
        return number(self.random.getrandbits(1) << 31 | max(1, field) << 23 | mantissa)

    def row(self, length: int, centre: int | None = None) -> list[float]:
        return [self.one(centre) for _ in range(length)]

    def matrix(self, rows: int, length: int, centre: int | None = None) -> list[list[float]]:
        return [self.row(length, centre) for _ in range(rows)]


def attention_inputs(d: Dice, gradient: bool) -> Inputs:
    heads, queries, keys, width = d.size(3), d.size(5), d.size(7), d.random.choice([1, 2, 5, 8])
    inputs = {
        "q": [d.matrix(queries, width, 126) for _ in range(heads)],
        "k": d.matrix(keys, width, 128),
        "v": d.matrix(keys, width),
        "mask": [[d.random.random() < 0.7 for _ in range(keys)] for _ in range(queries)],
        "scale": abs(d.one(126)) or 0.5,
    }
    return {"g": [d.matrix(queries, width) for _ in range(heads)], **inputs} if gradient else inputs


def matmul_inputs(d: Dice) -> Inputs:
    m, k, n = d.size(), d.size(40), d.size()
    return {"a": d.matrix(m, k), "b": d.matrix(k, n, 127)}


def sum_inputs(d: Dice) -> Inputs:
    return {"x": d.row(d.size(60))}


def scatter_inputs(d: Dice) -> Inputs:
    size, count = d.size(), d.size(30)
    return {"size": size, "index": [d.random.randrange(size) for _ in range(count)], "x": d.row(count)}


def rows_inputs(*names: str, centre: int = 127) -> Callable[[Dice], Inputs]:
    def inputs(d: Dice) -> Inputs:
        rows, length = d.size(4), 1 + d.size(12)
        return {name: d.matrix(rows, length, centre) for name in names}

    return inputs


def norm_inputs(*extra: str, gradient: bool = False) -> Callable[[Dice], Inputs]:
    def inputs(d: Dice) -> Inputs:
        rows, length = d.size(4), 1 + d.size(12)
        given = {"g": d.matrix(rows, length, 127)} if gradient else {}
        given |= {"x": d.matrix(rows, length)}
        return {**given, **{name: d.row(length, 127) for name in extra}, "eps": 2.0**-20}

    return inputs


def softmax_backward_inputs(name: str) -> Callable[[Dice], Inputs]:
    def inputs(d: Dice) -> Inputs:
        given = rows_inputs("x", "g", centre=128)(d)
        forward = "softmax" if name == "p" else "log_softmax"
        return {"g": given["g"], name: ORACLE[forward](x=given["x"])["y"]}

    return inputs


def log_prob_inputs(d: Dice) -> Inputs:
    rows, length = d.size(4), 1 + d.size(12)
    return {"x": d.matrix(rows, length, 131), "token": [d.random.randrange(length) for _ in range(rows)]}


def log_prob_backward_inputs(d: Dice) -> Inputs:
    inputs = log_prob_inputs(d)
    return {"g": d.row(len(inputs["token"])), **inputs}


def sample_inputs(d: Dice) -> Inputs:
    count = 1 + d.size(60)
    return {
        "logits": d.row(count, 129),
        "seed": d.random.getrandbits(64),
        "position": [d.random.randrange(5000) for _ in range(4)],
        "temperature": d.random.choice([0.0, 1.0, 0.75, 1.5]),
        "top_k": d.random.choice([0, 1, 3, count, count + 5]),
    }


def adamw_inputs(d: Dice) -> Inputs:
    length = d.size()
    return {
        "p": d.row(length, 127),
        "g": d.matrix(3, length),
        "lr": 0.5 * number(0x3A83126F),
        "weight_decay": d.random.choice([0.0, 0.125]),
    }


QUESTIONS: dict[str, Callable[[Dice], Inputs]] = {
    "sum": sum_inputs,
    "mean": sum_inputs,
    "scatter": scatter_inputs,
    "model_norm": lambda d: {"a": d.row(d.size(40)), "b": d.row(d.size(40))},
    "significands": lambda d: {"x": d.row(1 + d.size(20))},
    "matmul": matmul_inputs,
    "rms_norm": norm_inputs("weight"),
    "rms_norm_backward": norm_inputs("weight", gradient=True),
    "rms_norm_weight": norm_inputs(gradient=True),
    "layer_norm": norm_inputs("weight", "bias"),
    "layer_norm_backward": norm_inputs("weight", gradient=True),
    "layer_norm_weights": norm_inputs(gradient=True),
    "softmax": rows_inputs("x", centre=131),
    "log_softmax": rows_inputs("x", centre=131),
    "logsumexp": rows_inputs("x", centre=131),
    "softmax_backward": softmax_backward_inputs("p"),
    "log_softmax_backward": softmax_backward_inputs("y"),
    "log_prob": log_prob_inputs,
    "log_prob_backward": log_prob_backward_inputs,
    "gated": lambda d: {"gelu": d.size(2) - 1, "x": d.row(9, 130), "y": d.row(9)},
    "gated_backward": lambda d: {"gelu": d.size(2) - 1, "g": d.row(9), "x": d.row(9, 130), "y": d.row(9)},
    "rotate_backward": lambda d: {
        "g": d.matrix(2, 4),
        "position": [d.size(9), d.size(9000)],
        "frequencies": [1.0, 0.75],
    },
    "attention": lambda d: attention_inputs(d, False),
    "attention_backward": lambda d: attention_inputs(d, True),
    "rotate": lambda d: {
        "x": d.matrix(3, 8),
        "position": [0, 7, d.size(9000)],
        "frequencies": [1.0, 0.1015625, 0.0, 2.5],
    },
    "sample": sample_inputs,
    "clip": lambda d: {"a": d.row(d.size()), "b": d.row(d.size()), "max_norm": 1.0},
    "adamw": adamw_inputs,
}


def agree(operator: str, inputs: Inputs) -> None:
    """Every implementation gives the oracle's bits, or raises where there is no result."""
    try:
        expected = {name: torch.as_tensor(decoded(encode(y))) for name, y in ORACLE[operator](**inputs).items()}
    except NotANumber:
        expected = None
    given = {name: decoded(encode(value)) for name, value in inputs.items()}
    for name, implementation in IMPLEMENTATIONS[operator].items():
        try:
            outputs = implementation(**given)
        except NumericsError:
            assert expected is None, f"{name} raises"
            continue
        assert expected is not None, f"{name} gives a result where there is none"
        for output, want in expected.items():
            got = torch.as_tensor(outputs[output])
            if want.is_floating_point():
                got, want = (x.detach().contiguous().view(torch.int32) for x in (got, want))
            assert torch.equal(got, want), f"{output} by {name}"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("operator", QUESTIONS)
def test_every_implementation_agrees_with_the_oracle(operator, seed):
    agree(operator, QUESTIONS[operator](Dice(1000 + seed)))


@pytest.mark.slow
@pytest.mark.parametrize("operator", QUESTIONS)
def test_every_implementation_agrees_with_the_oracle_at_length(operator):
    for seed in range(400):
        agree(operator, QUESTIONS[operator](Dice(seed)))
