"""Our loss and its gradient against TRL's GRPOTrainer, on the same tiny random model and the same tensors."""

import random

import pytest
import torch

from swarm.grpo.loss import LossRules, sample_weights, token_losses, weighted_loss
from swarm.grpo.step import Sample
from swarm.policy.load import load_model
from swarm.policy.packing import completion_log_probs
from tests.swarm.policy.conftest import make_model_directory

TEMPERATURE = 0.9


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_model(make_model_directory(tmp_path_factory.mktemp("trl") / "tiny", extra_rows=0))


@pytest.fixture(scope="module")
def samples():
    draw = random.Random(5)
    groups = []
    for advantage in (1.0, 0.0):
        prompt = tuple(draw.randrange(3, 259) for _ in range(6 + int(advantage) * 3))
        groups += [
            Sample(prompt, tuple(draw.randrange(3, 259) for _ in range(draw.randrange(1, 9))), sign * advantage)
            for sign in (0.5, -1.5, 1.0, -0.25)
        ]
    return groups


def padded(samples, loaded):
    """TRL's inputs: prompts padded on the left, completions on the right."""
    width = max(len(sample.prompt) for sample in samples)
    length = max(len(sample.tokens) for sample in samples)
    prompts = [[0] * (width - len(sample.prompt)) + list(sample.prompt) for sample in samples]
    completions = [list(sample.tokens) + [0] * (length - len(sample.tokens)) for sample in samples]
    prompt_mask = [[0] * (width - len(sample.prompt)) + [1] * len(sample.prompt) for sample in samples]
    mask = [[1] * len(sample.tokens) + [0] * (length - len(sample.tokens)) for sample in samples]
    return {
        "prompt_ids": torch.tensor(prompts),
        "prompt_mask": torch.tensor(prompt_mask),
        "completion_ids": torch.tensor(completions),
        "completion_mask": torch.tensor(mask),
        "advantages": torch.tensor([sample.advantage for sample in samples]),
    }


def trl_loss(loaded, directory, inputs, rules):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    trainer = GRPOTrainer(
        model=loaded.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            output_dir=str(directory),
            use_cpu=True,
            bf16=False,
            report_to=[],
            per_device_train_batch_size=8,
            num_generations=4,
            temperature=TEMPERATURE,
            loss_type=rules.aggregation,
            epsilon=rules.epsilon_low,
            epsilon_high=rules.epsilon_high,
            delta=rules.delta,
            beta=0.0,  # set below: at construction it would copy the model as the reference
        ),
        train_dataset=Dataset.from_list([{"prompt": "unused"}]),
        processing_class=loaded.tokenizer,
    )
    trainer.beta = rules.beta
    trainer.model.eval()
    return trainer._compute_loss(trainer.model, inputs)


@pytest.mark.parametrize("aggregation", ["grpo", "dapo"])
@pytest.mark.parametrize(("delta", "beta"), [(None, 0.0), (1.3, 0.0), (None, 0.04), (1.3, 0.04)])
def test_loss_and_gradient_are_trls(loaded, samples, tmp_path, aggregation, delta, beta):
    rules = LossRules(0.2, 0.28, delta, beta, aggregation)
    noise = torch.Generator().manual_seed(8)
    new = completion_log_probs(loaded, samples, TEMPERATURE)
    old = new.detach() + 0.4 * torch.randn(new.shape, generator=noise)
    reference = new.detach() + 0.4 * torch.randn(new.shape, generator=noise)
    inputs = padded(samples, loaded)
    mask = inputs["completion_mask"].bool()
    weights = torch.tensor(sample_weights([len(sample.tokens) for sample in samples], aggregation))
    ours = weighted_loss(token_losses(new, old, inputs["advantages"], rules, reference), mask, weights)
    inputs |= {
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }
    theirs = trl_loss(loaded, tmp_path, inputs, rules)
    assert ours.item() == pytest.approx(theirs.item(), abs=2e-6)

    parameters = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    for one, other in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(theirs, parameters), strict=True):
        torch.testing.assert_close(one, other, atol=3e-6, rtol=1e-4)


def test_the_noise_makes_every_clip_matter(loaded, samples):
    """Guards the comparison above: with its tensors each of the rules changes the loss."""
    noise = torch.Generator().manual_seed(8)
    new = completion_log_probs(loaded, samples, TEMPERATURE).detach()
    old = new + 0.4 * torch.randn(new.shape, generator=noise)
    advantages = torch.tensor([sample.advantage for sample in samples])
    variants = [LossRules(9, 9), LossRules(0.2, 9), LossRules(9, 0.28), LossRules(0.2, 0.28), LossRules(0.2, 0.28, 1.3)]
    sums = {round(token_losses(new, old, advantages, rules).sum().item(), 4) for rules in variants}
    assert len(sums) == len(variants)
