"""How far the functions are from the truth, as the table in docs/exact-1.md section 6 says it."""

import re
from collections.abc import Callable
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch

from verde.numerics import elementwise
from verde.numerics.oracle import transcendental

Function = Callable[[np.ndarray], np.ndarray]
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "exact-1.md"

# (binary64 of numpy, whose own error is 2^-29 of a unit here; smallest and largest argument with a normal result)
REFERENCES: dict[str, tuple[Function, float, float]] = {
    "exp": (np.exp, -87.3, 88.7),
    "expm1": (np.expm1, -200.0, 88.7),
    "log": (np.log, 1.2e-38, 3.4e38),
    "sin": (np.sin, -3.4e38, 3.4e38),
    "cos": (np.cos, -3.4e38, 3.4e38),
    "tanh": (np.tanh, -3.4e38, 3.4e38),
    "sqrt": (np.sqrt, 0.0, 3.4e38),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.2e-38, 3.4e38),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -87.0, 3.4e38),
    "silu": (lambda x: x / (1 + np.exp(-x)), -87.0, 3.4e38),
}


def claimed() -> dict[str, float]:
    """The table of the document."""
    rows = re.findall(r"^\| `(\w+)` \| ([0-9.]+) \|", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: float(bound) for name, bound in rows}


def largest_error(name: str, x_N: np.ndarray) -> float:
    """In units in the last place of the exact result, over arguments with a normal one."""
    reference, low, high = REFERENCES[name]
    x_N = x_N[(x_N >= low) & (x_N <= high)]
    got_N = getattr(elementwise, name)(torch.from_numpy(x_N)).numpy().astype(np.float64)
    exact_N = reference(x_N.astype(np.float64))
    unit_N = np.ldexp(1.0, np.frexp(exact_N)[1] - 24)
    is_normal = np.abs(exact_N) >= 2.0**-126
    return float((np.abs(got_N - exact_N) / unit_N)[is_normal].max(initial=0.0))


def both_signs(start: int, stop: int, stride: int) -> np.ndarray:
    """Every ``stride``-th binary32 from bit pattern ``start`` to ``stop``, and their negatives."""
    magnitudes = np.arange(start, stop, stride, dtype=np.int64).astype(np.int32).view(np.float32)
    return np.concatenate([magnitudes, -magnitudes])


def test_the_document_claims_an_error_for_every_function():
    assert set(claimed()) == {*REFERENCES, "gelu_tanh"}


@pytest.mark.parametrize("name", REFERENCES)
def test_no_error_is_larger_than_the_document_says_and_some_come_near(name):
    error = max(
        largest_error(name, both_signs(0x00800000, 0x7F800000, 30_011)),
        largest_error(name, both_signs(0x3A000000, 0x43000000, 617)),
    )
    assert 0.7 * claimed()[name] < error <= claimed()[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_no_error_is_larger_anywhere_else(name):
    for start in range(0x00800000, 0x7F800000, 1 << 27):
        assert largest_error(name, both_signs(start, min(start + (1 << 27), 0x7F800000), 61)) <= claimed()[name]
    assert largest_error(name, both_signs(0x3F000000, 0x40800000, 1)) <= claimed()[name]


def test_roots_are_correctly_rounded():
    x_N = both_signs(0x00800000, 0x7F800000, 1_009)
    x_N = x_N[x_N > 0]
    root_N = elementwise.sqrt(torch.from_numpy(x_N)).numpy()
    # Correct exactly when x lies between the squares of the two midpoints beside the root, all exact in integers.
    mantissa_N = np.frexp(root_N)[0].astype(np.float64) * 2**25
    square_N = np.ldexp(x_N.astype(np.float64), 50 - 2 * np.frexp(root_N)[1])
    m_N, s_N = mantissa_N.astype(np.int64), square_N.astype(np.int64)
    assert (s_N == square_N).all()
    assert ((m_N - 1) ** 2 < s_N).all()
    assert ((m_N + 1) ** 2 > s_N).all()


def test_gelu_is_near_the_truth_relative_to_its_argument():
    x_N = both_signs(0x30000000, 0x41000000, 997)
    x64_N = x_N.astype(np.float64)
    inner_N = np.sqrt(2 / np.pi) * (x64_N + 0.044715 * x64_N**3)
    exact_N = x64_N / (1 + np.exp(-2 * inner_N))
    got_N = elementwise.gelu_tanh(torch.from_numpy(x_N)).numpy()
    error = float((np.abs(got_N - exact_N) / np.abs(x64_N)).max() * 2**24)
    assert 0.7 * claimed()["gelu_tanh"] < error <= claimed()["gelu_tanh"]


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "sin", "cos", "tanh"])
def test_a_second_reference_agrees(name):
    random = np.random.default_rng(3)
    for x in (random.standard_normal(300) * 5).astype(np.float32).tolist():
        x = abs(x) if name == "log" else x
        with mpmath.workprec(120):
            exact = getattr(mpmath, name)(mpmath.mpf(x))
            unit = mpmath.mpf(2) ** (mpmath.frexp(exact)[1] - 24)
            error = abs(mpmath.mpf(getattr(transcendental, name)(x)) - exact) / unit
        assert error <= claimed()[name]


def test_noise_is_near_the_truth():
    random = np.random.default_rng(4)
    # The largest noise has the widest unit: all that is above 15.6 is looked at.
    for r in [0, *range(2**32 - 799, 2**32, 2), *random.integers(0, 2**32, 300).tolist()]:
        with mpmath.workprec(120):
            exact = -mpmath.log(-mpmath.log(mpmath.mpf(r | 1) / 2**32))
            assert abs(mpmath.mpf(transcendental.gumbel(r)) - exact) < mpmath.mpf(2) ** -20


def test_common_points_are_exact():
    assert transcendental.exp(0.0) == 1.0
    assert transcendental.expm1(0.0) == transcendental.log(1.0) == transcendental.sin(0.0) == 0.0
    assert transcendental.tanh(0.0) == 0.0
    assert transcendental.cos(0.0) == transcendental.tanh(30.0) == 1.0
    assert transcendental.exp(-104.0) == 0.0
