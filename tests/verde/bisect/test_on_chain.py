"""The contract plays the same game: state for state, refusal for refusal, and to the same end, whoever cheats where."""

import dataclasses
import random
import zlib

import msgspec
import numpy as np
import pytest
from eth_abi.exceptions import EncodingError

from protocol.errors import ChainError
from protocol.ids import ContentId
from tests.verde.bisect.games import honest, other_value, state_of
from tests.verde.bisect.test_faults import PLACES, faults
from tests.verde.bisect.test_game import faulty
from verde.bisect import calldata, challenger, defender
from verde.bisect.arbiter import Arbiter, _Table
from verde.bisect.challenger import Evidence
from verde.bisect.game import Phase, Side
from verde.commit import Opening
from verde.program.builder import Builder
from verde.program.kinds import PART, Kind, Type
from verde.program.program import Sources
from verde.program.trace import Trace

FEW = [("step", Kind.DOT), ("step", Kind.STATE), ("step", Kind.SUM_WHERE), ("draw", Kind.GUMBEL), ("long", Kind.ARGMAX)]
NAMES = lambda value: getattr(value, "name", value)  # noqa: E731

kinds = [
    *(pytest.param(name, kind, marks=pytest.mark.integration, id=f"{name}-{kind.name}-ci") for name, kind in FEW),
    *(pytest.param(name, kind, marks=pytest.mark.slow, id=f"{name}-{kind.name}") for name, kind in PLACES),
]


def terms_of(name, right):
    return right.terms(right.after if name == "step" else None)


@pytest.mark.parametrize(("name", "kind"), kinds)
def test_a_cheat_at_any_kind_of_operator_is_convicted_and_an_honest_peer_is_not(court, run, name, kind):
    right = honest(name)
    for number, element in faults(name, kind):
        wrong = right.trace.with_output(number, other_value(right.trace.value(number), element))
        for accused, accuser, winner in (
            (wrong, right.trace, Side.CHALLENGER),
            (right.trace, wrong, Side.DEFENDER),
        ):
            evidence = Evidence(accuser, right.sources, right.before, right.after if name == "step" else None)
            stake, purse = run(money(court))
            table = run(court.play_out(terms_of(name, right), accused, evidence))
            assert (table.game.number, table.game.element) == (number, element)
            assert run(court.winner(table)) is table.game.winner is winner
            won = stake // 2 if winner is Side.CHALLENGER else -5 * 10**18
            assert run(money(court)) == (0 if winner is Side.CHALLENGER else stake, purse + won)
            if winner is Side.CHALLENGER:
                run(court.stake())


async def money(court):
    """What the accused has at stake, and what the accuser has in its wallet."""
    active, exiting, _ = await court.bench.read("StakeVault", "stakeOf", court.accused.key)
    return active + exiting, await court.bench.read("SwarmToken", "balanceOf", court.accuser.signer)


# --- moves that are not what they must be -----------------------------------------------------------------------------


