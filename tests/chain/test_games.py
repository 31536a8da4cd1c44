"""Disputes as everybody sees them: the contracts, and the fake with them, in one suite for both."""

from __future__ import annotations

import hashlib

import pytest

from chain.base import ZERO_ROOT, Claim, Cost, ExpireDispute, OpenDispute, PlayMove, Stake, Unstake, Withdraw
from chain.fake import FakeChain
from chain.games import WHOLE_STEP, GamePhase, GameRecord, Games, GameSide, MoveName, game_id
from chain.keys import sign_digest
from chain.typed_data import record_digest
from chain.web3_chain import Web3Chain
from protocol.errors import ChainError
from protocol.ids import ContentId
from swarm.app.pricing import LookingChain
from tests.chain.conftest import RULES, Bench, FakeBench
from tests.chain.players import Player, content, refused
from tests.verde.bisect.games import honest, other_value
from tests.verde.bisect.test_game import faulty
from verde.bisect import calldata, challenger, defender
from verde.bisect.arbiter import Arbiter
from verde.bisect.challenger import Evidence
from verde.bisect.game import Phase, Side

pytestmark = pytest.mark.asyncio

ADA, BEN, CYD = (Player(name) for name in ("ada", "ben", "cyd"))
BOND = RULES.dispute_bond_micro
WEI_PER_MICRO = 10**12


def accusation(
    bench: Bench, accused: Player, mark: str = "", *, has_program: bool = True, **changes: object
) -> OpenDispute:
    """Of a contribution that commits to the small step's program, data and states."""
    terms = honest("step").terms(honest("step").after)
    words = {
        "state_before": terms.state_before,
        "state_after": terms.state_after,
        "step_program": ContentId(terms.program_root.hex()) if has_program else ZERO_ROOT,
        "step_data": terms.data_root,
        "draws": ZERO_ROOT,
    }
    work = hashlib.sha256(b"".join(map(bytes.fromhex, words.values()))).digest()
    contribution = f"contribution {mark}".encode() + b"\xc4\x20" + work
    digest = record_digest(
        bench.contracts, bench.run, "contribution", 1, ContentId(hashlib.sha256(contribution).hexdigest())
    )
    values = {"peer": accused.peer, "round": 1, "contribution": contribution, **words}
    return OpenDispute(**values | {"signature": sign_digest(accused.secret, digest)} | changes)


async def ready(bench: Bench, *players: Player) -> None:
    if isinstance(bench, FakeBench):
        bench.world.disputes.rule = Arbiter()
    await bench.join(*players)
    for player in players:
        await bench.give_tokens(player, 2 * BOND)


async def tokens(bench: Bench, player: Player) -> int:
    return (await bench.chain(ADA).balance(player.wallet)).token_wei // WEI_PER_MICRO


def games(bench: Bench) -> Games:
    chain = bench.chain(BEN)
    assert isinstance(chain, FakeChain | Web3Chain)
    return chain.games


async def only(bench: Bench) -> GameRecord:
    (record,) = await games(bench).games()
    return record


async def play(bench: Bench, record: GameRecord, trace, evidence, most: int = 99) -> GameRecord:
    """Both sides' moves, each from what the chain says of the game alone."""
    for _ in range(most):
        moves = await games(bench).moves(record.game)
        game = calldata.dispute_of(record, moves)
        if game.phase is Phase.OVER or record.phase is GamePhase.OVER:
            break
        is_defenders = game.phase.turn is Side.DEFENDER
        move = defender.answer(trace, game) if is_defenders else challenger.answer(evidence, game)
        chain = bench.chain(ADA if is_defenders else BEN)
        await chain.send(PlayMove(record.game, len(moves), calldata.encode(record, game, move)))
        record = next(one for one in await games(bench).games() if one.game == record.game)
    return record


