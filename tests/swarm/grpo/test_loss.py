import math

import pytest
import torch

from protocol.run import LearnRules
from swarm.grpo.loss import LossRules, divergence, loss_rules, sample_weights, token_losses, weighted_loss

RULES = LossRules(epsilon_low=0.2, epsilon_high=0.3)


def one_token(ratio, advantage, rules):
    new = torch.tensor([[math.log(ratio)]], dtype=torch.float64, requires_grad=True)
    loss = token_losses(new, torch.zeros(1, 1, dtype=torch.float64), torch.tensor([advantage]).double(), rules)
    loss.sum().backward()
    return loss.item(), new.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),  # on policy: -advantage
        (1.2, 2.0, -2.4, -2.4),  # inside the bounds: -ratio * advantage
        (1.5, 2.0, -2.6, 0.0),  # beyond 1 + epsilon_high, already good: clipped
        (0.5, 2.0, -1.0, -1.0),  # below, but the advantage is positive: pulled back up
        (0.5, -2.0, 1.6, 0.0),  # beyond 1 - epsilon_low, already pushed down: clipped
        (1.5, -2.0, 3.0, 3.0),  # above with a negative advantage: not clipped without delta
        (9.0, -2.0, 18.0, 18.0),
    ],
)
def test_the_clipped_surrogate_by_hand(ratio, advantage, loss, gradient):
    assert one_token(ratio, advantage, RULES) == pytest.approx((loss, gradient))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [(9.0, -2.0, 8.0, 0.0), (3.9, -2.0, 7.8, 7.8), (9.0, 2.0, -2.6, 0.0), (1.1, 2.0, -2.2, -2.2)],
)
def test_the_second_clip_bounds_what_a_bad_token_can_cost(ratio, advantage, loss, gradient):
    rules = LossRules(epsilon_low=0.2, epsilon_high=0.3, delta=4.0)
    assert one_token(ratio, advantage, rules) == pytest.approx((loss, gradient))


def test_the_divergence_by_hand():
    new, reference = torch.tensor([math.log(0.5), math.log(0.2)]), torch.tensor([math.log(0.25), math.log(0.2)])
    assert divergence(new, reference).tolist() == pytest.approx([0.5 - math.log(0.5) - 1, 0.0], abs=1e-6)
    assert divergence(torch.randn(1000), torch.randn(1000)).min() >= 0


def test_the_penalty_is_added_per_token():
    rules = LossRules(0.2, 0.3, beta=0.1)
    new, reference = torch.tensor([[math.log(0.5)]]), torch.tensor([[math.log(0.25)]])
    loss = token_losses(new, new.clone(), torch.tensor([1.0]), rules, reference)
    assert loss.item() == pytest.approx(-1 + 0.1 * (0.5 - math.log(0.5) - 1))


def test_the_penaltys_gradient_is_that_of_the_reverse_divergence():
    # Exact over a vocabulary of three: the expected gradient of the estimate equals the gradient of the true KL.
    logits = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    new = torch.log_softmax(logits, 0)
    reference = torch.log_softmax(torch.tensor([-0.2, 0.9, 0.1], dtype=torch.float64), 0)
    (true,) = torch.autograd.grad((new.exp() * (new - reference)).sum(), logits, retain_graph=True)
    rules = LossRules(0.2, 0.3, beta=1.0)
    per_token = token_losses(new[:, None], new.detach()[:, None], torch.zeros(3).double(), rules, reference[:, None])
    (estimated,) = torch.autograd.grad((new.detach().exp() * per_token[:, 0]).sum(), logits)
    torch.testing.assert_close(estimated, true)


def test_a_penalty_without_reference_is_refused():
    with pytest.raises(ValueError, match="reference"):
        token_losses(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1), LossRules(0.2, 0.2, beta=0.1))


def test_weights_by_hand():
    assert sample_weights([2, 6, 0], "dapo") == [1 / 8, 1 / 8, 0.0]
    assert sample_weights([2, 6, 0], "grpo") == [1 / 6, 1 / 18, 0.0]


def test_padding_weighs_nothing_even_when_it_is_not_a_number():
    losses = torch.tensor([[1.0, 2.0], [3.0, math.nan]])
    mask = torch.tensor([[True, True], [True, False]])
    assert weighted_loss(losses, mask, torch.tensor([0.5, 2.0])).item() == 7.5


def test_rules_are_read_in_billionths():
    rules = LearnRules(4, 1, 1_000_000, 200_000_000, 280_000_000, 4_000_000_000, 10_000_000, 0, 0)
    assert loss_rules(rules) == LossRules(0.2, 0.28, 4.0, 0.01, "dapo")
    off = LearnRules(4, 1, 1_000_000, 200_000_000, 280_000_000, 0, 0, 0, 0)
    assert loss_rules(off, "grpo") == LossRules(0.2, 0.28, None, 0.0, "grpo")
