"""How credits become tokens: the contracts, and the fake with them, in one suite for both."""

from __future__ import annotations

import msgspec
import pytest

from chain.base import (
    ZERO_ROOT,
    Affirm,
    Challenge,
    Claim,
    ClaimLine,
    ClaimMany,
    EpochState,
    Include,
    OpenEpoch,
    Settle,
    VoidEpoch,
)
from protocol.messages import RoundResult
from swarm.pay.epochs import is_due
from tests.chain.conftest import RULES, Bench
from tests.chain.players import (
    FIRST_EPOCH,
    Player,
    claim,
    content,
    credit_tree,
    line,
    refused,
    result,
    settle,
    signatures,
)

pytestmark = pytest.mark.asyncio

ADA, BEN, CYD, DAN = (Player(name) for name in ("ada", "ben", "cyd", "dan"))
WEI_PER_MICRO = 10**12
UNLOCKING_S = RULES.challenge_s + RULES.dispute_s


async def play(bench: Bench, credits: dict[Player, int], *, rounds: int = 2, first: int = 1) -> list[RoundResult]:
    """Record ``rounds`` results; the last one credits everybody with ``credits``."""
    tree, previous, outcomes = credit_tree(credits), ZERO_ROOT, []
    view = await bench.chain(ADA).clock()
    previous = view.credits_root
    for round in range(first, first + rounds):
        outcome = result(round, tree.root, sum(credits.values()), previous=previous)
        await bench.chain(ADA).send(settle(bench.contracts, outcome, ADA, BEN))
        outcomes.append(outcome)
        previous = outcome.credits_root
    return outcomes


async def tokens(bench: Bench, player: Player) -> int:
    return (await bench.chain(ADA).balance(player.wallet)).token_wei // WEI_PER_MICRO


