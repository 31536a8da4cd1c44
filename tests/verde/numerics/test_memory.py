"""Large results live in memory that dead ones left, and never in memory that somebody still reads."""

import gc

import pytest
import torch

from verde.numerics import memory


@pytest.fixture(autouse=True)
def _nothing_waits():
    gc.collect()
    memory.release(0)
    yield
    memory.release(0)


def test_a_dead_tensors_memory_is_used_again():
    first = memory.empty(1024, 1024)
    address = first.data_ptr()
    del first
    assert memory.waiting_bytes() >= 1 << 22
    second = memory.empty(1000, 1024)
    assert second.data_ptr() == address
    assert memory.waiting_bytes() == 0
    assert second.is_contiguous()
    assert address % 64 == 0


@pytest.mark.parametrize("keep", [lambda x: x[5:7], lambda x: x.T, lambda x: x.detach(), lambda x: x.numpy()])
def test_memory_that_is_still_viewed_is_not_used_again(keep):
    first = memory.empty(1024, 1024).fill_(3.0)
    kept = keep(first)
    del first
    gc.collect()
    assert memory.waiting_bytes() == 0
    memory.empty(1024, 1024).fill_(4.0)
    assert bool((torch.as_tensor(kept) == 3.0).all())


def test_memory_saved_for_a_gradient_is_not_used_again():
    x = memory.empty(1024, 1024).fill_(3.0)
    weight = torch.ones(1024, requires_grad=True)
    loss = (x * weight).sum()
    del x
    memory.empty(1024, 1024).fill_(9.0)
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3.0 * 1024] * 1024


def test_small_and_unlike_tensors_are_not_mixed_up():
    assert memory.empty(0, 5).shape == (0, 5)
    small = memory.empty(3, 5)
    del small
    assert memory.waiting_bytes() == 0
    large = memory.empty(2048, 2048)
    del large
    memory.empty(512, 1024)
    assert memory.waiting_bytes() >= 1 << 24


def test_what_waits_makes_it_little_more_than_was_in_use_at_one_time(monkeypatch):
    monkeypatch.setattr(memory, "_SPARE", 0)
    tensors = [memory.empty(1024, 1024) for _ in range(4)]
    most, last = 4 * ((4 << 20) + 64), tensors[3].data_ptr()
    for _ in range(4):
        tensors.pop(0)
    assert memory.waiting_bytes() == most
    youngest = memory.empty(1024, 1024)
    assert youngest.data_ptr() == last
    larger = memory.empty(2, 1024, 1024)
    assert memory.waiting_bytes() == (4 << 20) + 64
    assert youngest.numel() + larger.numel() == 3 << 20


def test_release_leaves_what_it_is_told_to_and_what_waits_does_not_grow_from_there(monkeypatch):
    monkeypatch.setattr(memory, "_SPARE", 0)
    tensors = [memory.empty(1024, 1024) for _ in range(4)]
    tensors.clear()
    memory.release(10 << 20)
    assert memory.waiting_bytes() == 2 * ((4 << 20) + 64)
    kept = memory.empty(1 << 19)
    assert memory.waiting_bytes() == (4 << 20) + 64
    assert kept.numel() == 1 << 19
