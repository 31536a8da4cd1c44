"""Why this module exists: which rollouts a peer learns from, and how good each was, follows from what it received.

Pure. One group per stage and question: all own samples and a drawn few of the others' (SAPO), provided that they
answer the very same prompt; advantages are relative to the group. Groups keep a fixed order: stage, then question.

Where scorers may differ, a rollout's score is its author's claim; what the author could not decide, or the learner did
not agree on (and so published), has no place in its group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.ids import STAGES, ContentId, PeerId, Stage
from protocol.seeds import derive_seed
from swarm.game.round_view import RoundView
from swarm.grpo.advantage import group_advantages
from swarm.grpo.mixing import mix
from swarm.policy.base import Prompt, TrainSample
from swarm.rounds.checked import CheckedBatch


@dataclass(frozen=True)
class Lesson:
    """``samples`` in training order; ``num_own`` of them are this peer's.

    ``num_groups``: questions times stages that it has; in ``num_even`` of them all scores are the same, which teaches
    nothing: all right, all wrong, or nothing left. ``num_void``: rollouts without a place.
    """

    samples: tuple[TrainSample, ...]
    num_own: int
    num_groups: int = 0
    num_even: int = 0
    num_void: int = 0


def lesson(
    view: RoundView,
    prompts: Mapping[Stage, Sequence[Prompt]],
    batches: Mapping[Stage, Mapping[PeerId, CheckedBatch]],
    me: PeerId,
    num_external: int,
    void: Mapping[ContentId, frozenset[int]] | None = None,
) -> Lesson:
    """What ``me`` learns from in this round.

    ``prompts``: what ``me`` asked itself, by stage and question. A stage that it skipped teaches nothing. ``void``: by
    batch, numbers of the rollouts that ``me`` does not agree on.
    """
    samples: list[TrainSample] = []
    num_own = num_groups = num_even = num_void = 0
    for stage in STAGES:
        own = batches[stage].get(me)
        if own is None:
            continue
        claims = {peer: checked.claims_milli for peer, checked in batches[stage].items()}
        for question, group in enumerate(own.batch.groups):
            same = {
                peer: checked
                for peer, checked in batches[stage].items()
                if peer in view.cohort and checked.batch.groups[question].prompt == group.prompt
            }
            counts = {peer: len(checked.batch.groups[question].rollouts) for peer, checked in same.items()}
            parts = (view.run, view.round, view.seed, me, stage.value, question)
            slots = mix(me, counts, num_external, parts)
            scored = []
            for slot in slots:
                number = question * len(group.rollouts) + slot.sample
                milli = claims[slot.peer][number]
                if milli is not None and number not in (void or {}).get(same[slot.peer].content, ()):
                    scored.append((slot, milli / 1000))
            advantages = group_advantages([score for _, score in scored])
            num_groups, num_even = num_groups + 1, num_even + (not any(advantages))
            num_void += len(slots) - len(scored)
            if view.game.skip_even and not any(advantages):
                continue
            for (slot, _), advantage in zip(scored, advantages, strict=True):
                tokens = same[slot.peer].batch.groups[question].rollouts[slot.sample].tokens
                samples.append(TrainSample(prompts[stage][question], tokens, advantage))
            num_own += sum(slot.peer == me for slot, _ in scored)
    return Lesson(tuple(samples), num_own, num_groups, num_even, num_void)


def step_seed(view: RoundView, peer: PeerId) -> int:
    """Seed of the training step that ``peer`` takes in this round."""
    return derive_seed("step", view.run, view.round, view.seed, peer)
