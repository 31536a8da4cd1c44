"""Why this module exists: a rollout is good or bad only next to its group, the other answers to the same prompt.

Pure: scores in, advantages out. Plain Python floats, because groups are small and everybody must get the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

STD_FLOOR = 1e-4
"""Added to the standard deviation of scores in 0 to 1, as in DeepSeekMath's and TRL's GRPO."""


def group_advantages(scores: Sequence[float], *, divide_by_std: bool = True) -> list[float]:
    """(score - group mean) / (standard deviation + ``STD_FLOOR``), one per score, in order.

    The deviation is the sample one (n - 1), as in GRPO (Shao et al. 2024); ``divide_by_std=False`` leaves it out, as in
    Dr. GRPO (Liu et al. 2025), which does not favour questions that are nearly always or nearly never answered.
    A group whose scores are all equal, or of one rollout, teaches nothing: it gets exact zeros and keeps its slots.
    Raises ``ValueError`` for scores that are not finite.
    """
    if not all(math.isfinite(score) for score in scores):
        raise ValueError("Scores must be finite numbers.")
    if len(scores) < 2 or min(scores) == max(scores):
        return [0.0] * len(scores)
    mean = math.fsum(scores) / len(scores)
    centred = [score - mean for score in scores]
    if not divide_by_std:
        return centred
    deviation = math.sqrt(math.fsum(value * value for value in centred) / (len(scores) - 1))
    return [value / (deviation + STD_FLOOR) for value in centred]
