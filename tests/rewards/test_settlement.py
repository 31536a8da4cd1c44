import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.base import ZERO_ROOT, Claim, ClockView, Enrol, Epoch, EpochState, OpenEpoch, Prune, Register, Stake
from chain.credit_line import micro_of
from chain.fake import FakeChain, FakeWorld
from chain.keys import peer_key, recover_signer, sign_digest
from chain.rules import Rules
from chain.sortition import poster_order, quorum
from chain.typed_data import registration_digest, round_result_digest
from protocol.codec import content_id, encode
from protocol.errors import BadRecord
from protocol.merkle import verify
from protocol.messages import Attestation
from rewards.ledger import Verified, apply, credits_tree, line_of, round_result, row_of
from rewards.settlement import (
    Agreed,
    Refused,
    Why,
    adopt_table,
    affirmation,
    check_proposal,
    claim_intent,
    collect,
    posters_due,
    propose,
    prune_intent,
    signed_by,
)
from tests.rewards.conftest import make_player

replace = msgspec.structs.replace


def state(number, player):
    return content_id(f"state {number} of {player.peer}".encode())


def works(players, number=1, micro=300_000) -> dict:
    done = [
        Verified(p.peer, content_id(f"{number}/{p.peer}".encode()), micro + i, state(number - 1, p), state(number, p))
        for i, p in enumerate(players)
    ]
    return {work.content: work for work in done}


@pytest.fixture
def round_one(players, run):
    verified = works(players)
    proposal, table = propose(run, 1, verified.values(), None)
    return verified, proposal, table


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


# --- posters and signatures ------------------------------------------------------------------------------------------


def everybody(members):
    return quorum("ab" * 32, 1, members, quorum_size=len(members))


def test_posters_take_over_in_turn(players):
    order = poster_order("ab" * 32, 1, [player.member for player in players])
    assert posters_due(order, 0, 5) == order[:1]
    assert posters_due(order, 4.9, 5) == order[:1]
    assert posters_due(order, 5, 5) == order[:2]
    assert posters_due(order, -1, 5) == order[:1]
    assert posters_due(order, 10**9, 5) == order


def test_signatures_are_ordered_by_account_and_make_a_majority(round_one, players, domain):
    result = round_one[1].result
    members = [player.member for player in players]
    attestations = [player.attest(result, domain) for player in players]
    known = {"quorum": everybody(members), "poster": players[0].peer}
    two = collect(result, attestations[:2], members, domain, **known)
    assert (two.enough, len(two.attested)) == (False, 2)
    assert collect(result, attestations[:3], members, domain, **known).enough
    full = collect(result, attestations[::-1], members, domain, **known)
    assert full.enough
    digest = round_result_digest(domain, result)
    accounts = [int(recover_signer(digest, signature), 16) for signature in full.settle.signatures]
    assert accounts == sorted(accounts)
    assert [int(m.signer, 16) for peer in full.attested for m in members if m.peer == peer] == accounts
    assert (full.settle.result, full.settle.poster) == (result, players[0].peer)
    assert full.dropped == ()


def test_weight_decides_where_everybody_is_asked(round_one, players, domain):
    result = round_one[1].result
    heavy, *light = [player.member for player in players]
    members = [replace(heavy, weight=5), *light]
    known = {"quorum": quorum("ab" * 32, 1, members, quorum_size=9), "poster": heavy.peer}
    assert collect(result, [players[0].attest(result, domain)], members, domain, **known).enough
    others = [player.attest(result, domain) for player in players[1:]]
    assert not collect(result, others, members, domain, **known).enough


def test_only_the_drawn_count_where_few_are(round_one, players, domain):
    result = round_one[1].result
    members = [player.member for player in players]
    seed = next(seed for seed in (f"{n:064x}" for n in range(99)) if len(drawn(seed, members)) == 2)
    known = {"quorum": quorum(seed, 1, members, quorum_size=2), "poster": players[0].peer}
    assert (known["quorum"].needed, known["quorum"].asks_all) == (2, False)
    outcome = collect(result, [player.attest(result, domain) for player in players], members, domain, **known)
    assert outcome.enough
    assert set(outcome.attested) == drawn(seed, members)
    missing = [player.attest(result, domain) for player in players if player.peer != outcome.attested[0]]
    assert not collect(result, missing, members, domain, **known).enough


def drawn(seed, members):
    return set(quorum(seed, 1, members, quorum_size=2).votes)


