import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.grpo.advantage import STD_FLOOR, group_advantages

SCORES = st.lists(st.integers(0, 1000).map(lambda milli: milli / 1000), min_size=2, max_size=16)


def test_advantages_by_hand():
    # mean 0.5, squared deviations 0.25 each, sample variance 4 * 0.25 / 3
    deviation = math.sqrt(1 / 3)
    expected = [value / (deviation + STD_FLOOR) for value in (0.5, -0.5, 0.5, -0.5)]
    assert group_advantages([1.0, 0.0, 1.0, 0.0]) == pytest.approx(expected, rel=1e-12)


def test_without_the_deviation_they_are_centred_scores():
    assert group_advantages([0.0, 0.0, 0.9], divide_by_std=False) == pytest.approx([-0.3, -0.3, 0.6])


@pytest.mark.parametrize("scores", [[], [0.7], [0.1, 0.1, 0.1], [1.0] * 16])
def test_a_group_without_variance_gets_exact_zeros_and_keeps_its_slots(scores):
    assert group_advantages(scores) == [0.0] * len(scores)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        group_advantages([0.0, bad])


@given(SCORES, st.floats(-5, 5))
def test_they_sum_to_zero_and_ignore_a_shift(scores, shift):
    advantages = group_advantages(scores)
    assert math.fsum(advantages) == pytest.approx(0, abs=1e-9)
    if min(scores) != max(scores):
        shifted = group_advantages([score + shift for score in scores])
        assert shifted == pytest.approx(advantages, rel=1e-6, abs=1e-6)


@given(SCORES)
def test_a_better_score_has_a_greater_advantage(scores):
    pairs = sorted(zip(scores, group_advantages(scores), strict=True))
    assert [advantage for _, advantage in pairs] == sorted(advantage for _, advantage in pairs)
