"""Why this module exists: the policy loss, as functions of tensors and nothing else.

Per token: the clipped surrogate of PPO with separate lower and upper bounds (DAPO's clip-higher), a second clip that
bounds the ratio where the advantage is negative (INTELLECT-2's two-sided clip), and optionally a penalty for leaving a
reference policy. Per update: a weighted sum, so that micro-batches add up to the same number as one large batch.

Shapes: B samples, T completion positions (padded on the right).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from protocol.run import LearnRules

Aggregation = Literal["grpo", "dapo"]

_NANO = 1_000_000_000


@dataclass(frozen=True)
class LossRules:
    """Bounds of the ratio: 1 - ``epsilon_low`` to 1 + ``epsilon_high``, and ``delta`` at most (None: no second clip).

    ``beta`` weighs the KL penalty (0: none, no reference needed). ``aggregation``: ``grpo`` means over each sample's
    tokens and then over samples, ``dapo`` over all tokens of the update alike.
    """

    epsilon_low: float
    epsilon_high: float
    delta: float | None = None
    beta: float = 0.0
    aggregation: Aggregation = "dapo"


def loss_rules(rules: LearnRules, aggregation: Aggregation = "dapo") -> LossRules:
    """The run's rules as real numbers."""
    return LossRules(
        epsilon_low=rules.epsilon_low_nano / _NANO,
        epsilon_high=rules.epsilon_high_nano / _NANO,
        delta=rules.delta_nano / _NANO or None,
        beta=rules.beta_nano / _NANO,
        aggregation=aggregation,
    )


def token_losses(
    new_BT: torch.Tensor,
    old_BT: torch.Tensor,
    advantage_B: torch.Tensor,
    rules: LossRules,
    reference_BT: torch.Tensor | None = None,
) -> torch.Tensor:
    """Loss [B, T] per token from log-probabilities under the new, old and (if ``beta`` > 0) reference policy.

    Only ``new_BT`` should require a gradient. Padding yields numbers without meaning: weigh it with 0.
    Raises ``ValueError`` when ``beta`` asks for a reference that is not given.
    """
    ratio_BT = torch.exp(new_BT - old_BT)
    clipped_BT = ratio_BT.clamp(1 - rules.epsilon_low, 1 + rules.epsilon_high)
    bounded_BT = ratio_BT if rules.delta is None else ratio_BT.clamp(max=rules.delta)
    advantage_B1 = advantage_B[:, None]
    loss_BT = -torch.minimum(bounded_BT * advantage_B1, clipped_BT * advantage_B1)
    if rules.beta == 0:
        return loss_BT
    if reference_BT is None:
        raise ValueError("A KL penalty (beta > 0) needs the reference policy's log-probabilities.")
    # Weighed by the ratio, the estimate's gradient is that of the reverse KL (DeepSeek-V3.2, arXiv 2512.02556).
    return loss_BT + rules.beta * ratio_BT * divergence(new_BT, reference_BT)


def divergence(new_BT: torch.Tensor, reference_BT: torch.Tensor) -> torch.Tensor:
    """KL(new || reference) per token by the k3 estimator (Schulman 2020): never negative, unbiased, low variance."""
    difference_BT = reference_BT - new_BT
    return torch.expm1(difference_BT) - difference_BT


def sample_weights(lengths: Sequence[int], aggregation: Aggregation) -> list[float]:
    """What one token of each sample weighs in the update's loss. ``lengths`` counts every slot of the update.

    Samples without advantage count too: masking them must not make the others louder. Empty samples weigh 0.
    """
    if aggregation == "dapo":
        num_tokens = sum(lengths)
        return [1 / num_tokens if length else 0.0 for length in lengths]
    return [1 / (length * len(lengths)) if length else 0.0 for length in lengths]


def weighted_loss(loss_BT: torch.Tensor, mask_BT: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
    """Scalar: the micro-batch's part of the update's loss. ``mask_BT`` is true at real tokens."""
    return (loss_BT.masked_fill(~mask_BT, 0.0).sum(dim=-1) * weight_B).sum()
