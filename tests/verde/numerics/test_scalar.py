"""The functions that kernels inline give the oracle's bits, over all exponents and where a rule changes."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verde.numerics.kernels import angles, compiled, scalar
from verde.numerics.kernels.elementwise import OF_ONE
from verde.numerics.oracle import elementwise as oracle
from verde.numerics.oracle import rounding, transcendental
from verde.numerics.oracle.rounding import NotANumber

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
moderate = st.floats(width=32, min_value=-100, max_value=100, allow_subnormal=False)


def bits(x: float) -> bytes:
    return struct.pack("<f", x)


def from_bits(values) -> np.ndarray:
    return np.asarray(values, dtype=np.uint32).view(np.float32)


def judge(name):
    return getattr(transcendental, name, None) or getattr(oracle, name)


def compare(name: str, x_N: np.ndarray) -> None:
    """Kernel and oracle agree on every element, also on where there is no result."""
    expected_N = np.empty_like(x_N)
    for n, x in enumerate(x_N.tolist()):
        try:
            expected_N[n] = judge(name)(rounding.into(x))
        except NotANumber:
            expected_N[n] = np.nan
    got_N = np.empty_like(x_N)
    OF_ONE[name](0, len(x_N), x_N, got_N, np.zeros(1, np.int32))
    got_N[~np.isfinite(got_N)] = np.nan
    wrong = got_N.view(np.uint32) != expected_N.view(np.uint32)
    wrong &= ~(np.isnan(got_N) & np.isnan(expected_N))
    shown = [
        (float(x), float(a), float(b)) for x, a, b in zip(x_N[wrong], got_N[wrong], expected_N[wrong], strict=True)
    ]
    assert shown == []


@pytest.mark.parametrize("name", sorted(OF_ONE))
def test_every_exponent_gives_the_oracles_bits(name):
    magnitudes = np.arange(0x00800000, 0x7F800000, 4_999_999, dtype=np.uint32)
    compare(name, from_bits(np.concatenate([magnitudes, magnitudes | 0x80000000])))


@pytest.mark.parametrize("name", sorted(OF_ONE))
def test_ordinary_numbers_give_the_oracles_bits(name):
    magnitudes = np.arange(0x3A000000, 0x43000000, 499_979, dtype=np.uint32)
    compare(name, from_bits(np.concatenate([magnitudes, magnitudes | 0x80000000])))


EDGES = {
    "exp": [0x42AEAC50, 0x42B17218, 0x42FFFFFF, 0x43000000, 0x3EB17218, 0x3F317218],
    "expm1": [0x3EC00000, 0x42B17218, 0x42FFFFFF, 0x43000000, 0x41B00000, 0x42B00000, 0x41A00000],
    "log": [0x3F800000, 0x3FB504F3, 0x3F3504F3, 0x00800000],
    "tanh": [0x3F100000, 0x41100000, 0x41800000, 0x3F000000],
    "sin": [0x3F490FDB, 0x3FC90FDB, 0x40490FDB, 0x40C90FDB, 0x3E800000, 0x3F000000, 0x6F79BE45, 0x7F7FFFFF],
    "cos": [0x3F490FDB, 0x3FC90FDB, 0x40490FDB, 0x40C90FDB, 0x3E800000, 0x3F000000, 0x6F79BE45, 0x7F7FFFFF],
    "sigmoid": [0x42AEAC50, 0x42B17218],
    "silu": [0x42AEAC50, 0x42B17218, 0x42A00000],
    "gelu_tanh": [0x40C00000, 0x3F3504F3],
    "sqrt": [0x00800000, 0x3F800000, 0x40800000],
    "rsqrt": [0x00800000, 0x3F800000, 0x40800000],
}


@pytest.mark.parametrize("name", sorted(EDGES))
def test_where_a_rule_changes_both_sides_give_the_oracles_bits(name):
    near = [edge + step for edge in EDGES[name] for step in range(-40, 41) if 0x00800000 <= edge + step < 0x7F800000]
    compare(name, from_bits([*near, *(one | 0x80000000 for one in near), 0]))


@given(numbers, numbers)
def test_sums_products_and_quotients_give_the_oracles_bits(a, b):
    for name in ("add", "sub", "mul", "div"):
        got = getattr(scalar, name)(np.float32(a), np.float32(b))
        try:
            expected = getattr(oracle, name)(rounding.into(a), rounding.into(b))
        except NotANumber:
            assert not np.isfinite(got)
        else:
            assert bits(got) == bits(expected)


@given(moderate, moderate)
def test_gradients_give_the_oracles_bits(g, x):
    x, g = rounding.into(x), rounding.into(g)
    for name in ("silu_backward", "gelu_tanh_backward", "tanh_backward"):
        assert bits(getattr(scalar, name)(np.float32(g), np.float32(x))) == bits(getattr(oracle, name)(g, x))


@given(st.integers(0, 2**32 - 1))
def test_noise_gives_the_oracles_bits(r):
    assert bits(scalar.gumbel(np.uint32(r))) == bits(transcendental.gumbel(r))


@pytest.mark.parametrize("r", [0, 1, 2, 3, 0x5E2D58D8, 0x7FFFFFFF, 0x80000000, 0xB504F333, 0xFFFFFFFE, 0xFFFFFFFF])
def test_the_ends_of_the_noise_are_numbers_and_the_oracles(r):
    assert bits(scalar.gumbel(np.uint32(r))) == bits(transcendental.gumbel(r))
    assert -3.1 < transcendental.gumbel(r) < 22.2


@given(numbers)
def test_the_exponent_is_the_oracles(x):
    assert scalar.expo(np.float32(x)) == rounding.expo([rounding.into(x)])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_stays_none(value):
    for function in (
        *(getattr(scalar, name) for name in OF_ONE if name not in ("sin", "cos", "rsqrt")),
        angles.sin,
        angles.cos,
    ):
        if function is scalar.gelu_tanh and value < 0:
            continue
        assert not np.isfinite(function(np.float32(value))), function.__name__


def test_a_kernel_on_disk_is_named_by_everything_it_inlines(tmp_path, monkeypatch):
    before = compiled.sources()
    (tmp_path / "kernels").mkdir()
    (tmp_path / "constants.py").write_text("A = 1\n")
    (tmp_path / "kernels" / "scalar.py").write_text("B = 1\n")
    monkeypatch.setattr(compiled, "_HERE", tmp_path / "kernels")
    first = compiled.sources()
    (tmp_path / "constants.py").write_text("A = 2\n")
    second = compiled.sources()
    (tmp_path / "kernels" / "scalar.py").write_text("B = 2\n")
    assert len({before, first, second, compiled.sources()}) == 4
    assert OF_ONE["exp"]._cache._cache_file._source_stamp == before
