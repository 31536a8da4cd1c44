"""Log-probabilities by blocks of logits have the bits of all logits at once, forward and backward, for any block."""

from __future__ import annotations

import pytest
import torch

from protocol.errors import NumericsError
from verde.numerics import backend, exact, tiling
from verde.numerics.gemm import linear
from verde.numerics.head import Head, chosen_log_probs
from verde.numerics.place import portable_code

ROWS, FEATURES, HEIGHT = 11, 24, 83
ROW_N = torch.tensor([0, 0, 0, 0, 2, 3, 4, 4, 6, 9, 10])
TOKEN_N = torch.tensor([5, 7, 5, 70, 1, 2, 9, 9, 0, 3, 69])
"""Rows 1, 5, 7 and 8 predict nothing; row 0 predicts four tokens, two of them the same, row 4 one token twice."""

ROUTES = [
    *(["tiles"] if tiling.tiles_are_native() else []),
    *(["int8"] if backend.int8_is_exact() else []),
    "fp64",
]


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    hidden_MK = torch.randn(ROWS, FEATURES, generator=draw)
    weight_VK = torch.randn(HEIGHT, FEATURES, generator=draw)
    gradient_N = torch.randn(len(ROW_N), generator=draw)
    # SUM keeps the small one, which is lost where they are added one after the other.
    gradient_N[:4] = torch.tensor([1.0, 2**-28, -1.0, 0.0])
    return hidden_MK, weight_VK, gradient_N


def at_once(words: int, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """As the modelling code and ``swarm.policy.packing`` have it, one operator after the other."""
    hidden_MK, weight_VK, gradient_N = inputs()
    hidden_MK.requires_grad_()
    with exact():
        logits = torch.nn.functional.linear(hidden_MK, weight_VK)[:, :words]
        if temperature != 1:
            logits = logits / temperature
        chosen_N = logits[ROW_N, TOKEN_N] - torch.logsumexp(logits, dim=-1)[ROW_N]
        chosen_N.backward(gradient_N)
    return chosen_N.detach(), hidden_MK.grad


def by_blocks(words: int, temperature: float, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    hidden_MK, weight_VK, gradient_N = inputs()
    hidden_MK.requires_grad_()
    with exact():
        chosen_N = chosen_log_probs(hidden_MK, Head(weight_VK, words, temperature, block), ROW_N, TOKEN_N)
        chosen_N.backward(gradient_N)
    return chosen_N.detach(), hidden_MK.grad


@pytest.mark.parametrize("block", [1, 2, 3, 7, 8, 0])
@pytest.mark.parametrize(("words", "temperature"), [(HEIGHT, 1.0), (HEIGHT, 0.7), (71, 1.0), (71, 0.7)])
def test_blocks_have_the_bits_of_all_logits_at_once(words, temperature, block):
    for mine, whole in zip(by_blocks(words, temperature, block), at_once(words, temperature), strict=True):
        assert torch.equal(mine, whole)


@pytest.mark.parametrize("route", ROUTES)
def test_blocks_have_these_bits_on_every_route(route):
    with backend.use_route(route):
        found = by_blocks(71, 0.7, 3)
    with portable_code():
        on_devices = by_blocks(71, 0.7, 3)
    for mine, theirs, whole in zip(found, on_devices, at_once(71, 0.7), strict=True):
        assert torch.equal(mine, whole)
        assert torch.equal(theirs, whole)


def test_tokens_of_one_row_are_one_gradient_which_separate_rows_would_not_be():
    hidden_MK, weight_VK, gradient_N = inputs()
    rows_NK = hidden_MK[ROW_N].requires_grad_()
    with exact():
        chosen_log_probs(rows_NK, Head(weight_VK, HEIGHT), torch.arange(len(ROW_N)), TOKEN_N).backward(gradient_N)
    apart_MK = torch.zeros(ROWS, FEATURES).index_add_(0, ROW_N, rows_NK.grad)
    _, whole_MK = at_once(HEIGHT, 1.0)
    torch.testing.assert_close(apart_MK, whole_MK, atol=1e-3, rtol=1e-3)
    assert not torch.equal(apart_MK[0], whole_MK[0])
    assert not whole_MK[[1, 5, 7, 8]].any()


def test_logits_of_one_block_at_a_time_are_computed_and_those_of_the_last_once(monkeypatch):
    heights: list[int] = []

    def noting(x_RK, *rest, **named):
        heights.append(len(x_RK))
        return linear(x_RK, *rest, **named)

    monkeypatch.setattr("verde.numerics.head.gemm.linear", noting)
    by_blocks(HEIGHT, 1.0, 3)
    assert heights == [2, 2, 3, 2, 2], "seven rows predict something; forward, then back, the last block is still there"


def test_what_is_not_recorded_keeps_nothing_and_has_the_same_bits():
    hidden_MK, weight_VK, _ = inputs()
    with torch.no_grad():
        chosen_N = chosen_log_probs(hidden_MK, Head(weight_VK, 71, 1.0, 4), ROW_N, TOKEN_N)
    assert torch.equal(chosen_N, at_once(71, 1.0)[0])


def test_without_tokens_there_is_nothing_and_no_gradient():
    hidden_MK, weight_VK, _ = inputs()
    hidden_MK.requires_grad_()
    chosen_N = chosen_log_probs(hidden_MK, Head(weight_VK, 71), ROW_N[:0], TOKEN_N[:0])
    chosen_N.sum().backward()
    assert (len(chosen_N), hidden_MK.grad.shape) == (0, hidden_MK.shape)
    assert not hidden_MK.grad.any()


def test_the_way_back_can_be_gone_twice():
    hidden_MK, weight_VK, gradient_N = inputs()
    hidden_MK.requires_grad_()
    chosen_N = chosen_log_probs(hidden_MK, Head(weight_VK, 71, 0.7, 3), ROW_N, TOKEN_N)
    first, again = (torch.autograd.grad(chosen_N, hidden_MK, gradient_N, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(first, at_once(71, 0.7)[1])


def test_tokens_that_are_no_words_and_numbers_that_are_none_are_refused():
    hidden_MK, weight_VK, _ = inputs()
    for token in (-1, 71):
        with pytest.raises(ValueError, match="71 words"):
            chosen_log_probs(hidden_MK, Head(weight_VK, 71), ROW_N[:1], torch.tensor([token]))
    with pytest.raises(NumericsError):
        chosen_log_probs(hidden_MK * float("inf"), Head(weight_VK, 71), ROW_N, TOKEN_N)
