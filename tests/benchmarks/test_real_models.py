"""Whole rounds with checkpoints in the shapes of published models; what counts as a whole round."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.real_models import holds, play
from models.shapes import write_checkpoint

WHOLE: dict[str, Any] = {
    "contributions": {"signed": 6, "rescored": 6, "verified": 6, "struck": 0, "rejected": 0, "settled": 6},
    "audit_levels": [2],
    "audit_findings": ["match"],
    "credits_micro": [1, 2, 3],
}


@pytest.mark.parametrize(
    "change",
    [
        {"audit_levels": [0, 1]},
        {"audit_findings": ["match", "unavailable"]},
        {"credits_micro": [1, 0, 3]},
        {"contributions": WHOLE["contributions"] | {"settled": 5}},
        {"contributions": WHOLE["contributions"] | {"struck": 1}},
        {"contributions": WHOLE["contributions"] | {"verified": 0}},
        {"contributions": dict.fromkeys(WHOLE["contributions"], 0)},
    ],
)
def test_a_round_that_misses_anything_is_not_whole(change):
    assert holds(WHOLE)
    assert not holds(WHOLE | change)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("family", ["gemma3", "llama", "qwen2", "qwen3"])
def test_three_peers_play_learn_check_and_are_paid_with_a_real_shape(family, tmp_path):
    run = play(write_checkpoint(family, tmp_path / family), 2, 3000)
    assert holds(run)
    assert run["peak_gb"] < 3.5
    assert run["audit_mb"] < 30
