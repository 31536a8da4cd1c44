"""A lie that a check found is taken to the end by itself; who did not lie keeps its stake, whoever accuses it."""

from __future__ import annotations

import pytest
import torch

from chain.games import WHOLE_STEP, GameSide
from protocol.events import DisputeDecided, DisputeMove, DisputeNotPossible, DisputeOpened, Problem
from tests.swarm.disputes.arena import Arena, accusing, defending, ending_as_claimed, forging

pytestmark = pytest.mark.asyncio

STAKE, BOND, PURSE = 25_000_000, 5_000_000, 10_000_000


@pytest.fixture
def arena(tmp_path):
    return Arena(tmp_path)


def skip_the_update(replica):
    step = replica._state.step
    replica._state.step = step + 1


def flip_a_bit(replica):
    moment = replica._state.first[0]
    moment.view(-1).view(torch.int32)[int(moment.abs().argmax())] ^= 1


async def lie_and_liar(arena, subject=WHOLE_STEP, **lie):
    eve, ann = await arena.player("eve"), await arena.player("ann")
    work = arena.work(eve.signer, **lie)
    defending(eve, work)
    accusing(ann, work, subject)
    return eve, ann, work


async def convicted(arena, eve, ann, work, game):
    assert (game.winner, game.content) == (GameSide.CHALLENGER, work.dossier.content)
    assert await eve.stake_micro() == 0
    assert ann.tokens_micro() == PURSE + game.slashed_micro // 2
    assert game.slashed_micro == STAKE
    assert work.dossier.content in ann.disputes.refuted()


@pytest.mark.parametrize("lie", [flip_a_bit, skip_the_update])
async def test_a_false_state_after_is_shown_against_an_honest_trace(arena, lie):
    eve, ann, work = await lie_and_liar(arena, lie=lie)
    game = await arena.play(eve, ann)
    await convicted(arena, eve, ann, work, game)
    assert game.moves == 2
    (decided,) = ann.told(DisputeDecided)
    assert (decided.winner, decided.side, decided.num_moves) == ("challenger", "challenger", 2)


async def test_a_forged_trace_is_searched_to_its_first_wrong_element(arena, monkeypatch):
    eve, ann, work = await lie_and_liar(arena, lie=flip_a_bit)
    forging(monkeypatch, eve, ending_as_claimed)
    game = await arena.play(eve, ann)
    await convicted(arena, eve, ann, work, game)
    moves = ann.told(DisputeMove)
    assert [one.number for one in moves] == list(range(1, game.moves + 1))
    assert (moves[0].name, moves[-1].name) == ("PostTrace", "Leaf")
    counts = [one.count for one in moves if one.searched == "nodes"]
    assert counts == sorted(counts, reverse=True)
    assert "the contract computes" in ann.told(DisputeDecided)[0].why


async def test_a_token_that_was_not_drawn_is_found_in_either_way(arena, monkeypatch):
    eve, ann, work = await lie_and_liar(arena, 1, tokens={1: (70, 71, 72, 73, 74)})
    forging(monkeypatch, eve, ending_as_claimed)
    await convicted(arena, eve, ann, work, await arena.play(eve, ann))
    assert ann.told(DisputeOpened)[0].subject == "rollout 1"


async def test_who_lies_about_an_honest_peer_loses_its_bond(arena, monkeypatch):
    ann, mal = await arena.player("ann"), await arena.player("mal")
    work = arena.work(ann.signer)
    defending(ann, work)
    accusing(mal, work)

    def other(trace, evidence):
        number = len(trace.program.nodes) - 1
        value = trace.value(number).copy()
        value.reshape(-1).view("uint32")[0] ^= 1
        return trace.with_output(number, value)

    forging(monkeypatch, mal, other)
    monkeypatch.setattr("swarm.disputes.accusing.ends_otherwise", lambda *_: True)
    game = await arena.play(ann, mal)
    assert game.winner is GameSide.DEFENDER
    assert await ann.stake_micro() == STAKE
    assert ann.tokens_micro() == PURSE + BOND // 2
    assert mal.tokens_micro() == PURSE - BOND
    assert ann.told(DisputeDecided)[0].side == "defender"
    assert ann.disputes.refuted() == {}


async def test_an_honest_check_never_opens_a_game_that_it_cannot_win(arena):
    ann, bob = await arena.player("ann"), await arena.player("bob")
    work = arena.work(ann.signer)
    defending(ann, work)
    accusing(bob, work)
    for _ in range(3):
        await arena.play(ann, bob, until=lambda games: True)
    assert await arena.world.games.games() == ()
    assert bob.tokens_micro() == PURSE
    assert len(bob.told(DisputeNotPossible)) == 1


async def test_a_cheat_that_goes_silent_loses_by_the_clock(arena):
    eve, ann, work = await lie_and_liar(arena, lie=flip_a_bit)
    game = await arena.play(ann)
    await convicted(arena, eve, ann, work, game)
    assert game.by_clock
    assert "let a deadline pass" in ann.told(DisputeDecided)[0].why


@pytest.mark.parametrize("killed", ["challenger", "defender"])
async def test_either_side_goes_on_after_kill_9_at_any_move(arena, monkeypatch, killed):
    """After every single move the process is replaced by a new one that has only the disk."""
    eve, ann, work = await lie_and_liar(arena, lie=flip_a_bit)
    forging(monkeypatch, eve, ending_as_claimed)
    moves = -1
    while True:
        games = await arena.world.games.games()
        if games and games[0].winner is not None:
            break
        seen = games[0].moves if games else -1
        assert seen >= moves
        moves = seen
        await arena.play(eve, ann, until=lambda games, seen=seen: games and games[0].moves != seen, most=40)
        if killed == "challenger":
            ann = ann.restarted()
        else:
            eve = eve.restarted()
            forging(monkeypatch, eve, ending_as_claimed)
    game = await arena.play(eve, ann)
    await convicted(arena, eve, ann, work, game)
    told = [one.number for one in ann.told(DisputeMove)]
    assert told == list(range(1, game.moves + 1)), "each move is told once, by whichever process"


async def test_who_lost_his_evidence_is_told_so_and_what_it_costs(arena):
    eve, ann, _ = await lie_and_liar(arena, lie=flip_a_bit)
    await arena.play(ann, until=lambda games: bool(games))
    for path in (ann.folder / "disputes" / "work").rglob("*.dossier"):
        path.unlink()
    again = ann.restarted()
    game = await arena.play(eve, again, seconds=10)
    assert (game.winner, game.by_clock) == (GameSide.DEFENDER, True)
    assert "the bond is taken" in again.told(Problem)[0].so_what


async def test_a_friendly_challenger_shields_nothing(arena, monkeypatch):
    """The cheat's friend opens a game and keeps silent in it; the honest auditor's own game convicts."""
    eve, ann, work = await lie_and_liar(arena, lie=flip_a_bit)
    pal = await arena.player("pal")
    accusing(pal, work)
    await arena.play(pal, until=lambda games: bool(games))
    await arena.play(eve, ann, until=lambda games: all(one.winner is not None for one in games), seconds=5)
    games = {one.challenger: one.winner for one in await arena.world.games.games()}
    assert games == {pal.wallet: GameSide.DEFENDER, ann.wallet: GameSide.CHALLENGER}
    assert await eve.stake_micro() == 0
