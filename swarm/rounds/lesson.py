"""Why this module exists: which rollouts a peer learns from, and how good each was, follows from what it received.

Pure. One group per stage and question: all own samples and a drawn few of the others' (SAPO), provided that they
answer the very same prompt; advantages are relative to the group. Groups keep a fixed order: stage, then question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.ids import STAGES, PeerId, Stage
from protocol.seeds import derive_seed
from swarm.game.round_view import RoundView
from swarm.grpo.advantage import group_advantages
from swarm.grpo.mixing import mix
from swarm.policy.base import Prompt, TrainSample
from swarm.rounds.checked import CheckedBatch


@dataclass(frozen=True)
class Lesson:
    """``samples`` in training order; ``num_own`` of them are this peer's."""

    samples: tuple[TrainSample, ...]
    num_own: int


def lesson(
    view: RoundView,
    prompts: Mapping[Stage, Sequence[Prompt]],
    batches: Mapping[Stage, Mapping[PeerId, CheckedBatch]],
    me: PeerId,
    num_external: int,
) -> Lesson:
    """What ``me`` learns from in this round.

    ``prompts``: what ``me`` asked itself, by stage and question. A stage that it skipped teaches nothing.
    """
    samples: list[TrainSample] = []
    num_own = 0
    for stage in STAGES:
        own = batches[stage].get(me)
        if own is None:
            continue
        for question, group in enumerate(own.batch.groups):
            same = {
                peer: checked
                for peer, checked in batches[stage].items()
                if peer in view.cohort and checked.batch.groups[question].prompt == group.prompt
            }
            counts = {peer: len(checked.batch.groups[question].rollouts) for peer, checked in same.items()}
            parts = (view.run, view.round, view.seed, me, stage.value, question)
            slots = mix(me, counts, num_external, parts)
            scores = [same[slot.peer].scores[question][slot.sample].score_milli / 1000 for slot in slots]
            for slot, advantage in zip(slots, group_advantages(scores), strict=True):
                tokens = same[slot.peer].batch.groups[question].rollouts[slot.sample].tokens
                samples.append(TrainSample(prompts[stage][question], tokens, advantage))
            num_own += counts[me]
    return Lesson(tuple(samples), num_own)


def step_seed(view: RoundView, peer: PeerId) -> int:
    """Seed of the training step that ``peer`` takes in this round."""
    return derive_seed("step", view.run, view.round, view.seed, peer)
