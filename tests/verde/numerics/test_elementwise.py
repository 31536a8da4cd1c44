"""Elementwise operators over tensors: IEEE arithmetic, one result for any stride, split, broadcast; no NaN unseen."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import elementwise
from verde.numerics.oracle import elementwise as oracle
from verde.numerics.oracle import transcendental

TINY = 2.0**-126
OF_ONE = ("exp", "expm1", "log", "sin", "cos", "tanh", "sigmoid", "silu", "gelu_tanh", "sqrt", "rsqrt")
OF_TWO = ("silu_backward", "gelu_tanh_backward", "tanh_backward")
ARITHMETIC = ("add", "sub", "mul", "div")


def positive(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 5 + 0.125


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """The same bits, so that 0 is not -0."""
    return a.shape == b.shape and torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


@pytest.mark.parametrize("name", OF_ONE)
def test_every_element_is_the_oracles(name):
    x = positive(60)
    judge = getattr(transcendental, name, None) or getattr(oracle, name)
    assert getattr(elementwise, name)(x).tolist() == [judge(one) for one in x.tolist()]


@pytest.mark.parametrize("name", OF_TWO)
def test_every_gradient_is_the_oracles(name):
    g, x = positive(60) - 2.5, positive(60, seed=1) - 2.5
    judge = getattr(oracle, name)
    expected = [judge(a, b) for a, b in zip(g.tolist(), x.tolist(), strict=True)]
    assert getattr(elementwise, name)(g, x).tolist() == expected


@pytest.mark.parametrize("name", OF_ONE)
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.t(),
        lambda x: x[:, ::3],
        lambda x: x[1:, 2:5],
        lambda x: x[0].expand(4, 12),
        lambda x: x.reshape(2, 4, 2, 6).permute(2, 0, 3, 1),
        lambda x: x[3, 5],
        lambda x: x[:0],
        lambda x: x.flip(0)[::2].unsqueeze(1),
    ],
)
def test_a_view_gives_what_its_copy_gives(name, view):
    x = view(positive(8, 12))
    function = getattr(elementwise, name)
    result = function(x)
    assert same(result, function(x.contiguous()))
    assert result.data_ptr() != x.data_ptr() or x.numel() == 0


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        (positive(3, 4), positive(3, 4, seed=1)),
        (positive(3, 4), positive(4, seed=1)),
        (positive(3, 1), positive(1, 4, seed=1)),
        (positive(3, 4).t(), positive(3, 4, seed=1).t()),
        (positive(3, 4).t(), positive(4, 3, seed=1)),
        (positive(1), positive(2, 3, seed=1)),
        (positive(2, 3), positive(1, seed=1)),
        (positive(1), positive(1, 1, seed=1)),
        (positive(2, 3), torch.tensor(0.3)),
        (torch.tensor(0.3), positive(2, 3)),
        (torch.tensor(0.3), torch.tensor(7.0)),
        (positive(2, 3), 0.1),
        (0.1, positive(2, 3)),
        (3, positive(2, 3)),
        (positive(4, 6)[:, ::2], positive(4, 3, seed=1)),
        (positive(0, 3), positive(3, seed=1)),
    ],
)
def test_arithmetic_broadcasts_and_rounds_once(name, a, b):
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[name]
    expected = function(np.float32(a), np.float32(b))
    assert same(getattr(elementwise, name)(a, b), torch.from_numpy(np.asarray(expected)))


@given(
    st.lists(
        st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)] * 2), min_size=1
    )
)
def test_small_differences_become_zero_after_rounding(pairs):
    a, b = torch.tensor(pairs).t()
    for name, function in (("add", np.add), ("mul", np.multiply)):
        with np.errstate(all="ignore"):
            rounded = function(a.numpy(), b.numpy())
        if np.isfinite(rounded).all():
            rounded[np.abs(rounded) < TINY] = 0
            assert same(getattr(elementwise, name)(a, b), torch.from_numpy(rounded))


def test_results_around_the_smallest_number_are_rounded_first():
    x = torch.tensor([TINY, TINY * 1.5, TINY * (1 + 2.0**-23)])
    below = torch.tensor([1 - 2.0**-24, 0.5, 1 - 2.0**-24])
    assert elementwise.mul(x, below).tolist() == [TINY, 0.0, TINY]
    assert elementwise.mul(-x, below).tolist() == [-TINY, 0.0, -TINY]
    assert not torch.signbit(elementwise.mul(-x, below)[1])


def test_flushing_makes_zeros_of_subnormals_and_of_minus_zero_in_place():
    x = torch.tensor([[-0.0, 1e-39, -1e-39], [TINY, -TINY, 2.5]]).t()
    assert elementwise.flush_(x) is x
    assert same(x, torch.tensor([[0.0, 0.0, 0.0], [TINY, -TINY, 2.5]]).t())
    gaps = torch.tensor([1.0, -0.0, 2.0, 1e-40])[1::2]
    assert same(elementwise.flush_(gaps), torch.zeros(2))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("exp", (89.0,)),
        ("expm1", (89.0,)),
        ("log", (0.0,)),
        ("log", (-1.0,)),
        ("sqrt", (-1.0,)),
        ("rsqrt", (0.0,)),
        ("div", (1.0, 0.0)),
        ("add", (3e38, 3e38)),
        ("mul", (3e38, -2.0)),
        ("exp", (float("-inf"),)),
        ("tanh", (float("inf"),)),
        ("sin", (float("inf"),)),
        ("sigmoid", (float("nan"),)),
        ("flush_", (float("nan"),)),
    ],
)
def test_what_is_no_number_is_an_error_that_names_operator_and_tensor(name, arguments):
    tensors = [torch.tensor([[1.0, 1.0, value]]) for value in arguments]
    with pytest.raises(NumericsError) as caught:
        getattr(elementwise, name)(*tensors)
    assert caught.value.operator == name
    assert "(1, 3)" in caught.value.tensor


def test_what_is_no_number_is_found_in_a_broadcast_as_well():
    with pytest.raises(NumericsError):
        elementwise.div(torch.ones(3, 1), torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_other_types_are_refused(dtype):
    with pytest.raises(NotReproducible):
        elementwise.exp(torch.ones(3, dtype=dtype))
    with pytest.raises(NotReproducible):
        elementwise.add(torch.ones(3), torch.ones(3, dtype=dtype))


def test_gradients_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        elementwise.silu_backward(torch.ones(3), torch.ones(2))


@pytest.mark.parametrize("name", [*OF_ONE, "add"])
def test_the_number_of_threads_changes_nothing(name):
    x = positive(300_001)
    arguments = (x, x.flip(0)) if name == "add" else (x,)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(getattr(elementwise, name)(*arguments))
    finally:
        torch.set_num_threads(before)
    assert same(results[0], results[1])
    assert same(results[0], results[2])


def test_a_leaf_that_wants_a_gradient_can_be_read():
    x = torch.ones(2, requires_grad=True)
    assert not elementwise.add(x, 1.0).requires_grad
    assert not elementwise.exp(x).requires_grad
