"""Why this module exists: what a founder did not set follows from how long a model's work takes; all of it is a rule.

    stage_s        the longest stage, ``MARGIN`` times over
    contribute_s   the training step, likewise: who trains slowest is waited for as long
    round_s        all stages and contributions, the slowest's training, and some turns of posters

Never less than the defaults, in steps of ten seconds. Pure.
"""

from __future__ import annotations

import math

from protocol.errors import ConfigError
from protocol.run import TimeRules
from swarm.policy.pace import MARGIN, Need
from swarm.settings.sections import AUTO_TIMES, TimeSettings, least_round_s

POSTER_TURNS = 4
LONGEST_S = 86_400
LONGEST_ROUND_S = 604_800


def is_open(time: TimeSettings) -> bool:
    """Whether a time is left for the model's speed to decide."""
    return "auto" in (time.stage_s, time.contribute_s, time.round_s)


def times_of(time: TimeSettings, need: Need | None = None) -> TimeRules:
    """The times of a run. ``need``: how long its parts take, where they were measured; without it the defaults are
    enough. What is set stays as it is.

    Raises ``ConfigError`` where a set ``round_s`` is too short for what follows, or where the work is more than the
    longest times allow."""
    train_s = _patient(need.train_s) if need is not None else 0
    stage_s = _chosen(time.stage_s, "stage_s", _patient(need.stage_s) if need is not None else 0)
    contribute_s = _chosen(time.contribute_s, "contribute_s", train_s)
    least = least_round_s(stage_s, contribute_s, time.poster_s)
    round_s = _chosen(time.round_s, "round_s", least + train_s + POSTER_TURNS * time.poster_s)
    if max(stage_s, contribute_s) > LONGEST_S or round_s > LONGEST_ROUND_S:
        raise ConfigError(
            f"A round of this model would last {round_s} s on machines like this one.",
            "Nothing was started or founded; credits are not touched.",
            "Take a smaller model, or ask fewer questions and samples (game.num_questions, game.num_samples).",
        )
    if round_s < least:
        raise ConfigError(
            f"time.round_s is {round_s}, and stages of {stage_s} s, which this model takes, need {least} s.",
            "Nothing was started or founded; credits are not touched.",
            "Raise time.round_s, leave it out, or set time.stage_s and time.contribute_s yourself.",
        )
    return TimeRules(stage_s=stage_s, contribute_s=contribute_s, poster_s=time.poster_s, round_s=round_s)


def _patient(seconds: float) -> int:
    return 10 * math.ceil(MARGIN * seconds / 10)


def _chosen(given: int | str, name: str, wanted: int) -> int:
    return given if isinstance(given, int) else max(wanted, AUTO_TIMES[name])
