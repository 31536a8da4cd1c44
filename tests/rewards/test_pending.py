"""Pay that waits: it is paid one result later, struck with all that was built on it, or waits while undecided."""

import msgspec
import pytest

from protocol.codec import content_id
from rewards.ledger import Verified, apply, row_of, total_micro
from rewards.pending import NOTHING_ACCUSED, Ruling, losing, overdue, pending_in, settle_row, struck_in, with_refuted
from rewards.settlement import Agreed, Judged, Refused, Why, check_proposal, propose


def state(number):
    return content_id(f"state {number}".encode())


def content(peer, number):
    return content_id(f"{peer} {number}".encode())


def work(player, number, micro=100, *, start=None, end=None) -> Verified:
    before, after = state(number - 1 if start is None else start), state(number if end is None else end)
    return Verified(player.peer, content(player.peer, number), micro, before, after)


def striking(*contents) -> Ruling:
    return Ruling(struck=frozenset(contents))


def undecided(*contents) -> Ruling:
    return Ruling(undecided=frozenset(contents))


@pytest.fixture
def first(players, run):
    return apply(None, run, 1, [work(players[0], 1, 10), work(players[1], 1, 20)])


def test_a_result_pays_what_the_one_before_recorded(players, run, first):
    second = apply(first, run, 2, [work(players[0], 2, 5)])
    assert [row_of(second, one.peer).micro_credits for one in players[:2]] == [10, 20]
    assert list(pending_in(second)) == [content(players[0].peer, 2)]


def test_a_struck_contribution_is_not_paid_and_its_peer_goes_back(players, run, first):
    cheat, honest = players[:2]
    second = apply(first, run, 2, [work(honest, 2)], striking(content(cheat.peer, 1)))
    row = row_of(second, cheat.peer)
    assert (row.micro_credits, row.pending, row.state, row.rounds) == (0, (), state(0), 1)
    assert row_of(second, honest.peer).micro_credits == 20
    third = apply(second, run, 3, [work(cheat, 3, start=0)])
    assert row_of(third, cheat.peer).state == state(3), "whoever was struck may go on from where it was"


def test_what_was_built_on_a_struck_contribution_falls_with_it(players, run, first):
    cheat = players[0]
    second = apply(first, run, 2, [work(cheat, 2)], undecided(content(cheat.peer, 1)))
    assert [pending.waited for pending in row_of(second, cheat.peer).pending] == [1, 0]
    ruling = striking(content(cheat.peer, 1))
    assert set(struck_in(second, ruling)) == {content(cheat.peer, 1), content(cheat.peer, 2)}
    row = row_of(apply(second, run, 3, [], ruling), cheat.peer)
    assert (row.micro_credits, row.pending, row.state) == (0, (), state(0))


def test_what_is_undecided_waits_and_what_came_after_it_waits_behind_it(players, run, first):
    one = players[0]
    table = apply(first, run, 2, [work(one, 2, 7)], undecided(content(one.peer, 1)))
    assert row_of(table, one.peer).micro_credits == 0
    table = apply(table, run, 3, [], undecided(content(one.peer, 1)))
    assert [pending.waited for pending in row_of(table, one.peer).pending] == [2, 0]
    assert overdue(table, 2) == [content(one.peer, 1)]
    assert overdue(table, 3) == []
    table = apply(table, run, 4, [])
    assert row_of(table, one.peer).micro_credits == 17
    assert total_micro(table) == 37


def test_an_earlier_paid_step_stays_paid_when_a_later_one_is_struck(players, run, first):
    one = players[0]
    second = apply(first, run, 2, [work(one, 2)])
    row = row_of(apply(second, run, 3, [], striking(content(one.peer, 2))), one.peer)
    assert (row.micro_credits, row.state) == (10, state(1))


def test_a_row_without_pending_pay_stays_as_it_is(players, run, first):
    settled = apply(first, run, 2, [])
    for row in settled.rows:
        assert settle_row(row, NOTHING_ACCUSED) == row
    assert losing(None, NOTHING_ACCUSED) == frozenset()


# --- in proposals ----------------------------------------------------------------------------------------------------


