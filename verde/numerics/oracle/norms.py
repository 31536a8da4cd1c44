"""Why this module exists: the normalisations of section 5 of docs/exact-1.md, on rows."""

from __future__ import annotations

from collections.abc import Sequence

from verde.numerics.oracle.contraction import Matrix, columns
from verde.numerics.oracle.elementwise import add, div, mul, rsqrt, square, sub
from verde.numerics.oracle.rounding import rne
from verde.numerics.oracle.sums import mean, total

Row = Sequence[float]


def rms_norm(x: Row, weight: Row, eps: float) -> list[float]:
    """RMS norm of one row."""
    r = _root(x, eps)
    return [mul(w, mul(one, r)) for one, w in zip(x, weight, strict=True)]


def _root(x: Row, eps: float) -> float:
    return rsqrt(add(mean([square(one) for one in x]), eps))


def rms_norm_backward(g: Row, x: Row, weight: Row, eps: float) -> list[float]:
    """Gradient of one row's input."""
    r = _root(x, eps)
    gw = [mul(a, w) for a, w in zip(g, weight, strict=True)]
    t = total([mul(a, b) for a, b in zip(gw, x, strict=True)])
    c = div(mul(mul(-0.5, t), mul(mul(r, r), r)), rne(len(x)))
    return [add(mul(a, r), mul(c, mul(2.0, b))) for a, b in zip(gw, x, strict=True)]


def rms_norm_weight_gradient(g: Matrix, x: Matrix, eps: float) -> list[float]:
    """dw over all rows."""
    gx = []
    for gr, xr in zip(g, x, strict=True):
        r = _root(xr, eps)
        gx.append([mul(a, mul(b, r)) for a, b in zip(gr, xr, strict=True)])
    return [total(column) for column in columns(gx)]


def _normalised(x: Row, eps: float) -> tuple[list[float], float]:
    m = mean(x)
    d = [sub(one, m) for one in x]
    r = rsqrt(add(mean([square(one) for one in d]), eps))
    return [mul(one, r) for one in d], r


def layer_norm(x: Row, weight: Row, bias: Row, eps: float) -> list[float]:
    """Layer norm of one row."""
    h, _ = _normalised(x, eps)
    return [add(mul(one, w), b) for one, w, b in zip(h, weight, bias, strict=True)]


def layer_norm_backward(g: Row, x: Row, weight: Row, eps: float) -> list[float]:
    """Gradient of one row's input."""
    h, r = _normalised(x, eps)
    gw = [mul(one, w) for one, w in zip(g, weight, strict=True)]
    c1, c2 = mean(gw), mean([mul(a, b) for a, b in zip(gw, h, strict=True)])
    return [mul(r, sub(sub(a, c1), mul(b, c2))) for a, b in zip(gw, h, strict=True)]


def layer_norm_weight_gradients(g: Matrix, x: Matrix, eps: float) -> tuple[list[float], list[float]]:
    """(dw, db) over all rows."""
    gh = [[mul(a, b) for a, b in zip(gr, _normalised(xr, eps)[0], strict=True)] for gr, xr in zip(g, x, strict=True)]
    return [total(column) for column in columns(gh)], [total(column) for column in columns(g)]
