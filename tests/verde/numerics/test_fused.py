"""Layers computed by one kernel have the bits of their operators one by one, forward and backward, on every family."""

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from protocol.errors import NumericsError
from verde.numerics import exact, golden
from verde.numerics.fused_layers import log_probs


def step(model, *, fused: bool, rows: int = 3, length: int = 11):
    ids = torch.randint(2, golden.VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(8))
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    model.zero_grad()
    with exact(model, fused=fused):
        out = model(input_ids=ids, attention_mask=mask, labels=ids)
        out.loss.backward()
    return [out.loss.detach(), out.logits.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("family", golden.FAMILIES)
def test_a_fused_step_has_the_bits_of_one_operator_at_a_time(family):
    model = golden.small_model(family)
    for one, other in zip(step(model, fused=True), step(model, fused=False), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("family", golden.FAMILIES)
def test_a_single_row_is_fused_alike(family):
    """Contractions over one row are products of the values themselves."""
    model = golden.small_model(family)
    ids = torch.tensor([[5]])
    found = []
    for fused in (True, False):
        model.zero_grad()
        with exact(model, fused=fused):
            model(input_ids=ids).logits[0, 0, 7].backward()
        found.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*found, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3", "gpt2"])
def test_a_fused_step_takes_a_fraction_of_the_calls(family, monkeypatch):
    from verde.numerics import aten

    model, counts, run = golden.small_model(family), [], aten.run

    def counting(*call):
        counts[-1] += 1
        return run(*call)

    monkeypatch.setattr("verde.numerics.mode.aten.run", counting)
    for fused in (True, False):
        counts.append(0)
        step(model, fused=fused)
    assert counts[0] < 0.75 * counts[1]


def test_layers_are_themselves_again_outside():
    model = golden.small_model("qwen2")
    with exact(model):
        assert any("forward" in module.__dict__ for module in model.modules())
        with exact(model):
            pass
        assert any("forward" in module.__dict__ for module in model.modules())
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_other_threads_keep_their_own_arithmetic_meanwhile():
    model, found = golden.small_model("qwen2", "sdpa").eval(), []
    ids = torch.tensor([[3, 4, 5, 6]])
    with exact(model):
        pass  # the tables are exact from here on
    with torch.no_grad():
        native = model(input_ids=ids).logits
        with exact(model):
            other = threading.Thread(target=lambda: found.append(model(input_ids=ids).logits.detach()))
            other.start()
            other.join()
    assert torch.equal(found[0], native)


def test_a_layer_with_a_forward_of_its_own_is_left_alone():
    model, calls = golden.small_model("llama").eval(), []
    layer = model.model.layers[0].mlp
    own = layer.forward
    layer.forward = lambda x: calls.append(x.shape) or own(x)
    with torch.no_grad(), exact(model):
        model(input_ids=torch.tensor([[3, 4]]))
    assert calls == [(1, 2, 24)]


def test_a_subclass_is_not_the_class_and_goes_operator_by_operator():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    layer = Doubled(4, 3)
    x = torch.ones(2, 4)
    with torch.no_grad(), exact(layer):
        doubled = layer(x)
        single = nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.equal(doubled, single * 2)


def test_hooks_of_a_fused_layer_are_called():
    model, seen = golden.small_model("llama").eval(), []
    model.model.norm.register_forward_hook(lambda module, given, result: seen.append(result.shape))
    with torch.no_grad(), exact(model):
        model(input_ids=torch.tensor([[3, 4]]))
    assert seen == [(1, 2, 24)]


def test_frozen_weights_get_no_gradient_and_change_none():
    model = golden.small_model("qwen2")
    expected = dict(zip([n for n, _ in model.named_parameters()], step(model, fused=True)[2:], strict=True))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layers.1" in name or "bias" in name)
    step(model, fused=True)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(parameter.grad, expected[name])
        else:
            assert parameter.grad is None


def test_log_probabilities_are_gathered_and_normalised():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(1)).requires_grad_()
    tokens, upstream = torch.tensor([0, 49, 7, 7, 3, 20]), torch.randn(6, generator=torch.Generator().manual_seed(2))
    fused = log_probs(logits, tokens)
    fused.backward(upstream)
    gradient, logits.grad = logits.grad, None
    with exact():
        separate = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(-1)
        separate.backward(upstream)
    assert torch.equal(fused, separate)
    assert torch.equal(gradient, logits.grad)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 60.0])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_in_one_pass_has_the_bits_of_its_operators(spread, reduction):
    draw = torch.Generator().manual_seed(3)
    logits = spread * torch.randn(37, 501, generator=draw)
    target = torch.randint(0, 501, (37,), generator=draw)
    target[[3, 9]] = -100
    found = []
    for fused in (True, False):
        leaf = logits.clone().requires_grad_()
        with exact(nn.Linear(1, 1), fused=fused):
            loss = F.cross_entropy(leaf, target, ignore_index=-100, reduction=reduction)
            (3.7 * loss).backward()
        found.append((loss.detach().view(torch.int32), leaf.grad.view(torch.int32)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    wide = logits.double().requires_grad_()
    (3.7 * F.cross_entropy(wide, target, ignore_index=-100, reduction=reduction)).backward()
    assert torch.allclose(leaf.grad.double(), wide.grad, rtol=1e-4, atol=1e-6)


def test_cross_entropy_of_no_target_at_all_is_no_number():
    with exact(nn.Linear(1, 1)), pytest.raises(NumericsError):
        F.cross_entropy(torch.ones(2, 3), torch.tensor([-100, -100]))
