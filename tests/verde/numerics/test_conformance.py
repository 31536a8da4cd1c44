"""What we compute with gives every vector; what machines compute with natively, and near misses, do not."""

import math
import struct
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from verde.numerics import attention, backend, elementwise, rope
from verde.numerics.conformance import cases, conformance, decoded
from verde.numerics.conformance_table import IMPLEMENTATIONS
from verde.numerics.oracle import rotary
from verde.numerics.oracle.rounding import rne
from verde.numerics.vectors.__main__ import HERE, differing, text_of
from verde.numerics.vectors.cases import FILES
from verde.numerics.vectors.encoding import Seeded, encode

TINY = 2.0**-126


@pytest.mark.parametrize("route", ["fp64", "int8"])
def test_every_vector_is_met_on_every_route(route):
    if route == "int8" and not backend.int8_is_exact():
        pytest.skip("the int8 products of this machine are not exact")
    with backend.use_route(route):
        assert [str(failure) for failure in conformance()] == []


def test_every_operator_of_the_vectors_has_an_implementation():
    assert {case["operator"] for _, _, case in cases()} == set(IMPLEMENTATIONS)


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_are_what_the_oracle_says(name):
    assert (HERE / f"{name}.json").read_text(encoding="utf-8") == text_of(name)


def test_a_changed_vector_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("verde.numerics.vectors.__main__.HERE", tmp_path)
    monkeypatch.setattr("verde.numerics.vectors.__main__.FILES", {"rotary": FILES["rotary"]})
    assert list(differing()) == ["rotary"]
    (tmp_path / "rotary.json").write_text(text_of("rotary"))
    assert list(differing()) == []


def native(function):
    return lambda **inputs: {"y": function(*inputs.values())}


NATIVE = {
    "exp": torch.exp,
    "log": torch.log,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "expm1": torch.expm1,
    "mul": torch.mul,
    "sum": torch.sum,
    "matmul": torch.mm,
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "rms_norm": lambda x, w, eps: w * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)),
    "layer_norm": lambda x, w, b, eps: F.layer_norm(x, w.shape, w, b, eps),
    "inv_freq": lambda base, dim: 1.0 / base ** (torch.arange(0, dim, 2).float() / dim),
}


@pytest.mark.parametrize("operator", NATIVE)
def test_the_machines_own_operator_fails(operator):
    failures = conformance({operator: {"native": native(NATIVE[operator])}})
    assert failures
    assert {(failure.operator, failure.implementation) for failure in failures} == {(operator, "native")}


def rounded_to_24_bits(x: torch.Tensor) -> torch.Tensor:
    """Rounded as if there were no smallest exponent."""
    mantissa, exponent = torch.frexp(x.double())
    return torch.round(mantissa * 2**24) / 2**24 * 2.0 ** exponent.double()


