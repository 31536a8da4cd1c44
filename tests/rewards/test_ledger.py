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
from rewards.economics import Economics
from rewards.ledger import (
    Terms,
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
from rewards.pending import Judge, Ruling, change_between, losing, pending_in

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
        result.data_hash == content_id_of(table) == "72c8973065559423d59a79fe2934273839e19fdbbc6fb6bcf00b3244ade133a5"
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


# --- history, standing, verdicts, newcomers and caps ------------------------------------------------------------------

GENESIS = content_id(b"genesis")
CREDIT = 1_000_000


def test_members_that_did_not_contribute_get_a_row_and_lose_standing(players, run):
    a, b, c = (player.peer for player in players[:3])
    terms = Terms([a, b, c], state("genesis"))
    table = apply(None, run, 1, [work(players[0], "a1")], terms=terms)
    assert row_of(table, b) == CreditRow(b, 0, 0, state("genesis"), (), 475, 0, 0, 0, 1)
    check_table(table, run)
    closed = apply(table, run, 2, [], terms=terms)
    assert [row_of(closed, peer).late_rounds for peer in (a, b, c)] == [0, 1, 1], "nobody is missed in a closing result"
    with pytest.raises(ValueError, match="start from"):
        apply(table, run, 2, [work(players[1], "b2", start="elsewhere")], terms=terms)


def test_a_strike_halves_the_standing_counts_as_failed_and_is_no_absence(players, run):
    cheat, honest = players[:2]
    terms = Terms([cheat.peer, honest.peer], state("genesis"))
    first = apply(None, run, 1, [work(cheat, "e1"), work(honest, "h1")], terms=terms)
    contents = [content_id(f"record {name}".encode()) for name in ("e1", "h1")]
    ruling = Ruling(struck=frozenset(contents[:1]), passed=frozenset(contents[1:]))
    second = apply(first, run, 2, [work(honest, "h2", start="h1")], ruling, terms)
    row = row_of(second, cheat.peer)
    assert (row.standing_milli, row.audits_failed, row.late_rounds, row.rounds) == (262, 1, 0, 1)
    row = row_of(second, honest.peer)
    assert (row.standing_milli, row.audits_passed, row.audits_failed) == (548, 1, 0)


def test_right_verdicts_are_paid_at_once_and_false_ones_cost_standing(players, run):
    judges = (Judge(players[0].peer, 40_000), Judge(players[1].peer, false=1, vain=1), Judge("stranger", 90_000))
    terms = Terms([player.peer for player in players[:2]], state("genesis"))
    table = apply(None, run, 1, [], Ruling(judges=judges), terms)
    right, wrong = (row_of(table, player.peer) for player in players[:2])
    assert (right.micro_credits, right.audit_micro_credits, right.standing_milli) == (40_000, 40_000, 500)
    assert (wrong.micro_credits, wrong.standing_milli) == (0, 238)
    assert total_micro(table) == 40_000
    check_table(table, run)


def test_a_newcomers_punctual_round_has_a_floor_and_a_late_one_has_none(players, run):
    def punctual(player, name, micro, is_punctual=True, start="genesis"):
        return msgspec.structs.replace(work(player, name, micro, start=start), punctual=is_punctual)

    table = apply(None, run, 1, [punctual(players[0], "a1", 5), punctual(players[1], "b1", 5, False)])
    assert [row_of(table, player.peer).pending[0].micro_credits for player in players[:2]] == [200_000, 5]
    for number in range(2, 12):
        table = apply(table, run, number, [punctual(players[0], f"a{number}", 5, start=f"a{number - 1}")])
    earned = apply(table, run, 12, [])
    assert row_of(earned, players[0].peer).micro_credits == 10 * 200_000 + 5


def test_late_stages_keep_a_share_and_never_more_than_of_the_answers():
    played = {A: [600], C: [900], D: [300]}
    assert earned_micro(played) == 600_000
    assert earned_micro(played, [A], 500) == 500_000
    assert earned_micro(played, [C], 500) == (600_000 + 300_000 + 300_000) // 3
    assert earned_micro(played, [A, C, D], 500) == 100_000 + 100_000 + 50_000
    assert earned_micro({C: [1000], D: [1000]}, [C], 500) == 333_333, "without answers a late critique is worth nothing"
    assert earned_micro(played, [C], 0) == 300_000


@given(rounds, st.sets(st.sampled_from(list(Stage))), st.integers(0, 1000))
def test_being_late_never_pays(scores_milli, late, share):
    assert 0 <= earned_micro(scores_milli, late, share) <= earned_micro(scores_milli)


class Play(msgspec.Struct):
    """A random history: who contributes and earns how much in each round, what is struck or waits, who judged how."""

    earned: list[list[int]]
    fates: list[list[int]]
    judged: list[list[int]]


plays = st.integers(1, 6).flatmap(
    lambda length: st.builds(
        Play,
        *(
            st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=length, max_size=length)
            for numbers in (st.integers(-200_000, CREDIT), st.integers(0, 5), st.integers(0, 6))
        ),
    )
)
caps = st.sampled_from([Economics(), Economics(round_emission_micro=700_000), Economics(budget_micro=2_500_000)])


