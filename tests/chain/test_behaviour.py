"""What the contracts do, and the fake with them: one suite for both."""

from __future__ import annotations

import pytest

from chain.base import ZERO_ROOT, Advance, Claim, Enrol, Prune, Settle
from protocol.errors import ChainError
from protocol.ids import PeerId
from tests.chain.conftest import Bench
from tests.chain.players import Player, RsaPlayer, claim, content, credit_tree, result, rsa_key, settle

pytestmark = pytest.mark.asyncio

ADA, BEN, CYD, DAN = (Player(name) for name in ("ada", "ben", "cyd", "dan"))
WEI_PER_MICRO = 10**12


async def refused(awaitable: object) -> str:
    with pytest.raises(ChainError) as caught:
        await awaitable  # type: ignore[misc]
    assert caught.value.what
    return caught.value.reason


async def test_a_secp256k1_peer_registers_once_and_again_for_free(bench: Bench) -> None:
    chain = bench.chain(ADA)
    assert await chain.peer(ADA.peer) is None
    receipt = await chain.send(ADA.registration(bench.contracts))
    assert receipt.transaction.startswith("0x")
    assert len(receipt.transaction) == 66
    record = await chain.peer(ADA.peer)
    assert record is not None
    assert (record.peer, record.owner, record.signer) == (ADA.peer, ADA.wallet, ADA.signer)
    assert (record.enrolled, record.claimed_micro) == (False, 0)
    assert (await chain.send(ADA.registration(bench.contracts))).transaction == ""


async def test_an_rsa_peer_registers_with_a_delegation(bench: Bench) -> None:
    player = RsaPlayer("rsa")
    assert player.peer.startswith("Qm")
    await bench.chain(player).send(player.registration(bench.contracts))
    record = await bench.chain(player).peer(player.peer)
    assert record is not None
    assert (record.owner, record.signer) == (player.wallet, player.signer)


async def test_a_wallet_may_own_several_peers(bench: Bench) -> None:
    second = Player("ada's second", wallet="ada")
    for player in (ADA, second):
        await bench.chain(ADA).send(player.registration(bench.contracts))
    records = [await bench.chain(ADA).peer(player.peer) for player in (ADA, second)]
    assert [record.owner for record in records if record] == [ADA.wallet, ADA.wallet]


async def test_a_peer_id_of_another_wallet_is_refused_by_name(bench: Bench) -> None:
    await bench.chain(ADA).send(ADA.registration(bench.contracts))
    theft = ADA.registration(bench.contracts, wallet=BEN.wallet)
    assert await refused(bench.chain(BEN).send(theft)) == "PeerOwnedByAnother"


async def test_a_registration_signed_for_another_wallet_is_refused(bench: Bench) -> None:
    copied = ADA.registration(bench.contracts)
    assert await refused(bench.chain(BEN).send(copied)) == "ProofRejected"


async def test_a_registration_with_another_nonce_is_refused(bench: Bench) -> None:
    assert await refused(bench.chain(ADA).send(ADA.registration(bench.contracts, nonce=1))) == "NonceMismatch"


async def test_an_rsa_peer_needs_its_own_key_for_the_delegation(bench: Bench) -> None:
    player = RsaPlayer("rsa")
    forged = player.registration(bench.contracts, identity=rsa_key("another"))
    assert await refused(bench.chain(player).send(forged)) == "DelegationRejected"


async def test_other_kinds_of_rsa_keys_are_refused(bench: Bench) -> None:
    player = RsaPlayer("rsa")
    player.public_key = player.public_key[:-1]
    assert await refused(bench.chain(player).send(player.registration(bench.contracts))) == "ModulusUnsupported"


async def test_an_rsa_peer_cannot_name_somebody_elses_signing_account(bench: Bench) -> None:
    await bench.chain(ADA).send(ADA.registration(bench.contracts))
    thief = RsaPlayer("thief")
    thief.signer = ADA.signer
    assert await refused(bench.chain(thief).send(thief.registration(bench.contracts))) == "SignerTaken"
    thief.signer = BEN.signer
    assert await refused(bench.chain(thief).send(thief.registration(bench.contracts))) == "ProofRejected"


async def test_the_lobby_ends_when_enough_members_enrolled(bench: Bench) -> None:
    await bench.join(ADA, BEN)
    lobby = await bench.chain(ADA).clock()
    assert (lobby.round, lobby.members, lobby.settled_round) == (0, (), 0)
    assert (lobby.credits_root, lobby.data_hash) == (ZERO_ROOT, ZERO_ROOT)
    await bench.join(CYD)
    await bench.pass_time(0)
    view = await bench.chain(ADA).clock()
    assert view.round == 1
    assert [member.peer for member in view.members] == sorted(player.peer for player in (ADA, BEN, CYD))
    assert {member.signer for member in view.members} == {ADA.signer, BEN.signer, CYD.signer}
    assert {member.joined_round for member in view.members} == {1}
    assert view.closes_at == view.opened_at + 100
    assert len(view.seed) == 64
    await bench.pass_time(0)
    assert (await bench.chain(BEN).clock()).seed == view.seed


