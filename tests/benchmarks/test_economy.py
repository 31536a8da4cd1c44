"""A small slice of the economy: cheats lose, the honest do not, and it comes out the same every time."""

import msgspec
import pytest

from benchmarks.economy import DEFAULT, audited, checking_share, margins, play, staked
from benchmarks.economy_play import Strategy, World
from benchmarks.economy_strategies import (
    ALONE,
    GROUPS,
    BestOfN,
    ChecksByHalves,
    Colludes,
    ComesBackClean,
    Copies,
    Doubts,
    Griefs,
    Inflates,
    MakesUpEverything,
    NeverChecks,
    NeverReviews,
    SkipsTheStep,
    Straggles,
    Withholds,
    WritesAnswersDown,
)
from protocol.messages import Finding
from rewards.economics import MICRO_PER_CREDIT
from rewards.ledger import total_micro

ROUNDS = 25


def test_honest_people_all_earn_about_the_same_and_nobody_is_struck():
    outcome = play(Strategy, ROUNDS)
    assert 0.9 < outcome.ratio < 1.1
    assert (outcome.honest_strikes, outcome.cheat_strikes) == (0, 0)
    assert play(Strategy, ROUNDS) == outcome


@pytest.mark.parametrize("kind", [MakesUpEverything, Inflates, Copies, Straggles, BestOfN, WritesAnswersDown])
def test_cheats_of_one_person_earn_less_than_honest_work(kind):
    outcome = play(kind, ROUNDS)
    assert outcome.ratio < 1
    assert outcome.honest_strikes == 0
    assert outcome.honest > 100_000


def test_friends_who_shield_each_other_or_keep_nothing_earn_less_than_honest_work():
    assert play(Colludes, 60, together=True).ratio < 1
    assert play(Withholds, ROUNDS, together=True).ratio < 1


def test_skipping_the_step_pays_where_nothing_is_replayed_or_nothing_is_at_stake_and_not_at_the_defaults():
    assert play(SkipsTheStep, 60).ratio < 0
    assert play(SkipsTheStep, ROUNDS, audited(DEFAULT, step_rate_ppm=0)).ratio > 1.5
    assert play(SkipsTheStep, ROUNDS, staked(DEFAULT, 0)).ratio > 1
    assert play(ComesBackClean, ROUNDS, msgspec.structs.replace(DEFAULT, slashed_milli=0)).ratio > 1


def test_accusing_everybody_costs_the_accuser_its_standing():
    group = Griefs()
    world = World([*((f"honest {n}", Strategy()) for n in range(8)), ("eve", group)], DEFAULT)
    world.play(ROUNDS)
    honest, eve = world.players[:8], world.players[8]
    assert eve.standing < 400 < 600 < min(player.standing for player in honest)
    assert world.net(eve) < min(world.net(player) for player in honest)


@pytest.mark.parametrize("kind", [NeverChecks, ChecksByHalves, Doubts])
def test_auditing_or_reviewing_blindly_earns_less_than_honest_work_though_nobody_cheats(kind):
    outcome = play(kind, 60)
    assert outcome.ratio < 0.99
    assert (outcome.honest_strikes, outcome.cheat_strikes) == (0, 0)


def test_who_reviews_nothing_saves_nothing():
    assert play(NeverReviews, ROUNDS) == play(Strategy, ROUNDS)


def test_purses_and_ledger_tell_the_same_story():
    world = World([(f"p{number}", SkipsTheStep() if number < 3 else Strategy()) for number in range(8)], DEFAULT)
    world.play(ROUNDS)
    assert world.table is not None
    assert sum(world.net(one) + one.spent + one.slashed for one in world.players) == total_micro(world.table)
    slashed = sum(player.slashed for player in world.players)
    assert slashed == sum(player.strikes for player in world.players) * DEFAULT.economics.min_stake_micro > 0


def test_at_the_default_rules_the_stake_outweighs_the_whole_pay_of_a_round_for_every_cheat():
    rows = margins()
    assert min(row["margin"] for row in rows) >= 1.25
    assert max(row["least_stake"] for row in rows) == 19 < DEFAULT.economics.min_stake_micro / MICRO_PER_CREDIT
    assert checking_share() < 0.05


def test_every_strategy_says_something_and_does_some_kind_of_work():
    for kind in (*ALONE.values(), *GROUPS.values()):
        player = World([("one", kind())], DEFAULT).players[0]
        work = player.strategy.work(1, player, DEFAULT.costs)
        assert work is not None
        assert 0 <= work.cost <= 8 * (DEFAULT.costs.rollouts + DEFAULT.costs.step)
        assert player.strategy.says(player.peer, Finding.MATCH) in (*Finding, None)
