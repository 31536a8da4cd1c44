"""Why this module exists: what of TRL's options a peer may choose is written down once, without importing TRL.

The run's own rules (learning rate, clips, updates, temperature) are the run's for every engine; these are a peer's.
Names and meanings are those of ``trl.GRPOConfig``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

LossType = Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]
LOSS_TYPES: tuple[str, ...] = get_args(LossType)

_OURS = frozenset(
    {"batch_size", "processes", "patience_s", "use_vllm", "bf16", "gradient_checkpointing", "vllm_memory"}
)


@dataclass(frozen=True)
class TrlOptions:
    """Options of the trl engine. ``batch_size``: samples of one forward and backward pass of one of the ``processes``
    that take a step together; ``patience_s``: how long they may show no progress. ``use_vllm``: draw by vLLM, which may
    take ``vllm_memory`` (a share) of the GPU."""

    loss_type: LossType = "dapo"
    importance_sampling_level: Literal["token", "sequence"] = "token"
    mask_truncated_completions: bool = False
    top_entropy_quantile: float = 1.0
    entropy_coef: float = 0.0
    off_policy_mask_threshold: float | None = None
    use_bias_correction_kl: bool = True
    sapo_temperature_pos: float = 1.0
    sapo_temperature_neg: float = 1.05
    batch_size: int = 16
    processes: int = 1
    patience_s: float = 300.0
    bf16: bool = False
    gradient_checkpointing: bool = False
    use_vllm: bool = False
    vllm_memory: float = 0.3

    def of_trainer(self) -> dict[str, Any]:
        """What goes into ``GRPOConfig`` under the same name."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _OURS}
