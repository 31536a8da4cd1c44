"""Why this module exists: the optimiser's state is part of what a peer signs, so it is plain tensors in plain sight.

AdamW (Loshchilov and Hutter 2019) with bias correction, on lists of tensors, in place. Same numbers as
``torch.optim.AdamW`` up to rounding, without its import time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from protocol.ids import ZERO_ROOT, ContentId
from protocol.run import LearnRules

_NANO = 1_000_000_000


@dataclass(frozen=True)
class AdamRules:
    """``max_grad_norm`` 0 turns gradient clipping off. Betas and epsilon are the paper's and are not part of a run."""

    learning_rate: float
    weight_decay: float
    max_grad_norm: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


def adam_rules(rules: LearnRules) -> AdamRules:
    """The run's rules as real numbers."""
    return AdamRules(
        learning_rate=rules.learning_rate_nano / _NANO,
        weight_decay=rules.weight_decay_nano / _NANO,
        max_grad_norm=rules.max_grad_norm_nano / _NANO,
    )


@dataclass
class TrainState:
    """What training changes: named parameters, their first and second moments (same order and shapes), step count.

    ``base`` names the files of the model that it does not change.
    """

    names: tuple[str, ...]
    parameters: list[torch.Tensor]
    first: list[torch.Tensor] = field(default_factory=list)
    second: list[torch.Tensor] = field(default_factory=list)
    step: int = 0
    base: ContentId = ZERO_ROOT

    def __post_init__(self) -> None:
        self.first = self.first or [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = self.second or [torch.zeros_like(parameter) for parameter in self.parameters]


def clip_gradients(gradients: Sequence[torch.Tensor], max_norm: float) -> float:
    """Scales ``gradients`` in place to a joint 2-norm of at most ``max_norm`` (0: off); the norm before."""
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients)))))
    if 0 < max_norm < norm + 1e-6:
        torch._foreach_mul_(list(gradients), max_norm / (norm + 1e-6))
    return norm


@torch.no_grad()
def update(state: TrainState, gradients: Sequence[torch.Tensor], rules: AdamRules) -> None:
    """One AdamW step in place: moments, decoupled decay of every parameter, step count."""
    state.step += 1
    # torch's own kernel of it: each number is read and written once, where one call per operation would take seven.
    torch._fused_adamw_(
        state.parameters,
        list(gradients),
        state.first,
        state.second,
        [],
        [torch.tensor(float(state.step), device=parameter.device) for parameter in state.parameters],
        lr=rules.learning_rate,
        beta1=rules.beta1,
        beta2=rules.beta2,
        weight_decay=rules.weight_decay,
        eps=rules.epsilon,
        amsgrad=False,
        maximize=False,
    )