def variants(value):
    """Values that are like this one and not the same: shorter, longer, other numbers, other bytes, other places."""
    if isinstance(value, Opening):
        for name in value.__struct_fields__:
            for other in variants(getattr(value, name)):
                yield msgspec.structs.replace(value, **{name: other})
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            for other in variants(getattr(value, field.name)):
                yield dataclasses.replace(value, **{field.name: other})
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value + 256, value ^ (1 << 40))
    elif isinstance(value, str):
        is_hash = len(value) == 64 and not set(value) - set("0123456789abcdef")
        yield from (("00" * 32,) if is_hash else (value + "x",))
    elif isinstance(value, bytes):
        if value:
            yield bytes([value[0] ^ 1]) + value[1:]
        if len(value) != 32:
            yield from (value[:-1], value + b"\0", value[len(value) // 2 :], value + bytes(256))
    elif isinstance(value, tuple):
        yield from (value[:-1], value[::-1], (*value, *value[:1]), (*value, bytes(32)))
        for place in {0, len(value) // 2, len(value) - 1} if value else ():
            for other in variants(value[place]):
                yield (*value[:place], other, *value[place + 1 :])


def said(record, game, call):
    """With which name the rules refuse a call; empty where they take it."""
    side = calldata.GameSide(game.phase.turn.value)
    try:
        Arbiter().play(_Table(record, game), side, call, 0)
    except ChainError as refused:
        return refused.reason
    return ""


async def compare(court, table, move, most, rng):
    """Every variant of the move is taken here and there, or refused here and there by the same name."""
    game, record = table.game, table.record
    calls = []
    for variant in variants(move):
        try:
            calls.append(calldata.encode(record, game, variant))
        except (EncodingError, ValueError, TypeError, AttributeError):
            continue
    compared = []
    for call in rng.sample(calls, min(most, len(calls))):
        here, there = said(record, game, call), await court.try_call(game.phase.turn, call)
        assert here == there, calldata.decode(call)[2]
        compared.append(here)
    return compared


async def compared_game(court, terms, accused, evidence, most, rng):
    table = await court.open(terms)
    found = []
    while table.game.phase is not Phase.OVER:
        is_defenders = table.game.phase.turn is Side.DEFENDER
        move = defender.answer(accused, table.game) if is_defenders else challenger.answer(evidence, table.game)
        assert calldata.decode(calldata.encode(table.record, table.game, move))[2] == move
        found += await compare(court, table, move, most, rng)
        await court.play(table, move)
    return found


VARIED = [
    *(("step", kind) for kind in (Kind.DOT, Kind.STATE, Kind.STEP, Kind.DATA, Kind.SUM_WHERE, Kind.CONCAT, Kind.PAD)),
    *(("draw", kind) for kind in (Kind.GATHER, Kind.MASK)),
    *(("long", kind) for kind in (Kind.DOT, Kind.SUM, Kind.MAX)),
]


@pytest.mark.parametrize(
    ("name", "kind", "most"),
    [
        *(pytest.param(*one, 4, marks=pytest.mark.integration) for one in VARIED[::5]),
        *(pytest.param(*one, 150, marks=pytest.mark.slow) for one in VARIED),
    ],
    ids=NAMES,
)
def test_moves_that_are_not_what_they_must_be_are_refused_alike(court, run, name, kind, most):
    right, wrong = faulty(name, kind)
    rng = random.Random(zlib.crc32(f"{name} {kind}".encode()))
    evidence = Evidence(right.trace, right.sources, right.before, right.after if name == "step" else None)
    found = run(compared_game(court, terms_of(name, right), wrong, evidence, most, rng))
    assert {"BadOpening", "Unfit"} <= set(found)
    run(court.stake())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.DOT, Kind.STATE])
def test_call_data_with_other_bytes_is_taken_by_both_or_by_none_where_both_can_read_it(court, run, kind):
    right, wrong = faulty("step", kind)
    rng = random.Random(7)
    evidence = Evidence(right.trace, right.sources, right.before, right.after)

    async def game():
        table, taken = await court.open(right.terms(right.after)), 0
        while table.game.phase is not Phase.OVER:
            is_defenders = table.game.phase.turn is Side.DEFENDER
            move = defender.answer(wrong, table.game) if is_defenders else challenger.answer(evidence, table.game)
            call = calldata.encode(table.record, table.game, move)
            for _ in range(40):
                at = rng.randrange(len(call))
                other = call[:at] + bytes([call[at] ^ 1 << rng.randrange(8)]) + call[at + 1 :]
                here = said(table.record, table.game, other)
                if (
                    here == "WrongMove"
                ):  # the contract reads what has junk where nothing is looked for, eth-abi does not
                    continue
                there = await court.try_call(table.game.phase.turn, other)
                assert bool(here) == bool(there), (at, here, there)
                taken += not here
            await court.play(table, move)
        return taken

    assert run(game()) < 40
    run(court.stake())


# --- results and other ends -------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_state_after_that_the_trace_does_not_end_in_loses_by_itself(court, run):
    right = honest("step")
    claimed = right.trace.results()
    name = sorted(claimed)[4]
    claimed[name] = other_value(claimed[name], 3)
    after = state_of({key.removeprefix("tensor/"): value for key, value in claimed.items()}, right.sources.step + 2)
    evidence = Evidence(right.trace, right.sources, right.before, after)
    found = run(compared_game(court, right.terms(after), right.trace, evidence, 40, random.Random(1)))
    assert "BadOpening" in found
    run(court.stake())


@pytest.mark.integration
def test_a_state_after_of_another_step_count_loses_by_itself(court, run):
    right = honest("step")
    claimed = {name.removeprefix("tensor/"): value for name, value in right.trace.results().items()}
    after = state_of(claimed, right.sources.step + 3)
    evidence = Evidence(right.trace, right.sources, right.before, after)
    found = run(compared_game(court, right.terms(after), right.trace, evidence, 40, random.Random(2)))
    assert "BadOpening" in found
    run(court.stake())


@pytest.mark.integration
def test_a_claimed_token_that_was_not_drawn_loses_by_itself(court, run):
    right = honest("draw")
    claimed = right.trace.results()["tokens"].copy()
    claimed[0, 0] = (claimed[0, 0] + 1) % 8
    claimed[0, 1] = -1
    sources = Sources(right.sources.state, {**right.sources.data, "claimed": claimed}, right.sources.step)
    evidence = Evidence(right.trace, sources, right.before, None)
    terms = dataclasses.replace(right.terms(None), data_root=ContentId(sources.data_tree.root))
    found = run(compared_game(court, terms, right.trace, evidence, 40, random.Random(3)))
    assert "BadOpening" in found
    run(court.stake())


@pytest.mark.integration
def test_a_result_that_is_what_was_claimed_cannot_be_shown(court, run):
    right = honest("step")
    claimed = right.trace.results()
    name = sorted(claimed)[4]
    claimed[name] = other_value(claimed[name], 3)
    after = state_of({key.removeprefix("tensor/"): value for key, value in claimed.items()}, right.sources.step + 2)
    evidence = Evidence(right.trace, right.sources, right.before, after)

    async def game():
        table = await court.open(right.terms(after))
        await court.play(table, defender.answer(right.trace, table.game))
        shown = challenger.answer(evidence, table.game)
        table = await court.open(right.terms(right.after))
        await court.play(table, defender.answer(right.trace, table.game))
        honest_evidence = Evidence(right.trace, right.sources, right.before, right.after)
        claim = challenger._claimed(honest_evidence, name, 3)
        same = dataclasses.replace(shown, claimed=claim)
        call = calldata.encode(table.record, table.game, same)
        assert said(table.record, table.game, call) == "NothingShown"
        return await court.try_call(Side.CHALLENGER, call)

    assert run(game()) == "NothingShown"


@pytest.mark.slow
@pytest.mark.parametrize("made_up", [0, 1, np.inf, np.nan])
@pytest.mark.parametrize("kind", [Kind.LOG, Kind.MUL, Kind.SUM])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_result_that_is_no_number_is_found_whatever_is_claimed(court, run, kind, made_up):
    from tests.verde.bisect.test_broken import STATE, claimed_values

    length = PART + 5 if kind is Kind.SUM else 300
    x = np.full((2, length), 1.5, np.float32)
    x[1, 200] = {Kind.LOG: -1.0, Kind.MUL: 2e38, Kind.SUM: 3e38}[kind]
    x[1, 201:] = x[1, 200]
    b = Builder()
    read = b.data("x", Type.F32, *x.shape)
    make = {Kind.LOG: lambda: b.map(kind, read), Kind.MUL: lambda: b.mul(read, read), Kind.SUM: lambda: b.total(read)}
    y = make[kind]()
    b.result("y", b.add(y, y))
    program, sources = b.program(), Sources({}, {"x": x})
    right = Trace.of_run(program, sources)
    values = claimed_values(program, made_up)
    for number in range(y.node):
        values[number] = right.value(number)
    if made_up == 0:
        values[y.node] = right.value(y.node)
    wrong = Trace.of_values(program, values)
    terms = dataclasses.replace(
        honest("long").terms(STATE), program_root=program.root, data_root=ContentId(sources.data_tree.root)
    )
    table = run(court.play_out(terms, wrong, Evidence(right, sources, STATE, STATE)))
    assert run(court.winner(table)) is Side.CHALLENGER
    run(court.stake())


@pytest.mark.slow
def test_a_long_reduction_is_divided_until_a_leaf_can_compute_it(court, run):
    length = 64 * PART + 7
    b = Builder()
    x = b.data("x", Type.F32, 1, length)
    b.result("y", b.contract(x, x))
    values = ((np.arange(length) * 7919 % 1009) / np.float32(64) - 5).astype(np.float32).reshape(1, length)
    sources = Sources({}, {"x": values})
    trace = Trace.of_run(b.program(), sources)
    state = state_of({"weight/w": np.zeros(3, np.float32)}, 0)
    terms = dataclasses.replace(
        honest("long").terms(state), program_root=trace.program.root, data_root=ContentId(sources.data_tree.root)
    )
    number = len(trace.program.nodes) - 1
    wrong = trace.with_output(number, other_value(trace.value(number), 0))
    for accused, accuser, winner in ((wrong, trace, Side.CHALLENGER), (trace, wrong, Side.DEFENDER)):
        table = run(court.play_out(terms, accused, Evidence(accuser, sources, state, state)))
        assert run(court.winner(table)) is winner
    run(court.stake())