@pytest.fixture
def after_first(view, players, run):
    proposal, table = propose(run, 1, [work(players[0], 1, 10), work(players[1], 1, 20)], None)
    now = msgspec.structs.replace(
        view,
        round=2,
        settled_round=1,
        credits_root=proposal.result.credits_root,
        data_hash=proposal.result.data_hash,
    )
    return table, now


def test_an_empty_proposal_may_close_what_is_pending_and_nothing_else(players, run, after_first):
    table, now = after_first
    closing, closed = propose(run, 2, [], table)
    agreed = check_proposal(closing, run=run, verified={}, previous=table, view=now)
    assert isinstance(agreed, Agreed)
    assert agreed.result.total_micro_credits == 30
    later = msgspec.structs.replace(
        now, round=3, settled_round=2, credits_root=agreed.result.credits_root, data_hash=agreed.result.data_hash
    )
    again, _ = propose(run, 3, [], closed)
    refused = check_proposal(again, run=run, verified={}, previous=closed, view=later)
    assert isinstance(refused, Refused)
    assert refused.reason is Why.EMPTY


def test_a_proposal_must_name_the_verdicts_that_were_in_time_and_none_that_are_unknown(players, run, after_first):
    table, now = after_first
    cheat, honest = players[:2]
    ruling, verdict = striking(content(cheat.peer, 1)), content_id(b"a verdict")
    works = {one.content: one for one in (work(cheat, 2), work(honest, 2))}
    proposal, _ = propose(run, 2, works.values(), table, [verdict], ruling)
    assert proposal.contributions == (content(honest.peer, 2),), "the cheat's next step stands on nothing"

    whose = {one: work.peer for one, work in works.items()}

    def judge(proposal, judged):
        named = {one: work for one, work in works.items() if one in proposal.contributions}
        return check_proposal(
            proposal, run=run, verified=named, previous=table, view=now, required=whose, judged=judged
        )

    assert isinstance(judge(proposal, Judged(ruling, (), [verdict])), Agreed)
    assert judge(proposal, Judged(ruling, [verdict])).reason is Why.UNVERIFIED
    shielding, _ = propose(run, 2, works.values(), table)
    assert judge(shielding, Judged(NOTHING_ACCUSED, (), [verdict])).reason is Why.OMITTED
    sandy = msgspec.structs.replace(proposal, contributions=tuple(sorted(works)))
    assert judge(sandy, Judged(ruling)).reason is Why.BUILT_ON_SAND
    unfounded = msgspec.structs.replace(proposal, verdicts=())
    assert judge(unfounded, Judged()).reason is Why.OMITTED, "the cheat's next step belongs in where nothing is struck"


def test_what_is_proven_false_on_the_chain_is_struck_whatever_the_verdicts_say(players, run, after_first):
    table, now = after_first
    cheat, honest = players[:2]
    lie = content(cheat.peer, 1)
    ruling = with_refuted(msgspec.structs.replace(NOTHING_ACCUSED, passed=frozenset({lie})), [lie])
    assert (ruling.struck, ruling.passed) == (frozenset({lie}), frozenset())
    works = {one.content: one for one in (work(honest, 2),)}
    proposal, settled = propose(run, 2, works.values(), table, [], ruling, refuted=[lie])
    assert proposal.refuted == (lie,)
    assert row_of(settled, cheat.peer).audits_failed == 1
    assert row_of(settled, cheat.peer).pending == ()

    def judge(proposal, judged):
        return check_proposal(proposal, run=run, verified=works, previous=table, view=now, judged=judged)

    assert isinstance(judge(proposal, Judged(ruling, (), (), (), [lie])), Agreed)
    assert judge(proposal, Judged(ruling, (), (), [lie])).reason is Why.UNVERIFIED, "nobody has proven it"
    silent = msgspec.structs.replace(proposal, refuted=())
    assert judge(silent, Judged(NOTHING_ACCUSED, (), (), (), [lie])).reason is Why.OMITTED
    twice = msgspec.structs.replace(proposal, refuted=(lie, lie))
    assert judge(twice, Judged(ruling)).reason is Why.DISORDERED
