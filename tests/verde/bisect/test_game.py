"""Rules: whose turn it is, what a move must hold, what a deadline does, and that a wrong move changes nothing."""

import dataclasses

import numpy as np
import pytest
from msgspec.structs import replace

from protocol.errors import VerificationError
from protocol.ids import ContentId
from tests.verde.bisect.games import honest, other_value, play_out, state_of
from verde.bisect import challenger, defender
from verde.bisect.challenger import Evidence, NothingToShow
from verde.bisect.errors import BadMove, BadOpening, TooEarly, TooLate, Unfit, WrongTurn
from verde.bisect.game import Phase, Side, expire, open_dispute, play
from verde.bisect.moves import Leaf, Pick, PickElement, PostTrace, Reveal, RevealChunk, RevealParts
from verde.program.builder import Builder
from verde.program.kinds import PART, Kind, Type
from verde.program.program import Sources
from verde.program.trace import Trace


def faulty(name="step", kind=Kind.DOT):
    right = honest(name)
    number = [n for n, node in enumerate(right.trace.program.nodes) if node.kind == kind][-1]
    element = right.trace.node(number).num_elements - 1
    return right, right.trace.with_output(number, other_value(right.trace.value(number), element))


@pytest.fixture(scope="module")
def played():
    """A game that the challenger wins: the states before each move, the moves, and both sides' traces."""
    right, wrong = faulty()
    evidence = Evidence(right.trace, right.sources, right.before, right.after)
    games = play_out(right.terms(right.after), wrong, evidence)
    moves = [
        (defender.answer(wrong, game) if game.phase.turn is Side.DEFENDER else challenger.answer(evidence, game))
        for game in games[:-1]
    ]
    return games, moves


def before(played, kind):
    games, moves = played
    return next((game, move) for game, move in zip(games, moves, strict=False) if isinstance(move, kind))


def test_a_game_is_played_in_the_order_that_its_text_says(played):
    games, moves = played
    assert [type(move).__name__ for move in moves] == [
        *("PostTrace", "Pick", "Reveal", "Pick", "RevealChunk", "PickElement", "Leaf")
    ]
    assert games[-1].moves == len(moves) == 7
    assert games[-1].phase is Phase.OVER
    assert games[-1].winner is Side.CHALLENGER


def test_every_phase_that_misses_its_deadline_is_lost_by_who_should_have_moved(played):
    games, _ = played
    for game in games[:-1]:
        with pytest.raises(TooEarly):
            expire(game, game.deadline)
        assert expire(game, game.deadline + 1).winner is not game.phase.turn


def test_a_deadline_is_counted_from_the_last_move(played):
    games, moves = played
    assert [game.deadline for game in games[:3]] == [1000, 1100, 1200]
    early = play(games[1], Side.CHALLENGER, moves[1], now=1001)
    assert early.deadline == 1101


def test_moves_after_the_deadline_by_the_other_side_or_of_another_kind_are_refused(played):
    games, moves = played
    for game, move in zip(games[:-1], moves, strict=True):
        with pytest.raises(TooLate):
            play(game, game.phase.turn, move, game.deadline + 1)
        other = Side.DEFENDER if game.phase.turn is Side.CHALLENGER else Side.CHALLENGER
        with pytest.raises(WrongTurn):
            play(game, other, move, game.deadline)
        for wrong in moves:
            if type(wrong) is not type(move):
                with pytest.raises(WrongTurn):
                    play(game, game.phase.turn, wrong, game.deadline)


def test_nothing_is_played_in_a_game_that_is_over(played):
    games, moves = played
    with pytest.raises(WrongTurn):
        play(games[-1], Side.CHALLENGER, moves[-1], 0)
    with pytest.raises(TooEarly):
        expire(games[-1], games[-1].deadline + 1)


def refused(game, move, error):
    with pytest.raises(error):
        play(game, game.phase.turn, move, game.deadline)


def test_a_trace_is_posted_for_this_program_and_with_the_hashes_below_it(played):
    game, move = before(played, PostTrace)
    refused(game, dataclasses.replace(move, nodes_root=bytes(32)), BadOpening)
    refused(game, dataclasses.replace(move, outputs_root=bytes(32)), BadOpening)
    refused(game, dataclasses.replace(move, num_nodes=move.num_nodes + 1), BadOpening)
    refused(game, dataclasses.replace(move, trace_root=bytes(32)), BadOpening)
    refused(game, dataclasses.replace(move, children=move.children[:-1]), Unfit)
    refused(game, dataclasses.replace(move, children=(bytes(32), *move.children[1:])), BadOpening)


def test_hashes_that_are_revealed_lie_below_the_one_that_was_picked(played):
    game, move = before(played, Reveal)
    refused(game, Reveal(move.children[:-1]), Unfit)
    refused(game, Reveal((*move.children, bytes(32))), Unfit)
    refused(game, Reveal((*move.children[:-1], bytes(32))), BadOpening)


