"""Why this module exists: section 8 of docs/exact-1.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from verde.numerics.oracle.elementwise import add, div, mul, sqrt, sub
from verde.numerics.oracle.rounding import rne
from verde.numerics.oracle.sums import model_norm

B1, B2 = rne(Fraction("0.9")), rne(Fraction("0.999"))
EPS = rne(Fraction("1e-8"))
NORM_EPS = rne(Fraction("1e-6"))


def clip(gradients: Sequence[Sequence[float]], max_norm: float) -> list[list[float]]:
    """All gradients of a model, shortened to ``max_norm`` together."""
    c = min(1.0, div(max_norm, add(model_norm(gradients), NORM_EPS)))
    return [[mul(g, c) for g in gradient] for gradient in gradients]


@dataclass(frozen=True)
class Moments:
    """What AdamW keeps of one element, and the running powers of its step."""

    m: float = 0.0
    v: float = 0.0
    p1: float = 1.0
    p2: float = 1.0


def adamw(p: float, g: float, before: Moments, lr: float, weight_decay: float) -> tuple[float, Moments]:
    """One element after one step, and its moments."""
    p1, p2 = mul(before.p1, B1), mul(before.p2, B2)
    c1, c2 = sub(1.0, p1), sub(1.0, p2)
    m = add(mul(B1, before.m), mul(sub(1.0, B1), g))
    v = add(mul(B2, before.v), mul(sub(1.0, B2), mul(g, g)))
    d = add(div(sqrt(v), sqrt(c2)), EPS)
    step = mul(div(lr, c1), div(m, d))
    return sub(mul(p, sub(1.0, mul(lr, weight_decay))), step), Moments(m, v, p1, p2)