def history(play: Play, peers, run, economics, shuffle=list):
    """Every table of a random history."""
    table, tables = None, []
    terms = Terms(shuffle(peers), GENESIS, economics)
    for number, (amounts, fates, judged) in enumerate(zip(play.earned, play.fates, play.judged, strict=True), 1):
        waiting = sorted(pending_in(table))
        ruling = Ruling(
            struck=frozenset(content for content, fate in zip(waiting, fates * 9, strict=False) if fate == 4),
            undecided=frozenset(content for content, fate in zip(waiting, fates * 9, strict=False) if fate == 5),
            passed=frozenset(waiting),
            judges=tuple(
                Judge(peer, 20_000 * (count // 3), count % 3) for peer, count in sorted(zip(peers, judged, strict=True))
            ),
        )
        lost = losing(table, ruling)
        works = [
            Verified(
                peer,
                content_id(f"{number} {peer}".encode()),
                micro,
                row.state if (row := row_of(table, peer)) is not None else GENESIS,
                content_id(f"state {number} {peer}".encode()),
                punctual=micro % 2 == 0,
            )
            for peer, micro in zip(peers, amounts, strict=True)
            if micro >= 0 and peer not in lost
        ]
        table = apply(table, run, number, shuffle(works), ruling, terms)
        tables.append(table)
    return tables


@given(plays, caps)
def test_whatever_happens_what_is_paid_is_what_was_credited_and_within_the_caps(players, run, play, economics):
    before = None
    for table in history(play, [player.peer for player in players[:4]], run, economics):
        check_table(table, run)
        change = change_between(before, table)
        credited = total_micro(before) if before is not None else 0
        assert total_micro(table) - credited == sum(change.paid.values())
        assert sum(change.judged.values()) <= sum(change.paid.values()) <= economics.round_emission_micro
        assert total_micro(table) <= economics.budget_micro
        old = sum(pay.micro_credits for _, pay in pending_in(before).values())
        new = sum(pay.micro_credits for _, pay in pending_in(table).values())
        struck = sum(pay.micro_credits for _, pay in change.struck)
        for_work = sum(change.paid.values()) - sum(change.judged.values())
        assert old + sum(change.earned.values()) == for_work + struck + new, "no credit appears or vanishes"
        assert all(0 <= row.standing_milli <= 981 for row in table.rows)
        lines = {row.peer: line_of(row) for row in table.rows}
        assert all(line >> 192 == row_of(table, peer).micro_credits for peer, line in lines.items())
        before = table


@given(plays, caps)
def test_a_table_does_not_depend_on_the_order_in_which_anything_is_listed(players, run, play, economics):
    peers = [player.peer for player in players[:4]]
    assert history(play, peers, run, economics) == history(play, peers, run, economics, lambda them: list(them)[::-1])


def test_what_does_not_fit_under_the_cap_of_a_result_waits_for_the_next(players, run):
    terms = Terms([player.peer for player in players[:3]], state("genesis"), Economics(round_emission_micro=CREDIT))
    contents = [content_id(f"record {name}".encode()) for name in "abc"]
    works = [work(player, name, 300_000) for player, name in zip(players, "abc", strict=False)]
    first = apply(None, run, 1, works, terms=terms)
    held = apply(first, run, 2, [], Ruling(undecided=frozenset(contents)), terms)
    more = [work(player, name * 2, 300_000, start=name) for player, name in zip(players, "abc", strict=False)]
    third = apply(held, run, 3, more, Ruling(undecided=frozenset(contents)), terms)
    assert total_micro(third) == 0
    fourth = apply(third, run, 4, [], terms=terms)
    assert total_micro(fourth) == 900_000, "the oldest come first"
    assert total_micro(apply(fourth, run, 5, [], terms=terms)) == 1_800_000


def test_a_round_that_earns_more_than_may_be_credited_is_cut_in_proportion(players, run):
    terms = Terms((), state("genesis"), Economics(round_emission_micro=600_000))
    table = apply(None, run, 1, [work(players[0], "a", 800_000), work(players[1], "b", 400_000)], terms=terms)
    assert [row_of(table, player.peer).pending[0].micro_credits for player in players[:2]] == [400_000, 200_000]


def test_tolerated_work_shares_what_the_cap_leaves_it_beside_exact_work(players, run):
    one, *others = players[:3]
    loose = [msgspec.structs.replace(work(peer, f"loose {peer.peer}", 1_000_000), replayable=False) for peer in others]
    alone = apply(None, run, 1, loose)
    assert [row.pending[0].micro_credits for row in alone.rows] == [0, 0]
    table = apply(None, run, 1, [work(one, "exact", 600_000), *loose])
    paid = {row.peer: row.pending[0].micro_credits for row in table.rows}
    assert paid == {one.peer: 600_000, others[0].peer: 100_000, others[1].peer: 100_000}
    free = Terms(economics=Economics(tolerated_cap_milli=1000))
    assert [row.pending[0].micro_credits for row in apply(None, run, 1, loose, terms=free).rows] == [150_000, 150_000]
