"""Programs small enough that every element can be judged by the oracle: all layers, one layer deep."""

from __future__ import annotations

import numpy as np

from verde.numerics import noise
from verde.program.builder import Builder
from verde.program.derive_draw import draw_program
from verde.program.derive_model import parameters
from verde.program.derive_step import step_program
from verde.program.kinds import PART, Kind, Type
from verde.program.program import Program, Sources
from verde.program.shape import Architecture, DrawShape, LearnRates, PassShape

ARCH = Architecture(
    num_layers=1,
    hidden=4,
    feed_forward=6,
    num_heads=2,
    num_kv_heads=1,
    width=4,
    vocabulary=9,
    num_tokens=8,
    eps=1e-6,
    frequencies=(1.0, 0.125),
    is_tied=True,
    attention_bias=True,
    output_bias=False,
    mlp_bias=False,
    head_norms=True,
    pad_token=0,
)
RATES = LearnRates(
    learning_rate=np.float32(0.01),
    weight_decay=np.float32(0.1),
    max_norm=np.float32(0.5),
    low=np.float32(0.8),
    high=np.float32(1.25),
    most=np.float32(4),
    temperature=np.float32(0.75),
)
PASS = PassShape(rows=2, columns=5, prompt=2, samples=3, tokens=6)


def drawn(name: str, *sizes: int, scale: float = 0.5) -> np.ndarray:
    """Numbers that belong to a name."""
    seed = int.from_bytes(name.encode()[-8:], "little")
    return noise.initial(seed, sizes, scale).numpy()


def small_state() -> dict[str, np.ndarray]:
    """Weights and moments as they are some steps into a run."""
    state = {}
    for name, sizes in parameters(ARCH).items():
        state[f"weight/{name}"] = drawn(f"w{name}", *sizes) + np.float32("norm" in name)
        state[f"first/{name}"] = drawn(f"m{name}", *sizes, scale=0.01)
        state[f"second/{name}"] = np.abs(drawn(f"v{name}", *sizes, scale=0.001))
    return state


def _pass_data(prefix: str) -> dict[str, np.ndarray]:
    rows = {
        "ids": [[3, 4, 5, 6, 1], [0, 2, 7, 1, 0]],
        "position": [[0, 1, 2, 3, 2], [0, 0, 1, 2, 0]],
        "segment": [[0, 0, 1, 1, 2], [-1, 0, 1, 1, -1]],
        "row": [0, 0, 0, 1, 1, 1],
        "source": [0, 1, 0, 0, 1, 2],
        "token": [5, 6, 1, 7, 1, 3],
        "sample": [0, 0, 1, 2, 2, 2],
    }
    data = {f"{prefix}{name}": np.array(values, np.int32) for name, values in rows.items()}
    data[f"{prefix}advantage"] = np.array([0.5, -1.25, 0.75], np.float32)
    data[f"{prefix}weight"] = np.array([1 / 6] * 3, np.float32)
    return data


def small_step() -> tuple[Program, Sources]:
    """Two updates; the first has two micro-batches."""
    data = _pass_data("0/0/") | _pass_data("0/1/") | _pass_data("1/0/")
    data["0/1/ids"] = np.array([[2, 2, 5, 6, 1], [0, 6, 7, 3, 0]], np.int32)
    return step_program(ARCH, ((PASS, PASS), (PASS,)), RATES), Sources(small_state(), data, 3)


def small_draw() -> tuple[Program, Sources]:
    """Two rollouts, one padded on the left."""
    data = {
        "ids": np.array([[3, 4, 5, 6], [0, 2, 7, 1]], np.int32),
        "position": np.array([[0, 1, 2, 3], [0, 0, 1, 2]], np.int32),
        "segment": np.array([[0, 0, 0, 0], [-1, 0, 0, 0]], np.int32),
        "seed": np.array([[7, -5], [11, 1 << 30]], np.int32),
    }
    return draw_program(ARCH, DrawShape(2, 2, 3), 0.75), Sources(small_state(), data, 3)


def long_rows() -> tuple[Program, Sources]:
    """Every reduction over more terms than a leaf may have, and the functions that no bundled model needs."""
    length = 2 * PART + 100
    b = Builder()
    x, index = b.data("x", Type.F32, 2, length), b.data("index", Type.I32, length)
    mask = b.map(Kind.LT, x, b.constant(0.0))
    b.contract(x.narrow(0, 0, 1), x.narrow(0, 1, 1))
    b.total(x)
    b.total_where(x, (4, 2), index, skip=2)
    b.add_node(Kind.MAX, (2,), [x, mask], length=length)
    b.add_node(Kind.ARGMAX, (2,), [x], length=length)
    b.exponent(x, index, raised=True)
    short = x.narrow(1, 0, 7)
    b.result("y", b.add(b.map(Kind.TANH, short), b.map(Kind.EXPM1, short)))
    data = {"x": drawn("x", 2, length), "index": (np.arange(length) % 5 - 1).astype(np.int32)}
    return b.program(), Sources({}, data)


PROGRAMS = {"step": small_step, "draw": small_draw, "long": long_rows}