async def test_enrolling_is_the_owners_affair_and_free_when_it_is_fresh(bench: Bench) -> None:
    await bench.join(ADA)
    assert await refused(bench.chain(BEN).send(Enrol(BEN.peer))) == "NotThePeersOwner"
    assert await refused(bench.chain(BEN).send(Enrol(CYD.peer))) == "NotThePeersOwner"
    assert (await bench.chain(ADA).send(Enrol(ADA.peer))).transaction == ""
    record = await bench.chain(ADA).peer(ADA.peer)
    assert record is not None
    assert record.enrolled


async def test_a_round_is_ended_by_anybody_after_its_deadline_only(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    outsider = bench.chain(DAN)
    assert await refused(outsider.send(Advance(1))) == "RoundStillOpen"
    assert await refused(outsider.send(Advance(2))) == "RoundNotCurrent"
    await bench.pass_time(100)
    assert (await outsider.send(Advance(1))).transaction
    assert (await bench.chain(ADA).send(Advance(1))).transaction == ""
    await bench.pass_time(0)
    view = await outsider.clock()
    assert view.round == 2
    assert len(view.members) == 3
    assert view.seed


async def test_a_swarm_without_members_stays_in_the_lobby(bench: Bench) -> None:
    await bench.pass_time(100)
    assert await refused(bench.chain(ADA).send(Advance(0))) == "NoMembers"
    await bench.join(ADA)
    await bench.chain(ADA).send(Advance(0))
    assert [member.peer for member in (await bench.chain(ADA).clock()).members] == [ADA.peer]


async def test_a_majority_settles_and_opens_the_next_round(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    first = result(1, content("credits 1"), 5_000_000)
    receipt = await bench.chain(ADA).send(settle(bench.contracts, first, ADA, CYD))
    assert receipt.transaction
    view = await bench.chain(BEN).clock()
    assert (view.round, view.settled_round) == (2, 1)
    assert (view.credits_root, view.data_hash) == (first.credits_root, first.data_hash)
    assert (await bench.chain(BEN).send(settle(bench.contracts, first, BEN, CYD))).transaction == ""
    second = result(2, content("credits 2"), 5_000_000, previous=first.credits_root)
    await bench.chain(DAN).send(settle(bench.contracts, second, ADA, BEN, CYD))
    assert (await bench.chain(BEN).clock()).settled_round == 2


async def test_less_than_a_majority_settles_nothing(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    outcome = result(1, content("credits"), 1)
    chain = bench.chain(ADA)
    assert await refused(chain.send(settle(bench.contracts, outcome))) == "MajorityMissing"
    assert await refused(chain.send(settle(bench.contracts, outcome, ADA))) == "MajorityMissing"
    twice = Settle(outcome, (ADA.attest(bench.contracts, outcome),) * 2)
    assert await refused(chain.send(twice)) == "SignaturesUnordered"
    ordered = settle(bench.contracts, outcome, ADA, BEN).signatures
    assert await refused(chain.send(Settle(outcome, ordered[::-1]))) == "SignaturesUnordered"


async def test_only_the_rounds_members_attest_it(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD, DAN)
    outcome = result(1, content("credits"), 1)
    chain = bench.chain(ADA)
    stranger = Player("stranger")
    assert await refused(chain.send(settle(bench.contracts, outcome, ADA, stranger))) == "NotAMember"
    assert await refused(chain.send(settle(bench.contracts, outcome, ADA, DAN))) == "NotAMember"  # enrolled in round 1
    other = result(1, content("other credits"), 1)
    mixed = Settle(outcome, settle(bench.contracts, other, ADA, BEN).signatures)
    assert await refused(chain.send(mixed)) in {"NotAMember", "SignaturesUnordered"}
    malformed = Settle(outcome, (b"\x01" * 65,))
    assert await refused(chain.send(malformed)) == "ProofRejected"


async def test_a_result_must_follow_the_recorded_one(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, root = bench.chain(ADA), content("credits 1")

    async def attempt(outcome: object) -> str:
        return await refused(chain.send(settle(bench.contracts, outcome, ADA, BEN)))  # type: ignore[arg-type]

    assert await attempt(result(1, root, 1, previous=content("elsewhere"))) == "PreviousRootStale"
    assert await attempt(result(2, root, 1)) == "RoundNotOpened"
    assert await attempt(result(0, root, 1)) == "RoundAlreadySettled"
    assert await attempt(result(1, root, 10_000_001)) == "EmissionExceeded"
    await chain.send(settle(bench.contracts, result(1, root, 10_000_000), ADA, BEN))
    assert await attempt(result(1, root, 1, mark="other")) == "RoundAlreadySettled"
    assert await attempt(result(2, root, 9_999_999, previous=root)) == "TotalDecreased"
    for round in (2, 3, 4, 5):
        await chain.send(settle(bench.contracts, result(round, root, round * 10_000_000, previous=root), ADA, BEN))
    assert await attempt(result(6, root, 50_000_001, previous=root)) == "EmissionExceeded"


async def test_a_result_may_be_late_but_not_out_of_order(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    for round in (1, 2):
        await bench.pass_time(100)
        await chain.send(Advance(round))
    late = result(2, content("credits 2"), 1)
    await chain.send(settle(bench.contracts, late, ADA, BEN))
    view = await chain.clock()
    assert (view.round, view.settled_round) == (3, 2)
    too_late = result(1, content("credits 1"), 2, previous=late.credits_root)
    assert await refused(chain.send(settle(bench.contracts, too_late, ADA, BEN))) == "RoundAlreadySettled"


async def test_credits_are_claimed_once_and_cumulatively(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    first = credit_tree({ADA: 3_000_000, BEN: 2_000_000, CYD: 1})
    await chain.send(settle(bench.contracts, result(1, first.root, 5_000_001), ADA, BEN))
    assert (await chain.send(claim(first, ADA, 3_000_000))).transaction
    assert (await chain.balance(ADA.wallet)).token_wei == 3_000_000 * WEI_PER_MICRO
    assert (await chain.send(claim(first, ADA, 3_000_000))).transaction == ""
    await bench.chain(DAN).send(claim(first, BEN, 2_000_000))  # anybody may; the owner is paid
    assert (await chain.balance(BEN.wallet)).token_wei == 2_000_000 * WEI_PER_MICRO
    second = credit_tree({ADA: 4_500_000, BEN: 2_000_000, CYD: 1})
    await chain.send(settle(bench.contracts, result(2, second.root, 6_500_001, previous=first.root), ADA, BEN))
    await chain.send(claim(second, ADA, 4_500_000))
    assert (await chain.balance(ADA.wallet)).token_wei == 4_500_000 * WEI_PER_MICRO
    record = await chain.peer(ADA.peer)
    assert record is not None
    assert record.claimed_micro == 4_500_000


async def test_claims_need_a_proof_against_the_latest_root(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    tree = credit_tree({ADA: 3, BEN: 2, DAN: 9})
    assert await refused(chain.send(claim(tree, ADA, 3))) == "ClaimProofRejected"
    await chain.send(settle(bench.contracts, result(1, tree.root, 4), ADA, BEN))
    assert await refused(chain.send(Claim(ADA.peer, 4, claim(tree, ADA, 3).proof))) == "ClaimProofRejected"
    assert await refused(chain.send(Claim(BEN.peer, 3, claim(tree, ADA, 3).proof))) == "ClaimProofRejected"
    assert await refused(chain.send(claim(tree, DAN, 9))) == "PeerUnknown"
    await chain.send(claim(tree, ADA, 3))
    assert await refused(chain.send(claim(tree, BEN, 2))) == "PoolOverdrawn"  # 3 + 2 of a total of 4
    assert (await chain.balance(BEN.wallet)).token_wei == 0


async def test_a_member_that_is_absent_for_too_long_can_be_pruned(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)

    async def play(round: int) -> None:
        previous = content(f"credits {round - 1}") if round > 1 else ZERO_ROOT
        outcome = result(round, content(f"credits {round}"), round, previous=previous)
        await chain.send(settle(bench.contracts, outcome, ADA, BEN))

    for round in (1, 2):
        await play(round)
    assert await refused(chain.send(Prune(CYD.peer))) == "MemberNotAbsent"
    await play(3)
    assert await refused(chain.send(Prune(BEN.peer))) == "MemberNotAbsent"
    assert (await chain.send(Prune(CYD.peer))).transaction
    assert (await chain.send(Prune(CYD.peer))).transaction == ""
    assert (await chain.send(Prune(PeerId(DAN.peer)))).transaction == ""
    assert len((await chain.clock()).members) == 3
    await play(4)
    assert [member.peer for member in (await chain.clock()).members] == sorted([ADA.peer, BEN.peer])
    await bench.chain(CYD).send(Enrol(CYD.peer))
    await play(5)
    members = (await chain.clock()).members
    assert {member.peer: member.joined_round for member in members} == {ADA.peer: 1, BEN.peer: 1, CYD.peer: 6}


async def test_a_silent_member_renews_its_presence_by_enrolling_again(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    for round in (1, 2, 3):
        await bench.pass_time(100)
        await chain.send(Advance(round))
    assert (await bench.chain(CYD).send(Enrol(CYD.peer))).transaction
    assert (await bench.chain(CYD).send(Enrol(CYD.peer))).transaction == ""
    assert await refused(chain.send(Prune(CYD.peer))) == "MemberNotAbsent"
    await chain.send(Prune(BEN.peer))
    record = await chain.peer(BEN.peer)
    assert record is not None
    assert not record.enrolled
    assert record.last_seen_round == 1
