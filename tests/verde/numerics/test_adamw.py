"""Clipping and AdamW against the oracle, over many steps."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import NumericsError
from verde.numerics.adamw import Rates, binary32, clip_factor, update
from verde.numerics.oracle import optimiser as oracle
from verde.numerics.oracle.rounding import rne


def rates(lr="0.003", decay="0.01", max_norm="1"):
    return Rates(*(binary32(Fraction(value)) for value in (lr, decay, max_norm)))


@given(st.fractions(-(2**100), 2**100))
def test_constants_are_the_nearest_binary32(value):
    expected = rne(value)
    assert binary32(value) == (0.0 if abs(expected) < 2.0**-126 else expected)


@given(st.integers(0, 10**12))
def test_rules_in_billionths_are_rounded_once(nano):
    assert binary32(Fraction(nano, 10**9)) == rne(Fraction(nano, 10**9))


def test_two_hundred_steps_are_the_oracles():
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(3, 2, generator=generator), torch.randn(2, generator=generator)]
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    expected = [weight.flatten().tolist() for weight in weights]
    moments = [[oracle.Moments() for _ in row] for row in expected]
    for step in range(1, 201):
        scale = 10.0 ** (step % 7 - 4)
        gradients = [torch.randn(weight.shape, generator=generator) * scale for weight in weights]
        clip, _ = clip_factor(gradients, np.float32(1))
        update(weights, first, second, gradients, step, clip, rates())
        clipped = oracle.clip([gradient.flatten().tolist() for gradient in gradients], 1.0)
        for row, kept, changes in zip(expected, moments, clipped, strict=True):
            for number, gradient in enumerate(changes):
                row[number], kept[number] = oracle.adamw(
                    row[number], gradient, kept[number], rne(Fraction("0.003")), rne(Fraction("0.01"))
                )
        assert [weight.flatten().tolist() for weight in weights] == expected
    assert first[0].flatten().tolist() == [one.m for one in moments[0]]
    assert second[0].flatten().tolist() == [one.v for one in moments[0]]


def test_without_a_largest_norm_nothing_is_clipped():
    clip, norm = clip_factor([torch.tensor([3.0, 4.0])], np.float32(0))
    assert (clip, norm) == (1.0, 5.0)
    clip, _ = clip_factor([torch.tensor([3.0, 4.0])], np.float32(10))
    assert clip == 1.0


def test_a_gradient_of_zeros_still_moves_the_moments_on():
    weight, first, second = torch.ones(3), torch.ones(3), torch.ones(3)
    update([weight], [first], [second], [torch.zeros(3)], 1, np.float32(1), rates(decay="0"))
    assert first.tolist() == [np.float32(0.9)] * 3
    assert weight[0] < 1


def test_who_watches_a_weight_sees_it_change():
    weight = torch.ones(3)
    before = weight._version
    update([weight], [torch.zeros(3)], [torch.zeros(3)], [torch.ones(3)], 1, np.float32(1), rates())
    assert weight._version > before


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_gradients_that_are_no_numbers_are_an_error(bad):
    with pytest.raises(NumericsError):
        clip_factor([torch.tensor([1.0, bad])], np.float32(1))


def test_threads_and_chunks_do_not_change_a_bit():
    generator = torch.Generator().manual_seed(2)
    start = [torch.randn(200_000, generator=generator) for _ in range(4)]
    start[2] = start[2].abs()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            weight, first, second, gradient = (tensor.clone() for tensor in start)
            update([weight], [first], [second], [gradient], 7, np.float32(0.5), rates())
            found.append(weight)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
