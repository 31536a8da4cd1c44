"""Why this module exists: attention of section 5 of docs/exact-1.md, one query at a time.

Shapes: H query heads that share one key head, Q queries, K keys, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from verde.numerics.oracle.contraction import BITS, Matrix, columns, dot, significands
from verde.numerics.oracle.elementwise import mul, sub
from verde.numerics.oracle.rounding import out
from verde.numerics.oracle.softmax import softmax
from verde.numerics.oracle.sums import total

Row = Sequence[float]
Mask = Sequence[bool]


def weights(q: Row, keys: Matrix, allowed: Mask, scale: float) -> list[float]:
    """What one query gives to each key; 0 where it is not allowed."""
    chosen = [j for j, may in enumerate(allowed) if may]
    scores = [mul(dot(q, keys[j]), scale) for j in chosen]
    result = [0.0] * len(keys)
    for j, weight in zip(chosen, softmax(scores) if chosen else [], strict=True):
        result[j] = weight
    return result


def attend(q: Row, keys: Matrix, values: Matrix, allowed: Mask, scale: float) -> list[float]:
    """The result of one query: 0 throughout where no key is allowed."""
    chosen = [j for j, may in enumerate(allowed) if may]
    width = len(values[0])
    if not chosen:
        return [0.0] * width
    w = weights(q, keys, allowed, scale)
    quantised = [significands(values[j]) for j in chosen]
    u = [Fraction(w[j]) * Fraction(2) ** e for j, (_, e) in zip(chosen, quantised, strict=True)]
    uq, e = significands(u)
    return [
        out(sum(a * vq[d] for a, (vq, _) in zip(uq, quantised, strict=True)) * Fraction(2) ** (e - 2 * BITS))
        for d in range(width)
    ]


def attend_backward(
    do_HQD: Sequence[Matrix],
    q_HQD: Sequence[Matrix],
    keys: Matrix,
    values: Matrix,
    allowed_QK: Sequence[Mask],
    scale: float,
) -> tuple[list[list[list[float]]], list[list[float]], list[list[float]]]:
    """(dq [H, Q, D], dk [K, D], dv [K, D])."""
    dq_HQD, ds_RK, w_RK = [], [], []
    for do_QD, q_QD in zip(do_HQD, q_HQD, strict=True):
        ds_QK = []
        for do, q, allowed in zip(do_QD, q_QD, allowed_QK, strict=True):
            w = weights(q, keys, allowed, scale)
            dw = [dot(do, v) if may else 0.0 for v, may in zip(values, allowed, strict=True)]
            t = total([mul(a, b) for a, b in zip(w, dw, strict=True)])
            ds_QK.append([mul(mul(a, sub(b, t)), scale) for a, b in zip(w, dw, strict=True)])
            w_RK.append(w)
        dq_HQD.append([[dot(ds, column) for column in columns(keys)] for ds in ds_QK])
        ds_RK += ds_QK
    q_RD = [q for q_QD in q_HQD for q in q_QD]
    do_RD = [do for do_QD in do_HQD for do in do_QD]
    dk_KD = [[dot(ds, column) for column in columns(q_RD)] for ds in columns(ds_RK)]
    dv_KD = [[dot(w, column) for column in columns(do_RD)] for w in columns(w_RK)]
    return dq_HQD, dk_KD, dv_KD
