"""Why this module exists: what was recomputed here is another thing than what somebody sent: it has its own type."""

from __future__ import annotations

import msgspec

from protocol.ids import ContentId
from protocol.messages import BatchHeader, Contribution, Envelope, RolloutBatch
from swarm.game.rescore import Scores, scores_milli


class CheckedBatch(msgspec.Struct, frozen=True):
    """A batch that was recomputed here: its content id, what it holds, and its scores, question by question.

    ``contested``: numbers of its rollouts whose claimed score is another one than here; empty where scorers cannot
    differ."""

    content: ContentId
    header: BatchHeader
    batch: RolloutBatch
    scores: Scores
    arrived_at: float
    took_s: float
    contested: frozenset[int] = frozenset()

    @property
    def scores_milli(self) -> tuple[int, ...]:
        return scores_milli(self.scores)

    @property
    def claims_milli(self) -> tuple[int | None, ...]:
        """What counts of it in lessons and for pay: its author's claims where scorers may differ, else the scores."""
        return self.batch.claims or self.scores_milli

    @property
    def mean_score_milli(self) -> int:
        """Mean stage score of its rollouts, rounded down."""
        return sum(self.scores_milli) // len(self.scores_milli)

    @property
    def correct_milli(self) -> int:
        """Share of right rollouts, in thousandths, rounded down."""
        flags = [score.correct for row in self.scores for score in row]
        return 1000 * sum(flags) // len(flags)


class CheckedContribution(msgspec.Struct, frozen=True):
    """A contribution whose every claim was recomputed here."""

    content: ContentId
    contribution: Contribution
    arrived_at: float
    envelope: Envelope


Checked = CheckedBatch | CheckedContribution
