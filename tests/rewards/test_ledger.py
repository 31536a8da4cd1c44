from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.base import ZERO_ROOT
from chain.credit_line import CreditLine, unpack
from chain.keys import peer_key
from protocol.codec import content_id, content_id_of, decode, encode
from protocol.errors import BadRecord
from protocol.ids import Stage
from protocol.merkle import leaf_hash, verify
from protocol.messages import CreditRow, CreditTable, Pending
from rewards.ledger import (
    Verified,
    apply,
    check_table,
    contributions_tree,
    credits_tree,
    earned_micro,
    line_of,
    round_result,
    row_of,
    total_micro,
)

A, C, D = Stage.ANSWER, Stage.CRITIQUE, Stage.DECIDE
scores = st.lists(st.integers(0, 1000), min_size=1, max_size=20)
rounds = st.dictionaries(st.sampled_from(list(Stage)), scores)


@pytest.mark.parametrize(
    ("scores_milli", "micro"),
    [
        ({A: [1000, 1000], C: [1000], D: [1000]}, 1_000_000),  # a perfect round is exactly one credit
        ({A: [1000], C: [1000]}, 666_666),  # a stage not played pays nothing
        ({A: [500, 1000], C: [], D: [0]}, 250_000),
        ({A: [1, 0, 0]}, 111),  # 1/3 of a thousandth of a third: 111.11
        ({A: [0], C: [0], D: [0]}, 0),
        ({}, 0),
        ({A: [1000] * 64, C: [700, 800], D: [999]}, 333_333 + 250_000 + 333_000),
    ],
)
def test_pay_of_a_round_by_hand(scores_milli, micro):
    assert earned_micro(scores_milli) == micro


@given(rounds)
def test_pay_is_the_exact_mean_rounded_down_once(scores_milli):
    exact = sum((Fraction(sum(s), len(s)) for s in scores_milli.values()), Fraction(0)) * 1000 / 3
    assert earned_micro(scores_milli) == exact.numerator // exact.denominator
    assert 0 <= earned_micro(scores_milli) <= 1_000_000


@given(rounds, st.integers(2, 5))
def test_publishing_the_same_more_often_pays_the_same(scores_milli, times):
    assert earned_micro({stage: s * times for stage, s in scores_milli.items()}) == earned_micro(scores_milli)


@pytest.mark.parametrize("score", [-1, 1001, 10**9])
def test_a_score_outside_its_range_is_refused(score):
    with pytest.raises(ValueError, match="critique"):
        earned_micro({C: [500, score]})


def work(player, name, micro=500_000, *, start="genesis") -> Verified:
    return Verified(player.peer, content_id(f"record {name}".encode()), micro, state(start), state(name))


def state(name):
    return content_id(b"genesis" if name == "genesis" else f"state {name}".encode())


def waiting(number, name, micro, *, start="genesis") -> Pending:
    return Pending(number, content_id(f"record {name}".encode()), micro, state(start))


def test_a_table_accumulates_and_pays_with_the_next_result(players, run):
    a, b, c = players[:3]
    first = apply(None, run, 1, [work(b, "b1", 10), work(a, "a1", 20)])
    assert row_of(first, a.peer) == CreditRow(a.peer, 0, 1, state("a1"), (waiting(1, "a1", 20),), 525, 1)
    assert total_micro(first) == 0
    third = apply(first, run, 3, [work(a, "a3", 5, start="a1"), work(c, "c3", 0)])
    assert (third.run, third.round) == (run, 3)
    assert [row.peer for row in third.rows] == sorted([a.peer, b.peer, c.peer])
    assert row_of(third, a.peer) == CreditRow(a.peer, 20, 2, state("a3"), (waiting(3, "a3", 5, start="a1"),), 548, 3)
    assert row_of(third, b.peer) == CreditRow(b.peer, 10, 1, state("b1"), (), 525, 1)
    assert row_of(third, c.peer) == CreditRow(c.peer, 0, 1, state("c3"), (waiting(3, "c3", 0),), 525, 3)
    assert row_of(third, players[4].peer) is None
    assert row_of(None, a.peer) is None
    assert total_micro(third) == 30
    closed = apply(third, run, 4, [])
    assert [row.pending for row in closed.rows] == [(), (), ()]
    assert total_micro(closed) == 35


def test_whoever_does_not_start_where_the_ledger_has_it_is_refused(players, run):
    first = apply(None, run, 1, [work(players[0], "a1")])
    with pytest.raises(ValueError, match="start from"):
        apply(first, run, 2, [work(players[0], "a2")])


def test_the_order_of_contributions_does_not_matter(players, run):
    works = [work(player, str(i), i) for i, player in enumerate(players)]
    assert apply(None, run, 1, works) == apply(None, run, 1, reversed(works))


def test_tables_of_other_runs_or_rounds_are_not_continued(players, run):
    table = apply(None, run, 2, [work(players[0], "x")])
    for other_run, number in ((content_id(b"other"), 3), (run, 2), (run, 1)):
        with pytest.raises(ValueError, match="continued"):
            apply(table, other_run, number, [])


