"""Why this module exists: one round's training is a function of (state, samples, rules, seed), step by step the same.

Order, shares and micro-batches are fixed by the seed and the samples before anything is computed. The policy's forward
and the optimiser are handed in, so the same step runs on any arithmetic.

Shapes: B samples of a micro-batch, T completion positions (padded on the right).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch

from protocol.run import LearnRules
from protocol.seeds import derive_order
from swarm.grpo.adamw import TrainState, adam_rules, clip_gradients, update
from swarm.grpo.loss import Aggregation, LossRules, loss_rules, sample_weights, token_losses, weighted_loss
from swarm.policy.base import StepReport

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """A rollout as ids. Samples with equal ``prompt`` are one group."""

    prompt: Ids
    tokens: Ids
    advantage: float


LogProbs = Callable[[Sequence[Sample]], torch.Tensor]
"""Log-probabilities [B, T] of each sample's tokens under a policy; entries beyond a sample's length are 0."""


Optimiser = Callable[[TrainState, Sequence[torch.Tensor], LearnRules], float]
"""Clips the gradients, updates the state in place (step count included), and returns their norm before clipping."""


def adamw(state: TrainState, gradients: Sequence[torch.Tensor], rules: LearnRules) -> float:
    """Clipping and AdamW on torch's own arithmetic."""
    adam = adam_rules(rules)
    norm = clip_gradients(gradients, adam.max_grad_norm)
    update(state, gradients, adam)
    return norm


@dataclass(frozen=True)
class MicroBatch:
    """What one forward and backward pass takes, and what a token of each sample weighs."""

    samples: list[Sample]
    weights: list[float]


def train(
    state: TrainState,
    log_probs: LogProbs,
    samples: Sequence[Sample],
    rules: LearnRules,
    seed: int,
    *,
    reference: LogProbs | None = None,
    aggregation: Aggregation = "dapo",
    num_tokens_per_pass: int = 8192,
    optimiser: Optimiser = adamw,
) -> StepReport:
    """``rules.num_updates`` AdamW updates of ``state`` in place; each sees an equal share of the groups once.

    ``log_probs`` reads ``state.parameters``. The old policy is the one before the first update: its log-probabilities
    of later shares are computed first, over the same micro-batches (the first share needs none: its ratio is 1).
    Samples without advantage keep their slot in every mean; where no KL term needs them they cost no forward pass,
    because their gradient is exactly zero. ``reference`` (the KL anchor) is needed when ``rules.beta_nano`` > 0.
    Raises ``ValueError`` without samples, for advantages that are not finite, or without a needed reference.
    """
    require_learnable(samples)
    loss = loss_rules(rules, aggregation)
    if loss.beta > 0 and reference is None:
        raise ValueError("A KL penalty (beta > 0) needs a reference policy.")
    updates = [
        micro_batches(share, loss, num_tokens_per_pass) for share in shares(samples, max(1, rules.num_updates), seed)
    ]
    with torch.no_grad():
        old = [[log_probs(batch.samples) if number else None for batch in plan] for number, plan in enumerate(updates)]
    total_loss, norm = 0.0, 0.0
    for plan, plan_old in zip(updates, old, strict=True):
        part, norm = _update(state, log_probs, reference, plan, plan_old, loss, rules, optimiser)
        total_loss += part
    return StepReport(
        loss=total_loss / len(updates),
        grad_norm=norm,
        num_tokens=sum(len(sample.tokens) for sample in samples),
        num_updates=len(updates),
    )


def require_learnable(samples: Sequence[Sample]) -> None:
    """Raises ``ValueError`` without samples, and for advantages that are not finite."""
    if not samples:
        raise ValueError("A training step needs at least one sample.")
    if not all(abs(sample.advantage) < float("inf") for sample in samples):
        raise ValueError("Advantages must be finite numbers.")


