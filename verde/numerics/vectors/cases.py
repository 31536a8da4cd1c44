"""Why this module exists: which questions the vectors ask: a small set that tells wrong arithmetics apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from verde.numerics.oracle.rounding import NotANumber, rne
from verde.numerics.vectors.encoding import Filled, Seeded, nested
from verde.numerics.vectors.hostile import LARGEST, PAIRS, STEP, TINY, arguments, drawn, number
from verde.numerics.vectors.judge import GRADIENTS, OF_ONE, OF_TWO, ORACLE

Case = tuple[str, dict[str, Any]]
HUGE = number(LARGEST)


def rne_of(x: float) -> float:
    """The nearest binary32 of a binary64."""
    return rne(Fraction(x))


def _matrix(seed: int, rows: int, columns: int, least: int = 120, span: int = 10) -> Any:
    return nested((rows, columns), drawn(seed, rows * columns, least, span))


def _sorted_out(operator: str, inputs: dict[str, list[float]]) -> Iterator[Case]:
    """One case of all elements that have a result, and one of each that has none."""
    good: dict[str, list[float]] = {name: [] for name in inputs}
    for elements in zip(*inputs.values(), strict=True):
        one = {name: [x] for name, x in zip(inputs, elements, strict=True)}
        try:
            ORACLE[operator](**one)
        except NotANumber:
            yield operator, one
        else:
            for name in one:
                good[name] += one[name]
    yield operator, good


def elementwise() -> Iterator[Case]:
    """Sections 2 and 6."""
    for index, name in enumerate(OF_ONE):
        cases = list(_sorted_out(name, {"x": arguments(name, index)}))
        # A few of the arguments without a result are enough.
        yield from [*cases[:-1][:: max(1, len(cases) // 4)], cases[-1]]
        x = drawn(400 + index, 60, 124, 7)
        yield name, {"x": [abs(one) for one in x] if name in ("log", "sqrt", "rsqrt") else x}
    pairs = [*PAIRS, *[(b, a) for a, b in PAIRS], *zip(drawn(1, 40, 110, 30), drawn(2, 40, 110, 30), strict=True)]
    pairs += zip(drawn(3, 40, 1, 254), drawn(4, 40, 1, 254), strict=True)
    for name in OF_TWO:
        cases = list(_sorted_out(name, {"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}))
        yield from [*cases[:-1][:3], cases[-1]]
    for index, name in enumerate(GRADIENTS):
        x = [0.0, 1.0, -1.0, 20.0, -20.0, -90.0, *drawn(300 + index, 40, 115, 18)]
        yield name, {"g": [0.5, 0.0, 3.0, *drawn(310 + index, len(x) - 3, 110, 20)], "x": x}
    yield "in", {"x": [0.0, -0.0, STEP, -STEP, TINY, -TINY, TINY - STEP, STEP - TINY, 1.5, -HUGE]}


def sums() -> Iterator[Case]:
    """Section 3."""
    rows = [
        [1.25],
        [0.0, 0.0, 0.0],
        [1.0, -1.0],
        [1.0 + 2.0**-23, -1.0],
        [0.5, 2.0**-37, 0.25],
        [2.0**-13, 1.5 * 2.0**-49],
        [2.0**-13, 2.5 * 2.0**-49],
        [2.0**30, 1.0, -(2.0**30)],
        [2.0**40, 1.0, -(2.0**40)],
        [TINY, -TINY * 1.5, TINY * 1.25],
        [TINY * (2 - 2.0**-23), -TINY],
        [HUGE / 2, HUGE / 2, -HUGE / 2],
        [HUGE, HUGE],
        [number(0x3F7FFFFF), 1.0],
    ]
    for x in rows:
        yield "sum", {"x": x}
    yield "sum", {"x": Seeded((3000,), 21, 100, 40)}
    yield "sum", {"x": Seeded((1025,), 22, 126, 2)}
    for x in ([3.0], [1.0, 1.0, 0.0], [1.0, 2.0, 4.0, -8.0, 16.0], drawn(23, 49, 120, 6)):
        yield "mean", {"x": x}
    x = [1.0, 2.0**-30, -1.0, 3.0, 2.0**-30, 5.0, -0.75]
    yield "scatter", {"size": 5, "index": [2, 0, 2, 4, 2, 4, 1], "x": x}
    yield "model_norm", {"a": [3.0, 0.0, 2.0**-20], "b": [4.0, -(2.0**-21)]}
    yield "model_norm", {"a": Seeded((257,), 24, 110, 12), "b": Seeded((31,), 25, 120, 4)}
    yield "model_norm", {"a": [0.0], "b": [0.0, 0.0]}
    yield "model_norm", {"a": [2.0**70], "b": [1.0]}


def contraction() -> Iterator[Case]:
    """Section 4."""
    for x in (
        [1.0, -0.5, 2.0**-15, 2.0**-16, 1.5 * 2.0**-15],
        [32639.0, 1.0],
        [32639.25, 0.5, 1.5],
        [32639.5, 0.5, 3.0],
        [-32639.5, 2.0],
        [32640.0, -32767.0, 1.0],
        [number(0x3F7FFFFF), 0.25],
        [0.0, 0.0],
        [TINY, -TINY * 1.5],
        [HUGE, 2.0**112, 1.0],
        [1e6, 1.0, -1.0, 0.001],
    ):
        yield "significands", {"x": [rne_of(one) for one in x]}
    one = 1 + 2.0**-20
    yield "matmul", {"a": [[one], [3.0]], "b": [[one, 0.5, 7.0]]}
    yield "matmul", {"a": [[one, 0.0], [0.0, 0.0]], "b": [[one, 1.0], [0.0, -1.0]]}
    yield "matmul", {"a": [[TINY, TINY], [TINY, -TINY]], "b": [[0.5, 1.0], [0.25, 1.0]]}
    yield "matmul", {"a": [[2.0**-63, 2.0**-70]], "b": [[2.0**-64, 2.0**-63], [-(2.0**-70), 2.0**-70]]}
    # (16384 - n)(16384 + n) = 2^28 - n^2: just below the smallest number, where rounding comes first.
    for n in (2, 4, 8):
        a, b = [[2.0**-63, (16384 - n) * 2.0**-77]], [[0.0], [(16384 + n) * 2.0**-77]]
        yield "matmul", {"a": a, "b": b}
    yield "matmul", {"a": [[HUGE, 1.0]], "b": [[HUGE], [0.0]]}
    yield "matmul", {"a": _matrix(31, 5, 7, 118, 12), "b": _matrix(32, 7, 6, 118, 12)}
    outlier = [1.0e4, *drawn(33, 15, 110, 12)]
    yield "matmul", {"a": [[rne_of(x) for x in outlier]], "b": _matrix(34, 16, 3)}
    yield "matmul", {"a": Seeded((4, 2113), 35, 112, 16), "b": Seeded((2113, 3), 36, 112, 16)}
    yield "matmul", {"a": Seeded((2, 4099), 37, 126, 1), "b": Seeded((4099, 2), 38, 126, 1)}
    # Both bytes of every significand at their largest: accumulators of 32 bits overflow unless the row is cut.
    largest = 32639 * 2.0**-15
    yield "matmul", {"a": Filled((1, 139_003), largest), "b": Filled((139_003, 1), -largest)}


def rows() -> Iterator[Case]:
    """Norms and softmax of section 5."""
    eps = rne_of(1e-6)
    x = [*_matrix(41, 3, 9, 122, 6), [0.0] * 9, [1.0] * 9, [1e-20] * 8 + [0.0]]
    x = [[rne_of(one) for one in row] for row in x]
    weight, bias = drawn(42, 9, 124, 4), drawn(43, 9, 120, 5)
    yield "rms_norm", {"x": x, "weight": weight, "eps": eps}
    yield "layer_norm", {"x": x, "weight": weight, "bias": bias, "eps": eps}
    yield "layer_norm_backward", {"g": _matrix(44, 6, 9), "x": x, "weight": weight, "eps": eps}
    yield "layer_norm_weights", {"g": _matrix(44, 6, 9), "x": x, "eps": eps}
    yield "rms_norm_backward", {"g": _matrix(44, 6, 9), "x": x, "weight": weight, "eps": eps}
    yield "rms_norm_weight", {"g": _matrix(44, 6, 9), "x": x, "eps": eps}
    yield "rms_norm", {"x": [[0.0, 0.0]], "weight": [1.0, 1.0], "eps": 0.0}
    scores = [*_matrix(45, 3, 11, 124, 7), [5.0] * 11, [100.0, -100.0, *[0.0] * 9], [1e30, -1e30, *[1.0] * 9]]
    scores = [[rne_of(one) for one in row] for row in scores]
    for name in ("softmax", "log_softmax", "logsumexp"):
        yield name, {"x": scores}
        yield name, {"x": [[3.5]]}
    token = [0, 10, 3, 2, 0, 1]
    yield "log_prob", {"x": scores, "token": token}
    yield "log_prob_backward", {"g": drawn(48, 6, 120, 8), "x": scores, "token": token}
    for gelu in (0, 1):
        gate, other = drawn(49, 24, 118, 13), drawn(50, 24, 118, 13)
        yield "gated", {"gelu": gelu, "x": gate, "y": other}
        yield "gated_backward", {"gelu": gelu, "g": drawn(40, 24, 110, 12), "x": gate, "y": other}
    yield "softmax_backward", {"g": _matrix(46, 6, 11), "p": ORACLE["softmax"](x=scores)["y"]}
    yield "log_softmax_backward", {"g": _matrix(47, 5, 11), "y": ORACLE["log_softmax"](x=scores[:5])["y"]}


def attention() -> Iterator[Case]:
    """Attention of section 5: causal, with holes, a query without a key, huge values where nobody may look."""
    causal = [[j <= i for j in range(5)] for i in range(5)]
    holes = [[True, False, False, True, False], [False] * 5, [False, True, True, True, True]]
    scale = rne_of(8**-0.5)
    for seed, num_heads, mask in ((51, 2, causal), (54, 3, holes), (57, 1, [[True] * 5])):
        size = len(mask)
        q = nested((num_heads, size, 8), drawn(seed, num_heads * size * 8, 122, 6))
        g = nested((num_heads, size, 8), drawn(seed + 100, num_heads * size * 8, 115, 10))
        k, v = _matrix(seed + 1, 5, 8, 122, 6), _matrix(seed + 2, 5, 8, 110, 24)
        inputs = {"q": q, "k": k, "v": v, "mask": mask, "scale": scale}
        yield "attention", inputs
        yield "attention_backward", {"g": g, **inputs}
    k, v = _matrix(61, 4, 8, 122, 6), [*_matrix(62, 3, 8, 122, 6), [2.0**100] * 8]
    q = nested((1, 1, 8), drawn(60, 8, 122, 6))
    yield "attention", {"q": q, "k": k, "v": v, "mask": [[True, True, True, False]], "scale": scale}
    yield "attention", {"q": q, "k": k[:1], "v": v[:1], "mask": [[True]], "scale": scale}
    zeros = [[0.0] * 8, *v[1:3]]
    yield "attention", {"q": q, "k": k[:3], "v": zeros, "mask": [[True] * 3], "scale": scale}


def rotary() -> Iterator[Case]:
    """Rotary embeddings of section 5."""
    for base, dim in ((10000.0, 64), (1000000.0, 128), (500000.0, 16), (16.0, 8)):
        yield "inv_freq", {"base": base, "dim": dim}
    frequencies = ORACLE["inv_freq"](base=10000.0, dim=8)["y"]
    at = {"position": [0, 1, 2, 17, 4095, 131071], "frequencies": frequencies}
    yield "rotate", {"x": _matrix(71, 6, 8), **at}
    yield "rotate_backward", {"g": _matrix(72, 6, 8), **at}


def draws() -> Iterator[Case]:
    """Sections 7 and 9."""
    seeds = (0, 2**64 - 1, 0x0123456789ABCDEF)
    for seed, position in itertools.product(seeds, (0, 1, 4095)):
        yield "words", {"seed": seed, "position": position, "size": 9}
        yield "gumbel", {"seed": seed, "position": position, "size": 9}
    logits = drawn(81, 40, 124, 6)
    logits[7] = logits[3] = max(logits)
    positions = list(range(12))
    for temperature, top_k in ((1.0, 0), (rne_of(0.7), 0), (1.0, 1), (rne_of(1.3), 5), (0.0, 0)):
        inputs = {"logits": logits, "seed": 99, "position": positions, "temperature": temperature, "top_k": top_k}
        yield "sample", inputs
    flat = [1.0, 2.0, 2.0, 2.0, 1.0, 2.0]
    for top_k in (0, 2, 3):
        yield "sample", {"logits": flat, "seed": 5, "position": positions, "temperature": 1.0, "top_k": top_k}
    for seed in seeds:
        yield "initial", {"seed": seed, "size": 21, "std": rne_of(0.02), "mean": 0.0}
    yield "initial", {"seed": 3, "size": 8, "std": 0.5, "mean": 1.0}


def optimiser() -> Iterator[Case]:
    """Section 8: enough steps for a power function to leave the product."""
    yield "clip", {"a": drawn(91, 9, 120, 8), "b": drawn(92, 4, 120, 8), "max_norm": 1.0}
    yield "clip", {"a": [2.0**-20, 0.0], "b": [2.0**-21], "max_norm": 1.0}
    p = [1.0, -0.5, 0.0, 2.0**-20, 3.0, -7.0]
    g = nested((120, 6), drawn(93, 720, 110, 16))
    for row in g:
        row[4] = 0.0
    lr = rne_of(1e-3)
    yield "adamw", {"p": p, "g": g, "lr": lr, "weight_decay": 0.0}
    yield "adamw", {"p": p, "g": g[:30], "lr": lr, "weight_decay": rne_of(0.01)}


FILES = {
    function.__name__: function
    for function in (elementwise, sums, contraction, rows, attention, rotary, draws, optimiser)
}
