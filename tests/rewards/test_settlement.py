import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.base import ZERO_ROOT, Claim, ClockView, Epoch, EpochState, Prune
from chain.credit_line import micro_of
from chain.keys import peer_key
from protocol.codec import content_id, encode
from protocol.errors import BadRecord
from protocol.merkle import verify
from rewards.ledger import apply, credits_tree, line_of, round_result, row_of
from rewards.settlement import (
    Agreed,
    Refused,
    Why,
    adopt_table,
    check_proposal,
    claim_intent,
    propose,
    prune_intent,
)
from tests.rewards.conftest import make_player, state, works

replace = msgspec.structs.replace


def settled(view, proposal, next_round=2):
    """The chain after it recorded ``proposal``."""
    result = proposal.result
    return replace(
        view,
        round=next_round,
        settled_round=result.round,
        credits_root=result.credits_root,
        data_hash=result.data_hash,
    )


def test_an_honest_proposal_is_recomputed_and_agreed(round_one, run, view):
    verified, proposal, table = round_one
    agreed = check_proposal(proposal, run=run, verified=verified, previous=None, view=view)
    assert agreed == Agreed(proposal.result, table)
    assert list(proposal.contributions) == sorted(verified)
    assert proposal.table.size == len(encode(table))
    assert proposal.result.total_micro_credits == 0, "pay waits for the next result"


def test_a_later_round_chains_on_the_table_before(round_one, players, run, view):
    first_works, first, table = round_one
    verified = works(players[:3], 2)
    second, _ = propose(run, 2, verified.values(), table)
    agreed = check_proposal(second, run=run, verified=verified, previous=table, view=settled(view, first))
    assert isinstance(agreed, Agreed)
    assert agreed.result.previous_credits_root == first.result.credits_root
    assert agreed.result.total_micro_credits == sum(work.micro_credits for work in first_works.values())


def test_a_round_that_ended_without_a_result_is_skipped_over(round_one, players, run, view):
    _, first, table = round_one
    done = zip(players, works(players, 4).values(), strict=True)
    verified = {work.content: replace(work, state_before=state(1, player)) for player, work in done}
    late, _ = propose(run, 4, verified.values(), table)
    now = settled(view, first, next_round=5)  # rounds 2 and 3 have no result, 4 is posted late
    assert isinstance(check_proposal(late, run=run, verified=verified, previous=table, view=now), Agreed)


def refusal(proposal, run, verified, previous, view, **kwargs) -> Why:
    outcome = check_proposal(proposal, run=run, verified=verified, previous=previous, view=view, **kwargs)
    assert isinstance(outcome, Refused)
    assert outcome.what
    return outcome.reason


def test_every_number_of_a_result_is_checked(round_one, run, view):
    verified, proposal, _ = round_one
    other = content_id(b"other")
    for change in (
        {"contributions_root": other},
        {"data_hash": other},
        {"credits_root": other},
        {"total_micro_credits": proposal.result.total_micro_credits + 1},
    ):
        bad = replace(proposal, result=replace(proposal.result, **change))
        assert refusal(bad, run, verified, None, view) is Why.DIFFERENT
    for table in ({"size": 1}, {"content": other}):
        bad = replace(proposal, table=replace(proposal.table, **table))
        assert refusal(bad, run, verified, None, view) is Why.DIFFERENT


def test_a_refusal_names_the_numbers_that_differ(round_one, run, view):
    verified, proposal, _ = round_one
    greedy = replace(proposal, result=replace(proposal.result, total_micro_credits=7))
    outcome = check_proposal(greedy, run=run, verified=verified, previous=None, view=view)
    assert outcome.what == "Computed here: total_micro_credits 0 instead of 7."


def test_a_poster_cannot_raise_its_own_pay(round_one, players, run, view):
    verified, _, _ = round_one
    mine = next(iter(verified))
    greedy = {**verified, mine: replace(verified[mine], micro_credits=1_000_000)}
    proposal, _ = propose(run, 1, greedy.values(), None)
    assert refusal(proposal, run, verified, None, view) is Why.DIFFERENT


def test_contributions_that_were_not_verified_here_are_not_signed(round_one, run, view):
    verified, proposal, _ = round_one
    fewer = dict(list(verified.items())[1:])
    assert refusal(proposal, run, fewer, None, view) is Why.UNVERIFIED


def test_leaving_out_what_was_in_time_is_refused_and_leaving_out_what_was_late_is_not(round_one, run, view):
    verified, _, _ = round_one
    _left_out, *rest = verified
    whose = {content: work.peer for content, work in verified.items()}
    proposal, _ = propose(run, 1, [verified[content] for content in rest], None)
    assert (
        refusal(proposal, run, {content: verified[content] for content in rest}, None, view, required=whose)
        is Why.OMITTED
    )
    assert isinstance(
        check_proposal(
            proposal,
            run=run,
            verified=verified,
            previous=None,
            view=view,
            required={content: verified[content].peer for content in rest},
        ),
        Agreed,
    )


def test_wrong_rounds_and_stale_or_unknown_ledgers_are_told_apart(round_one, players, run, view):
    verified, proposal, table = round_one
    assert refusal(proposal, run, verified, None, replace(view, round=0)) is Why.WRONG_ROUND
    assert refusal(proposal, run, verified, table, settled(view, proposal)) is Why.WRONG_ROUND
    second, _ = propose(run, 2, works(players, 2).values(), table)
    now = settled(view, proposal)
    assert refusal(second, run, works(players, 2), None, now) is Why.BEHIND
    assert refusal(second, run, works(players, 2), apply(table, run, 2, []), now) is Why.BEHIND
    forked = replace(second, result=replace(second.result, previous_credits_root=ZERO_ROOT))
    assert refusal(forked, run, works(players, 2), table, now) is Why.STALE


