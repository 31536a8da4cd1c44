"""Standing moves within its bounds, is earned slowly, lost quickly, and can be earned again."""

from hypothesis import given
from hypothesis import strategies as st

from chain.base import Member
from protocol.codec import content_id
from protocol.ids import Address, PeerId
from protocol.messages import CreditRow, CreditTable
from rewards.reputation import (
    EJECT_BELOW,
    START,
    TOP,
    Fault,
    after_absence,
    after_contribution,
    after_strike,
    draw_weights,
    fault_of,
    newcomers,
    step_rate_ppm,
)

RUN = content_id(b"run")


def row(name: str, standing: int = START, last_round: int = 1) -> CreditRow:
    return CreditRow(PeerId(name), 0, last_round, RUN, standing_milli=standing, last_round=last_round)


def repeated(change, standing: int, times: int) -> int:
    for _ in range(times):
        standing = change(standing)
    return standing


@given(st.lists(st.sampled_from([after_contribution, after_absence, after_strike]), max_size=300))
def test_standing_stays_within_its_bounds_whatever_happens(history):
    standing = START
    for change in history:
        after = change(standing)
        assert 0 <= after <= TOP
        assert (after >= standing) if change is after_contribution else (after <= standing)
        standing = after


def test_standing_rises_slowly_and_levels_off():
    assert [repeated(after_contribution, START, times) for times in (1, 10, 40, 200)] == [525, 696, 927, 981]
    assert after_contribution(TOP) == TOP


def test_repeated_strikes_end_in_ejection_and_an_honest_peer_may_miss_many_rounds():
    assert repeated(after_strike, TOP, 3) >= EJECT_BELOW > repeated(after_strike, TOP, 4)
    assert repeated(after_strike, START, 2) >= EJECT_BELOW > repeated(after_strike, START, 3)
    assert repeated(after_absence, START, 25) >= EJECT_BELOW


def test_the_way_back_takes_three_contributions_to_be_drawn_and_fourteen_to_the_start():
    assert repeated(after_contribution, 0, 2) < EJECT_BELOW <= repeated(after_contribution, 0, 3)
    assert repeated(after_contribution, 0, 13) < START <= repeated(after_contribution, 0, 14)


def test_draws_weigh_stake_and_standing_and_leave_out_who_is_not_trusted():
    table = CreditTable(RUN, 3, (row("bad", EJECT_BELOW - 1), row("good", 900), row("gone", 900)))
    weights = {PeerId("bad"): 8, PeerId("good"): 2, PeerId("new"): 3}
    assert draw_weights(weights, table) == {"good": 1800, "new": 3 * START}
    assert draw_weights(weights, None) == {"bad": 8 * START, "good": 2 * START, "new": 3 * START}


def test_a_peer_of_low_standing_is_replayed_more_often():
    assert [step_rate_ppm(50_000, standing) for standing in (1000, 500, 100, 50, 0)] == [
        50_000,
        100_000,
        500_000,
        1_000_000,
        1_000_000,
    ]
    assert step_rate_ppm(0, 100) == 0


def test_who_failed_or_was_away_may_be_ejected_and_nobody_else():
    assert fault_of(row("a", EJECT_BELOW - 1, last_round=9), 10, 10) is Fault.STANDING
    assert fault_of(row("a", EJECT_BELOW, last_round=9), 10, 10) is None
    assert fault_of(row("a", 900, last_round=9), 20, 10) is Fault.ABSENT
    assert fault_of(row("a", 900, last_round=10), 20, 10) is None


def test_whoever_enrolled_again_has_time_to_mend_its_standing():
    assert fault_of(row("a", 5, last_round=9), 35, 10, 25, 25) is None
    assert fault_of(row("a", 5, last_round=26), 36, 10, 25, 25) is Fault.STANDING
    assert fault_of(row("a", 105, last_round=9), 36, 10, 25, 25) is Fault.ABSENT
    assert fault_of(row("a", 5, last_round=9), 30, 10, joined_round=25) is Fault.STANDING, "it was never barred for it"


def test_newcomers_are_those_who_enrolled_lately():
    nobody = Address("0x" + "1" * 40)
    members = [Member(PeerId(str(joined)), nobody, nobody, joined) for joined in (1, 5, 6, 15)]
    assert newcomers(members, 15, 10) == {"6", "15"}
