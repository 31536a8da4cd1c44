"""Attention as one operator: right, the same by either route, and blind to whatever a token may not see."""

import pytest
import torch

from protocol.errors import NotReproducible, NumericsError
from verde.numerics.attention import attend, by_key, by_products
from verde.numerics.kernels.attention import ALL, CAUSAL, MASKED
from verde.numerics.oracle import attention as oracle


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def heads(batch=2, num_heads=4, num_kv_heads=2, num_queries=5, length=5, width=8):
    return (
        drawn(batch, num_heads, num_queries, width, seed=1),
        drawn(batch, num_kv_heads, length, width, seed=2),
        drawn(batch, num_kv_heads, length, width, seed=3),
    )


def native(query, key, value, mask=None, is_causal=False, scale=0.3):
    """[B, Q, H, D] in double precision."""
    q, k, v = (x.double() for x in (query, key, value))
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=is_causal, scale=scale, enable_gqa=True
    )
    return out.transpose(1, 2)


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_is_attention_up_to_its_significands(is_causal):
    query, key, value = heads()
    ours = attend(query, key, value, None, 0.3, is_causal=is_causal)
    assert ours.shape == (2, 5, 4, 8)
    assert (ours - native(query, key, value, is_causal=is_causal)).abs().max() < 2e-4


@pytest.mark.parametrize("kind", [ALL, CAUSAL, MASKED])
@pytest.mark.parametrize(("num_queries", "length"), [(1, 1), (1, 40), (7, 40), (40, 40), (3, 1)])
def test_matrix_products_and_key_by_key_give_the_same_bits(kind, num_queries, length):
    query, key, value = heads(num_queries=num_queries, length=length)
    mask = torch.rand(2, 1, num_queries, length, generator=torch.Generator().manual_seed(4)) > 0.3
    given = mask if kind == MASKED else None
    products, _ = by_products(query, key, value, given, 0.3, kind)
    assert torch.equal(products, by_key(query, key, value, given, 0.3, kind))


@pytest.mark.parametrize("scale", [1e-30, 1e-37, 1e12, 1e30, 1e37])
def test_very_small_and_very_large_values_keep_both_routes_equal(scale):
    query, key, value = heads(num_queries=6, length=9)
    value = value * scale
    products, _ = by_products(query, key, value, None, 0.3, ALL)
    assert torch.equal(products, by_key(query, key, value, None, 0.3, ALL))
    if scale > 1e-37:  # there, most values are below 2^-126 and read as 0
        assert (products / scale - native(query, key, value / scale).float()).abs().max() < 2e-4


def test_values_of_very_different_size_do_not_hide_each_other():
    query, key, value = heads(num_queries=1, length=6)
    value[:, :, 0] *= 2.0**-20
    mask = torch.zeros(1, 1, 1, 6, dtype=torch.bool)
    mask[..., 0] = True
    ours = attend(query, key, value, mask, 0.3, is_causal=False)
    alone = value[:, :, 0].repeat_interleave(2, dim=1)
    assert ((ours[:, 0] - alone) / alone.abs().amax(-1, keepdim=True)).abs().max() < 2.0**-14


def test_a_query_sees_the_same_with_and_without_a_future():
    query, key, value = heads(num_queries=12, length=12)
    whole = attend(query, key, value, None, 0.3, is_causal=True)
    huge = value.clone()
    huge[:, :, 8:] *= 1e20
    assert torch.equal(whole[:, :8], attend(query, key, huge, None, 0.3, is_causal=True)[:, :8])
    for i in range(12):
        one = attend(query[:, :, i : i + 1], key[:, :, : i + 1], value[:, :, : i + 1], None, 0.3, is_causal=True)
        assert torch.equal(one[:, 0], whole[:, i])


def test_padding_on_the_left_changes_nothing():
    query, key, value = heads(batch=1, num_queries=6, length=6)
    plain = attend(query, key, value, None, 0.3, is_causal=True)

    def padded(x):
        return torch.cat([drawn(1, x.shape[1], 17, 8, seed=9, scale=50.0), x], dim=2)

    mask = torch.ones(23, 23, dtype=torch.bool).tril()[None, None]
    mask[..., :17] = False
    out = attend(padded(query), padded(key), padded(value), mask, 0.3, is_causal=False)
    assert torch.equal(out[:, 17:], plain)
    assert torch.equal(out[:, :17], torch.zeros_like(out[:, :17]))


def test_shared_heads_are_the_same_as_copied_heads_forward():
    query, key, value = heads()
    copied = attend(query, key.repeat_interleave(2, 1), value.repeat_interleave(2, 1), None, 0.3, is_causal=True)
    assert torch.equal(copied, attend(query, key, value, None, 0.3, is_causal=True))


def test_gradients_are_those_of_attention_up_to_their_significands():
    given = [x.requires_grad_() for x in heads(num_queries=9, length=9)]
    upstream = drawn(2, 9, 4, 8, seed=5)
    attend(*given, None, 0.3, is_causal=True).backward(upstream)
    ours = [x.grad for x in given]
    doubles = [x.detach().double().requires_grad_() for x in given]
    native(*doubles, is_causal=True).backward(upstream.double())
    for mine, theirs in zip(ours, doubles, strict=True):
        assert (mine - theirs.grad).norm() < 3e-4 * theirs.grad.norm()


