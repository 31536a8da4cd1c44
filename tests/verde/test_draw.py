"""Nobody chooses its checkers: draws follow from seeds and records, and favour nobody."""

from collections import Counter

from protocol.codec import content_id
from protocol.ids import PeerId
from protocol.run import AuditRules
from verde.draw import draw, draw_rollouts, entitled, holder_order, receipts_needed

MEMBERS = tuple(PeerId(f"peer{number}") for number in range(10))
RULES = AuditRules("fake", 2, 1, 3, 16, 20_000, 3)
LEDGER, WORK = content_id(b"ledger"), content_id(b"work")


def seed(number):
    return content_id(f"seed {number}".encode())


def test_nobody_keeps_checks_or_judges_its_own_work():
    for number in range(50):
        drawn = draw(RULES, seed(number), LEDGER, WORK, MEMBERS[0], MEMBERS)
        assert MEMBERS[0] not in {*drawn.auditors, *drawn.attestors, *holder_order(seed(number), MEMBERS[0], MEMBERS)}
        assert (len(drawn.auditors), len(drawn.attestors)) == (1, 3)


def test_draws_depend_on_seed_ledger_and_work_and_not_on_the_order_of_members():
    drawn = draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], MEMBERS)
    assert draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], MEMBERS[::-1]) == drawn
    others = [
        draw(RULES, seed(2), LEDGER, WORK, MEMBERS[0], MEMBERS),
        draw(RULES, seed(1), WORK, WORK, MEMBERS[0], MEMBERS),
        draw(RULES, seed(1), LEDGER, LEDGER, MEMBERS[0], MEMBERS),
    ]
    assert all(other.attestors != drawn.attestors for other in others)


def test_everybody_is_drawn_about_equally_often():
    counts = Counter(draw(RULES, seed(n), LEDGER, WORK, MEMBERS[0], MEMBERS).auditors[0] for n in range(2700))
    assert set(counts) == set(MEMBERS[1:])
    assert all(230 < count < 370 for count in counts.values()), counts


def test_the_step_is_replayed_as_often_as_the_rules_say_and_always_under_suspicion():
    steps = sum(draw(RULES, seed(n), LEDGER, WORK, MEMBERS[0], MEMBERS).step for n in range(5000))
    assert 60 < steps < 145
    assert draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], MEMBERS, everything=True).step
    assert not any(
        draw(AuditRules("fake", 2, 1, 3, 16, 0, 3), seed(n), LEDGER, WORK, MEMBERS[0], MEMBERS).step for n in range(99)
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
    drawn = draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], MEMBERS[:2])
    assert (drawn.auditors, drawn.attestors) == ((MEMBERS[1],), (MEMBERS[1],))
    alone = draw(RULES, seed(1), LEDGER, WORK, MEMBERS[0], MEMBERS[:1])
    assert (alone.auditors, alone.attestors) == ((), ())


def test_receipts_are_never_so_many_that_a_single_silent_peer_shuts_out_all():
    assert [receipts_needed(2, contributors) for contributors in (1, 2, 3, 4, 5, 99)] == [0, 1, 1, 2, 2, 2]
    assert receipts_needed(0, 9) == 0


def test_holders_are_taken_in_the_drawn_order_among_those_who_contributed():
    order = holder_order(seed(1), MEMBERS[0], MEMBERS)
    assert sorted(order) == sorted(MEMBERS[1:])
    assert entitled(seed(1), MEMBERS[0], MEMBERS, 2) == order[:5]
    alive = set(order[6:])
    assert entitled(seed(1), MEMBERS[0], alive, 2) == tuple(peer for peer in order if peer in alive)