def test_a_pick_is_one_of_the_hashes_and_the_last_one_shows_the_programs_node(played):
    games, moves = played
    picks = [(game, move) for game, move in zip(games, moves, strict=False) if isinstance(move, Pick)]
    for game, move in picks:
        refused(game, dataclasses.replace(move, child=len(game.shown)), Unfit)
        refused(game, dataclasses.replace(move, child=-1), Unfit)
        refused(game, dataclasses.replace(move, hash=bytes(32)), BadOpening)
        refused(game, dataclasses.replace(move, proof=move.proof[1:]), BadOpening)
        refused(game, dataclasses.replace(move, child=(move.child + 1) % len(game.shown)), BadOpening)
    game, move = picks[-1]
    refused(game, dataclasses.replace(move, node=None), Unfit)
    other = dataclasses.replace(move.node, encoded=move.node.encoded[:-1] + b"\xff")
    refused(game, dataclasses.replace(move, node=other), BadOpening)


def test_a_chunk_is_the_one_that_was_picked_and_an_element_lies_in_it(played):
    game, move = before(played, RevealChunk)
    refused(game, RevealChunk(move.raw + b"\0"), BadOpening)
    refused(game, RevealChunk(bytes(len(move.raw))), BadOpening)
    game, move = before(played, PickElement)
    refused(game, PickElement(move.offset, bytes(len(move.raw))), BadOpening)
    refused(game, PickElement(len(move.raw) // 4, move.raw), Unfit)
    refused(game, PickElement(-1, move.raw), Unfit)


def test_a_leaf_takes_exactly_the_pieces_that_the_element_depends_on(played):
    game, move = before(played, Leaf)
    assert len(move.inputs) == 4
    refused(game, dataclasses.replace(move, inputs=move.inputs[:-1]), Unfit)
    refused(game, dataclasses.replace(move, inputs=(*move.inputs, move.inputs[0])), Unfit)
    refused(game, dataclasses.replace(move, inputs=(*move.inputs[:-1], None)), BadOpening)
    refused(game, dataclasses.replace(move, inputs=move.inputs[::-1]), BadOpening)
    first = move.inputs[0]
    forged = dataclasses.replace(first.piece, raw=bytes(len(first.piece.raw)))
    other = dataclasses.replace(first, piece=forged)
    refused(game, dataclasses.replace(move, inputs=(other, *move.inputs[1:])), BadOpening)
    cut = dataclasses.replace(first, proof=first.proof[:-1])
    refused(game, dataclasses.replace(move, inputs=(cut, *move.inputs[1:])), BadOpening)


def test_a_leaf_takes_no_piece_of_an_input_that_is_not_read():
    right, wrong = faulty(kind=Kind.CONCAT)
    evidence = Evidence(right.trace, right.sources, right.before, right.after)
    *_, game, end = play_out(right.terms(right.after), wrong, evidence)
    move = challenger.answer(evidence, game)
    assert move.inputs[0] is None
    assert end.winner is Side.CHALLENGER
    refused(game, dataclasses.replace(move, inputs=(move.inputs[1], move.inputs[1])), BadOpening)


@pytest.mark.parametrize("kind", [Kind.STATE, Kind.DATA, Kind.STEP])
def test_elements_from_outside_are_shown_and_not_made_up(kind):
    right, wrong = faulty(kind=kind)
    evidence = Evidence(right.trace, right.sources, right.before, right.after)
    *_, game, end = play_out(right.terms(right.after), wrong, evidence)
    assert end.winner is Side.CHALLENGER
    move = challenger.answer(evidence, game)
    refused(game, Leaf(), BadOpening)
    if kind is Kind.STEP:
        refused(game, Leaf(source=dataclasses.replace(move.source, step=move.source.step + 1)), BadOpening)
    elif kind is Kind.STATE:
        refused(game, Leaf(source=replace(move.source, piece=bytes(len(move.source.piece)))), BadOpening)
        refused(game, Leaf(source=replace(move.source, index=move.source.index - 1)), BadOpening)
    else:
        refused(game, Leaf(source=dataclasses.replace(move.source, line_proof=())), BadOpening)
        forged = dataclasses.replace(move.source.piece, raw=bytes(len(move.source.piece.raw)))
        refused(game, Leaf(source=dataclasses.replace(move.source, piece=forged)), BadOpening)


def test_a_state_after_that_the_trace_does_not_end_in_loses_by_itself():
    right = honest("step")
    claimed = right.trace.results()
    name = sorted(claimed)[4]
    claimed[name] = other_value(claimed[name], 3)
    after = state_of({key.removeprefix("tensor/"): value for key, value in claimed.items()}, right.sources.step + 2)
    evidence = Evidence(right.trace, right.sources, right.before, after)
    games = play_out(right.terms(after), right.trace, evidence)
    assert (len(games), games[-1].winner) == (3, Side.CHALLENGER)
    move = challenger.answer(evidence, games[1])
    assert (move.name, move.element) == (name, 3)
    refused(games[1], dataclasses.replace(move, element=2), BadOpening)
    refused(games[1], dataclasses.replace(move, number=move.number - 1), BadOpening)
    honest_after = challenger.answer(evidence, games[1]).claimed
    refused(games[1], dataclasses.replace(move, claimed=replace(honest_after, piece=b"")), BadOpening)


def test_a_state_after_of_another_step_count_loses_by_itself():
    right = honest("step")
    claimed = {name.removeprefix("tensor/"): value for name, value in right.trace.results().items()}
    after = state_of(claimed, right.sources.step + 3)
    evidence = Evidence(right.trace, right.sources, right.before, after)
    games = play_out(right.terms(after), right.trace, evidence)
    assert (len(games), games[-1].winner) == (3, Side.CHALLENGER)
    move = challenger.answer(evidence, games[1])
    assert (move.num_updates, move.before.step, move.after.step) == (2, 3, 6)
    refused(games[1], dataclasses.replace(move, num_updates=1), BadOpening)
    refused(games[1], dataclasses.replace(move, before=dataclasses.replace(move.before, step=4)), BadOpening)
    right_after = Evidence(right.trace, right.sources, right.before, right.after)
    game = play(open_dispute(right.terms(right.after), 0), Side.DEFENDER, defender.answer(right.trace, games[0]), 1)
    with pytest.raises(NothingToShow):
        challenger.answer(right_after, game)
    shown = dataclasses.replace(move, after=challenger._shown_step(right.after))
    refused(game, shown, BadOpening)


def test_a_result_that_is_what_was_claimed_cannot_be_shown():
    right = honest("step")
    evidence = Evidence(right.trace, right.sources, right.before, right.after)
    game = open_dispute(right.terms(right.after), 0)
    game = play(game, Side.DEFENDER, defender.answer(right.trace, game), 1)
    with pytest.raises(NothingToShow):
        challenger.answer(evidence, game)


@pytest.mark.parametrize(("position", "is_wrong"), [(0, True), (1, False)])
def test_a_claimed_token_that_was_not_drawn_loses_and_what_was_not_claimed_does_not(position, is_wrong):
    """-1 stands after a rollout's end."""
    right = honest("draw")
    drawn = right.trace.results()["tokens"]
    claimed = drawn.copy()
    claimed[0, position] = (drawn[0, position] + 1) % 8 if is_wrong else -1
    sources = Sources(right.sources.state, {**right.sources.data, "claimed": claimed}, right.sources.step)
    evidence = Evidence(right.trace, sources, right.before, None)
    terms = dataclasses.replace(right.terms(None), data_root=ContentId(sources.data_tree.root))
    if is_wrong:
        assert play_out(terms, right.trace, evidence)[-1].winner is Side.CHALLENGER
    else:
        with pytest.raises(NothingToShow):
            play_out(terms, right.trace, evidence)


@pytest.fixture(scope="module")
def long_product():
    """A product of so many terms that its parts are divided once more."""
    length = 64 * PART + 7
    b = Builder()
    x = b.data("x", Type.F32, 1, length)
    b.result("y", b.contract(x, x))
    values = ((np.arange(length) * 7919 % 1009) / np.float32(64) - 5).astype(np.float32).reshape(1, length)
    sources = Sources({}, {"x": values})
    program = b.program()
    return Trace.of_run(program, sources), sources


def test_a_long_reduction_is_divided_until_a_leaf_can_compute_it(long_product):
    trace, sources = long_product
    number = len(trace.program.nodes) - 1
    wrong = trace.with_output(number, other_value(trace.value(number), 0))
    state = state_of({"weight/w": np.zeros(3, np.float32)}, 0)
    terms = dataclasses.replace(
        honest("long").terms(state), program_root=trace.program.root, data_root=ContentId(sources.data_tree.root)
    )
    evidence = Evidence(trace, sources, state, state)
    assert play_out(terms, wrong, evidence)[-1].winner is Side.CHALLENGER

    game = open_dispute(terms, 0)
    while game.phase is not Phase.PARTS:
        side = game.phase.turn
        move = defender.answer(wrong, game) if side is Side.DEFENDER else challenger.answer(evidence, game)
        game = play(game, side, move, game.deadline)
    values = defender.answer(wrong, game).values
    refused(game, RevealParts(values[:-1]), Unfit)
    refused(game, RevealParts((*values[:-1], 1 << 127)), Unfit)
    # Sums that end where the claimed element would come from, wrong from the third part on.
    forged = (*values[:2], *(value + (1 << 30) for value in values[2:]))
    game = play(game, Side.DEFENDER, RevealParts(forged), game.deadline)
    pick = challenger.answer(evidence, game)
    assert pick.part == 2
    refused(game, Leaf(2), Unfit)
    game = play(game, Side.CHALLENGER, pick, game.deadline)
    first, last = (values[1] + forged[2]) // 2, forged[2]
    refused(game, RevealParts((first, last + 1)), Unfit)
    game = play(game, Side.DEFENDER, RevealParts((first, last)), game.deadline)
    refused(game, Leaf(2), Unfit)
    game = play(game, Side.CHALLENGER, challenger.answer(evidence, game), game.deadline)
    assert game.winner is Side.CHALLENGER


def test_every_refusal_is_an_error_in_words():
    assert issubclass(BadMove, VerificationError)
    assert str(TooLate("the deadline has passed")).startswith("A dispute does not take this move: the deadline")
