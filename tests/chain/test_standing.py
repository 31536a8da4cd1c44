"""Stake, weight, and who has to go: the contracts, and the fake with them, in one suite for both."""

from __future__ import annotations

import pytest

from chain.base import (
    ZERO_ROOT,
    AcceptPeer,
    Accuse,
    Advance,
    Enrol,
    OfferPeer,
    OpenEpoch,
    Prune,
    RecordReputation,
    Refresh,
    Resign,
    Rotate,
    Stake,
    Unstake,
    Withdraw,
)
from chain.keys import peer_key, sign_digest
from chain.typed_data import record_digest, registration_digest
from protocol.ids import ContentId, PeerId
from protocol.merkle import MerkleTree
from tests.chain.conftest import RULES, Bench
from tests.chain.players import Player, content, line, refused, result, settle

ADA, BEN, CYD, DAN = (Player(name) for name in ("ada", "ben", "cyd", "dan"))
UNIT = RULES.min_stake_micro


async def play(bench: Bench, rounds: int, *, root: ContentId = ZERO_ROOT) -> None:
    """Record so many results; all of them have ``root``."""
    chain = bench.chain(ADA)
    for _ in range(rounds):
        view = await chain.clock()
        outcome = result(view.round, root, 0, previous=view.credits_root)
        await chain.send(settle(bench.contracts, outcome, ADA, BEN))


def lines(**of: dict[str, int]) -> tuple[MerkleTree, dict[Player, int]]:
    """A credit table's tree, and everybody's line in it."""
    found = {player: line(0, **of[player.name]) for player in (ADA, BEN, CYD) if player.name in of}
    return MerkleTree((peer_key(player.peer), value) for player, value in found.items()), found


async def finalise(bench: Bench) -> None:
    """Open an epoch of everything recorded, and let nobody challenge it."""
    await bench.chain(ADA).send(OpenEpoch((await bench.chain(ADA).clock()).settled_round))
    await bench.pass_time(RULES.challenge_s)


def prune(tree: MerkleTree, of: dict[Player, int], player: Player) -> Prune:
    return Prune(player.peer, of[player], tree.proof(peer_key(player.peer), of[player]))


@pytest.mark.asyncio
async def test_a_peer_needs_its_stake_to_enrol(bench: Bench) -> None:
    chain = bench.chain(ADA)
    await chain.send(ADA.registration(bench.contracts))
    assert await refused(chain.send(Enrol(ADA.peer))) == "StakeMissing"
    assert await refused(bench.chain(BEN).send(Stake(ADA.peer, UNIT, 0))) == "NotThePeersOwner"
    assert (await chain.send(Stake(ADA.peer, UNIT, 0))).transaction
    assert (await chain.send(Stake(ADA.peer, UNIT, 0))).transaction == "", "the same deposit is made once"
    assert (await chain.send(Enrol(ADA.peer))).transaction
    record = await chain.peer(ADA.peer)
    assert record is not None
    assert (record.stake_micro, record.weight, record.enrolled) == (UNIT, 1, True)


@pytest.mark.asyncio
async def test_stake_is_weight(bench: Bench) -> None:
    await bench.give_tokens(ADA, 9 * UNIT)
    await bench.join(ADA, units=9)
    await bench.join(BEN, CYD)
    await bench.pass_time(0)
    view = await bench.chain(ADA).clock()
    assert {member.peer: member.weight for member in view.members} == {ADA.peer: 8, BEN.peer: 1, CYD.peer: 1}
    assert view.total_weight == 10
    outcome = result(1, ZERO_ROOT, 0)
    await bench.pass_time(2 * RULES.poster_s)  # by now everybody may post
    assert await refused(bench.chain(BEN).send(settle(bench.contracts, outcome, BEN, CYD))) == "MajorityMissing"
    await bench.chain(ADA).send(settle(bench.contracts, outcome, ADA))