def test_contributing_twice_or_earning_too_much_is_refused(players, run):
    with pytest.raises(ValueError, match="twice"):
        apply(None, run, 1, [work(players[0], "x"), work(players[0], "y")])
    for micro in (-1, 1_000_001):
        with pytest.raises(ValueError, match="micro"):
            apply(None, run, 1, [work(players[0], "x", micro)])


def test_roots_and_hashes_of_a_small_ledger_never_change(players, run):
    works = [work(player, str(i), 100_000 * i) for i, player in enumerate(players[:3], 1)]
    table = apply(None, run, 1, works)
    result = round_result(table, works, None)
    assert result.previous_credits_root == ZERO_ROOT
    assert (result.round, result.total_micro_credits) == (1, 0)
    assert (
        result.data_hash == content_id_of(table) == "2d5697313c7e9077a060d9434cd601b2359d568bc8666d47ec5c99689e43b645"
    )
    assert result.credits_root == "72322c625784d9abaed1bb24debe9f07ac273f55a4bad00e808c4036cd953f01"
    assert result.contributions_root == "10835aba3f617a6a62731c3f5f2e4bff460a67e09a0cf23466b436963ca91885"
    after = round_result(apply(table, run, 2, []), [], table)
    assert after.previous_credits_root == result.credits_root
    assert (after.contributions_root, after.total_micro_credits) == (ZERO_ROOT, 600_000)
    assert after.credits_root == "a56d6d9576ea2595ce5ce3fe9cf76b2ff4b20ff901f753f82387c0b96d4802a9"
    last = round_result(apply(apply(table, run, 2, []), run, 3, []), [], apply(table, run, 2, []))
    assert last.previous_credits_root == last.credits_root == after.credits_root
    assert last.data_hash != after.data_hash


def test_every_row_and_contribution_can_be_proved(players, run):
    works = [work(player, str(i), i) for i, player in enumerate(players)]
    table = apply(apply(None, run, 1, works), run, 2, [])
    credits, contributions = credits_tree(table), contributions_tree((w.peer, w.content) for w in works)
    for w in works:
        key, line = peer_key(w.peer), line_of(row_of(table, w.peer))
        assert unpack(line) == CreditLine(w.micro_credits, 525, 1, 1, 0, 0, 0)
        assert verify(credits.root, key, line, credits.proof(key, line))
        assert verify(
            contributions.root, key, bytes.fromhex(w.content), contributions.proof(key, bytes.fromhex(w.content))
        )
        assert not verify(credits.root, key, line + (1 << 192), credits.proof(key, line))


def test_a_single_contributors_root_is_its_leaf(players, run):
    table = apply(apply(None, run, 1, [work(players[0], "x", 7)]), run, 2, [])
    line = 7 << 192 | 525 << 176 | 1 << 136 | 1 << 96
    assert credits_tree(table).root == leaf_hash(peer_key(players[0].peer), line).hex()


def test_a_table_survives_the_wire_and_its_own_check(players, run):
    table = apply(None, run, 1, [work(player, str(i)) for i, player in enumerate(players)])
    check_table(decode(encode(table), CreditTable), run)
    check_table(CreditTable(run, 1, ()), run)


def test_tables_that_the_ledger_could_not_have_made_are_malformed(players, run):
    good = apply(None, run, 1, [work(player, str(i)) for i, player in enumerate(players)])
    replace = msgspec.structs.replace
    first, second = good.rows[:2]
    for rows in (
        (second, first),
        (first, first),
        (replace(first, micro_credits=1_000_001),),
        (replace(first, micro_credits=-1),),
        (replace(first, rounds=0),),
        (replace(first, rounds=2, micro_credits=2_000_000),),
        (replace(first, peer="me"),),
        (replace(first, state="Z" * 64),),
        (replace(first, pending=first.pending * 2),),
        (replace(first, pending=(replace(first.pending[0], round=2),)),),
        (replace(first, pending=(replace(first.pending[0], round=0),)),),
        (replace(first, micro_credits=500_001),),
        (replace(first, pending=(replace(first.pending[0], micro_credits=1_000_001),)),),
        (replace(first, pending=(replace(first.pending[0], waited=1),)),),
        (replace(first, late_rounds=1),),
        (replace(first, last_round=2),),
        (replace(first, last_round=0),),
        (replace(first, rounds=0, pending=()),),
        (replace(first, rounds=0, last_round=0),),
        (replace(first, audits_passed=1),),
        (replace(first, standing_milli=982),),
        (replace(first, standing_milli=-1),),
        (replace(first, micro_credits=1, audit_micro_credits=2),),
    ):
        with pytest.raises(BadRecord) as caught:
            check_table(replace(good, rows=rows), run)
        assert caught.value.reason == "malformed"
    with pytest.raises(BadRecord) as caught:
        check_table(good, content_id(b"other"))
    assert caught.value.reason == "wrong_run"
    for huge in (
        replace(first, rounds=2**31, last_round=2**31, micro_credits=2**63, audit_micro_credits=2**63),
        replace(first, rounds=1, last_round=2**32, pending=()),
    ):
        with pytest.raises(BadRecord, match="fit"):
            check_table(replace(good, round=2**60, rows=(huge,)), run)
