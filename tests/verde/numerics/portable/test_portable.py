"""The code of devices, run on the host: every vector, the golden hashes, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import elementwise, gemm, golden, loss, reduce
from verde.numerics.conformance import conformance
from verde.numerics.mode import exact
from verde.numerics.place import deferred, marked_in, marking, on_host, portable_code, require_numbers
from verde.numerics.portable import probe, products, rows, scalar
from verde.numerics.portable import route as routes

EXPECTED = golden.expected()
HOSTILE = [0.0, 1.0, -1.0, 2.0**-126, -(2.0**-126), 3e38, -3e38, 2.0**-60, 88.7, -87.3, 1e-3, 0.5625, 0.375, 1.5, -2.5]


def host_bits(function, *inputs):
    return function(*inputs).view(torch.int32)


def portable_bits(function, *inputs):
    with portable_code():
        return function(*inputs).contiguous().view(torch.int32)


def test_every_vector_has_its_bits():
    with portable_code():
        assert [str(failure) for failure in conformance()] == []


@pytest.mark.parametrize(
    ("family", "route", "fused"),
    [*((family, "fp64", True) for family in golden.FAMILIES), ("gemma3", "int8", False), ("gpt2", "int8", False)],
)
def test_training_ends_in_the_golden_bits(family, route, fused):
    if route == "int8" and routes.trouble_with("int8", torch.device("cpu")):
        pytest.skip("this processor's int8 products saturate")
    with portable_code(), routes.use_route(route):
        assert golden.hashes(family, golden.EARLY_STEP, fused=fused)[-1] == EXPECTED[family]["early"]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_elementwise_and_sums_are_the_kernels(values):
    x = scalar.flush(torch.tensor([*values, *HOSTILE], dtype=torch.float32))
    small = torch.where(x.abs() < 80, x, 1.0)
    for name in ("exp", "sigmoid", "silu", "tanh", "expm1", "gelu_tanh"):
        function = getattr(elementwise, name)
        assert torch.equal(host_bits(function, small), portable_bits(function, small)), name
    positive = torch.where(x > 0, x, 1.0)
    for function in (elementwise.log, elementwise.sqrt):
        assert torch.equal(host_bits(function, positive), portable_bits(function, positive))
    for function in (elementwise.sin, elementwise.cos):
        assert torch.equal(host_bits(function, x), portable_bits(function, x))
    part = x * 2.0**-6
    assert torch.equal(host_bits(reduce.sum_all, part), portable_bits(reduce.sum_all, part))


@pytest.mark.parametrize("total", [0, 1, -1, 2**53 - 1, 2**53 + 1, -(2**62) + 3, 2**62 + (1 << 38) + 1])
@pytest.mark.parametrize("exponent", [-170, -150, -62, 0, 60])
def test_a_total_of_any_width_is_rounded_once(total, exponent):
    from verde.numerics.reduce import _rounded

    found = rows.rounded(torch.tensor([total]), torch.tensor([exponent]))
    assert found.view(torch.int32).item() == np.float32(_rounded(total, exponent)).view(np.int32)


def test_division_by_a_number_is_no_product_with_its_reciprocal():
    x = torch.tensor([5.0, 7.0, 1.0, 11.0])
    with portable_code():
        assert torch.equal(elementwise.div(x, 3.0), x / torch.tensor(3.0))
        assert torch.equal(elementwise.div(1.0, x), torch.tensor(1.0) / x)


def test_a_matrix_that_changed_after_it_was_quantised_is_refused():
    with portable_code():
        x = torch.randn(4, 6)
        quantised = gemm.quantise_rows(x)
        x.add_(1.0)
        with pytest.raises(RuntimeError, match="changed after it was quantised"):
            gemm.multiply(quantised, gemm.quantise_columns(torch.randn(6, 3)))


def test_what_is_no_number_is_named_at_once_or_when_the_block_ends():
    bad, good = torch.tensor([1.0, float("inf")]), torch.ones(2)
    with portable_code():
        with pytest.raises(NumericsError, match="exp"):
            elementwise.exp(bad)
        reached = []
        with pytest.raises(NumericsError, match="mul"), deferred():
            reached += [elementwise.mul(bad, good), elementwise.exp(bad)]
        assert len(reached) == 2
        with pytest.raises(NumericsError), exact():
            torch.exp(bad)


def test_a_block_that_fails_for_another_reason_says_that_reason():
    with portable_code(), pytest.raises(KeyError), deferred():
        {}[elementwise.exp(torch.tensor([float("nan")])).numel()]


def test_more_operators_than_a_ledger_holds_are_all_remembered():
    def compute():
        require_numbers("first", "x", torch.tensor([float("nan")]))
        for _ in range(5000):
            with marking(torch.device("cpu"), "later", "y"):
                pass

    with pytest.raises(NumericsError, match="first"), deferred():
        compute()


def test_recorded_work_marks_one_place():
    mark_1 = torch.zeros(1, dtype=torch.int32)
    with marked_in(mark_1):
        require_numbers("one", "x", torch.tensor([float("inf")]))
        require_numbers("two", "x", torch.tensor([1.0]))
    assert mark_1.item() != 0


def test_a_token_outside_of_the_vocabulary_is_an_error_on_a_device_too():
    with portable_code(), pytest.raises(NumericsError, match="tokens that are not among 5 words"):
        loss.token_log_probs(torch.zeros(2, 5), torch.tensor([1, 5]))


def test_host_tensors_stay_with_the_kernels():
    assert on_host(torch.ones(1), 3.0)
    with portable_code():
        assert not on_host(torch.ones(1))
    assert not on_host(torch.ones(1, device="meta"))


def test_a_device_whose_products_are_wrong_is_refused_by_name(monkeypatch):
    cpu = torch.device("cpu")
    assert routes.trouble_with("fp64", cpu) == ""
    exact_mm = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b: exact_mm(a.float(), b.float()).double())
    assert "not exact" in routes.trouble_with("fp64", cpu)
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: (_ for _ in ()).throw(RuntimeError("no tensor cores")))
    assert "no tensor cores" in routes.trouble_with("int8", cpu)
    with pytest.raises(NotReproducible, match="none of its products is exact"):
        routes._probed.__wrapped__(cpu, False)


def test_a_device_whose_vectors_differ_is_refused(monkeypatch):
    monkeypatch.setattr("verde.numerics.conformance.conformance", lambda device: ["exp by elementwise: y differs"])
    probe._trouble_of.cache_clear()
    with pytest.raises(NotReproducible, match="1 vectors differ there, the first: exp"):
        probe.require_exact(torch.device("cpu"))
    probe._trouble_of.cache_clear()
    with pytest.raises(NotReproducible, match="cpu and cuda only"):
        probe.require_exact(torch.device("mps"))


def test_an_unknown_route_has_no_name():
    with pytest.raises(ValueError, match="no route of a device"), routes.use_route("tiles"):
        pass


@pytest.mark.parametrize("shape", [(1, 2), (3, 130), (20, 1)])
def test_planes_hold_the_significands(shape):
    rows_of_x, length = shape
    x = torch.randn(rows_of_x, length)
    left = products.DeviceQuantised(x, False)
    right = products.DeviceQuantised(x.T.contiguous(), True)
    assert torch.equal(left.planes, right.planes)
    assert torch.equal(left.exponents_R, right.exponents_R)
    back = left.doubles(slice(None)) * 2.0 ** (left.exponents_R[:, None].double() - 15)
    assert (back - x).abs().max() <= x.abs().max() * 2.0**-14
