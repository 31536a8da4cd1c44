"""Why this module exists: prompts and scores of a round are one pure function of what was received, for whoever asks.

A player, a re-scorer and an auditor who hold the same batches build the same ``RoundView`` and therefore see the same
prompts, the same seeds, the same majority and the same scores. Truth comes from ``questions`` (task and seed).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from protocol.ids import ContentId, PeerId, Stage
from protocol.messages import RolloutBatch
from protocol.run import GameRules
from protocol.seeds import derive_seed
from rewards.scoring.stages import Shown as ShownTexts
from swarm.game.cohort import label_of, label_order, shown_sample
from swarm.game.prompts import Shown, answer_prompt, critique_prompt, decide_prompt
from swarm.policy.base import Prompt, SampleRequest, Sampling
from swarm.tasks.base import Question, Task

Batches = Mapping[PeerId, RolloutBatch]


class RoundView(msgspec.Struct, frozen=True):
    """A round as one peer (or a re-scorer in its place) sees it.

    ``seed``: the round's seed from the chain. ``questions``: all Q of them, in order, of ``level`` (0: of all levels).
    ``answers`` and ``critiques``: checked batches of cohort members that were received, own ones included; a missing
    peer is shown as absent. Whoever scores a batch must pass exactly those that its header says it consumed.
    """

    run: ContentId
    round: int
    seed: ContentId
    game: GameRules
    cohort: tuple[PeerId, ...]
    questions: tuple[Question, ...]
    answers: Batches = {}
    critiques: Batches = {}
    level: int = 0


def round_questions(
    task: Task, run: ContentId, round_number: int, seed: ContentId, num_questions: int, level: int = 0
) -> tuple[Question, ...]:
    """The questions that every cohort of the round answers; training side of the split only. ``level``: what
    ``rewards.levels.level_at`` says of the table that was the latest when the round opened."""
    return task.questions(derive_seed("questions", run, round_number, seed), num_questions, level=level)


def with_batches(view: RoundView, stage: Stage, batches: Batches) -> RoundView:
    """``view`` after the batches of ``stage`` (answer or critique) arrived. Peers outside the cohort are left out."""
    mine = {peer: batch for peer, batch in batches.items() if peer in view.cohort}
    if stage is Stage.DECIDE:
        raise ValueError("Nothing is shown after the last stage.")
    return msgspec.structs.replace(view, **{"answers" if stage is Stage.ANSWER else "critiques": mine})


def without(view: RoundView, missing: Collection[PeerId], stage: Stage) -> RoundView:
    """``view`` as somebody saw it who did not receive ``stage``'s batches of ``missing``."""
    batches = view.answers if stage is Stage.ANSWER else view.critiques
    return with_batches(view, stage, {peer: batch for peer, batch in batches.items() if peer not in missing})


def stage_prompts(view: RoundView, stage: Stage) -> tuple[Prompt, ...]:
    """One prompt per question, the same for every peer with the same view."""
    return tuple(_prompt(view, stage, number) for number in range(len(view.questions)))


def stage_requests(view: RoundView, stage: Stage, peer: PeerId) -> list[SampleRequest]:
    """Q x G completions for ``peer`` to draw, question by question."""
    return [
        SampleRequest(prompt, sample_seed(view, stage, peer, question, sample))
        for question, prompt in enumerate(stage_prompts(view, stage))
        for sample in range(view.game.num_samples)
    ]


def sample_seed(view: RoundView, stage: Stage, peer: PeerId, question: int, sample: int) -> int:
    """Seed of one completion. It contains the round's seed: nobody can work ahead."""
    return derive_seed("sample", view.run, view.round, view.seed, peer, stage.value, question, sample)


def stage_sampling(game: GameRules, stage: Stage) -> Sampling:
    return Sampling(max_new_tokens=token_limit(game, stage), temperature=game.temperature_milli / 1000)


def token_limit(game: GameRules, stage: Stage) -> int:
    limits = {Stage.ANSWER: game.answer_tokens, Stage.CRITIQUE: game.critique_tokens, Stage.DECIDE: game.decide_tokens}
    return limits[stage]


def shown_answers(view: RoundView, question: int) -> tuple[Shown, ...]:
    """What critiques and decisions of this question are shown, in the order of the letters."""
    return _shown(view, Stage.ANSWER, view.answers, question)


def shown_critiques(view: RoundView, question: int) -> tuple[Shown, ...]:
    """What decisions of this question are shown. A critic has the letter of its own answer."""
    return _shown(view, Stage.CRITIQUE, view.critiques, question)


def texts_by_label(shown: Sequence[Shown]) -> ShownTexts:
    return {entry.label: entry.text for entry in shown}


def _shown(view: RoundView, stage: Stage, batches: Batches, question: int) -> tuple[Shown, ...]:
    entries = []
    for position, peer in enumerate(label_order(view.seed, view.cohort, question)):
        batch = batches.get(peer)
        text = None
        if batch is not None:
            rollouts = batch.groups[question].rollouts
            text = rollouts[shown_sample(view.seed, stage, peer, question, len(rollouts))].text
        entries.append(Shown(label_of(position), text))
    return tuple(entries)


def _prompt(view: RoundView, stage: Stage, number: int) -> Prompt:
    question = view.questions[number].text
    if stage is Stage.ANSWER:
        return answer_prompt(question)
    if stage is Stage.CRITIQUE:
        return critique_prompt(question, shown_answers(view, number))
    return decide_prompt(question, shown_answers(view, number), shown_critiques(view, number))
