"""Why this module exists: people want to read what the peers said to each other, with the scores next to it."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.events import QuestionPlayed, Said
from protocol.ids import PeerId, Stage
from protocol.messages import RolloutBatch
from rewards.scoring.format import TAGS, parse
from rewards.scoring.plain import plain
from swarm.game.cohort import label_of, label_order, shown_sample
from swarm.game.rescore import Scores
from swarm.game.round_view import RoundView

SAID_CAP = 400
"""Characters of what one peer said that are shown."""

Scored = Mapping[PeerId, tuple[RolloutBatch, Scores]]
"""Each peer's batch of a stage with its re-computed scores."""


def recap(view: RoundView, question: int, answers: Scored, critiques: Scored, decisions: Scored) -> QuestionPlayed:
    """One question as it was played: the drawn sample of every peer that was heard, in the order of the letters.

    Texts are made plain (one line, no control characters) and are capped.
    """
    return QuestionPlayed(
        round=view.round,
        question=plain(view.questions[question].text, SAID_CAP),
        truth=plain(view.questions[question].truth, SAID_CAP),
        answers=_said(view, Stage.ANSWER, question, answers),
        critiques=_said(view, Stage.CRITIQUE, question, critiques),
        decisions=_said(view, Stage.DECIDE, question, decisions),
    )


def _said(view: RoundView, stage: Stage, question: int, scored: Scored) -> tuple[Said, ...]:
    rows = []
    for position, peer in enumerate(label_order(view.seed, view.cohort, question)):
        if peer not in scored:
            continue
        batch, scores = scored[peer]
        rollouts = batch.groups[question].rollouts
        sample = shown_sample(view.seed, stage, peer, question, len(rollouts))
        score = scores[question][sample]
        text = _in_words(stage, rollouts[sample].text)
        rows.append(Said(peer, label_of(position), text, score.score_milli, score.why))
    return tuple(rows)


def _in_words(stage: Stage, text: str) -> str:
    """``working → result`` when the completion keeps to the form, else the completion itself."""
    fields = parse(stage, text).fields
    if set(fields) != set(TAGS[stage]):
        return plain(text, SAID_CAP)
    if stage is Stage.CRITIQUE:
        working, result = fields["compare"], f"picks {fields['identify']}"
    else:
        working, result = fields["think"], fields["answer"]
    if stage is Stage.DECIDE:
        working = f"majority {fields['majority']}; {working}"
    working = plain(working, SAID_CAP - 80)
    return f"{working} → {plain(result, 70)}" if working else plain(result, 70)
