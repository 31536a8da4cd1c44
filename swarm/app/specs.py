"""Why this module exists: the run that settings describe is the same run, whoever asks: a host, or who creates it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chain.rules import Rules, rules_of
from protocol.errors import ConfigError
from protocol.event import Event
from protocol.run import RunSpec
from swarm.app.pacing import measured, with_times
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.tasks.files import QuestionFiles
from swarm.tasks.registry import LoadedTask, load_task, open_task

if TYPE_CHECKING:
    from swarm.policy.engine import Genesis


def run_spec(chosen: Settings, chain_id: int, say: Callable[[Event], object] = lambda event: None) -> RunSpec:
    """The rules of the run that these settings found on a chain. Loads the model once, to name its genesis state, and
    measures it where its times are left open (``swarm.app.pacing``); ``say`` is told about that.

    Questions that the task brings along are kept in the home, from where they are served to others.
    """
    task = load_task(chosen.run.task)
    _require_questions(chosen, task)
    if task.questions is not None:
        QuestionFiles(Home(chosen.home).questions).keep(task.questions)
    first = _genesis(chosen)
    spec = chosen.to_run_spec(chain_id=chain_id, model=first.state, task=task.spec, lora_rank=first.lora_rank)
    return with_times(chosen, spec, first.num_params, say, measured)


def rules_on_chain(spec: RunSpec, start_members: int) -> Rules:
    """The part of a run's rules that its contracts enforce; ``start_members`` is the creator's choice, and no rule."""
    return rules_of(spec.economics, round_s=spec.time.round_s, poster_s=spec.time.poster_s, start_members=start_members)


def _require_questions(chosen: Settings, task: LoadedTask) -> None:
    """Raises ``ConfigError`` where a round of some level could not be asked, or no round of the lowest one."""
    opened, num_levels, game = open_task(task.spec, task.questions), task.spec.num_levels, chosen.game
    if num_levels == 1 or not game.follow_level:
        opened.questions(0, game.num_questions)
        return
    if max(game.lowest_level, game.highest_level) > num_levels:
        raise ConfigError(
            f"Task {task.spec.name!r} has {num_levels} levels.",
            "Nothing was started.",
            "Correct game.lowest_level and game.highest_level.",
        )
    for level in range(game.lowest_level, (game.highest_level or num_levels) + 1):
        opened.questions(0, game.num_questions, level=level)


def _genesis(chosen: Settings) -> Genesis:
    from swarm.policy.engine import genesis

    rank = chosen.learn.lora_rank
    return genesis(chosen.model_location(), None if rank == "auto" else rank)
