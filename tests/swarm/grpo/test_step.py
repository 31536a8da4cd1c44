import itertools

import msgspec
import pytest
import torch

from protocol.run import LearnRules
from swarm.grpo.adamw import TrainState
from swarm.grpo.loss import LossRules, sample_weights, token_losses
from swarm.grpo.step import Sample, shares, train

RULES = LearnRules(
    num_external=0,
    num_updates=1,
    learning_rate_nano=10_000_000,
    epsilon_low_nano=200_000_000,
    epsilon_high_nano=280_000_000,
    delta_nano=0,
    beta_nano=0,
    weight_decay_nano=0,
    max_grad_norm_nano=0,
)


class Bigram:
    """A policy of one table: the next token depends on the last one."""

    def __init__(self, size=6):
        self.table = torch.randn(size, size, generator=torch.Generator().manual_seed(3)).requires_grad_()
        self.state = TrainState(("table",), [self.table])
        self.batches = []

    def log_probs(self, samples):
        self.batches.append([sample.tokens for sample in samples])
        width = max(len(sample.tokens) for sample in samples)
        rows = []
        for sample in samples:
            before = [sample.prompt[-1], *sample.tokens][: len(sample.tokens)]
            values = torch.log_softmax(self.table, -1)[before, list(sample.tokens)]
            rows.append(torch.nn.functional.pad(values, (0, width - len(sample.tokens))))
        return torch.stack(rows)


def group(prompt, *advantages):
    return [Sample((prompt,), (number % 5, prompt, 4), value) for number, value in enumerate(advantages)]


SAMPLES = [*group(0, 1.0, -1.0, 0.5), *group(1, 0.0, 0.0), *group(2, -1.0, 1.0), *group(3, 2.0, -2.0)]


def test_the_gradient_is_that_of_the_loss_written_out():
    policy, oracle = Bigram(), Bigram()
    report = train(policy.state, policy.log_probs, SAMPLES, RULES, seed=1)
    values = oracle.log_probs(SAMPLES)
    advantages = torch.tensor([sample.advantage for sample in SAMPLES])
    loss = token_losses(values, values.detach(), advantages, LossRules(0.2, 0.28)).mean()  # all of equal length
    loss.backward()
    assert report.loss == pytest.approx(loss.item(), abs=1e-7)
    assert report.grad_norm == pytest.approx(oracle.table.grad.norm().item(), rel=1e-5)
    torch.testing.assert_close(policy.state.first[0], 0.1 * oracle.table.grad)
    assert (report.num_updates, report.num_tokens) == (1, 27)


def test_updates_make_good_rollouts_likelier_than_bad_ones():
    policy = Bigram()
    before = policy.log_probs(SAMPLES).sum(1).detach()
    for seed in range(20):
        train(policy.state, policy.log_probs, SAMPLES, RULES, seed)
    change = policy.log_probs(SAMPLES).sum(1).detach() - before
    for prompt in (0, 2, 3):
        rows = [number for number, sample in enumerate(SAMPLES) if sample.prompt == (prompt,)]
        best, worst = (pick(rows, key=lambda row: SAMPLES[row].advantage) for pick in (max, min))
        assert change[best] > change[worst] + 0.1


def test_a_step_is_determined_by_its_seed():
    def run(seed):
        policy = Bigram()
        rules = msgspec.structs.replace(RULES, num_updates=3)
        report = train(policy.state, policy.log_probs, SAMPLES, rules, seed)
        return report, policy.table.tolist()

    assert run(1) == run(1)
    assert run(1)[1] != run(2)[1]


def test_micro_batches_add_up_to_one_large_batch():
    tables = []
    for budget in (1, 7, 10_000):
        policy = Bigram()
        train(policy.state, policy.log_probs, SAMPLES, RULES, 1, num_tokens_per_pass=budget)
        tables.append(policy.state.first[0])
    torch.testing.assert_close(tables[0], tables[2])
    torch.testing.assert_close(tables[1], tables[2])


def test_a_group_that_fits_a_pass_is_not_cut():
    policy = Bigram()
    train(policy.state, policy.log_probs, SAMPLES, RULES, 1, num_tokens_per_pass=12)
    groups = [
        [sample.tokens for sample in SAMPLES if sample.prompt == (prompt,) and sample.advantage] for prompt in range(4)
    ]
    assert sorted(policy.batches) == sorted(group for group in groups if group)


def test_a_group_that_no_pass_holds_is_cut_where_a_pass_is_full():
    policy = Bigram()
    samples = group(2, *[1.0, -1.0] * 4)
    train(policy.state, policy.log_probs, samples, RULES, 1, num_tokens_per_pass=10)
    assert [len(batch) for batch in policy.batches] == [3, 3, 2]