@pytest.mark.asyncio
async def test_stake_leaves_after_a_while_and_weighs_nothing_meanwhile(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    assert await refused(chain.send(Unstake(ADA.peer, UNIT + 1, 0))) == "StakeTooSmall"
    assert (await chain.send(Unstake(ADA.peer, UNIT, 1))).transaction
    assert (await chain.send(Unstake(ADA.peer, UNIT, 1))).transaction == ""
    record = await chain.peer(ADA.peer)
    assert record is not None
    assert (record.stake_micro, record.exiting_micro, record.enrolled) == (0, UNIT, False)
    assert await refused(chain.send(Withdraw(ADA.peer))) == "StakeNotReady"
    await bench.pass_time(RULES.unbonding_s)
    before = (await chain.balance(ADA.wallet)).token_wei
    assert (await chain.send(Withdraw(ADA.peer))).transaction
    assert (await chain.send(Withdraw(ADA.peer))).transaction == ""
    assert (await chain.balance(ADA.wallet)).token_wei - before == UNIT * 10**12


@pytest.mark.asyncio
async def test_a_member_may_resign(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    assert await refused(bench.chain(ADA).send(Resign(BEN.peer))) == "NotThePeersOwner"
    assert (await bench.chain(BEN).send(Resign(BEN.peer))).transaction
    assert (await bench.chain(BEN).send(Resign(BEN.peer))).transaction == ""
    await play(bench, 1)
    await bench.pass_time(0)
    assert {member.peer for member in (await bench.chain(ADA).clock()).members} == {ADA.peer, CYD.peer}


@pytest.mark.asyncio
async def test_a_member_whose_line_shows_absence_is_taken_out_and_may_come_back(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    tree, of = lines(ada={"last_round": 3}, cyd={"last_round": 1})
    await play(bench, 3, root=tree.root)
    assert await refused(chain.send(prune(tree, of, CYD))) == "LineRejected", "nothing is final yet"
    await finalise(bench)
    assert (await chain.epochs()).final_round == 3
    assert await refused(chain.send(prune(tree, of, CYD))) == "MemberInGoodStanding"
    await play(bench, 2, root=tree.root)
    await finalise(bench)
    assert await refused(chain.send(prune(tree, of, ADA))) == "MemberInGoodStanding"
    forged = Prune(ADA.peer, of[CYD], tree.proof(peer_key(CYD.peer), of[CYD]))
    assert await refused(chain.send(forged)) == "LineRejected"
    assert (await chain.send(prune(tree, of, CYD))).transaction
    assert (await chain.send(prune(tree, of, CYD))).transaction == ""
    assert len((await chain.clock()).members) == 3
    await play(bench, 1, root=tree.root)
    await bench.pass_time(0)
    assert {member.peer for member in (await chain.clock()).members} == {ADA.peer, BEN.peer}
    await bench.chain(CYD).send(Enrol(CYD.peer))
    await play(bench, 1, root=tree.root)
    await bench.pass_time(0)
    members = {member.peer: member.joined_round for member in (await chain.clock()).members}
    assert members == {ADA.peer: 1, BEN.peer: 1, CYD.peer: 8}


@pytest.mark.asyncio
async def test_a_member_of_bad_standing_is_barred_for_a_while(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, cyd = bench.chain(ADA), bench.chain(CYD)
    tree, of = lines(ada={}, cyd={"standing_milli": 99, "last_round": 1})
    await play(bench, 2, root=tree.root)
    await finalise(bench)
    assert await refused(chain.send(prune(tree, of, ADA))) == "MemberInGoodStanding"
    await chain.send(prune(tree, of, CYD))
    record = await chain.peer(CYD.peer)
    assert record is not None
    assert (record.enrolled, record.barred_until) == (False, 3 + RULES.barred_rounds)
    assert await refused(cyd.send(Enrol(CYD.peer))) == "StillBarred"
    await play(bench, RULES.barred_rounds, root=tree.root)
    assert (await cyd.send(Enrol(CYD.peer))).transaction
    assert await refused(chain.send(prune(tree, of, CYD))) == "MemberInGoodStanding", "it gets time to mend"


@pytest.mark.asyncio
async def test_in_a_stuck_swarm_silent_members_are_pruned(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    for round in (1, 2, 3):
        assert await refused(chain.send(Prune(BEN.peer))) == "MemberNotAbsent"
        await bench.pass_time(RULES.round_s)
        await chain.send(Advance(round))
    assert (await bench.chain(CYD).send(Enrol(CYD.peer))).transaction, "it renews its presence"
    assert (await bench.chain(CYD).send(Enrol(CYD.peer))).transaction == ""
    assert await refused(chain.send(Prune(CYD.peer))) == "MemberNotAbsent"
    assert (await chain.send(Prune(BEN.peer))).transaction
    assert (await chain.send(Prune(BEN.peer))).transaction == ""
    assert (await chain.send(Prune(PeerId(DAN.peer)))).transaction == ""
    record = await chain.peer(BEN.peer)
    assert record is not None
    assert (record.enrolled, record.last_seen_round) == (False, 1)


@pytest.mark.asyncio
async def test_presence_needs_no_renewal_while_results_are_recorded(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    await play(bench, 5)
    assert (await bench.chain(CYD).send(Enrol(CYD.peer))).transaction == ""
    assert await refused(bench.chain(ADA).send(Prune(CYD.peer))) == "MemberNotAbsent"


@pytest.mark.asyncio
async def test_two_contributions_for_one_round_cost_the_whole_stake(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)

    def accuse(of: Player, *contents: ContentId, kind: str = "contribution") -> Accuse:
        signed = [sign_digest(of.secret, record_digest(bench.contracts, bench.run, kind, 1, one)) for one in contents]
        return Accuse(CYD.peer, kind, 1, contents[0], signed[0], contents[1], signed[1])

    chain, one, other = bench.chain(ADA), content("one"), content("other")
    assert await refused(chain.send(accuse(CYD, one, one))) == "SameContent"
    assert await refused(chain.send(accuse(BEN, one, other))) == "NotSignedByPeer"
    assert await refused(chain.send(accuse(CYD, one, other, kind="verdict"))) == "KindNotAccusable"
    before = (await chain.balance(ADA.wallet)).token_wei
    assert (await chain.send(accuse(CYD, one, other))).transaction
    assert (await chain.send(accuse(CYD, one, other))).transaction == ""
    assert (await chain.balance(ADA.wallet)).token_wei - before == UNIT // 2 * 10**12
    record = await chain.peer(CYD.peer)
    assert record is not None
    assert (record.stake_micro, record.enrolled, record.barred_until) == (0, False, 1 + RULES.barred_rounds)


@pytest.mark.asyncio
async def test_who_reported_whom_and_what_it_brought_is_told_to_everybody(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, one, other = bench.chain(ADA), content("one"), content("other")
    assert await chain.reports.equivocations() == ()
    digests = [record_digest(bench.contracts, bench.run, "contribution", 1, content) for content in (one, other)]
    first, second = (sign_digest(CYD.secret, digest) for digest in digests)
    done = await chain.send(Accuse(CYD.peer, "contribution", 1, one, first, other, second))
    (report,) = await bench.chain(BEN).reports.equivocations()
    assert (report.peer, report.round, report.reporter) == (CYD.peer, 1, ADA.wallet)
    assert (report.first, report.second, report.slashed_micro, report.award_micro) == (one, other, UNIT, UNIT // 2)
    assert (report.transaction, report.block) == (done.transaction, done.block)
    assert 0 <= (await chain.clock()).block_at - report.at <= RULES.round_s
    assert await chain.reports.equivocations(report.block) == (report,)
    assert await chain.reports.equivocations(report.block + 1) == ()


@pytest.mark.asyncio
async def test_a_signing_account_is_rotated_by_the_owner(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, fresh = bench.chain(ADA), Player("fresh")

    def rotation(nonce: int) -> Rotate:
        digest = registration_digest(bench.contracts, ADA.peer, fresh.signer, ADA.wallet, nonce)
        return Rotate(ADA.peer, fresh.signer, nonce, sign_digest(fresh.secret, digest))

    assert await refused(bench.chain(BEN).send(rotation(1))) == "NotThePeersOwner"
    assert await refused(chain.send(rotation(2))) == "NonceMismatch"
    assert (await chain.send(rotation(1))).transaction
    assert (await chain.send(rotation(1))).transaction == ""
    record = await chain.peer(ADA.peer)
    assert record is not None
    assert (record.signer, record.nonce) == (fresh.signer, 2)

    async def signing() -> str:
        return next(member.signer for member in (await chain.clock()).members if member.peer == ADA.peer)

    assert (await bench.chain(BEN).send(Refresh(ADA.peer))).transaction
    assert (await bench.chain(BEN).send(Refresh(ADA.peer))).transaction == ""
    assert await signing() == ADA.signer, "the members of an open round are fixed"
    outcome = result((await chain.clock()).round, ZERO_ROOT, 0)
    await chain.send(settle(bench.contracts, outcome, ADA, BEN))  # drawn by the former account, it still posts
    await bench.pass_time(0)
    assert await signing() == fresh.signer


@pytest.mark.asyncio
async def test_a_peer_changes_hands_in_two_steps(bench: Bench) -> None:
    await bench.join(ADA)
    assert await refused(bench.chain(BEN).send(AcceptPeer(ADA.peer))) == "PeerNotOffered"
    assert (await bench.chain(ADA).send(OfferPeer(ADA.peer, BEN.wallet))).transaction
    assert (await bench.chain(ADA).send(OfferPeer(ADA.peer, BEN.wallet))).transaction == ""
    assert await refused(bench.chain(CYD).send(AcceptPeer(ADA.peer))) == "PeerNotOffered"
    assert (await bench.chain(BEN).send(AcceptPeer(ADA.peer))).transaction
    assert (await bench.chain(BEN).send(AcceptPeer(ADA.peer))).transaction == ""
    record = await bench.chain(ADA).peer(ADA.peer)
    assert record is not None
    assert record.owner == BEN.wallet


@pytest.mark.asyncio
async def test_a_line_is_put_on_record_once_a_result(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    tree, of = lines(ada={"standing_milli": 700}, ben={})
    await play(bench, 1, root=tree.root)
    mine = RecordReputation(ADA.peer, of[ADA], tree.proof(peer_key(ADA.peer), of[ADA]))
    forged = RecordReputation(ADA.peer, of[BEN], mine.proof)
    assert await refused(bench.chain(BEN).send(forged)) == "LineRejected"
    assert (await bench.chain(BEN).send(mine)).transaction
    assert (await bench.chain(BEN).send(mine)).transaction == ""
