"""Equal values have one text, and only plain ones have any."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.judges.values import text_of

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(plain, plain)
def test_values_have_the_same_text_exactly_when_python_calls_them_equal(one, other):
    assert (text_of(one) == text_of(other)) == (one == other)


def test_numbers_of_one_value_and_collections_in_any_order_have_one_text():
    assert text_of(1) == text_of(1.0) == text_of(True)
    assert text_of({"b": 1, "a": [2.5]}) == text_of({"a": [2.5], "b": 1})
    assert text_of({3, 1, 2}) == text_of(frozenset([2, 3, 1]))
    assert text_of((1,)) != text_of([1])
    assert text_of("1") != text_of(1)


@pytest.mark.parametrize(
    "value",
    [object(), 1j, type("Int", (int,), {})(1), [[[]]] * 9000, "x" * 9000, 10**9000],
    ids=["object", "complex", "subclass", "list", "text", "number"],
)
def test_what_is_not_plain_or_too_long_has_no_text(value):
    with pytest.raises(ValueError):  # noqa: PT011
        text_of(value)
