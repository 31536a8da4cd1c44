import pytest
import torch

from protocol.run import LearnRules
from swarm.grpo.adamw import AdamRules, TrainState, adam_rules, clip_gradients, update


def test_the_first_update_by_hand():
    state = TrainState(("w",), [torch.tensor([2.0, -1.0])])
    update(state, [torch.tensor([0.5, -4.0])], AdamRules(0.1, 0.01, 0.0))
    # After one step the corrected moments are the gradient and its square: the step is the sign times the rate.
    assert state.parameters[0].tolist() == pytest.approx([2 * (1 - 0.001) - 0.1, -1 * (1 - 0.001) + 0.1], abs=1e-6)
    assert state.first[0].tolist() == pytest.approx([0.05, -0.4])
    assert state.second[0].tolist() == pytest.approx([0.00025, 0.016])
    assert state.step == 1


def test_it_is_torchs_adamw_over_many_steps():
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(5, 3, generator=generator), torch.randn(7, generator=generator)]
    ours = TrainState(("a", "b"), [tensor.clone() for tensor in start])
    theirs = [tensor.clone().requires_grad_() for tensor in start]
    optimiser = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1)
    for _ in range(30):
        gradients = [torch.randn(tensor.shape, generator=generator) for tensor in start]
        update(ours, gradients, AdamRules(0.01, 0.1, 0.0))
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        optimiser.step()
    for one, other in zip(ours.parameters, theirs, strict=True):
        torch.testing.assert_close(one, other.detach(), atol=1e-6, rtol=1e-6)


def test_gradients_are_clipped_by_their_joint_norm():
    gradients = [torch.tensor([3.0]), torch.tensor([0.0, 4.0])]
    assert clip_gradients(gradients, 1.0) == 5.0
    assert [gradient.tolist() for gradient in gradients] == [pytest.approx([0.6]), pytest.approx([0.0, 0.8])]


@pytest.mark.parametrize("max_norm", [0.0, 6.0])
def test_small_gradients_and_no_limit_leave_them_alone(max_norm):
    gradients = [torch.tensor([3.0]), torch.tensor([0.0, 4.0])]
    assert clip_gradients(gradients, max_norm) == 5.0
    assert [gradient.tolist() for gradient in gradients] == [[3.0], [0.0, 4.0]]


def test_rules_are_read_in_billionths():
    assert adam_rules(LearnRules(0, 1, 300_000, 0, 0, 0, 0, 10_000_000, 500_000_000)) == AdamRules(3e-4, 0.01, 0.5)