def shares(samples: Sequence[Sample], num_updates: int, seed: int) -> list[list[Sample]]:
    """The groups in seed-drawn order, cut into ``num_updates`` shares whose sizes differ by at most one group.

    A group is all samples with the same prompt, in their given order; groups are named by order of first appearance.
    With fewer groups than updates there are fewer shares, never empty ones.
    """
    groups: dict[Ids, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.prompt, []).append(sample)
    ordered = [list(groups.values())[number] for number in derive_order("train-order", range(len(groups)), seed)]
    count = min(num_updates, len(ordered))
    bounds = [len(ordered) * number // count for number in range(count + 1)]
    return [[sample for group in ordered[start:end] for sample in group] for start, end in pairwise(bounds)]


def micro_batches(share: Sequence[Sample], loss: LossRules, num_tokens_per_pass: int) -> list[MicroBatch]:
    """Samples that together stay within the token budget (a prompt counts once per run of its samples).

    Runs of samples with one prompt come shortest first (among equals as in the share): rows of a pass are alike, and
    little of it is padding. A run that would fit a pass of its own is not cut: its prompt would be computed twice.
    """
    weights = sample_weights([len(sample.tokens) for sample in share], loss.aggregation)
    needed = [
        (sample, weight)
        for sample, weight in zip(share, weights, strict=True)
        if weight and (sample.advantage or loss.beta)
    ]
    runs = [list(run) for _, run in groupby(needed, key=lambda one: one[0].prompt)]
    batches: list[MicroBatch] = []
    num_tokens = 0
    for whole, samples in sorted(((_length(run), run) for run in runs), key=lambda one: one[0]):
        is_whole = num_tokens + whole > num_tokens_per_pass >= whole
        for number, (sample, weight) in enumerate(samples):
            cost = len(sample.tokens) + (0 if number else len(sample.prompt))
            if not batches or (is_whole and not number) or num_tokens + cost > num_tokens_per_pass:
                batches.append(MicroBatch([], []))
                num_tokens, cost = 0, len(sample.prompt) + len(sample.tokens)
            batches[-1].samples.append(sample)
            batches[-1].weights.append(weight)
            num_tokens += cost
    return batches


def _length(run: Sequence[tuple[Sample, float]]) -> int:
    """Tokens of samples with one prompt, which counts once."""
    return len(run[0][0].prompt) + sum(len(sample.tokens) for sample, _ in run)


def _update(
    state: TrainState,
    log_probs: LogProbs,
    reference: LogProbs | None,
    plan: Sequence[MicroBatch],
    plan_old: Sequence[torch.Tensor | None],
    loss: LossRules,
    rules: LearnRules,
    optimiser: Optimiser,
) -> tuple[float, float]:
    """One optimiser step over a share; its loss and its gradient norm before clipping."""
    for parameter in state.parameters:
        parameter.grad = None
    total = 0.0
    for batch, old_BT in zip(plan, plan_old, strict=True):
        new_BT = log_probs(batch.samples)
        reference_BT = None
        if loss.beta > 0 and reference is not None:
            with torch.no_grad():
                reference_BT = reference(batch.samples)
        advantage_B = new_BT.new_tensor([sample.advantage for sample in batch.samples])
        length_B = torch.tensor([len(sample.tokens) for sample in batch.samples], device=new_BT.device)
        mask_BT = torch.arange(new_BT.shape[1], device=new_BT.device) < length_B[:, None]
        anchor_BT = new_BT.detach() if old_BT is None else old_BT
        loss_BT = token_losses(new_BT, anchor_BT, advantage_B, loss, reference_BT)
        part = weighted_loss(loss_BT, mask_BT, new_BT.new_tensor(batch.weights))
        part.backward()  # type: ignore[no-untyped-call]
        total += float(part.detach())
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in state.parameters]
    norm = optimiser(state, gradients, rules)
    for parameter in state.parameters:
        parameter.grad = None
    return total, norm
