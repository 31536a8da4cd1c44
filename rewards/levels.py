"""Why this module exists: questions that are all right or all wrong teach nothing; so they follow what peers can do.

A task may have levels, from easy to hard. The level of a round follows from the credit table that is the latest when
the round opens, so it is agreed on like everybody's pay. Each result moves it by one level at most:

    harder    more than half of the recorded contributors got at least ``up_milli`` of their answers right
    easier    more than half of them got at most ``down_milli`` right
    as it is  otherwise; between the two shares nothing happens, so that chance does not move it to and fro

What a result decides holds from the round after the next one on. The next one may be open already when a result comes
late, and no two peers may ask it different questions; so it asks what was asked before, and its result moves nothing.

A level that is given up at once was tried too early: it is tried again four results later, then eight, and so on up to
32, so that few rounds go to questions that nobody can answer yet.

One peer has one vote, however it answers: who answers wrongly on purpose pays for it with its own score, and moves
nothing unless most contributors do so, too. A contribution without answers has no vote. All pure, in integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from protocol.messages import CreditTable, Difficulty
from protocol.run import GameRules, RunSpec
from rewards.scoring.stages import Weights

FULL_MILLI = 1000

LONGEST_PAUSE = 32
"""Results between two tries of a level that is too hard, at most."""


class LevelRules(msgspec.Struct, frozen=True):
    """How a run's level moves: between ``lowest``, where it begins, and ``highest``; shares in thousandths."""

    lowest: int
    highest: int
    up_milli: int
    down_milli: int


def levels_of(run: RunSpec) -> LevelRules | None:
    """The rules of a run; ``None`` where its task has one level, or its questions are to be of all levels."""
    game, last = run.game, run.task.num_levels
    if last == 1 or not game.follow_level:
        return None
    highest = min(game.highest_level or last, last)
    return LevelRules(min(game.lowest_level, highest), highest, game.level_up_milli, game.level_down_milli)


def level_at(table: CreditTable | None, round: int, rules: LevelRules | None) -> int:
    """The level of ``round``, which opened when ``table`` was the latest (``None``: before the first); 0: of all
    levels."""
    if rules is None:
        return 0
    now = _difficulty(table, rules)
    return now.level if round > now.since + 1 else now.before


def difficulty_after(
    previous: CreditTable | None, round: int, rights_milli: Iterable[int | None], rules: LevelRules | None
) -> Difficulty | None:
    """What follows from the result of ``round``, whose contributors got these shares of their answers right."""
    if rules is None:
        return None
    now = _difficulty(previous, rules)
    if now.since and round <= now.since + 1:
        return now
    votes = [share for share in rights_milli if share is not None]
    if 2 * sum(share >= rules.up_milli for share in votes) > len(votes) and now.level < rules.highest:
        is_due = not now.since or round - now.since > 1 + _pause(now.falls)
        return Difficulty(now.level + 1, now.level, round, now.falls) if is_due else now
    if 2 * sum(share <= rules.down_milli for share in votes) > len(votes) and now.level > rules.lowest:
        is_at_once = previous is not None and previous.round <= now.since + 1
        return Difficulty(now.level - 1, now.level, round, 1 + (now.falls if is_at_once else 0))
    return now


def right_milli(scores_milli: Sequence[int], game: GameRules) -> int | None:
    """The share of answers that were right, in thousandths, rounded down; ``None`` where there are none.

    ``scores_milli``: agreed scores of the answer stage, 0 to 1000 each. Right is what has all the points for being
    right, and more than form alone would give.
    """
    if not scores_milli:
        return None
    for_being_right = Weights(game.format_milli, game.length_milli).rest
    num_right = sum(score >= for_being_right and score > game.format_milli for score in scores_milli)
    return FULL_MILLI * num_right // len(scores_milli)


def is_level(level: int, rules: LevelRules | None) -> bool:
    """Whether a round of the run can be of this level."""
    return level == 0 if rules is None else rules.lowest <= level <= rules.highest


def _difficulty(table: CreditTable | None, rules: LevelRules) -> Difficulty:
    if table is None or table.difficulty is None:
        return Difficulty(rules.lowest, rules.lowest)
    now = table.difficulty
    level, before = (max(rules.lowest, min(rules.highest, one)) for one in (now.level, now.before))
    return msgspec.structs.replace(now, level=level, before=before)


def _pause(falls: int) -> int:
    """Results that a level stays at least after so many falls in a row."""
    return min(LONGEST_PAUSE, 2 ** min(falls + 1, 10)) if falls else 0