def flush_first(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    exact = a.double() * b.double()
    return elementwise.flush_(torch.where(exact.abs() < TINY, 0.0, exact).float())


def unbounded_then_flush(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    exact = rounded_to_24_bits(a.double() * b.double())
    return elementwise.flush_(torch.where(exact.abs() < TINY, 0.0, exact).float())


def quantised(x: torch.Tensor, raising: bool = True) -> torch.Tensor:
    """Rows rounded to 15 bits below their largest, as float64."""
    exponent = torch.frexp(x.abs().amax(1, keepdim=True))[1].double()
    q = torch.round(x.double() * 2.0 ** (15 - exponent))
    if raising:
        too_large = q.abs().amax(1, keepdim=True) > 32639
        exponent = exponent + too_large
        q = torch.round(x.double() * 2.0 ** (15 - exponent))
    return q * 2.0 ** (exponent - 15)


def in_32_bits(x: torch.Tensor) -> torch.Tensor:
    """Sums of a product as an accumulator of 32 bits leaves them, for significands of one exponent."""
    return ((x.to(torch.int64) + 2**31) % 2**32 - 2**31).double()


def wrapping(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    qa, qb = quantised(a), quantised(b.T)
    ea, eb = (torch.frexp(x.abs().amax(1, keepdim=True).clamp_min(1e-30))[1].double() for x in (qa, qb))
    sums = in_32_bits(torch.round(qa * 2.0 ** (15 - ea)) @ torch.round(qb * 2.0 ** (15 - eb)).T)
    return elementwise.flush_((sums * 2.0 ** (ea + eb.T - 30)).float())


def column_exponents(q, k, v, mask, scale):
    """Attention with one exponent for each column of values, which later tokens would change."""
    with torch.no_grad():
        eye = torch.eye(k.shape[0])
        weights = attention.attend(q[None], k[None, None], eye[None, None], mask, scale, is_causal=False)[0]
        columns = quantised(v.T)
        result = (quantised(weights.reshape(-1, len(k))) @ columns.T).view(*weights.shape[:2], -1)
    return result.transpose(0, 1).float()


def sum_of_36_bits_below_the_length(x: torch.Tensor) -> torch.Tensor:
    exponent = math.frexp(float(x.abs().max()))[1] + math.ceil(math.log2(len(x)))
    unit = 2.0 ** (exponent - 36)
    return elementwise.flush_((torch.round(x.double() / unit).sum() * unit).float())


def adamw_with_pow(p, g, lr, weight_decay):
    """AdamW whose bias correction is a power, rounded once."""
    m, v = torch.zeros_like(p), torch.zeros_like(p)
    f, (b1, b2) = elementwise, (rne(Fraction("0.9")), rne(Fraction("0.999")))
    for t, gradient in enumerate(g, start=1):
        c1, c2 = (f.sub(1.0, rne(Fraction(b) ** t)) for b in (b1, b2))
        m = f.add(f.mul(b1, m), f.mul(f.sub(1.0, b1), gradient))
        v = f.add(f.mul(b2, v), f.mul(f.sub(1.0, b2), f.mul(gradient, gradient)))
        d = f.add(f.div(f.sqrt(v), f.sqrt(c2)), rne(Fraction("1e-8")))
        decayed = f.mul(p, f.sub(1.0, f.mul(lr, weight_decay)))
        p = f.sub(decayed, f.mul(f.div(lr, c1), f.div(m, d)))
    return p


NEAR_MISSES = {
    "a power in the bias correction": ("adamw", adamw_with_pow),
    "a reciprocal instead of a division": ("div", lambda a, b: elementwise.mul(a, elementwise.div(1.0, b))),
    "flushed before rounding": ("mul", flush_first),
    "rounded without a smallest exponent": ("mul", unbounded_then_flush),
    "a product that keeps subnormals": ("mul", torch.mul),
    "a sum in double precision": ("sum", lambda x: elementwise.flush_(x.double().sum().float())),
    "a sum whose width depends on its length": ("sum", sum_of_36_bits_below_the_length),
    "a product without quantising": ("matmul", lambda a, b: elementwise.flush_((a.double() @ b.double()).float())),
    "an exponent that is not raised": (
        "matmul",
        lambda a, b: elementwise.flush_((quantised(a, False) @ quantised(b.T, False).T).float()),
    ),
    "an accumulator of 32 bits": ("matmul", wrapping),
    "an exponent for each column of values": ("attention", column_exponents),
    "exp in double precision": ("exp", lambda x: elementwise.flush_(x.double().exp().float())),
    "log in double precision": ("log", lambda x: elementwise.flush_(x.double().log().float())),
    "sine in double precision": ("sin", lambda x: elementwise.flush_(x.double().sin().float())),
    "noise of other words": ("gumbel", lambda seed, position, size: IMPLEMENTATIONS["gumbel"]["noise"](
        seed=position, position=position, size=size)["y"]),
    "an arg-max that takes the last": ("sample", lambda logits, *_: logits.flip(0).argmax() * 0 + len(logits) - 1),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_fails(name):
    operator, function = NEAR_MISSES[name]
    output = {"sample": "token", "adamw": "p"}.get(operator, "y")
    failures = conformance({operator: {name: lambda **inputs: {output: function(*inputs.values())}}})
    assert failures


def test_a_processor_that_flushes_by_itself_does_not_conform():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush by itself")
    try:
        failures = conformance()
    finally:
        torch.set_flush_denormal(False)
    assert {"mul", "div", "matmul"} <= {failure.operator for failure in failures}


def test_what_has_no_result_must_raise():
    failures = conformance({"exp": {"infinite": lambda x: {"y": torch.exp(x)}}})
    assert any(failure.what == "gives a result where there is none" for failure in failures)


def test_a_zero_with_a_sign_is_noticed():
    failures = conformance({"in": {"signed": lambda x: {"y": torch.where(x.abs() < TINY, x * 0.0, x)}}})
    assert "80000000, not 0" in str(failures[0])


def test_written_numbers_are_read_as_they_were():
    assert torch.equal(decoded(encode([[1.5, -2.0], [0.0, 2.0**-126]])), torch.tensor([[1.5, -2.0], [0.0, 2.0**-126]]))
    assert decoded(encode([[1, 2, 3]])).tolist() == [[1, 2, 3]]
    assert decoded(encode([[True, False]])).tolist() == [[True, False]]
    assert decoded(encode(0.25)) == 0.25
    assert decoded(encode(7)) == 7


def test_numbers_too_many_to_list_are_made_alike_on_both_sides():
    seeded = Seeded((3, 7), 12, 100, 9)
    made = decoded(encode(seeded))
    assert made.tolist() == seeded.values()
    fields = {struct.unpack("<I", struct.pack("<f", x))[0] >> 23 & 255 for x in made.view(-1).tolist()}
    assert fields <= set(range(100, 109))
    assert len(fields) > 4


class Rotary(nn.Module):
    """As much of a model as has a rotary table."""

    def __init__(self, kind: str, parameters: dict[str, float]):
        super().__init__()
        native = 1.0 / 500000.0 ** (torch.arange(0, 128, 2).float() / 128)
        exact = rotary.inv_freq(500000.0, 128)
        if kind == "llama3":
            names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
            self.expected = rotary.llama3(exact, *(rne(parameters[name]) for name in names))
        else:
            self.expected = rotary.linear(exact, rne(parameters["factor"]))
        self.rope_type = kind
        self.config = type("Config", (), {"rope_parameters": {"rope_theta": 500000.0, **parameters}})()
        self.register_buffer("inv_freq", torch.tensor(self.expected) * (1 + (native - native)), persistent=False)
        self.inv_freq += 1e-6 * self.inv_freq


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("linear", {"factor": 3.0}),
        (
            "llama3",
            {
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
        ),
    ],
)
def test_scaled_rotary_tables_are_the_oracles(kind, parameters):
    module = Rotary(kind, parameters)
    assert module.inv_freq.tolist() != module.expected
    rope.settle_tables(module)
    assert module.inv_freq.tolist() == module.expected
