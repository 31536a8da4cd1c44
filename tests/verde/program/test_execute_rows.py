"""Whole rows at once and one element in Python integers are the same, for hostile numbers, too."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import NumericsError
from verde.numerics.oracle.contraction import dot, significands
from verde.numerics.oracle.rounding import NotANumber, out
from verde.numerics.oracle.sums import total
from verde.program.builder import Builder
from verde.program.execute import execute
from verde.program.execute_rows import rounded
from verde.program.kinds import Kind, Type
from verde.program.leaf import bits, evaluate
from verde.program.program import Sources
from verde.program.trace import Trace

EDGES = [0.0, 1.0, -1.0, 2.0**-126, -(2.0**-126), 1.5 * 2.0**-126, 65278 / 2**16, -65279 / 2**16, 2.0**60, -(2.0**-60)]
NUMBERS = st.one_of(
    st.sampled_from(EDGES),
    st.builds(
        lambda m, e, s: float(np.float32(s * np.ldexp(m, e))),
        st.integers(1 << 23, (1 << 24) - 1),
        st.integers(-140, 30),
        st.sampled_from([1.0, -1.0]),
    ),
)
ROWS = st.lists(NUMBERS, min_size=2, max_size=9)


@given(st.integers(-(2**62), 2**62), st.integers(-230, 110))
def test_an_integer_times_a_power_of_two_is_rounded_once(whole, exponent):
    try:
        expected = out(whole * Fraction(2) ** exponent)
    except NotANumber:
        with pytest.raises(NumericsError):
            rounded(np.array([whole]), np.array([exponent]))
        return
    found = rounded(np.array([whole]), np.array([exponent]))
    assert int(found.view(np.uint32)[0]) == bits(expected)


def checked(b, **data):
    """All outputs, each element of which the judge computes too."""
    trace = Trace.of_values(b.program(), execute(b.program(), Sources({}, data)))
    for number, node in enumerate(trace.program.nodes):
        if node.kind != Kind.DATA:
            for element in range(node.num_elements):
                assert evaluate(node, element, trace.reader(number)) == trace.word(number, element), node
    return trace


@given(ROWS)
def test_sums_and_exponents_of_hostile_rows(row):
    x = np.array([row], np.float32)
    b = Builder()
    sums = b.total(b.data("x", Type.F32, *x.shape))
    assert checked(b, x=x).word(sums.node, 0) == bits(total(row))


@given(ROWS, st.data())
def test_products_of_hostile_rows(row, data):
    other = data.draw(st.lists(NUMBERS, min_size=len(row), max_size=len(row)))
    b = Builder()
    one, two = (b.data(name, Type.F32, 1, len(row)) for name in "xy")
    q, e = b.quantise(one)
    product = b.contract(one, two)
    arrays = {"x": np.array([row], np.float32), "y": np.array([other], np.float32)}
    trace = checked(b, **arrays)
    assert trace.word(product.node, 0) == bits(dot(row, other))
    assert (trace.value(q.node)[0].tolist(), trace.word(e.node, 0)) == significands(row)


@given(ROWS, st.data())
def test_largest_masked_and_first_of_equals(row, data):
    mask = data.draw(st.lists(st.integers(0, 1), min_size=len(row), max_size=len(row)))
    twice = [*row, *row]
    b = Builder()
    x = b.data("x", Type.F32, 1, len(twice))
    seen = b.data("m", Type.U8, 1, len(twice))
    largest = b.add_node(Kind.MAX, (1,), [x, seen], length=len(twice))
    at = b.add_node(Kind.ARGMAX, (1,), [x], length=len(twice))
    trace = checked(b, x=np.array([twice], np.float32), m=np.array([[*mask, *mask]], np.uint8))
    expected = max((value for value, one in zip(row, mask, strict=True) if one), default=0.0)
    assert trace.word(largest.node, 0) == bits(expected)
    assert trace.word(at.node, 0) == row.index(max(row))


@given(ROWS, st.data())
def test_sums_of_what_is_at_a_place(row, data):
    places = data.draw(st.lists(st.integers(-1, 3), min_size=len(row), max_size=len(row)))
    b = Builder()
    x, index = b.data("x", Type.F32, 1, len(row)), b.data("i", Type.I32, len(row))
    sums = b.total_where(x, (3, 1), index, skip=1)
    trace = checked(b, x=np.array([row], np.float32), i=np.array(places, np.int32))
    for place in range(3):
        chosen = [value for value, at in zip(row, places, strict=True) if at == place != 1]
        assert trace.word(sums.node, place) == bits(total(chosen) if chosen else 0.0)


@given(st.lists(st.tuples(NUMBERS, st.integers(-130, 40)), min_size=2, max_size=6))
def test_weights_with_an_exponent_of_their_own(pairs):
    """What attention does with values' exponents."""
    weights, scales = ([abs(weight) for weight, _ in pairs], [scale for _, scale in pairs])
    b = Builder()
    w, s = b.data("w", Type.F32, 1, len(pairs)), b.data("s", Type.I32, 1, len(pairs))
    e = b.exponent(w, s, raised=True)
    q = b.add_node(Kind.QUANTISE, w.sizes, [w, e.insert(-1), s])
    trace = checked(b, w=np.array([weights], np.float32), s=np.array([scales], np.int32))
    exact = [Fraction(weight) * Fraction(2) ** scale for weight, scale in zip(weights, scales, strict=True)]
    expected = significands(exact)
    assert (trace.value(q.node)[0].tolist(), trace.word(e.node, 0)) == expected
