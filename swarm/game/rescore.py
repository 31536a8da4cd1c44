"""Why this module exists: nobody believes a claimed score; whoever has a batch checks its shape and scores it again.

``rescore`` is what the player itself calls for its own batch, so there is one path and no difference to explain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol.codec import BLOB_CAP
from protocol.errors import BadRecord
from protocol.ids import PeerId, Stage
from protocol.messages import Rollout, RolloutBatch, RolloutGroup
from protocol.run import GameRules
from rewards.scoring.stages import (
    Judge,
    StageScore,
    Undecided,
    Weights,
    brevity_milli,
    majority_of,
    score_answer,
    score_critique,
    score_decide,
)
from swarm.game.prompts import prompt_id
from swarm.game.round_view import (
    RoundView,
    shown_answers,
    shown_critiques,
    stage_prompts,
    texts_by_label,
    token_limit,
)
from swarm.policy.base import Completion
from swarm.tasks.base import Task

MAX_CHARACTERS_PER_TOKEN = 256

Scores = tuple[tuple[StageScore, ...], ...]
"""One row per question, one entry per sample."""


_BYTES_PER_TOKEN = 9 + 4 * MAX_CHARACTERS_PER_TOKEN
_BYTES_PER_ROLLOUT = 256
"""Upper bounds of what they take in a blob: an id and its text; field names, lengths and a share of the group."""


def batch_cap(game: GameRules, stage: Stage) -> int:
    """Bytes that no batch of ``stage`` can exceed and still be what it should be; never above ``BLOB_CAP``."""
    per_rollout = _BYTES_PER_ROLLOUT + _BYTES_PER_TOKEN * token_limit(game, stage)
    return min(BLOB_CAP, 1024 + game.num_questions * (256 + game.num_samples * per_rollout))


def claims_of(scores: Scores) -> tuple[int | None, ...]:
    """What a peer says of its own batch where scorers may differ, in rollout order."""
    return tuple(None if score.undecided else score.score_milli for row in scores for score in row)


def contested(claims: Sequence[int | None], scores: Scores) -> frozenset[int]:
    """Numbers of the rollouts, in order, on which this scorer does not agree with what is claimed of them."""
    mine = claims_of(scores)
    return frozenset(number for number, claim in enumerate(claims) if claim is None or claim != mine[number])


def build_batch(view: RoundView, stage: Stage, peer: PeerId, completions: Sequence[Completion]) -> RolloutBatch:
    """A peer's own batch from completions in ``stage_requests``' order. Raises ``ValueError`` on a wrong count."""
    prompts, num_samples = stage_prompts(view, stage), view.game.num_samples
    if len(completions) != len(prompts) * num_samples:
        raise ValueError(f"{len(completions)} completions for {len(prompts)} questions x {num_samples} samples.")
    rollouts = [Rollout(text=row.text, tokens=row.tokens, ended=row.ended) for row in completions]
    groups = tuple(
        RolloutGroup(
            question=number,
            prompt=prompt_id(prompt),
            rollouts=tuple(rollouts[number * num_samples : (number + 1) * num_samples]),
        )
        for number, prompt in enumerate(prompts)
    )
    return RolloutBatch(run=view.run, round=view.round, stage=stage, peer=peer, groups=groups)


def check_batch(
    batch: RolloutBatch,
    view: RoundView,
    *,
    text_of: Callable[[Sequence[int]], str] | None = None,
    is_exact: bool = True,
) -> None:
    """Whether ``batch`` is what its stage of this round asks for: run, round, questions, samples, prompts, lengths.

    ``text_of``: the run's tokenizer; with it, every text must be what its tokens decode to. ``is_exact``: of the task;
    where it is not, the batch claims a score for every rollout. Raises
    ``BadRecord('wrong_run' | 'wrong_round' | 'not_a_member' | 'wrong_rollouts')``. It does not judge who drew the
    tokens: that takes the model (one prefill).
    """
    if batch.run != view.run:
        raise BadRecord("wrong_run", "The batch belongs to another run.")
    if batch.round != view.round:
        raise BadRecord("wrong_round", f"The batch is of round {batch.round}, not {view.round}.")
    if batch.peer not in view.cohort:
        raise BadRecord("not_a_member", "The batch's author does not play in this cohort.")
    prompts = stage_prompts(view, batch.stage)
    if [group.question for group in batch.groups] != list(range(len(prompts))):
        raise _wrong(f"One group per question, 0 to {len(prompts) - 1} in order, was expected.")
    limit = token_limit(view.game, batch.stage)
    for group, prompt in zip(batch.groups, prompts, strict=True):
        if group.prompt != prompt_id(prompt):
            raise _wrong(f"Question {group.question} was asked with another prompt.")
        if len(group.rollouts) != view.game.num_samples:
            raise _wrong(f"Question {group.question} has {len(group.rollouts)} samples, not {view.game.num_samples}.")
        for rollout in group.rollouts:
            _check_rollout(rollout, limit, text_of)
    num_claims = 0 if is_exact else sum(len(group.rollouts) for group in batch.groups)
    if len(batch.claims) != num_claims:
        raise _wrong(f"It claims {len(batch.claims)} scores, not {num_claims}.")


def rescore(batch: RolloutBatch, view: RoundView, task: Task) -> Scores:
    """Scores of every rollout of a checked batch. ``view`` holds just the batches that ``batch``'s prompts showed."""
    return tuple(_score_group(group, batch.stage, view, task) for group in batch.groups)