async def test_a_game_is_opened_once_and_seen_as_it_stands(bench: Bench) -> None:
    await ready(bench, ADA, BEN)
    intent = accusation(bench, ADA)
    before = await tokens(bench, BEN)
    assert (await bench.chain(BEN).send(intent)).transaction
    assert (await bench.chain(BEN).send(intent)).transaction == ""
    assert await tokens(bench, BEN) == before - BOND
    record = await only(bench)
    terms = honest("step").terms(honest("step").after)
    content_id = ContentId(hashlib.sha256(intent.contribution).hexdigest())
    assert record.game == game_id(content_id, WHOLE_STEP, BEN.wallet)
    assert (record.peer, record.challenger, record.round, record.content) == (ADA.peer, BEN.wallet, 1, content_id)
    assert (record.program_root, record.data_root) == (terms.program_root.hex(), terms.data_root)
    assert (record.state_before, record.state_after) == (terms.state_before, terms.state_after)
    assert (record.phase, record.moves, record.winner) == (GamePhase.TRACE, 0, None)
    assert record.deadline - record.opened_at == RULES.trace_s == (await games(bench).terms()).trace_s
    assert (await games(bench).terms()).bond_micro == BOND
    assert await games(bench).games(record.opened_block + 1) == ()
    assert await games(bench).moves(record.game) == ()


async def test_a_wallet_without_the_bond_is_told_so_and_opens_the_game_once_it_has_it(bench: Bench) -> None:
    if isinstance(bench, FakeBench):
        bench.world.disputes.rule = Arbiter()
    await bench.join(ADA, BEN)
    intent, held = accusation(bench, ADA), await tokens(bench, BEN)
    assert held < BOND
    with pytest.raises(ChainError, match="tokens") as caught:
        await bench.chain(BEN).send(intent)
    assert (caught.value.reason, await games(bench).games()) == ("ERC20InsufficientBalance", ())
    assert "stake" not in str(caught.value)
    await bench.give_tokens(BEN, BOND - held)
    assert (await bench.chain(BEN).send(intent)).transaction
    assert await tokens(bench, BEN) == 0


async def test_what_opening_a_dispute_costs_is_known_before_its_bond_is_approved(bench: Bench) -> None:
    if isinstance(bench, FakeBench):
        pytest.skip("the simulated chain has typical figures")
    await ready(bench, ADA, BEN)
    looking = LookingChain([bench.url], bench.contracts, BEN.wallet)
    try:
        cost = await looking.estimate(accusation(bench, ADA))
        receipt = await bench.chain(BEN).send(accusation(bench, ADA))
        assert receipt.gas <= cost.gas < 1.3 * receipt.gas
        assert cost.fee_wei >= cost.gas
        assert await looking.estimate(accusation(bench, ADA)) == Cost(0, 0)
        assert (await looking.estimate(Stake(BEN.peer, BOND, 7))).gas > 50_000
        with pytest.raises(ChainError) as caught:
            await looking.estimate(accusation(bench, ADA, "unsigned", signature=bytes(65)))
        assert caught.value.reason
    finally:
        await looking.close()


async def test_a_cheat_is_convicted_by_moves_that_follow_from_the_chain_alone(bench: Bench) -> None:
    await ready(bench, ADA, BEN, CYD)
    right, wrong = faulty()
    evidence = Evidence(right.trace, right.sources, right.before, right.after)
    await bench.chain(BEN).send(accusation(bench, ADA))
    before = await tokens(bench, BEN)
    record = await play(bench, await only(bench), wrong, evidence)
    assert (record.phase, record.winner, record.by_clock) == (GamePhase.OVER, GameSide.CHALLENGER, False)
    assert record.slashed_micro == RULES.min_stake_micro
    assert await tokens(bench, BEN) == before + BOND + RULES.min_stake_micro // 2
    peer = await bench.chain(BEN).peer(ADA.peer)
    assert peer is not None
    assert (peer.stake_micro, peer.enrolled) == (0, False)
    assert peer.barred_until > 0
    moves = await games(bench).moves(record.game)
    assert [one.turn for one in moves] == list(range(len(moves)))
    assert (moves[0].name, moves[-1].name) == (MoveName.POST_TRACE, MoveName.LEAF)
    assert all(one.gas > 21_000 and one.call for one in moves)
    assert {one.sender for one in moves if one.side is GameSide.DEFENDER} == {ADA.wallet}
    shown = calldata.decode(moves[-1].call)[2]
    assert shown.inputs[0].piece.raw
    assert await refused(bench.chain(BEN).send(accusation(bench, ADA, "x", peer=BEN.peer))) == ("NotSignedByPeer")


