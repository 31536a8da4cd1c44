"""Sums against Fractions: order, threads and length change nothing but what the definition says."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import NotReproducible, NumericsError
from tests.verde.numerics.rounding import rounded_and_flushed
from verde.numerics import reduce


def sum_in_integers(row: np.ndarray) -> float:
    terms = [Fraction(float(x)) if abs(float(x)) >= 2.0**-126 else Fraction(0) for x in row]
    largest = max(map(abs, terms), default=Fraction(0))
    if largest == 0:
        return 0.0
    exponent = -130
    while Fraction(2) ** exponent <= largest:
        exponent += 1
    total = sum(round(term * Fraction(2) ** (36 - exponent)) for term in terms)
    return rounded_and_flushed(total * Fraction(2) ** (exponent - 36))


floats = st.one_of(
    st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100),
    st.sampled_from([0.0, -0.0, 2.0**-126, -(2.0**-126), 1e-40, 1.0, 2.0**-36, 3 * 2.0**-37, -(2.0**-37), 2.0**60]),
    st.integers(-(2**25), 2**25).map(lambda n: float(np.float32(n * 2.0**-30))),
)
rows = st.lists(floats, min_size=1, max_size=70)


def bits(value: object) -> np.ndarray:
    return np.asarray(value, np.float32).view(np.int32)


@given(rows)
def test_a_sum_is_that_of_the_integers(values):
    row = np.array(values, np.float32)
    expected = bits([sum_in_integers(row)])
    x = torch.from_numpy(row)
    assert np.array_equal(bits(reduce.sum_rows(x[None])), expected)
    assert np.array_equal(bits(reduce.sum_columns(x[:, None])), expected)
    assert np.array_equal(bits(reduce.sum_all(x)[None]), expected)
    assert np.array_equal(bits(reduce.sum_rows(x.flip(0)[None])), expected)


@given(st.lists(st.floats(width=32, min_value=-(2.0**-100), max_value=2.0**-100), min_size=1, max_size=9))
def test_tiny_terms_are_summed_likewise(values):
    row = np.array(values, np.float32)
    expected = bits([sum_in_integers(row)])
    assert np.array_equal(bits(reduce.sum_rows(torch.from_numpy(row)[None])), expected)
    assert np.array_equal(bits(reduce.sum_columns(torch.from_numpy(row)[:, None])), expected)


def sample(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_rows_columns_and_everything_agree():
    x = sample(0, 700, 900) * torch.exp2(torch.arange(900.0) % 80 - 40)
    assert torch.equal(reduce.sum_columns(x), reduce.sum_rows(x.T))
    assert reduce.sum_all(x) == reduce.sum_rows(x.reshape(1, -1))[0]
    assert reduce.sum_rows(x)[3].item() == sum_in_integers(x[3].numpy())


def test_threads_change_no_bit():
    x = sample(1, 1000, 1000)
    before = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append((reduce.sum_rows(x), reduce.sum_columns(x), reduce.sum_all(x), reduce.model_norm([x])))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_no_terms_give_zero():
    assert reduce.sum_rows(torch.empty(2, 0)).tolist() == [0.0, 0.0]
    assert reduce.sum_columns(torch.empty(0, 2)).tolist() == [0.0, 0.0]
    assert reduce.sum_all(torch.empty(0)).item() == 0.0
    assert reduce.model_norm([]).item() == 0.0


def test_a_long_sum_rounds_once():
    # In float32, adding 2^-30 to 1 never moves it.
    x = torch.full((1 << 20,), 2.0**-30)
    x[0] = 1.0
    assert reduce.sum_all(x).item() == np.float32(1 + (2**20 - 1) * 2.0**-30)


@pytest.mark.slow
def test_the_longest_sum_fits():
    x = torch.full((1 << 26,), np.nextafter(np.float32(1), np.float32(0)))
    assert reduce.sum_all(x).item() == 2.0**26 - 4
    with pytest.raises(NotReproducible):
        reduce.sum_all(torch.cat([x, x[:1]]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_ends_the_step(bad):
    x = torch.ones(3, 4)
    x[1, 2] = bad
    for attempt in (reduce.sum_rows, reduce.sum_columns, reduce.sum_all, lambda x: reduce.model_norm([x])):
        with pytest.raises(NumericsError):
            attempt(x)


def test_an_overflow_ends_the_step():
    x = torch.full((2, 2), 3e38)
    for attempt in (reduce.sum_rows, reduce.sum_columns, reduce.sum_all, lambda x: reduce.model_norm([x])):
        with pytest.raises(NumericsError):
            attempt(x)


def test_the_models_norm_is_the_root_of_the_sum_of_the_pieces_sums():
    tensors = [sample(2, 1100, 1000), sample(3, 17), sample(4, 3, 5, 7) * 2.0**-80]
    pieces = [
        reduce.sum_rows(piece.mul(piece).mul_(piece.mul(piece).abs() >= 2.0**-126)[None])
        for x in tensors
        for piece in x.reshape(-1).split(1 << 20)
    ]
    expected = np.sqrt(np.float64(reduce.sum_all(torch.cat(pieces)).item())).astype(np.float32)
    assert len(pieces) == 4
    assert reduce.model_norm(tensors).item() == expected
    assert reduce.model_norm(reversed(tensors)).item() == expected


def test_only_floats_are_summed():
    with pytest.raises(NotReproducible):
        reduce.sum_rows(torch.ones(2, 2, dtype=torch.int64))
