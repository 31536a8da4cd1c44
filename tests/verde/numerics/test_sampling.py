"""Drawn tokens are those of the definition, whatever was skipped on the way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import NumericsError
from verde.numerics import noise
from verde.numerics.elementwise import add, div
from verde.numerics.kernels.sampling import noise_bound
from verde.numerics.oracle import sampling as oracle
from verde.numerics.sampling import draw, seed_words

SEEDS = st.integers(0, 2**64 - 1)


def by_definition(logits_V, seed, position, temperature=1.0, top_k=0):
    z_V = logits_V if temperature == 1.0 else div(logits_V, float(np.float32(temperature)))
    value_V = add(z_V, noise.gumbel(seed, position, len(z_V)))
    if top_k:
        kept = sorted(range(len(z_V)), key=lambda v: (-z_V[v], v))[:top_k]
        mask_V = torch.zeros(len(z_V), dtype=torch.bool)
        mask_V[kept] = True
        value_V = value_V.where(mask_V, -torch.inf)
    return int((value_V == value_V.max()).nonzero()[0, 0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40),
    SEEDS,
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 0.5, 0.7, 1.3, 0.0]),
    st.integers(0, 8),
)
def test_tokens_are_the_oracles(logits, seed, position, temperature, top_k):
    drawn = draw(
        torch.tensor([logits]),
        seed_words([seed]),
        torch.tensor([position]),
        temperature=temperature,
        top_k=top_k,
    )
    settled = torch.tensor(logits)
    settled[settled.abs() < 2.0**-126] = 0
    expected = oracle.sample(settled.tolist(), seed, position, float(np.float32(temperature)), top_k)
    assert drawn.tolist() == [expected]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    SEEDS,
    st.sampled_from([1, 3, 255, 256, 257, 5000]),
    st.sampled_from([0.0, 1e-3, 1.0, 4.0, 1e6]),
    st.sampled_from([0, 1, 7, 300]),
)
def test_large_vocabularies_are_drawn_as_defined(start, seed, size, spread, top_k):
    logits_V = torch.randn(size, generator=torch.Generator().manual_seed(start)) * spread
    drawn = draw(logits_V[None], seed_words([seed]), torch.tensor([5]), temperature=1.0, top_k=top_k)
    assert drawn.tolist() == [by_definition(logits_V, seed, 5, top_k=top_k)]


def test_a_guess_of_the_token_never_changes_it():
    logits_RV = torch.randn(40, 700, generator=torch.Generator().manual_seed(1)) * 3
    seed_N, position_N = seed_words(range(40)), torch.arange(40)
    expected = draw(logits_RV, seed_N, position_N, temperature=1.0)
    for guess in (expected, expected * 0, torch.full_like(expected, -1), torch.full_like(expected, 700)):
        assert torch.equal(draw(logits_RV, seed_N, position_N, temperature=1.0, claim_N=guess), expected)


def test_rows_are_drawn_alone_and_may_be_shared():
    logits_RV = torch.randn(3, 300, generator=torch.Generator().manual_seed(2)) * 2
    row_N, seed_N, position_N = torch.tensor([2, 0, 2, 1]), seed_words([7, 8, 9, 10]), torch.tensor([0, 1, 2, 3])
    drawn = draw(logits_RV, seed_N, position_N, temperature=0.9, row_N=row_N)
    alone = [
        draw(logits_RV[row : row + 1], seed_N[n : n + 1], position_N[n : n + 1], temperature=0.9)
        for n, row in enumerate(row_N.tolist())
    ]
    assert drawn.tolist() == [int(token) for token in alone]


def test_ties_go_to_the_least_token():
    logits_RV = torch.tensor([[1.0, 5.0, 5.0, 2.0, 5.0]])
    assert draw(logits_RV, seed_words([1]), torch.tensor([0]), temperature=0.0).tolist() == [1]
    drawn = {
        int(draw(logits_RV, seed_words([seed]), torch.tensor([0]), temperature=1.0, top_k=2)) for seed in range(200)
    }
    assert drawn == {1, 2}


def test_frequencies_are_those_of_the_softmax():
    logits_V = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5])
    drawn = draw(
        logits_V[None],
        seed_words(range(40_000)),
        torch.zeros(40_000, dtype=torch.int64),
        temperature=0.8,
        row_N=torch.zeros(40_000, dtype=torch.int64),
    )
    counts = torch.bincount(drawn, minlength=5) / 40_000
    torch.testing.assert_close(counts, torch.softmax(logits_V / 0.8, 0), atol=0.01, rtol=0)


def test_the_bound_holds_for_every_kind_of_word():
    words = np.unique(
        np.concatenate(
            [
                np.arange(3000, dtype=np.uint32),
                2**32 - 1 - np.arange(3000, dtype=np.uint32),
                *(np.uint32(2**bit) + np.arange(-2, 3).astype(np.uint32) for bit in range(2, 32)),
                np.random.default_rng(1).integers(0, 2**32, 200_000, dtype=np.uint32),
            ]
        )
    )
    from verde.numerics.kernels.scalar import gumbel

    for word in words[:: max(1, len(words) // 20_000)].tolist():
        assert noise_bound(np.uint32(word).view(np.int32)) >= gumbel(np.uint32(word))
    assert noise_bound(np.int32(-1)) < 22.25


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_no_numbers_are_an_error(bad):
    logits_RV = torch.zeros(2, 9)
    logits_RV[1, 3] = bad
    with pytest.raises(NumericsError, match="sampling"):
        draw(logits_RV, seed_words([1, 2]), torch.tensor([0, 0]), temperature=1.0)


def test_threads_do_not_change_what_is_drawn():
    logits_RV = torch.randn(64, 5000, generator=torch.Generator().manual_seed(3))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(draw(logits_RV, seed_words(range(64)), torch.arange(64), temperature=1.0))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
