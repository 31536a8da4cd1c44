"""The level of the questions moves by what most contributors can do, one at a time, and never out of its bounds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import ContentId
from protocol.messages import CreditTable, Difficulty
from protocol.run import FamilySpec, TaskSpec
from rewards.levels import LevelRules, difficulty_after, is_level, level_at, levels_of, right_milli
from rewards.scoring.stages import Weights, score_answer
from tests.protocol.test_run import SPEC

RULES = LevelRules(lowest=1, highest=5, up_milli=800, down_milli=200)
FIVE = TaskSpec("five", "1", tuple(FamilySpec("chain_sum", 1, "{}", level) for level in (1, 2, 3, 4, 5)), 8)


def at(level, *, round=9, since=4, falls=0):
    """A table after ``round``, with questions of that level since long ago."""
    return CreditTable(ContentId("ab" * 32), round, (), Difficulty(level, level, since, falls))


def level_after(previous, rights, rules):
    round = 1 if previous is None else previous.round + 1
    return difficulty_after(previous, round, rights, rules).level


def played(num_rounds, rules, share_at):
    """The level of each round of a run whose peers all get ``share_at(level)`` right."""
    table, levels = None, []
    for round in range(1, num_rounds + 1):
        levels.append(level_at(table, round, rules))
        rights = [share_at(levels[-1])] * 3
        table = CreditTable(ContentId("ab" * 32), round, (), difficulty_after(table, round, rights, rules))
    return levels


@pytest.mark.parametrize(
    ("rights", "level"),
    [
        ([800, 900, 100], 4),
        ([799, 1000, 100], 3),
        ([200, 0, 1000], 2),
        ([201, 0, 1000], 3),
        ([1000, 0], 3),
        ([1000, 1000, 0, 0], 3),
        ([None, None, 1000], 4),
        ([None, None], 3),
        ([], 3),
    ],
)
def test_more_than_half_of_who_answered_move_it_by_one(rights, level):
    assert level_after(at(3), rights, RULES) == level


def test_a_run_begins_with_its_lowest_level_and_stays_within_its_bounds():
    assert level_at(None, 1, RULES) == 1
    assert level_after(None, [0, 0], RULES) == 1
    assert level_after(None, [1000], RULES) == 2
    assert level_after(at(5), [1000], RULES) == 5
    narrow = LevelRules(lowest=2, highest=3, up_milli=800, down_milli=200)
    assert (level_at(None, 1, narrow), level_after(at(2), [0], narrow), level_after(at(3), [1000], narrow)) == (2, 2, 3)
    assert [is_level(level, narrow) for level in (0, 1, 2, 3, 4)] == [False, False, True, True, False]


def test_a_run_whose_questions_follow_no_level_has_none():
    assert levels_of(SPEC) is None
    assert (level_at(at(3), 10, None), difficulty_after(at(3), 10, [1000], None)) == (0, None)
    assert is_level(0, None)
    assert not is_level(1, None)


def test_the_bounds_of_a_run_are_its_rules_and_its_task():
    def rules(**game):
        run = msgspec.structs.replace(SPEC, task=FIVE, game=msgspec.structs.replace(SPEC.game, **game))
        return levels_of(run)

    assert rules() == LevelRules(1, 5, 800, 200)
    assert rules(follow_level=False) is None
    assert rules(lowest_level=2, highest_level=4, level_up_milli=700) == LevelRules(2, 4, 700, 200)
    assert rules(lowest_level=9, highest_level=9) == LevelRules(5, 5, 800, 200), "a stranger's run asks something, too"


shares = st.lists(st.none() | st.integers(0, 1000), max_size=9)


def test_it_moves_in_every_second_round_at_most():
    assert played(11, RULES, lambda level: 900) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]
    assert played(6, RULES, lambda level: 500) == [1] * 6


def test_a_level_that_was_too_hard_is_tried_again_later_and_later():
    levels = played(80, RULES, lambda level: 900 if level == 1 else 0)
    tried = [round for round, level in enumerate(levels, start=1) if level == 2]
    assert tried == [3, 4, 11, 12, 23, 24, 43, 44, 79, 80]
    assert max(levels) == 2


def test_a_level_that_was_held_for_a_while_is_given_up_without_a_grudge():
    assert difficulty_after(at(3, round=8, since=6, falls=4), 9, [0], RULES) == Difficulty(2, 3, 9, 1)
    assert difficulty_after(at(3, round=8, since=7, falls=4), 9, [0], RULES) == Difficulty(2, 3, 9, 5)
    held = at(2, round=12, since=9, falls=1)
    assert difficulty_after(held, 14, [1000], RULES) == held.difficulty
    assert difficulty_after(held, 15, [1000], RULES) == Difficulty(3, 2, 15, 1)


def test_a_result_that_comes_late_changes_nothing_of_the_round_that_is_open():
    first = CreditTable(ContentId("ab" * 32), 4, (), Difficulty(2, 2, 1))
    late = CreditTable(ContentId("ab" * 32), 5, (), difficulty_after(first, 5, [1000], RULES))
    assert level_at(first, 6, RULES) == level_at(late, 6, RULES) == 2
    assert level_at(late, 7, RULES) == 3
    of_the_old_level = difficulty_after(late, 6, [1000], RULES)
    assert of_the_old_level == late.difficulty, "round 6 asked what was asked before, so it says nothing of level 3"


@given(st.integers(0, 40), shares)
def test_it_moves_by_one_at_most_and_stays_in_bounds_whatever_a_table_says(level, rights):
    before = level_at(at(level), 10, RULES)
    after = level_after(at(level), rights, RULES)
    assert 1 <= after <= 5
    assert abs(after - before) <= 1
    assert after == level_after(at(level), rights[::-1], RULES)


@given(st.lists(st.integers(201, 799), min_size=1, max_size=9), shares)
def test_a_minority_cannot_move_it(honest, others):
    others = others[: len(honest)]
    assert level_after(at(3), [*honest, *others], RULES) == 3


@pytest.mark.parametrize("weights", [Weights(200, 0), Weights(450, 0), Weights(100, 450), Weights(0, 0)])
def test_right_is_what_is_right_and_not_what_only_keeps_to_the_form(weights):
    game = msgspec.structs.replace(SPEC.game, format_milli=weights.format_milli, length_milli=weights.length_milli)
    texts = ["<think>so</think><answer>4</answer>", "<think>so</think><answer>5</answer>", "<answer>4</answer>", "4"]
    scored = [score_answer(text, lambda answer: 1000 * (answer == "4"), weights, 1000) for text in texts]
    assert [score.correct for score in scored] == [True, False, True, False]
    assert right_milli([score.score_milli for score in scored], game) == 500


def test_the_share_is_rounded_down_and_nobody_is_right_who_gave_no_answer():
    assert right_milli([1000, 200, 0], SPEC.game) == 333
    assert right_milli([799, 800], SPEC.game) == 500
    assert right_milli([], SPEC.game) is None
