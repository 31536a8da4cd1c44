"""Noise and first weights are functions of names and counters, equal to the oracle's, and distributed as they say."""

import numpy as np
import pytest
import torch

from protocol.errors import NumericsError
from verde.numerics import noise
from verde.numerics.oracle import initialisation, rotary, sampling, transcendental
from verde.numerics.oracle.rounding import rne

SEEDS = [0, 1, 2**32, 2**64 - 1, 0x0123456789ABCDEF]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("position", "size"), [(0, 1), (1, 7), (40_000, 16), (2**32 - 1, 5)])
def test_words_and_noise_are_the_oracles(seed, position, size):
    expected = [sampling.word(seed, position, v) for v in range(size)]
    assert noise.words(seed, position, size).tolist() == expected
    assert noise.gumbel(seed, position, size).tolist() == [transcendental.gumbel(r) for r in expected]


def test_a_larger_vocabulary_begins_with_the_noise_of_a_smaller_one():
    assert torch.equal(noise.gumbel(3, 9, 151_936)[:1000], noise.gumbel(3, 9, 1000))


def test_noise_has_the_mean_and_deviation_of_a_gumbel_variable():
    drawn = noise.gumbel(11, 4, 400_000).double()
    assert abs(drawn.mean() - 0.5772157) < 0.01
    assert abs(drawn.std() - 1.2825498) < 0.01
    for level in (-1.0, 0.0, 1.0, 3.0):
        assert abs((drawn <= level).double().mean() - np.exp(-np.exp(-level))) < 0.004


def test_positions_and_seeds_do_not_share_noise():
    rows = [noise.gumbel(seed, position, 64) for seed in (1, 2, 2**32 + 1) for position in (0, 1)]
    assert len({tuple(row.tolist()) for row in rows}) == 6


@pytest.mark.parametrize("seed", SEEDS)
def test_first_weights_are_the_oracles(seed):
    std, mean = rne(0.02), 0.5
    drawn = noise.initial(seed, (3, 5), 0.02, mean)
    expected = [initialisation.element(seed, i, std, mean) for i in range(15)]
    assert drawn.shape == (3, 5)
    assert drawn.view(-1).tolist() == expected


def test_first_weights_have_their_deviation_and_no_far_outlier():
    drawn = noise.initial(5, (700, 300), 0.02)
    assert abs(drawn.mean()) < 2e-4
    assert abs(drawn.std() - 0.02) < 2e-4
    assert drawn.abs().max() < 3.47 * 0.02
    within = (drawn.abs() < 0.02).double().mean()
    assert 0.66 < within < 0.69


def test_first_weights_of_a_deviation_of_nothing_are_their_mean():
    assert noise.initial(5, (4,), 0.0, 1.0).tolist() == [1.0] * 4
    assert noise.initial(5, (4,), 1e-36).tolist() == [0.0] * 4
    assert noise.initial(5, (0, 3), 1.0).shape == (0, 3)


def test_first_weights_without_a_deviation_are_refused():
    with pytest.raises(NumericsError):
        noise.initial(5, (4,), float("nan"))


@pytest.mark.parametrize(("base", "dim"), [(10000.0, 64), (1000000.0, 128), (500000.0, 64), (1.0, 2), (10000.5, 26)])
def test_rotary_frequencies_are_the_oracles(base, dim):
    assert noise.inv_freq(base, dim).tolist() == rotary.inv_freq(base, dim)


def test_exact_ties_and_powers_are_found():
    assert noise.inv_freq(16.0, 8).tolist() == [1.0, 0.5, 0.25, 0.125]


@pytest.mark.parametrize(("base", "dim"), [(10000.0, 3), (10000.0, 0), (0.5, 4), (float("inf"), 4), (float("nan"), 4)])
def test_frequencies_that_make_no_sense_are_refused(base, dim):
    with pytest.raises(ValueError, match="rotary"):
        noise.inv_freq(base, dim)
