"""Exact products: against Python integers on hostile rows, on both routes, with one and two threads."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import NotReproducible, NumericsError
from tests.verde.numerics.rounding import rounded_and_flushed
from verde.numerics import backend, gemm, tiling

ROUTES = [
    *(["tiles"] if tiling.tiles_are_native() else []),
    *(["int8"] if backend.int8_is_exact() else []),
    "fp64",
]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def nearest(value: Fraction) -> int:
    """The nearest integer, ties to even."""
    return round(value)


def read(x: np.float32) -> Fraction:
    """``in`` of the specification."""
    return Fraction(float(x)) if abs(float(x)) >= 2.0**-126 else Fraction(0)


def integers_of(row: np.ndarray) -> tuple[list[int], int]:
    values = [read(x) for x in row]
    largest = max(map(abs, values))
    if largest == 0:
        return [0] * len(values), 0
    exponent = -130
    while Fraction(2) ** exponent <= largest:
        exponent += 1
    for e in (exponent, exponent + 1):
        q = [nearest(value * Fraction(2) ** (15 - e)) for value in values]
        if max(map(abs, q)) <= 32639:
            return q, e
    raise AssertionError("one step of the exponent is always enough")


def product_in_integers(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a · b^T by the text of the specification."""
    if a.shape[1] == 1:
        return np.array([[rounded_and_flushed(read(x) * read(y)) for (y,) in b] for (x,) in a])
    left, right = [integers_of(row) for row in a], [integers_of(row) for row in b]
    result = [
        [
            rounded_and_flushed(sum(x * y for x, y in zip(p, q, strict=True)) * Fraction(2) ** (e + f - 30))
            for q, f in right
        ]
        for p, e in left
    ]
    return np.array(result)


def hostile_row(seed: int, length: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    row = rng.standard_normal(length).astype(np.float32)
    if kind == "zero":
        row[:] = 0
    elif kind == "negative zero":
        row[:] = -0.0
    elif kind == "subnormal":
        row[:] = 1e-40
    elif kind == "among subnormals":
        row = (row * np.float32(2.0**-126)).astype(np.float32)
    elif kind == "smallest normal":
        row[:] = np.float32(2.0**-126) * rng.integers(1, 4, length)
    elif kind == "tiny":
        row *= np.float32(2.0**-100)
    elif kind == "outlier":
        row[rng.integers(length)] = 2.0**60
    elif kind == "ties":
        row = (rng.integers(-(2**16), 2**16, length) / np.float32(2)).astype(np.float32)
        row[0] = 2.0**15 - 256
    elif kind == "raised":
        row[0] = np.float32(32639.5 / 32768) * (1 if seed % 2 else -1)
        row = np.clip(row, -np.abs(row[0]), np.abs(row[0]))
    elif kind == "not raised":
        row[0] = np.nextafter(np.float32(32639.5 / 32768), np.float32(0))
        row = np.clip(row, -row[0], row[0])
    elif kind == "power of two":
        row = np.exp2(rng.integers(-20, 3, length)).astype(np.float32)
    elif kind == "large":
        row *= np.float32(2.0**50)
    return row


KINDS = [
    *("plain", "zero", "negative zero", "subnormal", "among subnormals", "smallest normal", "tiny", "outlier", "ties"),
    *("raised", "not raised", "power of two", "large"),
]
rows_of = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(KINDS)), min_size=1, max_size=4)


