"""A program that told its processor to drop subnormals gets the bits of exact/1 all the same, and its setting back."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from verde.numerics import exact
from verde.numerics.subnormals import are_flushed, ieee_subnormals

# Enough elements for every thread of the pool.
SIZE = 1 << 20


@pytest.fixture
def flushing() -> Iterator[None]:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor knows no such setting")
    yield
    torch.set_flush_denormal(False)


def rounds_up_to_the_least_normal_number() -> torch.Tensor:
    """(1 - 2^-24) · 2^-126 lies between two subnormals and rounds to 2^-126; a flushing processor makes it 0."""
    return torch.full((SIZE,), 1 - 2.0**-24) * torch.full((SIZE,), 2.0**-126)


def test_a_flushing_processor_would_change_bits(flushing):
    assert are_flushed()
    assert rounds_up_to_the_least_normal_number().count_nonzero() < SIZE


def test_flushing_set_by_the_program_changes_no_bit(flushing):
    with exact(nn.Linear(1, 1)):
        assert not are_flushed()
        found = rounds_up_to_the_least_normal_number()
    assert are_flushed()
    torch.set_flush_denormal(False)
    assert torch.equal(found, torch.full((SIZE,), 2.0**-126))


def test_the_setting_comes_back_after_an_error(flushing):
    with pytest.raises(KeyError), ieee_subnormals():
        raise KeyError
    assert are_flushed()


def test_a_thread_without_it_is_left_alone():
    with ieee_subnormals():
        assert not are_flushed()
    assert not are_flushed()
