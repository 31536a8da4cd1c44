"""Why this module exists: a checked contribution as rows: what it scored, and what its peer told the others."""

from __future__ import annotations

from protocol.ids import Stage
from swarm.game.cohort import shown_sample
from swarm.indexing.rows import TEXT_CAP, AnyRow, Contribution, Said
from swarm.rounds.checked import CheckedBatch, CheckedContribution
from swarm.rounds.inbox import Inbox

QUESTIONS_TOLD = 4
"""Of a round's questions, so many are told of each peer and stage: a feed is to be read, not to be complete."""


def rows_of(inbox: Inbox, checked: CheckedContribution, holders: int) -> list[AnyRow]:
    """The contribution, and of its first questions the very samples that the others were shown."""
    claim = checked.contribution
    batches = inbox.scored(claim.peer, claim.batches) or []
    means = {one.header.stage: one.mean_score_milli for one in batches}
    rows: list[AnyRow] = [
        Contribution(
            round=claim.round,
            peer=claim.peer,
            content=checked.content,
            is_checked=True,
            why="",
            stages_milli=(means.get(Stage.ANSWER), means.get(Stage.CRITIQUE), means.get(Stage.DECIDE)),
            num_rollouts=sum(len(one.scores_milli) for one in batches),
            num_tokens=sum(_num_tokens(one) for one in batches),
            engine=claim.engine,
            profile=claim.profile,
            state_after=claim.state_after,
            holders=holders,
        )
    ]
    for one in batches:
        rows += _said(inbox, one)
    return rows


def _said(inbox: Inbox, one: CheckedBatch) -> list[Said]:
    view, batch = inbox.base, one.batch
    found = []
    for group in batch.groups[:QUESTIONS_TOLD]:
        number = shown_sample(view.seed, batch.stage, batch.peer, group.question, len(group.rollouts))
        rollout, score = group.rollouts[number], one.scores[group.question][number]
        found.append(
            Said(
                round=batch.round,
                peer=batch.peer,
                stage=batch.stage.value,
                question=group.question,
                prompt=view.questions[group.question].text[:TEXT_CAP],
                text=rollout.text[:TEXT_CAP],
                score_milli=score.score_milli,
                why=score.why[:TEXT_CAP],
                num_tokens=len(rollout.tokens),
                length=len(rollout.text),
            )
        )
    return found


def _num_tokens(one: CheckedBatch) -> int:
    return sum(len(rollout.tokens) for group in one.batch.groups for rollout in group.rollouts)
