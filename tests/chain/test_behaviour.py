"""What the contracts do, and the fake with them: one suite for both."""

from __future__ import annotations

import pytest

from chain.base import ZERO_ROOT, Advance, Cost, Enrol, Settle, Stake
from tests.chain.conftest import RULES, Bench
from tests.chain.players import Player, RsaPlayer, content, refused, result, rsa_key, settle

pytestmark = pytest.mark.asyncio

ADA, BEN, CYD, DAN = (Player(name) for name in ("ada", "ben", "cyd", "dan"))


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
    await bench.pass_time(0)
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
    stranger = settle(bench.contracts, second, ADA, BEN, CYD)
    assert await refused(bench.chain(DAN).send(stranger)) == "NotThePeersOwner"
    await bench.chain(BEN).send(settle(bench.contracts, second, ADA, BEN, CYD, poster=BEN))
    assert (await bench.chain(BEN).clock()).settled_round == 2


async def test_less_than_a_majority_settles_nothing(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    outcome = result(1, content("credits"), 1)
    chain = bench.chain(ADA)
    assert await refused(chain.send(settle(bench.contracts, outcome, poster=ADA))) == "MajorityMissing"
    assert await refused(chain.send(settle(bench.contracts, outcome, ADA))) == "MajorityMissing"
    twice = Settle(outcome, (ADA.attest(bench.contracts, outcome),) * 2, ADA.peer)
    assert await refused(chain.send(twice)) == "SignaturesUnordered"
    ordered = settle(bench.contracts, outcome, ADA, BEN).signatures
    assert await refused(chain.send(Settle(outcome, ordered[::-1], ADA.peer))) == "SignaturesUnordered"


async def test_only_the_rounds_members_attest_it(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD, DAN)
    outcome = result(1, content("credits"), 1)
    chain = bench.chain(ADA)
    stranger = Player("stranger")
    assert await refused(chain.send(settle(bench.contracts, outcome, ADA, stranger))) == "NotAMember"
    assert await refused(chain.send(settle(bench.contracts, outcome, ADA, DAN))) == "NotAMember"  # enrolled in round 1
    other = result(1, content("other credits"), 1)
    mixed = Settle(outcome, settle(bench.contracts, other, ADA, BEN).signatures, ADA.peer)
    assert await refused(chain.send(mixed)) in {"NotAMember", "SignaturesUnordered"}
    malformed = Settle(outcome, (b"\x01" * 65,), ADA.peer)
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


async def test_what_something_costs_is_known_before_it_is_sent(bench: Bench) -> None:
    chain, registration = bench.chain(ADA), ADA.registration(bench.contracts)
    cost = await chain.estimate(registration)
    assert 21_000 < cost.gas < 200_000
    assert cost.fee_wei >= cost.gas
    assert await chain.peer(ADA.peer) is None, "nothing was sent"
    receipt = await chain.send(registration)
    assert 0.8 * cost.gas < receipt.gas <= 1.2 * cost.gas
    assert await chain.estimate(registration) == Cost(0, 0)
    await chain.send(Stake(ADA.peer, RULES.min_stake_micro, 0))
    assert (await chain.estimate(Enrol(ADA.peer))).gas > 21_000
