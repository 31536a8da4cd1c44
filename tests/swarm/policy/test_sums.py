"""The sum of all bits is the same however it is computed, and misses none of them."""

import torch

from swarm.policy.sums import whole_sums


def test_sums_are_those_of_the_bits_as_integers():
    draw = torch.Generator().manual_seed(1)
    tensors = [torch.randn(size, generator=draw) for size in ((3,), (70_000,), (300, 500), (0,))]
    tensors.append(torch.randn(40, 50, generator=draw).t())
    expected = [int(x.contiguous().view(torch.int32).to(torch.int64).sum()) for x in tensors]
    assert whole_sums(tensors) == expected
    tensors[2].view(torch.int32)[299, 499] += 1
    assert whole_sums(tensors)[2] == expected[2] + 1
    assert whole_sums([]) == []