@pytest.mark.parametrize("route", ROUTES)
@settings(max_examples=120)
@given(left=rows_of, right=rows_of, length=st.sampled_from([1, 2, 3, 7, 8, 31, 32, 33, 64, 100, 257]))
def test_a_product_is_that_of_the_integers(route, left, right, length):
    a = np.stack([hostile_row(seed, length, kind) for seed, kind in left])
    b = np.stack([hostile_row(seed, length, kind) for seed, kind in right])
    expected = product_in_integers(a, b).astype(np.float32)
    with backend.use_route(route):
        found = gemm.matmul(torch.from_numpy(a), torch.from_numpy(b).T).numpy()
        assert np.array_equal(found.view(np.int32), expected.view(np.int32))
        # The same numbers, stored the other way round.
        other = gemm.matmul(torch.from_numpy(a.T.copy()).T, torch.from_numpy(b.T.copy())).numpy()
    assert np.array_equal(other.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("route", ROUTES)
def test_results_around_the_least_normal_number_are_rounded_before_they_are_flushed(route):
    # Sums 2^28 + d, scaled so that 2^28 stands for 2^-126: down to d = -16 they round up to it.
    a = np.array([[2.0**14, 1.0]], np.float32) * np.float32(2.0**-77)
    b = np.array([[2.0**14, d] for d in range(-40, 8)], np.float32) * np.float32(2.0**-77)
    expected = product_in_integers(a, b).astype(np.float32)
    assert expected[0].tolist() == [0.0] * 24 + [2.0**-126] * 24
    with backend.use_route(route):
        found = gemm.matmul(torch.from_numpy(a), torch.from_numpy(b).T).numpy()
    assert np.array_equal(found.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize("length", [1000, 5000])
def test_long_rows_are_those_of_the_integers(length):
    a = np.stack([hostile_row(seed, length, kind) for seed, kind in enumerate(["plain", "outlier", "raised"])])
    b = np.stack([hostile_row(seed, length, kind) for seed, kind in enumerate(["ties", "plain"])])
    expected = product_in_integers(a, b).astype(np.float32)
    for route in ROUTES:
        with backend.use_route(route):
            assert np.array_equal(gemm.matmul(torch.from_numpy(a), torch.from_numpy(b).T).numpy(), expected)


@pytest.mark.parametrize("length", [65536, 65537, 131072, 200_000, 1 << 22])
@pytest.mark.parametrize("route", ROUTES)
def test_the_largest_sums_fit_the_accumulators(route, length):
    low = 127 * 256 + 127
    a = torch.full((2, length), float(low))
    a[1] = -(127 * 256 - 128)
    with backend.use_route(route):
        found = gemm.multiply(gemm.quantise_rows(a), gemm.quantise_rows(a, copies=2))
    # The rows' exponents are 15 and 15, so significands are the values themselves.
    p, q = low, -(127 * 256 - 128)
    expected = [[p * p * length, p * q * length], [p * q * length, q * q * length]]
    assert found.tolist() == np.array(expected, dtype=object).astype(np.float32).tolist()


def test_longer_rows_are_refused():
    too_long = torch.zeros(1, (1 << 22) + 1)
    with pytest.raises(NotReproducible):
        gemm.quantise_rows(too_long)
    with pytest.raises(NotReproducible):
        gemm.quantise_columns(too_long.reshape(-1, 1))


def sample(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_routes_threads_layouts_and_copies_change_no_bit():
    a, b = sample(0, 300, 700), sample(1, 700, 1100)
    expected = None
    for route in ROUTES:
        for count in (1, 2):
            for copies in ((2, 2), (2, 3), (3, 2), (3, 3)):
                with backend.use_route(route), threads(count):
                    rows = gemm.quantise_rows(a, copies=copies[0])
                    results = [
                        gemm.multiply(rows, gemm.quantise_columns(b, copies=copies[1])),
                        gemm.multiply(rows, gemm.quantise_rows(b.T.contiguous(), copies=copies[1])),
                        gemm.multiply(
                            gemm.quantise_columns(a.T.contiguous(), copies=copies[0]), gemm.quantise_rows(b.T)
                        ),
                    ]
                for result in results:
                    expected = result if expected is None else expected
                    assert torch.equal(result, expected)


@settings(max_examples=60)
@given(left=rows_of, right=rows_of, length=st.sampled_from([2, 3, 31, 255, 256, 257, 700]))
def test_few_rows_are_multiplied_alike_on_every_processor(left, right, length):
    a = torch.from_numpy(np.stack([hostile_row(seed, length, kind) for seed, kind in left]))
    b = torch.from_numpy(np.stack([hostile_row(seed, length, kind) for seed, kind in right]))
    rows, columns = gemm.quantise_rows(a), gemm.quantise_rows(b)
    bias = np.linspace(-1, 1, len(b), dtype=np.float32)
    found, bad = np.empty((len(a), len(b)), np.float32), np.zeros(len(a), np.bool_)
    backend.contract_few(rows, columns, bias, found, bad)
    with backend.use_route("fp64"):
        expected = gemm.multiply(rows, columns, bias_C=torch.from_numpy(bias))
    assert np.array_equal(found.view(np.int32), expected.numpy().view(np.int32))
    assert not bad.any()


def test_the_largest_products_fit_the_few_rows_accumulators():
    low = 127 * 256 + 127
    a = torch.full((1, 70_000), float(low))
    for sign in (1, -1):
        found, bad = np.empty((1, 1), np.float32), np.zeros(1, np.bool_)
        backend.contract_few(gemm.quantise_rows(a), gemm.quantise_rows(a * sign), np.empty(0, np.float32), found, bad)
        assert found[0, 0] == np.float32(sign * low * low * 70_000)


def test_a_row_does_not_depend_on_the_rows_beside_it():
    a, b = sample(2, 64, 129), sample(3, 129, 40)
    together = gemm.matmul(a, b)
    alone = torch.cat([gemm.matmul(a[i : i + 1], b) for i in range(64)])
    assert torch.equal(together, alone)


def test_both_quantisations_at_once_are_the_two_of_them():
    x = sample(4, 333, 517)
    rows, columns = gemm.quantise_both(x)
    for found, expected in ((rows, gemm.quantise_rows(x)), (columns, gemm.quantise_columns(x))):
        assert torch.equal(found.planes, expected.planes)
        assert torch.equal(found.exponents_R, expected.exponents_R)
    columns_of_transpose, rows_of_transpose = gemm.quantise_both(x.T)
    assert torch.equal(columns_of_transpose.exponents_R, columns.exponents_R)
    assert torch.equal(rows_of_transpose.exponents_R, rows.exponents_R)


def test_a_bias_is_added_after_rounding():
    x, weight, bias = sample(5, 9, 50), sample(6, 20, 50), sample(7, 20)
    plain = gemm.linear(x, weight)
    assert torch.equal(gemm.linear(x, weight, bias), plain + bias)


def test_a_linear_layers_gradients_are_the_two_products():
    x, weight, dy = sample(8, 70, 50), sample(9, 20, 50), sample(10, 70, 20)
    dx, dweight = gemm.linear_backward(dy, x, weight)
    assert torch.equal(dx, gemm.matmul(dy, weight))
    assert torch.equal(dweight, gemm.matmul(dy.T, x))
    none, same = gemm.linear_backward(dy, gemm.quantise_columns(x, copies=2), weight, needs_input=False)
    assert none is None
    assert torch.equal(same, dweight)


def test_a_changed_weight_is_sliced_anew():
    x, weight = sample(11, 5, 16), sample(12, 6, 16)
    before = gemm.linear(x, weight)
    assert gemm.rows_of_weight(weight) is gemm.rows_of_weight(weight)
    assert gemm.rows_of_weight(weight) is gemm.columns_of_weight(weight.T)
    weight.mul_(2)
    assert torch.equal(gemm.linear(x, weight), before * 2)
    weight.numpy()[:] *= 2
    torch.autograd.graph.increment_version(weight)
    assert torch.equal(gemm.linear(x, weight), before * 4)


def test_slices_go_with_their_weight():
    gemm.forget_slices()
    weights = [sample(seed, 4, 8) for seed in range(50)]
    for weight in weights:
        gemm.rows_of_weight(weight)
    del weight, weights
    gc.collect()
    gemm.rows_of_weight(sample(99, 4, 8))
    assert len(gemm._kept) == 1


def test_batches_are_independent_products():
    a, b = sample(13, 5, 7, 33), sample(14, 5, 33, 9)
    found = gemm.bmm(a, b)
    assert torch.equal(found, torch.stack([gemm.matmul(x, y) for x, y in zip(a, b, strict=True)]))
    keys = sample(15, 5, 9, 33)
    assert torch.equal(
        gemm.bmm(a, keys.transpose(1, 2)), torch.stack([gemm.matmul(x, y.T) for x, y in zip(a, keys, strict=True)])
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("length", [1, 6])
def test_what_is_no_number_ends_the_step(bad, length):
    x, good = sample(16, 3, length), sample(17, 3, length)
    x[1, length // 2] = bad
    for attempt in (
        lambda: gemm.matmul(x, good.T),
        lambda: gemm.matmul(x.T.contiguous().T, good.T),
        lambda: gemm.matmul(good, x.T),
        lambda: gemm.matmul(good, x.T.contiguous()),
        lambda: gemm.quantise_rows(x).planes,
        lambda: gemm.quantise_columns(x.T.contiguous()).exponents_R,
    ):
        with pytest.raises(NumericsError):
            attempt()


@pytest.mark.parametrize("length", [1, 4])
def test_an_overflow_ends_the_step(length):
    with pytest.raises(NumericsError):
        gemm.matmul(torch.full((2, length), 2.0**70), torch.full((length, 2), 2.0**70))
    with pytest.raises(NumericsError):
        gemm.linear(torch.ones(1, length), torch.full((1, length), 2.0**125), torch.full((1,), 3.4e38))


def test_empty_operands_give_empty_or_zero_products():
    assert gemm.matmul(torch.empty(0, 5), torch.ones(5, 3)).shape == (0, 3)
    assert gemm.matmul(torch.ones(2, 5), torch.empty(5, 0)).shape == (2, 0)
    assert gemm.matmul(torch.empty(2, 0), torch.empty(0, 3)).tolist() == [[0.0] * 3] * 2


def test_only_float_matrices_are_multiplied():
    with pytest.raises(NotReproducible):
        gemm.quantise_rows(torch.ones(2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="cannot be multiplied"):
        gemm.multiply(gemm.quantise_rows(torch.ones(2, 3)), gemm.quantise_rows(torch.ones(2, 4)))
    with pytest.raises(ValueError, match="out must be"):
        gemm.multiply(gemm.quantise_rows(torch.ones(2, 3)), gemm.quantise_rows(torch.ones(2, 3)), torch.empty(2, 3))