def test_a_challenge_is_answered_by_more_than_half_of_the_whole_weight(round_one, players, domain):
    result = round_one[1].result
    members = [replace(player.member, weight=2) for player in players]
    attestations = [player.attest(result, domain) for player in players]
    assert affirmation(4, result, attestations[:2], members, domain) is None
    found = affirmation(4, result, attestations[:3][::-1], members, domain)
    assert (found.epoch, found.result, len(found.signatures)) == (4, result, 3)
    accounts = [int(recover_signer(round_result_digest(domain, result), one), 16) for one in found.signatures]
    assert accounts == sorted(accounts)


def test_an_attestation_is_by_a_member_over_what_it_says(round_one, players, domain):
    result = round_one[1].result
    members = [player.member for player in players[:2]]
    assert signed_by(players[0].attest(result, domain), members, domain)
    assert not signed_by(players[2].attest(result, domain), members, domain)
    assert not signed_by(Attestation(result, b""), members, domain)


def test_bad_attestations_are_dropped_and_counted_and_repeated_ones_count_once(round_one, players, domain):
    result = round_one[1].result
    *insiders, outsider = players
    other = replace(result, total_micro_credits=1)
    good = insiders[0].attest(result, domain)
    attestations = [
        good,
        good,
        outsider.attest(result, domain),
        insiders[1].attest(other, domain),
        Attestation(result, insiders[1].attest(other, domain).signature),
        Attestation(result, b""),
        Attestation(result, b"\xff" * 65),
        insiders[2].attest(result, replace(domain, chain_id=1)),
    ]
    members = [player.member for player in insiders]
    outcome = collect(result, attestations, members, domain, quorum=everybody(members), poster=members[0].peer)
    assert outcome.attested == (insiders[0].peer,)
    assert not outcome.enough
    assert [bad.reason for bad in outcome.dropped] == [
        "not_a_member",
        "hash_mismatch",
        "not_a_member",
        "wrong_signature",
        "wrong_signature",
        "not_a_member",
    ]


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


# --- the whole way, on the shipped fake of the contracts -------------------------------------------------------------


@pytest.mark.asyncio
async def test_two_rounds_and_a_closing_one_are_settled_by_their_members_and_paid_to_their_wallets(players, run):
    rules = Rules(start_members=len(players))
    world = FakeWorld(rules)
    wallets = {player.peer: FakeChain(world, player.member.owner) for player in players}
    for player in players:
        chain = wallets[player.peer]
        digest = registration_digest(world.contracts, player.peer, player.member.signer, chain.wallet, 0)
        await chain.send(Register(player.peer, 0, sign_digest(player.secret, digest)))
        await chain.send(Stake(player.peer, rules.min_stake_micro, 0))
        await chain.send(Enrol(player.peer))
    previous = None
    for number in (1, 2, 3):
        world.pass_time(0)
        view = world.view()
        assert (view.round, len(view.members)) == (number, len(players))
        verified = works(players, number) if number < 3 else {}
        poster = poster_order(view.seed, number, view.members)[0]
        proposal, _ = propose(run, number, verified.values(), previous)
        agreed = [check_proposal(proposal, run=run, verified=verified, previous=previous, view=view) for _ in players]
        attestations = [player.attest(agreed[0].result, world.contracts) for player in players[:3]]
        wanted = quorum(view.seed, number, view.members, quorum_size=rules.quorum_size)
        collected = collect(proposal.result, attestations, view.members, world.contracts, quorum=wanted, poster=poster)
        assert collected.enough
        assert (await wallets[poster].send(collected.settle)).transaction
        previous = agreed[0].table
        assert adopt_table(encode(previous), run, world.view()) == previous
        await wallets[poster].send(OpenEpoch(number))
        world.pass_time(rules.challenge_s + rules.dispute_s)
        epoch = (await wallets[poster].epochs()).claimable
        for player in players:
            claim = claim_intent(previous, player.peer, world.record(player.peer).claimed_micro, epoch)
            assert (claim is None) == (number == 1)
            if claim is not None:
                await wallets[player.peer].send(claim)
    for index, player in enumerate(players):
        assert world.record(player.peer).claimed_micro == 2 * (300_000 + index)
        assert claim_intent(previous, player.peer, world.record(player.peer).claimed_micro, epoch) is None
        assert (await wallets[player.peer].balance(player.member.owner)).token_wei == 2 * (300_000 + index) * 10**12