async def test_credits_are_claimed_once_and_cumulatively(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    first = {ADA: 3_000_000, BEN: 2_000_000, CYD: 1}
    await play(bench, first)
    before = await tokens(bench, ADA)
    assert (await chain.send(OpenEpoch(2))).transaction
    assert (await chain.send(OpenEpoch(2))).transaction == ""
    await bench.pass_time(UNLOCKING_S)
    epochs = await chain.epochs()
    assert epochs.claimable is not None
    assert epochs.claimable == epochs.newest
    assert (epochs.claimable.round, epochs.claimable.credits_root) == (2, credit_tree(first).root)
    assert (epochs.claimable.total_micro, epochs.claimable.state) == (5_000_001, EpochState.FINAL)
    assert epochs.covered_round == 2
    mine = claim(credit_tree(first), ADA, 3_000_000, epoch=epochs.claimable.number)
    assert (await chain.send(mine)).transaction
    assert await tokens(bench, ADA) - before == 3_000_000
    assert (await chain.send(mine)).transaction == ""
    await bench.chain(DAN).send(claim(credit_tree(first), BEN, 2_000_000))  # anybody may; the owner is paid
    assert await tokens(bench, BEN) == 2_000_000

    second = {ADA: 4_500_000, BEN: 2_000_000, CYD: 1}
    await play(bench, second, first=3)
    await chain.send(OpenEpoch(4))
    await bench.pass_time(UNLOCKING_S)
    claimable = (await chain.epochs()).claimable
    assert claimable is not None
    assert claimable.round == 4
    await chain.send(claim(credit_tree(second), ADA, 4_500_000, epoch=claimable.number))
    assert await tokens(bench, ADA) - before == 4_500_000
    record = await chain.peer(ADA.peer)
    assert record is not None
    assert record.claimed_micro == 4_500_000
    stale = claim(credit_tree(first), CYD, 1, epoch=claimable.number)
    assert await refused(chain.send(stale)) == "ClaimProofRejected"
    await chain.send(claim(credit_tree(second), CYD, 1, epoch=claimable.number))
    assert await tokens(bench, CYD) == 1


async def test_claims_need_a_proof_against_their_epochs_root(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    tree = credit_tree({ADA: 3, BEN: 2, DAN: 9})
    for round, previous in ((1, ZERO_ROOT), (2, tree.root)):
        await chain.send(settle(bench.contracts, result(round, tree.root, 4, previous=previous), ADA, BEN))
    assert await refused(chain.send(claim(tree, ADA, 3))) == "EpochNotOpen"
    await chain.send(OpenEpoch(2))
    assert await refused(chain.send(claim(tree, ADA, 3))) == "EpochNotClaimable"
    await bench.pass_time(UNLOCKING_S)
    proof = claim(tree, ADA, 3).proof
    assert await refused(chain.send(Claim(ADA.peer, line(4), FIRST_EPOCH, proof))) == "ClaimProofRejected"
    assert await refused(chain.send(Claim(BEN.peer, line(3), FIRST_EPOCH, proof))) == "ClaimProofRejected"
    assert await refused(chain.send(claim(tree, DAN, 9))) == "PeerUnknown"
    await chain.send(claim(tree, ADA, 3))
    assert await refused(chain.send(claim(tree, BEN, 2))) == "EscrowOverdrawn"  # 3 + 2 of a total of 4
    assert await tokens(bench, BEN) == 0


async def test_many_are_claimed_for_at_once_and_who_was_paid_is_passed_over(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, credits = bench.chain(ADA), {ADA: 3_000_000, BEN: 2_000_000, CYD: 1}
    await play(bench, credits)
    await chain.send(OpenEpoch(2))
    one_by_one = {player: claim(credit_tree(credits), player, micro) for player, micro in credits.items()}
    all_at_once = ClaimMany(FIRST_EPOCH, tuple(ClaimLine(it.peer, it.line, it.proof) for it in one_by_one.values()))
    assert await refused(chain.send(all_at_once)) == "EpochNotClaimable"
    await bench.pass_time(UNLOCKING_S)
    peers = [player.peer for player in (BEN, ADA, CYD, DAN)]
    assert await chain.claimed(peers) == (0, 0, 0, 0)
    await bench.chain(BEN).send(one_by_one[BEN])
    before = [await tokens(bench, player) for player in credits]
    assert (await bench.chain(DAN).send(all_at_once)).transaction
    assert [await tokens(bench, player) for player in credits] == [before[0] + 3_000_000, before[1], before[2] + 1]
    assert (await chain.send(all_at_once)).transaction == ""
    assert await chain.claimed(peers) == (2_000_000, 3_000_000, 1, 0)


async def test_one_false_line_spoils_a_claim_for_many_and_nobody_is_paid(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    credits = {ADA: 3, BEN: 2}
    await play(bench, credits)
    await bench.chain(ADA).send(OpenEpoch(2))
    await bench.pass_time(UNLOCKING_S)
    mine, other = (claim(credit_tree(credits), player, credits[player]) for player in (ADA, BEN))
    lines = (ClaimLine(mine.peer, mine.line, mine.proof), ClaimLine(other.peer, line(9), other.proof))
    assert await refused(bench.chain(ADA).send(ClaimMany(FIRST_EPOCH, lines))) == "ClaimProofRejected"
    assert await bench.chain(ADA).claimed([ADA.peer, BEN.peer]) == (0, 0)


async def due(bench: Bench) -> bool:
    """What peers and commands take for the contract's answer to ``OpenEpoch``."""
    chain = bench.chain(ADA)
    return is_due(await chain.epochs(), await chain.clock(), RULES)  # type: ignore[arg-type]  # the numbers are the same


async def test_an_epoch_is_opened_when_enough_was_recorded_and_the_one_before_is_decided(bench: Bench) -> None:
    """And that is when it is taken to be due."""
    await bench.join(ADA, BEN, CYD)
    chain = bench.chain(ADA)
    empty = await chain.epochs()
    assert (empty.newest, empty.claimable, empty.covered_round) == (None, None, 0)
    assert await refused(chain.send(OpenEpoch(1))) == "EpochNotDue"
    assert not await due(bench)
    await play(bench, {ADA: 1}, rounds=1)
    assert await refused(chain.send(OpenEpoch(1))) == "EpochNotDue"
    assert not await due(bench)
    await play(bench, {ADA: 2}, rounds=1, first=2)
    assert await due(bench)
    await bench.chain(DAN).send(OpenEpoch(2))
    assert not await due(bench)
    newest = (await chain.epochs()).newest
    assert newest is not None
    assert newest.state is EpochState.OPEN
    await play(bench, {ADA: 3}, first=3)
    assert await refused(chain.send(OpenEpoch(4))) == "EpochUndecided"
    assert not await due(bench)
    await bench.pass_time(RULES.challenge_s)
    assert await due(bench)
    await bench.give_tokens(BEN, RULES.bond_micro)
    assert (await bench.chain(BEN).send(Challenge(FIRST_EPOCH))).transaction == "", "it is final already"
    await chain.send(OpenEpoch(4))
    newest = (await chain.epochs()).newest
    assert newest is not None
    assert newest.round == 4


async def test_a_challenged_epoch_stands_when_most_of_the_weight_signed_it(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, ben = bench.chain(ADA), bench.chain(BEN)
    outcome = (await play(bench, {ADA: 3_000_000}))[-1]
    await bench.give_tokens(BEN, RULES.bond_micro)
    await chain.send(OpenEpoch(2))
    assert (await ben.send(Challenge(FIRST_EPOCH))).transaction
    assert (await ben.send(Challenge(FIRST_EPOCH))).transaction == ""
    assert await tokens(bench, BEN) == 0
    assert (await ben.send(Affirm(FIRST_EPOCH, outcome, signatures(bench.contracts, outcome, ADA)))).transaction
    newest = (await chain.epochs()).newest
    assert newest is not None
    assert newest.state is EpochState.CHALLENGED, "one of three is no majority"
    other = msgspec.structs.replace(outcome, total_micro_credits=3_000_001)
    wrong = Affirm(FIRST_EPOCH, other, signatures(bench.contracts, other, ADA, BEN))
    assert await refused(chain.send(wrong)) == "ResultNotOfEpoch"
    affirmation = Affirm(FIRST_EPOCH, outcome, signatures(bench.contracts, outcome, ADA, CYD))
    assert (await chain.send(affirmation)).transaction
    assert (await chain.send(affirmation)).transaction == ""
    await bench.pass_time(UNLOCKING_S + RULES.answer_s)
    await chain.send(claim(credit_tree({ADA: 3_000_000}), ADA, 3_000_000))
    assert await tokens(bench, BEN) == 0, "the bond is burned"


async def test_a_challenged_epoch_that_nobody_affirms_is_undone_with_its_results(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, ben = bench.chain(ADA), bench.chain(BEN)
    first = (await play(bench, {ADA: 1}))[-1]
    await chain.send(OpenEpoch(2))
    await bench.pass_time(RULES.challenge_s)
    await play(bench, {ADA: 3_000_000}, first=3)
    await bench.give_tokens(BEN, RULES.bond_micro)
    await chain.send(OpenEpoch(4))
    await ben.send(Challenge(FIRST_EPOCH + 1))
    assert await refused(ben.send(VoidEpoch(FIRST_EPOCH + 1))) == "TooEarly"
    assert not await due(bench)
    await bench.pass_time(RULES.answer_s)
    assert (await ben.send(VoidEpoch(FIRST_EPOCH + 1))).transaction
    assert (await ben.send(VoidEpoch(FIRST_EPOCH + 1))).transaction == ""
    assert await tokens(bench, BEN) == RULES.bond_micro, "the bond is back"
    view = await chain.clock()
    assert (view.settled_round, view.credits_root, view.data_hash) == (2, first.credits_root, first.data_hash)
    assert (await chain.epochs()).covered_round == 2
    assert not await due(bench), "the rounds are over, and none of them has a result any more"
    again = result(view.round, content("the right credits"), 2, previous=first.credits_root)
    await chain.send(settle(bench.contracts, again, ADA, BEN))
    assert await due(bench)
    assert (await chain.send(OpenEpoch(view.round))).transaction


async def test_no_more_is_credited_than_the_run_has(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    chain, previous = bench.chain(ADA), ZERO_ROOT
    for round in range(1, 6):
        outcome = result(round, content(f"credits {round}"), round * 10_000_000, previous=previous)
        await chain.send(settle(bench.contracts, outcome, ADA, BEN))
        previous = outcome.credits_root
    above = result(6, content("credits 6"), 50_000_001, previous=previous)
    assert await refused(chain.send(settle(bench.contracts, above, ADA, BEN))) == "EmissionExceeded"


async def test_a_member_puts_its_own_contribution_on_record_once_a_round(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    mine = Include(1, ADA.peer, content("mine"))
    assert await refused(bench.chain(BEN).send(mine)) == "NotThePeersOwner"
    assert (await bench.chain(ADA).send(mine)).transaction
    assert (await bench.chain(ADA).send(mine)).transaction == ""
    other = Include(1, ADA.peer, content("another"))
    assert await refused(bench.chain(ADA).send(other)) == "AlreadyIncluded"
    assert await refused(bench.chain(BEN).send(Include(2, BEN.peer, content("early")))) == "RoundNotCurrent"
    await bench.pass_time(0)
    assert (await bench.chain(CYD).clock()).inclusions == ((ADA.peer, content("mine")),)
    await play(bench, {ADA: 1}, rounds=1)
    await bench.pass_time(0)
    assert (await bench.chain(CYD).clock()).inclusions == ()


async def test_a_posted_result_names_a_member_of_the_posting_wallet(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    outcome = result(1, content("credits"), 1)
    signed = signatures(bench.contracts, outcome, ADA, BEN)
    assert await refused(bench.chain(ADA).send(Settle(outcome, signed, BEN.peer))) == "NotThePeersOwner"
    await bench.chain(DAN).send(DAN.registration(bench.contracts))
    assert await refused(bench.chain(DAN).send(Settle(outcome, signed, DAN.peer))) == "NotAMember"