def test_gradients_do_not_depend_on_whether_weights_were_kept(monkeypatch):
    def gradients():
        given = [x.requires_grad_() for x in heads(num_queries=9, length=9)]
        attend(*given, None, 0.3, is_causal=True).backward(drawn(2, 9, 4, 8, seed=5))
        return [x.grad for x in given]

    kept = gradients()
    monkeypatch.setattr("verde.numerics.attention._KEEP_ELEMENTS", 0)
    assert all(torch.equal(a, b) for a, b in zip(kept, gradients(), strict=True))


def test_a_query_without_keys_gives_zero_and_gets_no_gradient():
    query, key, value = (x.requires_grad_() for x in heads(batch=1, num_queries=20, length=20))
    mask = torch.ones(20, 20, dtype=torch.bool).tril()[None, None].clone()
    mask[..., :3] = False
    out = attend(query, key, value, mask, 0.3, is_causal=False)
    out.backward(drawn(1, 20, 4, 8))
    assert torch.equal(out[:, :3], torch.zeros(1, 3, 4, 8))
    assert torch.equal(query.grad[:, :, :3], torch.zeros(1, 4, 3, 8))
    assert torch.equal(key.grad[:, :, :3], torch.zeros(1, 2, 3, 8))
    assert torch.equal(value.grad[:, :, :3], torch.zeros(1, 2, 3, 8))


def test_strided_caches_are_read_in_place():
    query, key, value = heads(num_queries=1, length=10)
    wide = torch.zeros(2, 2, 64, 8)
    wide[:, :, 5:15] = key
    expected = by_key(query, key, value, None, 0.3, ALL)
    assert torch.equal(by_key(query, wide[:, :, 5:15], value, None, 0.3, ALL), expected)
    turned = query.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(by_key(turned, key, value, None, 0.3, ALL), expected)


def test_masks_of_numbers_and_other_types_are_refused():
    query, key, value = heads()
    with pytest.raises(NotReproducible, match="mask of numbers"):
        attend(query, key, value, torch.zeros(5, 5), 0.3, is_causal=False)
    with pytest.raises(NotReproducible, match="float64"):
        attend(query.double(), key.double(), value.double(), None, 0.3, is_causal=False)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("num_queries", [1, 30])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_ends_the_computation(which, num_queries, value):
    given = list(heads(num_queries=num_queries, length=30))
    given[which][0, 0, 0, 0] = value
    with pytest.raises(NumericsError):
        attend(*given, None, 0.3, is_causal=False)


@pytest.mark.parametrize("is_causal", [False, True])
def test_results_and_gradients_are_the_oracles(is_causal):
    query, key, value = (x.requires_grad_() for x in heads(batch=1, num_queries=3, length=3, width=4))
    upstream = drawn(1, 3, 4, 4, seed=6)
    out = attend(query, key, value, None, 0.3, is_causal=is_causal)
    out.backward(upstream)
    scale = torch.tensor(0.3).item()
    allowed = [[j <= i or not is_causal for j in range(3)] for i in range(3)]
    for n in range(2):
        own, keys, values = slice(2 * n, 2 * n + 2), key[0, n].tolist(), value[0, n].tolist()
        queries, given = query[0, own].tolist(), upstream[0].transpose(0, 1)[own].tolist()
        expected = [
            [oracle.attend(q, keys, values, may, scale) for q, may in zip(q_QD, allowed, strict=True)]
            for q_QD in queries
        ]
        assert out[0].transpose(0, 1)[own].tolist() == expected
        dq, dk, dv = oracle.attend_backward(given, queries, keys, values, allowed, scale)
        assert query.grad[0, own].tolist() == dq
        assert key.grad[0, n].tolist() == dk
        assert value.grad[0, n].tolist() == dv


def test_heads_of_width_one_multiply_the_values_themselves():
    query, key, value = heads(batch=1, num_queries=2, length=5, width=1)
    out = attend(query, key, value, None, 0.3, is_causal=False)
    keys, values, scale = key[0, 0].tolist(), value[0, 0].tolist(), torch.tensor(0.3).item()
    assert out[0, 1, 0].tolist() == oracle.attend(query[0, 0, 1].tolist(), keys, values, [True] * 5, scale)


@pytest.mark.parametrize(("num_queries", "length", "width"), [(9, 9, 8), (2, 2, 2), (5, 17, 3)])
def test_one_call_for_all_pairs_gives_the_bits_of_a_call_for_each(num_queries, length, width, monkeypatch):
    def results():
        given = [x.requires_grad_() for x in heads(num_queries=num_queries, length=length, width=width)]
        out = attend(*given, None, 0.3, is_causal=True)
        out.backward(drawn(*out.shape, seed=5))
        return [out.detach(), *(x.grad for x in given)]

    together = results()
    monkeypatch.setattr("verde.numerics.attention._BATCHED_PRODUCTS", 0)
    assert all(torch.equal(a, b) for a, b in zip(together, results(), strict=True))


def test_key_by_key_refuses_heads_of_width_one_by_name():
    query, key, value = heads(width=1)
    with pytest.raises(NotReproducible, match="width one"):
        by_key(query, key, value, None, 0.3, ALL)