async def test_a_false_accusation_pays_the_accused_half_of_the_bond(bench: Bench) -> None:
    await ready(bench, ADA, BEN)
    right = honest("step")
    number = len(right.trace.program.nodes) - 1
    lie = right.trace.with_output(number, other_value(right.trace.value(number), 0))
    evidence = Evidence(lie, right.sources, right.before, right.after)
    await bench.chain(BEN).send(accusation(bench, ADA))
    before = await tokens(bench, ADA), await tokens(bench, BEN)
    record = await play(bench, await only(bench), right.trace, evidence)
    assert (record.winner, record.slashed_micro) == (GameSide.DEFENDER, 0)
    assert (await tokens(bench, ADA), await tokens(bench, BEN)) == (before[0] + BOND // 2, before[1])
    peer = await bench.chain(BEN).peer(ADA.peer)
    assert peer is not None
    assert peer.stake_micro == RULES.min_stake_micro


async def test_who_is_silent_loses_by_the_clock(bench: Bench) -> None:
    await ready(bench, ADA, BEN)
    await bench.chain(BEN).send(accusation(bench, ADA))
    record = await only(bench)
    call = calldata.expiry(record, calldata.dispute_of(record, ()))
    assert await refused(bench.chain(CYD).send(ExpireDispute(record.game, call))) == "TooEarly"
    await bench.pass_time(RULES.trace_s + 2)
    game = calldata.dispute_of(record, ())
    late = calldata.encode(record, game, defender.answer(honest("step").trace, game))
    assert await refused(bench.chain(ADA).send(PlayMove(record.game, 0, late))) == "TooLate"
    await bench.chain(CYD).send(ExpireDispute(record.game, call))
    assert (await bench.chain(CYD).send(ExpireDispute(record.game, call))).transaction == ""
    assert (await bench.chain(ADA).send(PlayMove(record.game, 0, late))).transaction == "", "it is over"
    record = await only(bench)
    assert (record.winner, record.by_clock, record.phase) == (GameSide.CHALLENGER, True, GamePhase.OVER)
    assert calldata.dispute_of(record, ()).winner is Side.CHALLENGER


async def test_bad_moves_are_refused_by_name_and_a_move_is_made_once(bench: Bench) -> None:
    await ready(bench, ADA, BEN)
    right, wrong = faulty()
    evidence = Evidence(right.trace, right.sources, right.before, right.after)
    await bench.chain(BEN).send(accusation(bench, ADA))
    record = await only(bench)
    game = calldata.dispute_of(record, ())
    first = PlayMove(record.game, 0, calldata.encode(record, game, defender.answer(wrong, game)))
    assert await refused(bench.chain(BEN).send(first)) == "NotYourTurn"
    assert (await bench.chain(ADA).send(first)).transaction
    assert (await bench.chain(ADA).send(first)).transaction == ""
    record = await play(bench, await only(bench), wrong, evidence, most=1)
    assert (record.moves, record.phase) == (2, GamePhase.REVEAL)


async def test_neither_stake_nor_pay_gets_out_while_a_game_is_open(bench: Bench) -> None:
    await ready(bench, ADA, BEN)
    await bench.chain(BEN).send(accusation(bench, ADA))
    await bench.chain(ADA).send(Unstake(ADA.peer, RULES.min_stake_micro, 1))
    await bench.pass_time(RULES.unbonding_s + 1)
    assert await refused(bench.chain(ADA).send(Withdraw(ADA.peer))) == "DisputePending"
    assert await refused(bench.chain(ADA).send(Claim(ADA.peer, 1 << 192, 0, ()))) == "EpochNotOpen"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"state_after": content("another")}, "BadOpening"),
        ({"round": 2}, "NotSignedByPeer"),
        ({"subject": 3, "draw_program": content("program"), "draw_data": content("data")}, "BadOpening"),
    ],
)
async def test_only_what_was_signed_is_disputed(bench: Bench, changes: dict[str, object], name: str) -> None:
    await ready(bench, ADA, BEN)
    assert await refused(bench.chain(BEN).send(accusation(bench, ADA, **changes))) == name


async def test_who_was_no_member_of_the_round_is_not_held_to_what_it_signed_for_it(bench: Bench) -> None:
    """Contracts know signing accounts by round: whoever stole a former one cannot use it for later rounds."""
    await ready(bench, ADA, BEN)
    await bench.chain(ADA).send(Unstake(ADA.peer, RULES.min_stake_micro, 1))
    assert await refused(bench.chain(BEN).send(accusation(bench, ADA))) == "NotSignedByPeer"


async def test_a_step_without_a_program_cannot_be_disputed_since_nobody_could_defend_it(bench: Bench) -> None:
    await ready(bench, ADA, BEN)
    assert await refused(bench.chain(BEN).send(accusation(bench, ADA, has_program=False))) == "BadOpening"
