"""Nobody chooses its checkers: draws follow from seeds and records, and favour nobody."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import content_id
from protocol.ids import PeerId
from protocol.run import AuditRules
from verde.draw import (
    draw,
    draw_rollouts,
    entitled,
    holder_order,
    receipts_needed,
    waiting_time,
    weighted_order,
)

MEMBERS = tuple(PeerId(f"peer{number}") for number in range(10))
EQUAL = dict.fromkeys(MEMBERS, 500)
RULES = AuditRules("fake", 2, 1, 3, 16, 20_000, 3)
LEDGER, WORK = content_id(b"ledger"), content_id(b"work")


def seed(number):
    return content_id(f"seed {number}".encode())


def test_nobody_keeps_checks_or_judges_its_own_work():
    for number in range(50):
        drawn = draw(RULES, seed(number), LEDGER, WORK, MEMBERS[0], EQUAL)
        assert MEMBERS[0] not in {*drawn.auditors, *drawn.attestors, *holder_order(seed(number), MEMBERS[0], EQUAL)}
        assert (len(drawn.auditors), len(drawn.attestors)) == (1, 3)


def test_draws_depend_on_seed_ledger_and_work_and_not_on_the_order_of_members():
    drawn = draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], EQUAL)
    assert draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], dict(reversed(EQUAL.items()))) == drawn
    others = [
        draw(RULES, seed(2), LEDGER, WORK, MEMBERS[0], EQUAL),
        draw(RULES, seed(1), WORK, WORK, MEMBERS[0], EQUAL),
        draw(RULES, seed(1), LEDGER, LEDGER, MEMBERS[0], EQUAL),
    ]
    assert all(other.attestors != drawn.attestors for other in others)


def test_everybody_is_drawn_about_equally_often():
    counts = Counter(draw(RULES, seed(n), LEDGER, WORK, MEMBERS[0], EQUAL).auditors[0] for n in range(2700))
    assert set(counts) == set(MEMBERS[1:])
    assert all(230 < count < 370 for count in counts.values()), counts


def test_the_step_is_replayed_as_often_as_the_rules_say_and_always_under_suspicion():
    steps = sum(draw(RULES, seed(n), LEDGER, WORK, MEMBERS[0], EQUAL).step for n in range(5000))
    assert 60 < steps < 145
    assert draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], EQUAL, everything=True).step
    assert not any(
        draw(AuditRules("fake", 2, 1, 3, 16, 0, 3), seed(n), LEDGER, WORK, MEMBERS[0], EQUAL).step for n in range(99)
    )


def test_rollouts_are_drawn_without_repetition_in_order():
    drawn = draw_rollouts(RULES, seed(1), LEDGER, WORK, 1152)
    assert len(drawn) == len(set(drawn)) == 16
    assert list(drawn) == sorted(drawn)
    assert drawn[0] >= 0
    assert drawn[-1] < 1152
    assert draw_rollouts(RULES, seed(1), LEDGER, WORK, 5) == (0, 1, 2, 3, 4)
    assert draw_rollouts(RULES, seed(1), LEDGER, WORK, 40, everything=True) == tuple(range(40))


def test_small_swarms_draw_whom_they_have():
    drawn = draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], dict.fromkeys(MEMBERS[:2], 1))
    assert (drawn.auditors, drawn.attestors) == ((MEMBERS[1],), (MEMBERS[1],))
    alone = draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], dict.fromkeys(MEMBERS[:1], 1))
    assert (alone.auditors, alone.attestors) == ((), ())


def test_receipts_are_never_so_many_that_a_single_silent_peer_shuts_out_all():
    assert [receipts_needed(2, others) for others in (0, 1, 2, 3, 4, 98)] == [0, 1, 1, 2, 2, 2]
    assert receipts_needed(0, 9) == 0


def test_holders_are_taken_in_the_drawn_order_among_those_who_contributed():
    order = holder_order(seed(1), MEMBERS[0], EQUAL)
    assert sorted(order) == sorted(MEMBERS[1:])
    assert entitled(order, MEMBERS, 2) == order[:5]
    alive = set(order[6:])
    assert entitled(order, alive, 2) == tuple(peer for peer in order if peer in alive)
    assert holder_order(seed(1), MEMBERS[0], dict.fromkeys(alive, 500)) == order[6:], "who is gone moves nobody"


# --- weights ---------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_a_waiting_time_is_the_logarithm_of_a_hash_rounded_up(digest):
    exact = -math.log2((int.from_bytes(digest, "big") + 1) / 2**256)
    assert -0.01 <= waiting_time(digest) / 2**32 - exact < 2**-31 + exact * 2**-45


def test_waiting_times_of_chosen_hashes_are_these_for_ever():
    assert waiting_time(b"\xff" * 32) == 0
    assert waiting_time(bytes(32)) == 256 << 32
    assert waiting_time(b"\x7f" + b"\xff" * 31) == 1 << 32
    assert waiting_time(b"\x55" * 32) == 6807362106  # log2(3) * 2**32 = 6807362105.98


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 8000), max_size=8), st.integers(2, 9))
def test_only_proportions_matter_and_not_in_which_order_somebody_lists_them(weights, factor):
    order = weighted_order("auditor", weights, "key")
    assert sorted(order) == sorted(weights)
    assert weighted_order("auditor", dict(reversed(weights.items())), "key") == order
    assert weighted_order("auditor", {peer: factor * weight for peer, weight in weights.items()}, "key") == order


def test_whoever_is_left_comes_next_in_proportion_to_its_weight():
    weights = {PeerId("one"): 100, PeerId("two"): 200, PeerId("three"): 300, PeerId("none"): 0}
    orders = [weighted_order("auditor", weights, number) for number in range(12_000)]
    first = Counter(order[0] for order in orders)
    assert [round(first[peer] / 2000, 1) for peer in ("one", "two", "three")] == [1.0, 2.0, 3.0]
    then = Counter(order[1] for order in orders if order[0] == "three")
    assert set(first) == {"one", "two", "three"}, "a weight of 0 is never drawn"
    assert 1.85 < then["two"] / then["one"] < 2.15, "of those who remain, twice the weight comes next twice as often"


def test_adding_a_member_of_no_weight_moves_nobody():
    assert weighted_order("holder", EQUAL | {PeerId("nobody"): 0}, "key") == weighted_order("holder", EQUAL, "key")


def test_a_low_standing_asks_for_more_replays():
    often = sum(draw(RULES, seed(n), LEDGER, WORK, MEMBERS[0], EQUAL, step_rate_ppm=200_000).step for n in range(2000))
    assert 330 < often < 470
