"""Attention over the few keys that a mask allows has the bits of whole products, and is taken only where it pays."""

import pytest
import torch

from protocol.errors import NumericsError
from swarm.policy.packing import _mask
from verde.numerics import attention, spans
from verde.numerics.oracle import attention as oracle

SHAPES = [
    # batch, heads, key-value heads, columns, width of a head and of a value, prompt, answer
    (4, 4, 4, 90, 32, 32, 16, 9),
    (2, 6, 2, 70, 64, 24, 5, 13),
    (3, 3, 1, 40, 2, 3, 7, 3),
    (1, 2, 2, 130, 18, 18, 40, 20),
]


def rows(batch, columns, prompt, answer):
    """The mask of rows as training lays them out: padded prompts on the left, answers side by side, a padded rest."""
    segment_RL = torch.full((batch, columns), -1)
    for row in range(batch):
        segment_RL[row, row:prompt] = 0
        for number, start in enumerate(range(prompt, columns - answer - 2 * row, answer), start=1):
            segment_RL[row, start : start + answer] = number
    return _mask(segment_RL)


def heads(batch, num_heads, num_kv_heads, columns, width, value_width, scale=1.0):
    draw = torch.Generator().manual_seed(columns)
    sizes = ((num_heads, width), (num_kv_heads, width), (num_kv_heads, value_width))
    return [(torch.randn(batch, h, columns, d, generator=draw) * scale).requires_grad_() for h, d in sizes]


def computed(inputs, mask, upstream_scale=1.0):
    output = attention.attend(*inputs, mask, 0.3, is_causal=False)
    upstream = torch.randn(output.shape, generator=torch.Generator().manual_seed(5)) * upstream_scale
    return [output.detach(), *torch.autograd.grad(output, inputs, upstream)]


def by_products(monkeypatch):
    monkeypatch.setattr(spans, "spans_of", lambda *_: None)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e15])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_and_its_gradients_have_the_bits_of_whole_products(shape, scale, monkeypatch):
    *of_heads, prompt, answer = shape
    mask = rows(shape[0], shape[3], prompt, answer)
    assert spans.spans_of(mask, shape[0], shape[3], shape[3]) is not None
    inputs = heads(*of_heads)
    inputs[2] = (inputs[2] * scale).detach().requires_grad_()
    ours = computed(inputs, mask, scale)
    by_products(monkeypatch)
    for mine, theirs in zip(ours, computed(inputs, mask, scale), strict=True):
        assert torch.equal(mine.view(torch.int32), theirs.view(torch.int32))


def test_attention_over_spans_is_the_oracles():
    mask = rows(1, 24, 4, 3)
    inputs = heads(1, 2, 1, 24, 4, 4)
    found = computed(inputs, mask)[0]
    query, key, value = (x.detach() for x in inputs)
    scale = torch.tensor(0.3).item()
    for h in range(2):
        for i in range(24):
            expected = oracle.attend(
                query[0, h, i].tolist(), key[0, 0].tolist(), value[0, 0].tolist(), mask[0, 0, i].tolist(), scale
            )
            assert found[0, i, h].tolist() == expected


def test_threads_change_no_bit():
    mask, inputs = rows(8, 200, 12, 11), heads(8, 4, 2, 200, 32, 32)
    before = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(computed(inputs, mask))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_query_without_keys_gives_zero_and_gets_no_gradient():
    mask, inputs = rows(2, 60, 8, 6), heads(2, 4, 2, 60, 8, 8)
    mask[:, :, 20:23] = False
    output, of_query, *_ = computed(inputs, mask)
    assert not output[:, 20:23].any()
    assert not of_query[:, :, 20:23].any()
    assert output[:, 23].any()


def test_spans_are_taken_only_where_every_query_sees_few_keys_in_few_places():
    assert spans.spans_of(torch.ones(9, 9, dtype=torch.bool).tril(), 1, 9, 9) is None, "half of all: products"
    assert spans.spans_of(torch.eye(20, dtype=torch.bool).repeat(2, 1, 1)[None], 1, 20, 20) is None, "by head"
    scattered = torch.zeros(30, 30, dtype=torch.bool)
    scattered[7, ::6] = True
    assert spans.spans_of(scattered, 1, 30, 30) is None, "five spans"
    scattered[7, 24] = False
    found = spans.spans_of(scattered, 1, 30, 30)
    assert found.counts[7] == 4
    assert found.spans[7].tolist() == [[0, 1], [6, 7], [12, 13], [18, 19]]
    assert found.num_seen == 4
    shared = spans.spans_of(torch.eye(6, 20, dtype=torch.bool), 3, 6, 20)
    assert shared.offsets.tolist() == list(range(19)), "one mask for all of a batch"


def test_layers_that_share_a_mask_look_for_its_spans_once_and_again_when_it_changed():
    mask = torch.zeros(1, 1, 8, 32, dtype=torch.bool)
    mask[..., 3:5] = True
    found = spans.spans_of(mask, 1, 8, 32)
    assert spans.spans_of(mask, 1, 8, 32) is found
    assert spans.spans_of(mask[..., :16], 1, 8, 16) is not found
    mask[..., 5] = True
    assert (found.num_seen, spans.spans_of(mask, 1, 8, 32).num_seen) == (16, 24)
    with torch.inference_mode():
        unversioned = mask.clone()
        before = spans.spans_of(unversioned, 1, 8, 32)
        unversioned[..., 6] = True
        assert (before.num_seen, spans.spans_of(unversioned, 1, 8, 32).num_seen) == (24, 32)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_an_error(which, value):
    mask, inputs = rows(2, 60, 8, 6), [x.detach() for x in heads(2, 4, 2, 60, 8, 8)]
    inputs[which][1, 1, 30, 3] = value
    with pytest.raises(NumericsError, match="attention"):
        attention.attend(*inputs, mask, 0.3, is_causal=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_a_gradient_that_is_no_number_or_leads_to_none_is_an_error(value):
    mask, inputs = rows(2, 60, 8, 6), heads(2, 4, 2, 60, 8, 8)
    output = attention.attend(*inputs, mask, 0.3, is_causal=False)
    upstream = torch.zeros_like(output)
    upstream[1, 30] = value
    with pytest.raises(NumericsError, match="attention"):
        output.backward(upstream)
