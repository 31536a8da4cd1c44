"""Why this module exists: a stage that is shorter than a model's work makes everybody late. Pure.

From what was measured with a model on one machine (``Speed``) and what a round asks (``Asked``) follows what each part
of a round takes there at most (``Need``): every completion as long as it may be, every rollout with an advantage.
"""

from __future__ import annotations

import msgspec

from protocol.run import GameRules
from swarm.game.prompts import NUM_SHOWN_TYPICALLY, QUESTION_TOKENS

MARGIN = 3
"""A peer may be so many times slower than the machine that was measured, and is in time."""

LIGHT_WORK = 4e11
"""Parameters times tokens of a round for which nobody measures: those of the bundled model in a default round with a
full cohort, for which the default times were made."""


class Speed(msgspec.Struct, frozen=True):
    """Tokens a second: read in prompts, drawn in batches, trained on (prompts and completions). ``step_s``: seconds of
    a training step besides, however small it is."""

    read: float
    drawn: float
    trained: float
    step_s: float = 0.0


class Asked(msgspec.Struct, frozen=True):
    """Most tokens of a round for one peer: read and drawn in each stage, in their order, and trained on, where a prompt
    counts once for all of its completions."""

    read: tuple[int, int, int]
    drawn: tuple[int, int, int]
    trained: int

    @property
    def tokens(self) -> int:
        """All that a model computes, a trained token counted three times: forward, and backward in two ways."""
        return sum(self.read) + sum(self.drawn) + 3 * self.trained


class Need(msgspec.Struct, frozen=True):
    """Seconds that the longest stage and the training step take at most."""

    stage_s: float
    train_s: float


def asked(game: GameRules, num_external: int, num_peers: int = 0) -> Asked:
    """What a round asks of one peer; ``num_peers``: that play, where it is known to be more than a few."""
    shown = min(game.cohort_size, max(NUM_SHOWN_TYPICALLY, num_peers))
    limits = (game.answer_tokens, game.critique_tokens, game.decide_tokens)
    prompts = tuple(QUESTION_TOKENS + shown * sum(limits[:stage]) for stage in range(3))
    samples = game.num_samples + min(num_external, (shown - 1) * game.num_samples)
    return Asked(
        read=tuple(game.num_questions * prompt for prompt in prompts),  # type: ignore[arg-type]
        drawn=tuple(game.num_questions * game.num_samples * limit for limit in limits),  # type: ignore[arg-type]
        trained=game.num_questions * (sum(prompts) + samples * sum(limits)),
    )


def is_light(num_params: int, work: Asked) -> bool:
    """Whether a round is so little work that the default times are known to be enough."""
    return num_params * work.tokens <= LIGHT_WORK


def need(work: Asked, speed: Speed, crowding: float = 1.0) -> Need:
    """What a round takes here; ``crowding``: how many peers share what one had when it was measured."""
    stages = [read / speed.read + drawn / speed.drawn for read, drawn in zip(work.read, work.drawn, strict=True)]
    return Need(crowding * max(stages), crowding * (speed.step_s + work.trained / speed.trained))
