"""What broke bit-equality elsewhere, one test each: native operators that look exact, and widths that creep."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from protocol.errors import NotReproducible
from verde.numerics import exact, gemm, golden, reduce
from verde.numerics.backend import use_route
from verde.numerics.oracle import contraction, sums
from verde.numerics.oracle.rounding import out


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_rotary_tables_do_not_come_from_the_machines_pow():
    model = golden.small_model("qwen2")
    native = model.model.rotary_emb.inv_freq.clone()
    with exact(model):
        pass
    width = 2 * len(native)
    for i, found in enumerate(model.model.rotary_emb.inv_freq.tolist()):
        power = Fraction(found) ** width * Fraction(10000) ** (2 * i)
        spacing = Fraction(2) ** (math.frexp(found)[1] - 24)
        below = (Fraction(found) - spacing / 2) ** width * Fraction(10000) ** (2 * i)
        above = (Fraction(found) + spacing / 2) ** width * Fraction(10000) ** (2 * i)
        assert below <= 1 <= above, (i, float(power))
    with exact(), pytest.raises(NotReproducible, match=r"aten\.pow"):
        10000.0 ** (torch.arange(0, 8, 2).float() / 8)


def test_bias_correction_is_a_running_product_and_never_a_power():
    power, expected, found = torch.ones(()), 1.0, []
    with exact():
        for _ in range(100):
            power = power * 0.999
            found.append(power.item())
        with pytest.raises(NotReproducible, match="exponent 100"):
            torch.tensor(0.999) ** 100
    beta = float(np.float32(0.999))
    for value in found:
        expected = out(Fraction(expected) * Fraction(beta))
        assert value == expected
    assert sum(value != float(np.float32(beta**t)) for t, value in enumerate(found, 1)) > 10


def test_a_tensor_by_a_number_is_divided_and_not_multiplied_by_a_reciprocal():
    x = drawn(1000)
    with exact():
        divided, multiplied = x / 3, x * (1 / 3)
    assert divided.tolist() == [out(Fraction(value) / 3) for value in x.tolist()]
    assert not torch.equal(divided, multiplied)


@pytest.mark.parametrize(
    ("numerator", "factor", "expected"),
    [
        (2**25 - 1, 1801, 2.0**-126),  # rounds up to a normal number, which stays
        (2**25 - 2, 2, 2.0**-126),  # a tie on the subnormal grid, to even
        (2**25 - 3, 479, 0.0),  # rounds to a subnormal, which is flushed
        (2**25 - 4, 4, 0.0),
    ],
)
def test_results_are_rounded_first_and_flushed_after(numerator, factor, expected):
    a, b = torch.tensor([numerator // factor * 2.0**-75]), torch.tensor([factor * 2.0**-76])
    assert Fraction(a.item()) * Fraction(b.item()) == Fraction(numerator, 2**151)
    with exact():
        assert (a * b).item() == expected
        assert torch.mm(a[None], b[None]).item() == expected


def test_subnormal_inputs_read_as_zero():
    tiny = torch.tensor([[1e-40, 2e-39]])
    with exact():
        assert torch.equal(tiny @ torch.full((2, 1), 1e30), torch.zeros(1, 1))
        assert tiny.sum().item() == 0


def test_a_sums_width_depends_on_neither_batch_nor_length():
    row = drawn(1, 300)
    alone = reduce.sum_rows(row)
    assert torch.equal(reduce.sum_rows(torch.cat([row, 1e6 * drawn(63, 300, seed=1)]))[:1], alone)
    assert torch.equal(reduce.sum_rows(torch.cat([row, torch.zeros(1, 5000)], dim=1)), alone)
    assert torch.equal(reduce.sum_rows(row.flip(1)), alone)
    assert alone.item() == sums.total(row[0].tolist())


@pytest.mark.parametrize("length", [1, 2, 3, 5, 15, 17, 31, 33, 63, 65])
@pytest.mark.parametrize("route", ["int8", "fp64"])
def test_lengths_that_fill_no_tile(length, route, request):
    if route == "int8":
        request.getfixturevalue("int8_is_exact_here")
    a, b = drawn(3, length), drawn(length, 2, seed=1)
    with use_route(route):
        assert gemm.matmul(a, b).tolist() == contraction.matmul(a.tolist(), b.tolist())


@pytest.fixture
def int8_is_exact_here():
    from verde.numerics.backend import int8_is_exact

    if not int8_is_exact():
        pytest.skip("this processor's int8 products saturate, so the route is never taken")


def test_ties_are_rounded_to_even():
    # 2^-1 sets the exponent 0, so 2^-16 is half of the last place: 1.5, 2.5 and 3.5 of it.
    ties = torch.tensor([[0.5, 1.5 * 2.0**-15, 2.5 * 2.0**-15, 3.5 * 2.0**-15, -2.5 * 2.0**-15]])
    found = gemm.matmul(ties, torch.eye(5))
    assert (found * 2**15).tolist() == [[2.0**14, 2.0, 2.0, 4.0, -2.0]]


def test_the_largest_significand_raises_its_rows_exponent():
    just_below_one = torch.tensor([[1 - 2.0**-24, 3 * 2.0**-15]])
    expected = contraction.matmul(just_below_one.tolist(), [[1.0, 0.0], [0.0, 1.0]])
    assert gemm.matmul(just_below_one, torch.eye(2)).tolist() == expected == [[1.0, 4 * 2.0**-15]]


def test_rows_of_zeros_give_zeros():
    a = drawn(4, 8)
    a[2] = 0
    found = gemm.matmul(a, drawn(8, 3, seed=1))
    assert torch.equal(found[2], torch.zeros(3))
    assert torch.equal(torch.signbit(found[2]), torch.zeros(3, dtype=torch.bool))
    with exact():
        assert torch.equal(torch.zeros(2, 5).softmax(-1), torch.full((2, 5), 0.2))


def test_one_huge_outlier_coarsens_its_own_row_only():
    a, b = drawn(4, 8), drawn(8, 3, seed=1)
    plain = gemm.matmul(a, b)
    a[1, 3] = 1e30
    found = gemm.matmul(a, b)
    kept = torch.tensor([0, 2, 3])
    assert torch.equal(found[kept], plain[kept])
    assert found[1].tolist() == contraction.matmul(a[1:2].tolist(), b.tolist())[0]


@pytest.mark.parametrize("family", golden.FAMILIES)
def test_a_batch_of_one_and_of_sixty_four(family):
    model = golden.small_model(family).eval()
    ids = torch.randint(2, golden.VOCABULARY, (64, 9), generator=torch.Generator().manual_seed(3))
    with torch.no_grad(), exact(model):
        many = model(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids[41:42]).logits[0], many[41])


def test_one_thread_and_two():
    before = torch.get_num_threads()
    a, b, found = drawn(300, 500), drawn(500, 400, seed=1), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            with exact():
                found.append((a @ b, (a.exp() * 3).sum(0), a.softmax(-1)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))


def test_weights_are_never_drawn_by_the_machine():
    with exact(), pytest.raises(NotReproducible, match="normal_"):
        torch.nn.init.normal_(torch.zeros(4, 4))
    twice = [golden.small_model("gpt2") for _ in range(2)]
    torch.manual_seed(7)
    for a, b in zip(*(model.parameters() for model in twice), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("route", ["int8", "fp64"])
def test_a_contraction_longer_than_32_bit_accumulators_hold(route, request):
    if route == "int8":
        request.getfixturevalue("int8_is_exact_here")
    length = 151_936
    a, b = torch.full((1, length), 0.996), torch.full((length, 1), 0.996)
    q = round(0.996 * 2**15)
    with use_route(route):
        assert gemm.matmul(a, b).item() == out(Fraction(q * q * length, 2**30))


def test_partial_gradients_of_micro_batches_are_part_of_the_program():
    def gradient(pieces: int) -> torch.Tensor:
        model = golden.small_model("llama")
        ids = torch.randint(2, golden.VOCABULARY, (8, 9), generator=torch.Generator().manual_seed(5))
        with exact(model):
            for piece in ids.chunk(pieces):
                (model(input_ids=piece, labels=piece).loss * (1 / pieces)).backward()
        return model.lm_head.weight.grad

    assert torch.equal(gradient(2), gradient(2))
    assert not torch.equal(gradient(1), gradient(2))
    assert (gradient(1) - gradient(2)).norm() < 1e-3 * gradient(1).norm()


def test_roots_are_correctly_rounded():
    x = drawn(5000).abs() + 1e-3
    with exact():
        found = x.sqrt()
    assert found.tolist() == [float(np.float32(math.sqrt(value))) for value in x.tolist()]


def test_functions_do_not_come_from_the_machines_library():
    x = drawn(20000)
    with exact():
        ours = [x.exp(), x.sin(), x.cos(), x.tanh(), x.sigmoid(), F.silu(x)]
    native = [x.exp(), x.sin(), x.cos(), x.tanh(), x.sigmoid(), F.silu(x)]
    for mine, theirs in zip(ours, native, strict=True):
        assert (mine - theirs).abs().max() < 3e-6
        assert not torch.equal(mine, theirs)


def test_a_product_and_a_sum_are_never_contracted():
    a = torch.tensor([1 + 2.0**-12])
    with exact():
        found = torch.add(torch.tensor([-1.0]), a, alpha=1 + 2.0**-12)
        separate = a * a - 1
    assert found.item() == separate.item() == 2.0**-11
    assert float(Fraction(a.item()) ** 2 - 1) != 2.0**-11