def scores_milli(scores: Scores) -> tuple[int, ...]:
    """All scores in rollout order, as a contribution lists them."""
    return tuple(score.score_milli for row in scores for score in row)


def _score_group(group: RolloutGroup, stage: Stage, view: RoundView, task: Task) -> tuple[StageScore, ...]:
    question = view.questions[group.question]
    known: dict[str, int] = {}

    def judge(answer: str) -> int:
        if answer not in known:
            known[answer] = task.score(question, answer)
        return known[answer]

    score = _scorer(group.question, stage, view, judge)
    limit, free = token_limit(view.game, stage), view.game.length_free_milli
    return tuple(
        _or_undecided(score, rollout.text, brevity_milli(len(rollout.tokens), limit, free))
        for rollout in group.rollouts
    )


def _scorer(question: int, stage: Stage, view: RoundView, judge: Judge) -> Callable[[str, int], StageScore]:
    weights = Weights(view.game.format_milli, view.game.length_milli)
    if stage is Stage.ANSWER:
        return lambda text, brevity: score_answer(text, judge, weights, brevity)
    shown = texts_by_label(shown_answers(view, question))
    if stage is Stage.CRITIQUE:
        return lambda text, brevity: score_critique(text, shown, judge, weights, brevity)
    critiques = [entry.text for entry in shown_critiques(view, question) if entry.text is not None]
    try:
        majority = majority_of(critiques, shown, judge)
    except Undecided as why:
        undecided = _undecided(why)
        return lambda text, brevity: undecided
    return lambda text, brevity: score_decide(text, majority, judge, weights, brevity)


def _or_undecided(score: Callable[[str, int], StageScore], text: str, brevity: int) -> StageScore:
    try:
        return score(text, brevity)
    except Undecided as why:
        return _undecided(why)


def _undecided(why: Undecided) -> StageScore:
    return StageScore(0, False, 0, f"not decided here: {why}", undecided=True)


def _check_rollout(rollout: Rollout, limit: int, text_of: Callable[[Sequence[int]], str] | None) -> None:
    num_tokens = len(rollout.tokens)
    if not 1 <= num_tokens <= limit:
        raise _wrong(f"A rollout has {num_tokens} tokens where 1 to {limit} are allowed.")
    if not rollout.ended and num_tokens < limit:
        raise _wrong("A rollout stops before its end token and before the token limit.")
    if len(rollout.text) > MAX_CHARACTERS_PER_TOKEN * num_tokens:
        raise _wrong("A rollout's text is far too long for its tokens.")
    if text_of is None:
        return
    try:
        is_same = text_of(rollout.tokens) == rollout.text
    except ValueError as error:
        raise _wrong("A rollout has token ids that the run's tokenizer does not know.") from error
    if not is_same:
        raise _wrong("A rollout's text is not what its tokens say.")


def _wrong(what: str) -> BadRecord:
    return BadRecord("wrong_rollouts", what)
