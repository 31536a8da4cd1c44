import pytest
import torch

from swarm.policy.base import Sampling
from swarm.policy.sample import draw, uniforms


def test_a_uniform_depends_on_its_seed_and_position_only():
    together = uniforms([5, 6, 7], 10)
    assert torch.equal(together[1], uniforms([6], 10)[0])
    assert torch.equal(together[:, :4], uniforms([5, 6, 7], 4))


def splitmix_finaliser(value):
    """The published algorithm on Python's integers."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_numbers_are_those_of_the_published_generator(seed):
    starts = [splitmix_finaliser(seed) + position * 0x9E3779B97F4A7C15 for position in (1, 2, 3)]
    expected = [(splitmix_finaliser(start % 2**64) >> 11) / 2**53 for start in starts]
    assert uniforms([seed], 3)[0].tolist() == expected


def test_uniforms_are_spread_evenly_and_neighbouring_seeds_are_unrelated():
    table = uniforms(range(2000), 50)
    assert table.min() >= 0
    assert table.max() < 1
    assert table.mean().item() == pytest.approx(0.5, abs=0.005)
    assert torch.histc(table.float(), 10, 0, 1).div(table.numel()).sub(0.1).abs().max() < 0.005
    assert torch.corrcoef(table[:2].float())[0, 1].abs() < 0.5
    assert torch.corrcoef(torch.stack([table[:-1].flatten(), table[1:].flatten()]))[0, 1].abs() < 0.01


def test_seeds_beyond_64_bits_and_below_zero_are_taken_modulo():
    assert torch.equal(uniforms([2**64 + 3], 4), uniforms([3], 4))
    assert torch.equal(uniforms([-1], 4), uniforms([2**64 - 1], 4))


def test_a_token_is_the_inverse_of_the_cumulative_distribution():
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(5, 4)
    points = torch.tensor([0.0, 0.0999, 0.1001, 0.59, 0.999999], dtype=torch.float64)
    assert draw(logits, points, Sampling(1)).tolist() == [0, 0, 1, 2, 3]


def test_tokens_of_probability_zero_are_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(3, 5)
    points = torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, points, Sampling(1)).tolist() == [1, 3, 3]


def test_temperature_sharpens_the_distribution():
    logits = torch.tensor([[0.0, 1.0]]).expand(20_000, 2)
    drawn = draw(logits, uniforms(range(20_000), 1)[:, 0], Sampling(1, temperature=0.5)).float()
    assert drawn.mean().item() == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item(), abs=0.01)


def test_top_k_keeps_the_k_largest():
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0]]).expand(2000, 4)
    drawn = draw(logits, uniforms(range(2000), 1)[:, 0], Sampling(1, top_k=2))
    assert set(drawn.tolist()) == {0, 2}


def test_greedy_ignores_the_uniform():
    logits = torch.tensor([[0.0, 5.0, 1.0]]).expand(3, 3)
    assert draw(logits, torch.tensor([0.0, 0.5, 0.99], dtype=torch.float64), Sampling(1, 0.0)).tolist() == [1, 1, 1]


def test_a_large_vocabulary_is_drawn_in_chunks_with_the_same_result(monkeypatch):
    logits = torch.randn(50, 400, generator=torch.Generator().manual_seed(0))
    points = uniforms(range(50), 1)[:, 0]
    whole = draw(logits, points, Sampling(1))
    monkeypatch.setattr("swarm.policy.sample._CHUNK_ELEMENTS", 800)
    assert torch.equal(draw(logits, points, Sampling(1)), whole)
