"""Whose signatures a result needs, and the whole way from work to tokens."""

import msgspec
import pytest

from chain.base import Enrol, OpenEpoch, Register, Stake
from chain.fake import FakeChain, FakeWorld
from chain.keys import recover_signer, sign_digest
from chain.rules import Rules
from chain.sortition import poster_order, quorum
from chain.typed_data import registration_digest, round_result_digest
from protocol.codec import encode
from protocol.messages import Attestation
from rewards.settlement import (
    adopt_table,
    affirmation,
    check_proposal,
    claim_intent,
    collect,
    posters_due,
    propose,
    signed_by,
)
from tests.rewards.conftest import works

replace = msgspec.structs.replace


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
