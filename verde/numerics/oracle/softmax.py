"""Why this module exists: softmax and its kin of section 5 of docs/exact-1.md, on rows."""

from __future__ import annotations

from collections.abc import Sequence

from verde.numerics.oracle.elementwise import add, div, mul, neg, sub
from verde.numerics.oracle.sums import total
from verde.numerics.oracle.transcendental import exp, log

Row = Sequence[float]


def _shifted(x: Row) -> tuple[list[float], list[float], float]:
    """(x - m, their exponentials, m) with m the largest."""
    m = max(x)
    shifted = [sub(one, m) for one in x]
    return shifted, [exp(one) for one in shifted], m


def softmax(x: Row) -> list[float]:
    """The softmax of a row."""
    _, e, _ = _shifted(x)
    s = total(e)
    return [div(one, s) for one in e]


def softmax_backward(g: Row, p: Row) -> list[float]:
    """Gradient of softmax whose result was p."""
    s = total([mul(a, b) for a, b in zip(g, p, strict=True)])
    return [mul(b, sub(a, s)) for a, b in zip(g, p, strict=True)]


def log_softmax(x: Row) -> list[float]:
    """The log-softmax of a row."""
    shifted, e, _ = _shifted(x)
    lse = log(total(e))
    return [sub(one, lse) for one in shifted]


def log_softmax_backward(g: Row, y: Row) -> list[float]:
    """Gradient of log-softmax whose result was y."""
    s = total(g)
    return [sub(a, mul(exp(b), s)) for a, b in zip(g, y, strict=True)]


def token_log_prob(x: Row, token: int) -> float:
    """The log-probability of one token."""
    return sub(x[token], logsumexp(x))


def token_log_prob_backward(g: float, x: Row, token: int) -> list[float]:
    """Gradient of the row for the gradient of one token's log-probability."""
    lse = logsumexp(x)
    result = [mul(neg(g), exp(sub(one, lse))) for one in x]
    result[token] = add(result[token], g)
    return result


def logsumexp(x: Row) -> float:
    """The logarithm of the sum of a row's exponentials."""
    _, e, m = _shifted(x)
    return add(m, log(total(e)))
