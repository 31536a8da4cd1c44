"""Fused kernels give the bits of their operators one by one: those that autograd makes of the modelling code."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import elementwise, gated, loss, norm, reduce, rotary
from verde.numerics.mode import exact


def sample(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape) * np.exp2(rng.integers(-12, 4, shape)) * scale
    return torch.from_numpy(values.astype(np.float32))


def reference(function: Callable[..., torch.Tensor], g: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """The result and the inputs' gradients, one aten operator after the other."""
    leaves = [x.clone().requires_grad_(True) for x in inputs]
    with exact():
        result = function(*leaves)
        gradients = torch.autograd.grad(result, leaves, g)
    return [result.detach(), *gradients]


def assert_same(found: tuple[torch.Tensor, ...] | list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


SHAPES = [(1, 1), (3, 2), (70, 64), (130, 257), (300, 896)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 2.0**-60, 2.0**30])
def test_a_llama_norm(shape, scale):
    module = LlamaRMSNorm(shape[1], eps=1e-6)
    x, weight, g = sample(0, *shape, scale=scale), sample(1, shape[1]), sample(2, *shape)

    def one_by_one(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"weight": weight}, x)

    y, root = norm.rms_norm(x, weight, 1e-6)
    dx, dweight = norm.rms_norm_backward(g, x, weight, root)
    assert_same([y, dx, dweight], reference(one_by_one, g, x, weight))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_gemma_norm(shape):
    module = Gemma3RMSNorm(shape[1], eps=1e-6)
    x, weight, g = sample(3, *shape), sample(4, shape[1], scale=0.1), sample(5, *shape)

    def one_by_one(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"weight": weight}, x)

    factor = elementwise.add(1.0, weight)
    y, root = norm.rms_norm(x, factor, 1e-6)
    dx, dweight = norm.rms_norm_backward(g, x, factor, root)
    assert_same([y, dx, dweight], reference(one_by_one, g, x, weight))


def test_a_row_of_zeros_has_a_norm():
    y, root = norm.rms_norm(torch.zeros(2, 8), torch.ones(8), 1e-6)
    assert y.tolist() == [[0.0] * 8] * 2
    assert root.tolist() == elementwise.rsqrt(torch.full((2,), 1e-6)).tolist()


@pytest.mark.parametrize(("name", "module"), [("silu", nn.SiLU()), ("gelu_tanh", nn.GELU(approximate="tanh"))])
@pytest.mark.parametrize("shape", [(1,), (5, 7), (129, 1031)])
def test_a_gated_activation(name, module, shape):
    gate, up, g = sample(6, *shape), sample(7, *shape), sample(8, *shape)
    found = (gated.gated(name, gate, up), *gated.gated_backward(name, g, gate, up))
    assert_same(found, reference(lambda gate, up: module(gate) * up, g, gate, up))


def test_other_activations_are_refused():
    with pytest.raises(NotReproducible):
        gated.gated("relu", torch.ones(1), torch.ones(1))


@pytest.mark.parametrize("shape", [(1, 2), (6, 33), (40, 5000)])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_log_probabilities_of_chosen_tokens(shape, scale):
    z, g = sample(9, *shape, scale=scale), sample(10, shape[0])
    tokens = torch.from_numpy(np.random.default_rng(11).integers(0, shape[1], shape[0]))

    def one_by_one(z: torch.Tensor) -> torch.Tensor:
        return z.gather(1, tokens[:, None])[:, 0] - z.logsumexp(-1)

    log_probs, normaliser = loss.token_log_probs(z, tokens)
    dz = loss.token_log_probs_backward(g, z, tokens, normaliser)
    assert_same([log_probs, dz], reference(one_by_one, g, z))
    logits = z.clone()
    in_place = loss.token_log_probs_backward(g, logits, tokens, normaliser, out=logits)
    assert in_place.data_ptr() == logits.data_ptr()
    assert torch.equal(in_place, dz)


def test_the_largest_logit_may_be_negative():
    z = torch.tensor([[-5.0, -2.0, -9.0]])
    log_probs, normaliser = loss.token_log_probs(z, torch.tensor([1]))
    shifted = elementwise.exp(elementwise.sub(z, -2.0))
    assert normaliser[0] == elementwise.add(elementwise.log(reduce.sum_rows(shifted)), -2.0)[0]
    assert log_probs[0] == elementwise.sub(torch.tensor(-2.0), normaliser[0])


def test_tokens_outside_of_the_vocabulary_are_refused():
    for token in (-1, 3):
        with pytest.raises(ValueError, match="not one of 3 words"):
            loss.token_log_probs(torch.zeros(1, 3), torch.tensor([token]))


@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (2, 3, 5, 8), (2, 14, 33, 64)])
def test_rotating_queries(shape):
    batch, heads, length, width = shape
    x, g = sample(12, batch, length, heads, width).transpose(1, 2), sample(13, *shape)
    angles = sample(14, batch, length, width // 2)
    cos, sin = (torch.cat([f(angles)] * 2, -1) for f in (elementwise.cos, elementwise.sin))

    def one_by_one(x: torch.Tensor) -> torch.Tensor:
        return apply_rotary_pos_emb(x, x[:, :1].detach(), cos, sin)[0]

    found = (rotary.rotate(x, cos, sin), rotary.rotate_backward(g, cos, sin))
    assert_same(found, reference(one_by_one, g, x))
    assert found[0].transpose(1, 2).is_contiguous()


def test_threads_change_no_bit():
    x, weight, g = sample(15, 1000, 640), sample(16, 640), sample(17, 1000, 640)
    tokens = torch.arange(1000) % 640
    before, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            y, root = norm.rms_norm(x, weight, 1e-6)
            log_probs, normaliser = loss.token_log_probs(x, tokens)
            results.append(
                [
                    *(y, *norm.rms_norm_backward(g, x, weight, root), *gated.gated_backward("silu", g, x, y)),
                    *(log_probs, loss.token_log_probs_backward(g[:, 0], x, tokens, normaliser)),
                ]
            )
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert_same(other, results[0])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_ends_the_step(bad):
    x, good = torch.ones(3, 4), torch.ones(3, 4)
    x[1, 2] = bad
    tokens = torch.zeros(3, dtype=torch.int64)
    for attempt in (
        lambda: norm.rms_norm(x, torch.ones(4), 1e-6),
        lambda: norm.rms_norm_backward(x, good, torch.ones(4), torch.ones(3)),
        lambda: gated.gated("silu", x, good),
        lambda: gated.gated_backward("silu", x, good, good),
        lambda: loss.token_log_probs(x, tokens),
        lambda: loss.token_log_probs_backward(x[:, 2], good, tokens, torch.ones(3)),
        lambda: rotary.rotate(x[None, None], torch.ones(1, 3, 4), torch.ones(1, 3, 4)),
    ):
        with pytest.raises(NumericsError):
            attempt()
