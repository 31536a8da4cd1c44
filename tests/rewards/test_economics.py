"""What is paid besides scores, and the stake and audit rates at which cheating does not pay."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.economics import (
    DEFAULT,
    Economics,
    allowed_micro,
    confirmed,
    floor_micro,
    margin_milli,
    min_detection,
    min_stake_micro,
    min_step_rate_ppm,
    rollouts_detection,
    round_pay,
    step_detection,
    tolerated_micro,
    verdict_micro,
    within,
)

CREDIT = 1_000_000
gains = st.integers(1, 2 * CREDIT)
stakes = st.integers(0, 100 * CREDIT)
chances = st.integers(1, 1_000_000).map(lambda ppm: Fraction(ppm, 1_000_000))


@given(gains, chances, st.integers(0, CREDIT))
def test_at_the_least_stake_a_cheat_loses_and_one_below_it_gains(gain, chance, lost):
    stake = min_stake_micro(gain, chance, lost)
    assert chance * (stake + lost) >= (1 - chance) * gain
    if stake > 0:
        assert chance * (stake - 1 + lost) < (1 - chance) * gain


@given(gains, stakes)
def test_the_least_chance_and_the_least_stake_are_each_others_inverse(gain, stake):
    chance = min_detection(gain, stake)
    assert min_stake_micro(gain, chance) == stake
    rate = step_detection(min_step_rate_ppm(gain, stake))
    assert rate >= chance > rate - Fraction(1, 1_000_000)
    assert min_stake_micro(gain, rate) <= stake


@given(gains, chances.filter(lambda chance: chance < 1), stakes)
def test_a_margin_of_a_thousand_is_where_a_cheat_breaks_even(gain, chance, stake):
    assert (margin_milli(gain, chance, stake) >= 1000) == (stake >= min_stake_micro(gain, chance))


def test_what_nobody_sees_no_stake_deters():
    with pytest.raises(ValueError, match="No stake"):
        min_stake_micro(CREDIT, Fraction(0))
    assert min_detection(0, 0) == 0
    assert margin_milli(CREDIT, Fraction(1), 0) == 10**9


def test_the_known_numbers_of_deterrence():
    assert min_stake_micro(CREDIT, Fraction(1, 50)) == 49 * CREDIT
    assert min_stake_micro(CREDIT, Fraction(1, 50), CREDIT) == 48 * CREDIT
    assert min_step_rate_ppm(CREDIT, 49 * CREDIT) == 20_000


def test_made_up_rollouts_are_seen_as_often_as_drawing_without_putting_back_says():
    assert rollouts_detection(0, 768, 16) == 0
    assert rollouts_detection(768, 768, 16) == 1
    assert rollouts_detection(1, 4, 1) == Fraction(1, 4)
    assert rollouts_detection(2, 4, 2) == Fraction(5, 6)
    assert rollouts_detection(1, 4, 9) == 1, "no more can be drawn than there are"
    assert round(float(rollouts_detection(77, 768, 16)), 3) == 0.819
    with pytest.raises(ValueError, match="made up"):
        rollouts_detection(5, 4, 1)


def test_colluding_checkers_hide_a_cheat_in_proportion_to_their_share():
    def seen(share: Fraction, auditors: int = 1) -> Fraction:
        return confirmed(Fraction(1), share, num_auditors=auditors, num_attestors=3)

    assert seen(Fraction(0)) == 1
    assert seen(Fraction(1)) == 0
    assert seen(Fraction(1, 2)) == Fraction(1, 2) * Fraction(1, 2)
    assert seen(Fraction(1, 2), 2) == Fraction(3, 4) * Fraction(1, 2)
    shares = [seen(Fraction(number, 10)) for number in range(11)]
    assert shares == sorted(shares, reverse=True)


def test_at_default_rates_no_gain_within_one_round_is_worth_the_stake():
    rate = step_detection(50_000)
    assert margin_milli(CREDIT, rate, DEFAULT.min_stake_micro) >= 1250, "the whole pay of a round is the gain"


# --- what is paid ----------------------------------------------------------------------------------------------------


def test_newcomers_have_a_floor_for_punctual_work_and_for_so_many_rounds():
    pay = [round_pay(DEFAULT, 50_000, rounds, punctual=True, replayable=True) for rounds in (0, 9, 10)]
    assert pay == [200_000, 200_000, 50_000]
    assert round_pay(DEFAULT, 50_000, 0, punctual=False, replayable=True) == 50_000
    assert round_pay(DEFAULT, 700_000, 0, punctual=True, replayable=True) == 700_000


def test_work_that_nobody_can_do_again_keeps_a_small_share_and_has_no_floor():
    assert round_pay(DEFAULT, 50_000, 0, punctual=True, replayable=False) == 7_500
    assert round_pay(DEFAULT, CREDIT, 50, punctual=True, replayable=False) == 150_000


def test_replays_are_rare_and_paid_accordingly():
    assert [verdict_micro(DEFAULT, level, 50_000) for level in (0, 1, 2)] == [20_000, 20_000, 400_000]
    assert [verdict_micro(DEFAULT, 2, rate) for rate in (1_000_000, 20_000, 1, 0)] == [20_000, CREDIT, CREDIT, CREDIT]


@given(st.integers(0, 30 * CREDIT), st.integers(0, 100), st.integers(0, 1000))
def test_the_floor_never_comes_to_more_than_the_stake(stake, rounds, floor):
    rules = Economics(min_stake_micro=stake, newcomer_rounds=rounds, newcomer_floor_milli=floor)
    assert floor_micro(rules) * rounds <= stake
    assert floor_micro(rules) in (0, floor * 1000)


def test_without_a_stake_there_is_no_floor():
    assert floor_micro(msgspec.structs.replace(DEFAULT, min_stake_micro=0)) == 0


@given(st.lists(st.integers(0, CREDIT)), st.integers(-5, 5 * CREDIT))
def test_what_is_cut_to_a_cap_stays_in_proportion_and_within_it(amounts, cap):
    cut = within(cap, amounts)
    assert sum(cut) <= max(cap, 0) or cut == amounts == [0] * len(amounts)
    assert all(0 <= small <= large for small, large in zip(cut, amounts, strict=True))
    if sum(amounts) <= cap:
        assert cut == amounts
    else:
        assert sum(cut) > cap - len(amounts) - 1


def test_a_result_may_credit_what_the_round_and_the_budget_allow():
    rules = Economics(budget_micro=100, round_emission_micro=30)
    assert [allowed_micro(rules, credited) for credited in (0, 70, 80, 100, 120)] == [30, 30, 20, 0, 0]


def test_work_that_cannot_be_replayed_earns_a_share_of_the_round_at_most():
    assert tolerated_micro(DEFAULT, 3 * CREDIT) == CREDIT  # a quarter of all four
    assert tolerated_micro(DEFAULT, 0) == 0
    no_cap = msgspec.structs.replace(DEFAULT, tolerated_cap_milli=1000)
    assert tolerated_micro(no_cap, 0) > 10**6 * CREDIT
    assert tolerated_micro(msgspec.structs.replace(DEFAULT, tolerated_cap_milli=0), CREDIT) == 0
