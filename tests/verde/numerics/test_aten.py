"""Every aten operator is exact by nature, ours, or refused by its name."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import exact
from verde.numerics.oracle import elementwise as oracle
from verde.numerics.oracle import norms, softmax, sums
from verde.numerics.oracle.rounding import out

NUMBER = st.floats(width=32, min_value=-(2.0**50), max_value=2.0**50).map(out)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X = drawn(4, 6)

REFUSED = {
    "aten.randn.default": lambda: torch.randn(3),
    "aten.normal_.default": lambda: torch.empty(3).normal_(),
    "aten.randint.default": lambda: torch.randint(5, (3,)),
    "aten.multinomial.default": lambda: torch.multinomial(torch.ones(3), 1),
    "dropout": lambda: F.dropout(X, 0.1, training=True),
    "bfloat16": lambda: X.to(torch.bfloat16),
    "float16": lambda: X.half(),
    "float64": lambda: X.double(),
    "aten.addcmul": lambda: torch.addcmul(X, X, X),
    "aten.addcdiv": lambda: torch.addcdiv(X, X, X),
    "aten.lerp": lambda: torch.lerp(X, X, 0.5),
    "aten.baddbmm": lambda: torch.baddbmm(X[None], X[None], X.T.contiguous()[None, :, :6].expand(1, 6, 4) @ X),
    "aten._foreach_add": lambda: torch._foreach_add([X], [X]),
    "aten._foreach_norm": lambda: torch._foreach_norm([X]),
    "aten.linalg_vector_norm": lambda: torch.linalg.vector_norm(X),
    "exponent 0.5": lambda: X.abs().pow(0.5),
    "aten.pow.Scalar": lambda: 10000.0**X,
    "aten.gelu with erf": lambda: F.gelu(X),
    "aten.var": lambda: X.var(),
    "aten.cumsum": lambda: X.cumsum(0),
    "aten.prod": lambda: X.prod(),
    "aten.erf": lambda: torch.erf(X),
    "aten.log1p": lambda: torch.log1p(X.abs()),
    "aten.convolution": lambda: F.conv1d(X[None], X[None, :, :3]),
    "aten.addmm with alpha": lambda: torch.addmm(X[:, :4], X, X.T, alpha=2),
    "aten.arange with fractions": lambda: torch.arange(0, 1, 0.1),
    "aten.linspace": lambda: torch.linspace(0, 1, 4),
    "from integers to fractions": lambda: torch.arange(1, 5).sqrt(),
    "out of range": lambda: (X * 1e30).long(),
    "different values to one place": lambda: X.clone().index_put_((torch.tensor([0, 0]),), X[:2]),
    "onto values": lambda: X.clone().index_add_(0, torch.tensor([1]), X[:1]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_defined_is_refused_by_name(name):
    with exact(), pytest.raises(NotReproducible) as caught:
        REFUSED[name]()
    assert name.removeprefix("aten.") in str(caught.value)


def test_integers_and_booleans_are_exact_by_nature():
    ids, mask = torch.tensor([[3, 1, 2], [5, 5, 9]]), torch.tensor([True, False, True])
    with exact():
        found = [ids.cumsum(1), ids * 3 + 1, ids // 2, mask.cumsum(0), ids.sum(), ~mask, torch.isin(ids, ids[0])]
        as_numbers = ids.float() * 0.5
    assert [x.tolist() for x in found] == [
        [[3, 4, 6], [5, 10, 19]],
        [[10, 4, 7], [16, 16, 28]],
        [[1, 0, 1], [2, 2, 4]],
        [1, 1, 2],
        25,
        [False, True, False],
        [[True, True, True], [False, False, False]],
    ]
    assert as_numbers.tolist() == [[1.5, 0.5, 1.0], [2.5, 2.5, 4.5]]


def test_memory_that_nobody_wrote_holds_zeros():
    with exact():
        assert torch.equal(torch.empty(1000), torch.zeros(1000))


@pytest.mark.parametrize("other", [drawn(4, 6, seed=7), drawn(6, 4, seed=7).t(), drawn(6, seed=7), 2.0**-127, 3])
def test_what_is_added_in_place_is_added_as_elsewhere_and_noticed(other):
    x = (X * 2.0**-125).clone()
    with exact():
        expected = x + other
        version, memory = x._version, x.data_ptr()
        x += other
    assert torch.equal(x.view(torch.int32), expected.view(torch.int32))
    assert (x.data_ptr(), x._version) == (memory, version + 1)
    with exact(), pytest.raises(NumericsError):
        x.add_(torch.full_like(x, 3e38)).add_(torch.full_like(x, 3e38))


def test_operations_in_place_are_the_same_operations():
    x, y = X.clone(), drawn(4, 6, seed=1)
    with exact():
        x.add_(y, alpha=0.3).mul_(y).sub_(1.5).div_(7)
        separate = (((X + y * 0.3) * y) - 1.5) / 7
    assert torch.equal(x, separate)


@given(NUMBER, NUMBER, NUMBER)
def test_a_sum_with_alpha_rounds_twice(a, b, alpha):
    with exact():
        found = torch.add(torch.tensor([a]), torch.tensor([b]), alpha=alpha).item()
    assert found == oracle.add(a, oracle.mul(alpha, b))


@given(NUMBER, st.integers(1, 1000) | NUMBER.filter(lambda x: abs(x) > 1e-15))
def test_a_tensor_by_a_number_is_one_division(a, b):
    with exact():
        found = (torch.tensor([a]) / b).item()
    assert found == out(Fraction(a) / Fraction(out(Fraction(b))))


@given(st.lists(NUMBER, min_size=1, max_size=20))
def test_rows_are_summed_averaged_and_normalised_as_the_oracle_says(row):
    x = torch.tensor([row])
    with exact():
        found = (x.sum(-1).item(), x.mean(-1).item(), F.log_softmax(x, -1)[0].tolist(), x.logsumexp(-1).item())
    assert found == (sums.total(row), sums.mean(row), softmax.log_softmax(row), softmax.logsumexp(row))


def test_one_sum_runs_over_all_axes_at_once():
    x = drawn(3, 4, 5, 2, seed=2)
    with exact():
        found = [x.sum((0, 2)), x.sum(), x.sum((0, 1)), x.sum((1, 3), keepdim=True)]
    expected = [
        torch.tensor([[sums.total(x[:, i, :, j].flatten().tolist()) for j in range(2)] for i in range(4)]),
        torch.tensor(sums.total(x.flatten().tolist())),
        torch.tensor([[sums.total(x[:, :, i, j].flatten().tolist()) for j in range(2)] for i in range(5)]),
        torch.tensor(
            [[[[sums.total(x[i, :, j].flatten().tolist())] for j in range(5)]] for i in range(3)],
        ),
    ]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_layer_norm_and_its_gradient_are_the_oracles():
    x, weight, bias, upstream = X.clone().requires_grad_(), drawn(6, seed=1), drawn(6, seed=2), drawn(4, 6, seed=3)
    weight.requires_grad_()
    bias.requires_grad_()
    with exact():
        found = F.layer_norm(x, (6,), weight, bias, 1e-5)
        found.backward(upstream)
    eps = torch.tensor(1e-5).item()
    rows = list(zip(upstream.tolist(), X.tolist(), strict=True))
    assert found.tolist() == [norms.layer_norm(row, weight.tolist(), bias.tolist(), eps) for _, row in rows]
    assert x.grad.tolist() == [norms.layer_norm_backward(g, row, weight.tolist(), eps) for g, row in rows]
    dweight, dbias = norms.layer_norm_weight_gradients(upstream.tolist(), X.tolist(), eps)
    assert (weight.grad.tolist(), bias.grad.tolist()) == (dweight, dbias)


def test_cross_entropy_is_a_mean_of_what_is_counted():
    logits, target = drawn(5, 7).requires_grad_(), torch.tensor([3, -100, 0, 6, -100])
    with exact():
        loss = F.cross_entropy(logits, target)
        loss.backward()
        each = F.cross_entropy(logits.detach(), target, reduction="none")
    counted = [(row, int(t)) for row, t in zip(logits.detach().tolist(), target, strict=True) if t >= 0]
    losses = [-softmax.log_softmax(row)[t] for row, t in counted]
    assert loss.item() == oracle.div(sums.total(losses), 3.0)
    assert each.tolist() == [losses[0], 0.0, losses[1], losses[2], 0.0]
    third = oracle.div(1.0, 3.0)
    for row, t, found in zip(logits.detach().tolist(), target, logits.grad.tolist(), strict=True):
        upstream = [-third if t == i else 0.0 for i in range(7)]
        expected = softmax.log_softmax_backward(upstream, softmax.log_softmax(row)) if t >= 0 else [0.0] * 7
        assert found == expected


@given(st.lists(st.tuples(st.integers(0, 4), NUMBER, NUMBER), max_size=12))
def test_an_embeddings_gradient_is_a_sum_per_element(entries):
    index = torch.tensor([i for i, _, _ in entries], dtype=torch.long)
    upstream = torch.tensor([[a, b] for _, a, b in entries]).reshape(-1, 2)
    weight = torch.zeros(5, 2, requires_grad=True)
    with exact():
        F.embedding(index, weight).backward(upstream)
    for column in range(2):
        expected = sums.scatter(5, index.tolist(), upstream[:, column].tolist())
        assert weight.grad[:, column].tolist() == expected


@pytest.mark.parametrize(
    "pick",
    [
        lambda x, i: x.index_select(0, i),
        lambda x, i: x[i],
        lambda x, i: x.gather(0, i[:, None].expand(-1, 6)),
        lambda x, i: x[:, i].T,
    ],
)
def test_all_ways_to_pick_the_same_twice_add_up_alike(pick):
    index = torch.tensor([0, 2, 2, 0, 2])
    upstream = drawn(5, 6, seed=4)
    square = drawn(6, 6, seed=5).requires_grad_()
    with exact():
        pick(square, index).backward(upstream)
    expected = torch.tensor([sums.scatter(6, index.tolist(), upstream[:, k].tolist()) for k in range(6)]).T
    across = torch.equal(square.grad, expected.T)
    assert across or torch.equal(square.grad, expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_among_equals_the_lowest_index_wins(values, data):
    x = torch.tensor(values, dtype=torch.float32)
    k = data.draw(st.integers(1, len(values)))
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    with exact():
        assert x.argmax().item() == x.max(0).indices.item() == order[0]
        assert x.topk(k).indices.tolist() == order[:k]
        assert x.argsort(descending=True).tolist() == order
        assert x.min(0).indices.item() == min(range(len(values)), key=lambda i: (values[i], i))


def test_constants_must_be_numbers_of_binary32():
    with exact():
        assert torch.full((1,), 1e-40).item() == 0
        for value in (float("inf"), float("-inf"), float("nan"), 1e39):
            with pytest.raises(NumericsError):
                X.masked_fill(X > 0, value)
            with pytest.raises(NumericsError):
                X * value


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x * 1e38 * 1e38,
        lambda x: x / 0,
        lambda x: (x * 100).exp(),
        lambda x: (-x.abs()).log(),
        lambda x: (x * 1e38) @ x.T,
        lambda x: (x * 1e38).abs().sum() + (x * 3e38 / 4).abs().sum(),
    ],
)
def test_nan_and_infinity_end_with_the_operator_and_the_tensor(compute):
    with exact(), pytest.raises(NumericsError) as caught:
        compute(X * 3)
    assert caught.value.operator.startswith("aten.")
    assert "shape" in caught.value.tensor


@given(NUMBER, NUMBER)
def test_no_result_is_minus_zero_or_subnormal(a, b):
    x, y = torch.tensor([a]), torch.tensor([b])
    with exact():
        results = [-x, x.abs(), x * y, torch.maximum(-x, y), torch.minimum(x, -y), (-x).clamp(min=-1), F.relu(-x)]
    for result in results:
        bits = result.view(torch.int32).item() & 0xFFFFFFFF
        assert bits == 0 or abs(result.item()) >= 2.0**-126