def test_samples_without_advantage_keep_their_slot_but_cost_nothing():
    policy, without = Bigram(), Bigram()
    train(policy.state, policy.log_probs, SAMPLES, RULES, 1)
    train(without.state, without.log_probs, [s for s in SAMPLES if s.advantage], RULES, 1)
    torch.testing.assert_close(policy.state.first[0], without.state.first[0] * 7 / 9)
    assert sum(len(batch) for batch in policy.batches) == 7


def test_a_round_that_teaches_nothing_still_takes_its_step():
    policy = Bigram()
    report = train(policy.state, policy.log_probs, group(1, 0.0, 0.0), RULES, 1)
    assert (report.loss, report.grad_norm, policy.state.step) == (0.0, 0.0, 1)


@pytest.mark.parametrize("num_updates", [1, 2, 3, 4])
def test_shares_are_equal_and_keep_groups_together(num_updates):
    parts = shares(SAMPLES, num_updates, seed=9)
    assert sorted(itertools.chain(*parts), key=SAMPLES.index) == SAMPLES
    sizes = [len({sample.prompt for sample in part}) for part in parts]
    assert sum(sizes) == 4
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == num_updates


def test_there_are_never_more_updates_than_groups():
    assert len(shares(SAMPLES, 40, seed=1)) == 4


def test_samples_of_one_prompt_are_one_group_wherever_they_stand():
    mixed = [SAMPLES[0], SAMPLES[5], SAMPLES[1], SAMPLES[6]]
    parts = shares(mixed, 2, seed=1)
    assert sorted([sample.prompt for sample in part] for part in parts) == [[(0,), (0,)], [(2,), (2,)]]


def test_later_updates_are_measured_against_the_policy_before_the_first():
    rules = msgspec.structs.replace(RULES, num_updates=2, learning_rate_nano=1_000_000_000)
    policy = Bigram()
    start = policy.table.detach().clone()
    first, second = shares(SAMPLES, 2, seed=4)
    train(policy.state, policy.log_probs, SAMPLES, rules, 4)

    replay = Bigram()
    train(replay.state, replay.log_probs, first, msgspec.structs.replace(rules, num_updates=1), 4)
    original = Bigram()
    assert torch.equal(original.table, start)
    old = original.log_probs(second).detach()
    losses = token_losses(
        replay.log_probs(second), old, torch.tensor([s.advantage for s in second]), LossRules(0.2, 0.28)
    )
    weights = torch.tensor(sample_weights([3] * len(second), "dapo"))
    (losses.sum(1) * weights).sum().backward()
    expected = 0.9 * replay.state.first[0] + 0.1 * replay.table.grad
    torch.testing.assert_close(policy.state.first[0], expected)
    assert policy.state.step == 2


def test_the_penalty_pulls_towards_the_reference_even_without_advantages():
    rules = msgspec.structs.replace(RULES, beta_nano=1_000_000_000, learning_rate_nano=50_000_000)
    policy, reference = Bigram(), Bigram()
    with torch.no_grad():
        reference.table.copy_(torch.zeros(6, 6))
    samples = group(1, 0.0, 0.0, 0.0)

    def distance():
        return (policy.log_probs(samples) - reference.log_probs(samples)).abs().sum().item()

    before = distance()
    for seed in range(30):
        train(policy.state, policy.log_probs, samples, rules, seed, reference=reference.log_probs)
    assert distance() < 0.5 * before


@pytest.mark.parametrize("advantage", [float("nan"), float("inf")])
def test_advantages_that_are_not_numbers_are_refused_before_anything_changes(advantage):
    policy = Bigram()
    start = policy.table.detach().clone()
    with pytest.raises(ValueError, match="finite"):
        train(policy.state, policy.log_probs, [Sample((0,), (1,), advantage)], RULES, 1)
    assert torch.equal(policy.table, start)


def test_a_step_without_samples_or_without_its_reference_is_refused():
    policy = Bigram()
    with pytest.raises(ValueError, match="at least one sample"):
        train(policy.state, policy.log_probs, [], RULES, 1)
    with pytest.raises(ValueError, match="reference"):
        train(policy.state, policy.log_probs, SAMPLES, msgspec.structs.replace(RULES, beta_nano=1), 1)


def test_a_sample_without_tokens_changes_nothing():
    with_empty, without = Bigram(), Bigram()
    train(with_empty.state, with_empty.log_probs, [*SAMPLES, Sample((0,), (), 5.0)], RULES, 1)
    train(without.state, without.log_probs, SAMPLES, RULES, 1)
    assert torch.equal(with_empty.table, without.table)
