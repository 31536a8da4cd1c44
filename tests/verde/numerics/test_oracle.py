"""The judge is judged by what is known without it: numpy's roundings, published words, mpmath, its own promises."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verde.numerics.oracle import derive, elementwise, initialisation, norms, optimiser, rotary, sampling, softmax, sums
from verde.numerics.oracle.attention import attend, attend_backward
from verde.numerics.oracle.contraction import dot, matmul, significands
from verde.numerics.oracle.rounding import NotANumber, expo, into, nearest_integer, out, rne

TINY = 2.0**-126
doubles = st.floats(allow_nan=False, allow_infinity=False, min_value=-3.4e38, max_value=3.4e38)
binary32s = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
moderate = st.floats(width=32, min_value=-1000, max_value=1000, allow_subnormal=False)


@given(doubles)
def test_rounding_is_the_rounding_of_ieee_754(x):
    assert rne(Fraction(x)) == float(np.float32(x))


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (Fraction(2**24 + 1), 2.0**24),
        (Fraction(2**24 + 3), 2.0**24 + 4),
        (Fraction(TINY) * (1 - Fraction(1, 2**24)), TINY),
        (Fraction(TINY) * (1 - Fraction(1, 2**23)), 0.0),
        (Fraction(TINY) * (1 - Fraction(1, 2**24) - Fraction(1, 2**60)), 0.0),
        (-Fraction(TINY) * (1 - Fraction(1, 2**25)), -TINY),
        (Fraction(0), 0.0),
        (Fraction(2) ** 128 - Fraction(2) ** 103 - 1, (2 - 2.0**-23) * 2.0**127),
    ],
)
def test_results_are_rounded_first_and_flushed_then(x, expected):
    assert out(x) == expected


def test_what_rounds_beyond_the_largest_number_is_none():
    with pytest.raises(NotANumber):
        rne(Fraction(2) ** 128 - Fraction(2) ** 103)


def test_zero_never_has_a_sign():
    assert [np.signbit(x) for x in (out(-Fraction(TINY) / 4), into(-0.0), elementwise.neg(0.0))] == [False] * 3
    assert into(-TINY / 2) == 0.0
    assert into(-TINY) == -TINY


@pytest.mark.parametrize(("values", "e"), [([1.0], 1), ([0.999], 0), ([-8.0, 1.0], 4), ([0.0], 0), ([2.0**-126], -125)])
def test_the_exponent_of_a_row_is_that_of_its_largest(values, e):
    assert expo(values) == e


@given(binary32s, binary32s)
def test_the_four_operations_are_those_of_ieee_754_but_for_subnormals(a, b):
    for ours, theirs in (
        (elementwise.add, np.add),
        (elementwise.sub, np.subtract),
        (elementwise.mul, np.multiply),
        (elementwise.div, np.divide),
    ):
        with np.errstate(all="ignore"):
            expected = theirs(np.float32(a), np.float32(b))
        if not np.isfinite(expected):
            with pytest.raises(NotANumber):
                ours(a, b)
        else:
            assert ours(a, b) == (float(expected) if abs(expected) >= TINY else 0.0)


@given(st.floats(width=32, min_value=0, allow_subnormal=False, allow_infinity=False))
def test_the_root_is_that_of_ieee_754(x):
    assert elementwise.sqrt(x) == float(np.sqrt(np.float32(x)))


@given(st.lists(moderate, min_size=2, max_size=30), st.randoms())
def test_a_sum_has_no_order_and_its_error_is_bounded_by_its_largest_term(values, random):
    result = sums.total(values)
    shuffled = values[:]
    random.shuffle(shuffled)
    assert sums.total(shuffled) == result
    exact = sum(Fraction(x) for x in values)
    slack = len(values) * Fraction(2) ** (expo(values) - 37) + abs(exact) / 2**24 + Fraction(1, 2**126)
    assert abs(Fraction(result) - exact) <= slack


def test_ties_of_a_sum_go_to_even():
    unit = 2.0**-36
    assert sums.total([0.5, unit / 2, 0.25]) == 0.75
    assert sums.total([2.0**-13, 1.5 * 2.0**-49]) == float(np.float32(2.0**-13 + 2.0**-48))
    assert [nearest_integer(Fraction(n, 2)) for n in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]


def test_a_sum_of_one_is_itself_and_scattering_leaves_zeros():
    assert sums.total([1.0 + 2.0**-23]) == 1.0 + 2.0**-23
    assert sums.scatter(4, [2, 0, 2], [1.5, 2.0, 0.25]) == [2.0, 0.0, 1.75, 0.0]
    assert sums.model_norm([[3.0, 0.0], [4.0]]) == 5.0


def test_significands_fit_two_signed_bytes():
    assert significands([1.0, -0.5]) == ([16384, -8192], 1)
    assert significands([32639.0]) == ([32639], 15)
    assert significands([32640.0, 2.0]) == ([16320, 1], 16)
    assert significands([32639.5]) == ([16320], 16)
    assert significands([32639.25, 1.5]) == ([32639, 2], 15)
    assert significands([0.0, 0.0]) == ([0, 0], 0)


def test_a_product_of_one_term_keeps_all_its_bits():
    a, b = 1 + 2.0**-20, 1 + 2.0**-22
    assert dot([a], [b]) == elementwise.mul(a, b)
    assert dot([a, 0.0], [b, 0.0]) == 1.0
    assert matmul([[1.0, 2.0]], [[3.0, 5.0], [4.0, 6.0]]) == [[11.0, 17.0]]


def test_philox_gives_the_published_words():
    ones = 0xFFFFFFFF
    assert sampling.philox((0, 0), (0, 0, 0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert sampling.philox((ones, ones), (ones,) * 4) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert sampling.philox((0xA4093822, 0x299F31D0), pi) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def test_equal_logits_are_drawn_by_the_lower_token_at_temperature_zero():
    assert sampling.sample([1.0, 3.0, 3.0], seed=5, position=0, temperature=0.0) == 1
    drawn = {sampling.sample([0.0, 0.0, 0.0, -50.0], 5, position, 1.0) for position in range(40)}
    assert drawn == {0, 1, 2}
    assert {sampling.sample([0.0, 0.0, 0.0], 5, position, 1.0, top_k=2) for position in range(40)} == {0, 1}


@pytest.mark.parametrize(("base", "dim"), [(10000.0, 64), (500000.0, 128), (1.0, 4), (16.0, 8), (12345.678, 6)])
def test_rotary_frequencies_are_the_nearest(base, dim):
    with mpmath.workprec(200):
        exact = [mpmath.mpf(base) ** (-mpmath.mpf(2 * i) / dim) for i in range(dim // 2)]
        numbers = [Fraction(int(mpmath.floor(x * 2**150)), 2**150) for x in exact]
    assert rotary.inv_freq(base, dim) == [rne(x) for x in numbers]


def test_llama3_scaling_keeps_short_waves_and_slows_long_ones():
    assert rotary.llama3([1.0, 2.0**-14], 8.0, 1.0, 4.0, 8192.0) == [1.0, 2.0**-17]
    (between,) = rotary.llama3([2.0**-9], 8.0, 1.0, 4.0, 8192.0)
    assert 2.0**-12 < between < 2.0**-9


def test_rotation_keeps_what_is_at_position_zero():
    assert rotary.rotate([1.0, 2.0, 3.0, 4.0], 0, [1.0, 0.5]) == [1.0, 2.0, 3.0, 4.0]


@given(st.lists(st.floats(width=32, min_value=-30, max_value=30, allow_subnormal=False), min_size=1, max_size=8))
def test_softmax_and_its_logarithm_agree(row):
    p, y = softmax.softmax(row), softmax.log_softmax(row)
    assert abs(sum(p) - 1) < 1e-6
    assert all(abs(float(mpmath.log(a)) - b) < 1e-5 for a, b in zip(p, y, strict=True) if a > 0)


def test_norms_have_unit_scale():
    x = [1.0, -2.0, 3.0, 0.5]
    y = norms.rms_norm(x, [1.0] * 4, 0.0)
    assert abs(sum(v * v for v in y) / 4 - 1) < 1e-6
    z = norms.layer_norm(x, [1.0] * 4, [0.0] * 4, 0.0)
    assert abs(sum(z)) < 1e-6
    assert max(abs(d) for d in norms.layer_norm_backward([1.0] * 4, x, [1.0] * 4, 0.0)) < 1e-7
    assert norms.layer_norm_weight_gradients([[1.0] * 4, [2.0] * 4], [x, x], 0.0)[1] == [3.0] * 4


def test_a_token_attends_the_same_whatever_stands_where_it_may_not_look():
    q, keys, values = [0.3, -1.0], [[1.0, 0.2], [0.4, 0.5], [9.0, 9.0]], [[1.0, 2.0], [3.0, 0.1], [1e30, -1e30]]
    alone = attend(q, keys[:2], values[:2], [True, True], 0.7)
    assert attend(q, keys, values, [True, True, False], 0.7) == alone
    assert attend(q, keys, values, [False] * 3, 0.7) == [0.0, 0.0]


def test_the_gradient_of_attention_is_a_gradient():
    q, keys, values = [[[0.3, -1.0], [0.5, 0.1]]], [[1.0, 0.2], [0.4, 0.5]], [[1.0, 2.0], [3.0, 0.1]]
    mask, do = [[True, False], [True, True]], [[[1.0, 0.5], [-0.3, 0.8]]]
    dq, dk, dv = attend_backward(do, q, keys, values, mask, 0.7)

    def loss(keys, values, q):
        rows = [attend(a, keys, values, m, 0.7) for a, m in zip(q, mask, strict=True)]
        return sum(g * y for row, d in zip(rows, do[0], strict=True) for y, g in zip(row, d, strict=True))

    step = 2.0**-4
    for gradient, (i, name) in ((dq[0], (1, "q")), (dk, (0, "k")), (dv, (1, "v"))):
        moved = []
        for sign in (1, -1):
            k2, v2, q2 = [r[:] for r in keys], [r[:] for r in values], [r[:] for r in q[0]]
            {"k": k2, "v": v2, "q": q2}[name][i][0] += sign * step
            moved.append(loss(k2, v2, q2))
        assert abs((moved[0] - moved[1]) / (2 * step) - gradient[i][0]) < 4e-3


def test_clipping_and_adamw_do_what_their_names_say():
    assert optimiser.clip([[3.0], [4.0]], 10.0) == [[3.0], [4.0]]
    ((a,), (b,)) = optimiser.clip([[3.0], [4.0]], 1.0)
    assert (abs(a - 0.6) < 1e-6, abs(b - 0.8) < 1e-6) == (True, True)
    p, moments = optimiser.adamw(1.0, 0.5, optimiser.Moments(), rne(Fraction("0.1")), 0.0)
    assert abs(p - 0.9) < 1e-6
    assert moments.p1 == rne(Fraction("0.9"))


def test_first_weights_are_near_normal():
    drawn = [initialisation.element(7, i, 0.5, 1.0) for i in range(2000)]
    assert abs(sum(drawn) / 2000 - 1.0) < 0.05
    assert abs((sum((x - 1) ** 2 for x in drawn) / 2000) ** 0.5 - 0.5) < 0.03
    assert max(abs(x - 1) for x in drawn) < 3.47 * 0.5


def test_the_constants_are_what_their_derivation_says():
    assert derive.TARGET.read_text(encoding="utf-8") == derive.rendered()