def test_empty_unsorted_and_doubled_lists_are_refused(round_one, players, run, view):
    verified, proposal, _ = round_one
    contents = proposal.contributions
    assert refusal(replace(proposal, contributions=()), run, verified, None, view) is Why.EMPTY
    assert refusal(replace(proposal, contributions=contents[::-1]), run, verified, None, view) is Why.DISORDERED
    assert (
        refusal(replace(proposal, contributions=contents + contents[-1:]), run, verified, None, view) is Why.DISORDERED
    )
    twice = replace(verified[contents[0]], content="ff" * 32)
    both = {**verified, twice.content: twice}
    double = replace(proposal, contributions=(*contents, twice.content))
    assert refusal(double, run, both, None, view) is Why.DISORDERED


@given(st.lists(st.text(max_size=70), max_size=4), st.integers(), st.text(max_size=70), st.integers())
def test_nothing_that_a_poster_writes_raises(round_one_shared, contents, number, root, total):
    run, view, verified, proposal = round_one_shared
    result = replace(proposal.result, round=number, credits_root=root, total_micro_credits=total)
    for bad in (replace(proposal, result=result, contributions=tuple(contents)), replace(proposal, result=result)):
        assert isinstance(check_proposal(bad, run=run, verified=verified, previous=None, view=view), Refused)


@pytest.fixture(scope="module")
def round_one_shared(players, run):
    verified = works(players)
    proposal, _ = propose(run, 1, verified.values(), None)
    members = tuple(player.member for player in players)
    view = ClockView(9, 1000, 1, 990, 1050, "ab" * 32, members, 0, ZERO_ROOT, ZERO_ROOT)
    return run, view, verified, replace(proposal, result=replace(proposal.result, data_hash="00" * 32))


# --- claims and catching up ------------------------------------------------------------------------------------------


def epoch_of(table) -> Epoch:
    total = sum(row.micro_credits for row in table.rows)
    root = credits_tree(table).root
    return Epoch(3, table.round, root, total, 0, 0, EpochState.FINAL, content_id(encode(table)))


def test_a_claim_proves_the_unpaid_total(round_one, players, run):
    table = apply(round_one[2], run, 2, [])
    claim = claim_intent(table, players[2].peer, 0, epoch_of(table))
    assert isinstance(claim, Claim)
    assert micro_of(claim.line) == 300_002
    assert claim.line == line_of(row_of(table, players[2].peer))
    assert claim.epoch == 3
    assert verify(credits_tree(table).root, peer_key(claim.peer), claim.line, claim.proof)
    assert claim_intent(table, players[2].peer, 300_001, epoch_of(table)) == claim


def test_there_is_nothing_to_claim_when_all_is_paid_or_nothing_was_earned(round_one, players, run):
    first, peer = round_one[2], players[2].peer
    assert claim_intent(first, peer, 0, epoch_of(first)) is None, "what is pending is not paid yet"
    table = apply(first, run, 2, [])
    assert claim_intent(table, peer, 300_002, epoch_of(table)) is None
    assert claim_intent(table, peer, 10**9, epoch_of(table)) is None
    assert claim_intent(table, peer, 0, epoch_of(first)) is None, "another table is paid"
    empty = apply(None, run, 1, [])
    assert claim_intent(empty, peer, 0, epoch_of(empty)) is None


def test_an_ejection_carries_the_members_line_and_its_proof(round_one, players):
    table = round_one[2]
    intent = prune_intent(table, players[1].peer)
    assert isinstance(intent, Prune)
    assert verify(credits_tree(table).root, peer_key(intent.peer), intent.line, intent.proof)
    assert prune_intent(table, make_player(9).peer) is None


def test_a_newcomer_adopts_exactly_the_table_that_the_chain_names(round_one, run, view):
    _, proposal, table = round_one
    now = settled(view, proposal)
    assert adopt_table(encode(table), run, now) == table
    for blob in (b"", encode(table) + b"\0", encode(replace(table, round=2))):
        with pytest.raises(BadRecord) as caught:
            adopt_table(blob, run, now)
        assert caught.value.reason == "hash_mismatch"


def test_a_table_whose_hash_fits_is_still_checked(round_one, run, view):
    _, proposal, table = round_one
    now = settled(view, proposal)

    def reason(blob, **changes) -> str:
        with pytest.raises(BadRecord) as caught:
            adopt_table(blob, run, replace(now, data_hash=content_id(blob), **changes))
        return caught.value.reason

    assert reason(b"\x00") == "malformed"
    assert reason(encode(replace(table, rows=table.rows[::-1]))) == "malformed"
    assert reason(encode(replace(table, run=content_id(b"other")))) == "wrong_run"
    assert reason(encode(replace(table, rows=table.rows[:2]))) == "hash_mismatch"
    assert reason(encode(table), settled_round=2) == "hash_mismatch"


def test_the_example_adds_up(round_one, run):
    verified, proposal, table = round_one
    assert credits_tree(table).root == proposal.result.credits_root
    assert round_result(table, verified.values(), None) == proposal.result
