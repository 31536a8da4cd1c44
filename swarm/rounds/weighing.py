"""Why this module exists: a batch that arrived is checked and scored in one way, however long its scoring takes.

Where a score is a matter of parsing, that happens at once. A judge that runs something under limits is asked in a
thread, since it may take seconds; the same batch is judged there once. Its author's claims count then, and what this
peer does not agree on is told with the batch (``CheckedBatch.contested``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from protocol.codec import content_id, decode
from protocol.errors import BadRecord
from protocol.ids import ContentId
from protocol.messages import BatchHeader, Envelope, RolloutBatch
from protocol.run import RunSpec
from swarm.game.rescore import Scores, batch_cap, check_batch, claims_of, contested, rescore
from swarm.game.round_view import RoundView
from swarm.rounds.checked import CheckedBatch
from swarm.rounds.timing import Now
from swarm.tasks.base import Task


class Weighing:
    """Checks and scores batches of a round. ``text_of``: the run's tokenizer."""

    def __init__(self, run: RunSpec, task: Task, text_of: Callable[[Sequence[int]], str], now: Now) -> None:
        self._run = run
        self._task = task
        self._text_of = text_of
        self._now = now
        self._judging: dict[ContentId, tuple[RolloutBatch, asyncio.Future[Scores], float]] = {}

    async def claimed(self, batch: RolloutBatch, view: RoundView) -> RolloutBatch:
        """An own batch, with its scores as claims where scorers may differ."""
        if self._run.task.is_exact:
            return batch
        scores = await asyncio.to_thread(rescore, batch, view, self._task)
        return RolloutBatch(batch.run, batch.round, batch.stage, batch.peer, batch.groups, claims_of(scores))

    def weigh(self, envelope: Envelope, header: BatchHeader, blob: bytes, view: RoundView) -> CheckedBatch | None:
        """The batch in ``blob`` with its scores; ``None`` while it is being judged in a thread: ask again.

        ``view``: what the header says that its prompts show. Raises ``BadRecord`` for what breaks a rule."""
        started_at = self._now()
        name = content_id(envelope.payload)
        if self._run.task.is_exact:
            batch = self._read(envelope, header, blob, view)
            return self._checked(header, blob, batch, rescore(batch, view, self._task), started_at)
        if name not in self._judging:
            batch = self._read(envelope, header, blob, view)
            judging = asyncio.ensure_future(asyncio.to_thread(rescore, batch, view, self._task))
            self._judging[name] = (batch, judging, started_at)
        batch, judging, started_at = self._judging[name]
        return self._checked(header, blob, batch, judging.result(), started_at) if judging.done() else None

    async def weigh_now(self, envelope: Envelope, header: BatchHeader, blob: bytes, view: RoundView) -> CheckedBatch:
        """As ``weigh``, but waits for the judge."""
        checked = self.weigh(envelope, header, blob, view)
        if checked is not None:
            return checked
        batch, judging, started_at = self._judging[content_id(envelope.payload)]
        return self._checked(header, blob, batch, await judging, started_at)

    def close(self) -> None:
        """Wait for no judge any more."""
        for _, judging, _ in self._judging.values():
            judging.cancel()

    def _read(self, envelope: Envelope, header: BatchHeader, blob: bytes, view: RoundView) -> RolloutBatch:
        batch = decode(blob, RolloutBatch, cap=batch_cap(view.game, header.stage))
        if (batch.stage, batch.peer) != (header.stage, envelope.peer):
            raise BadRecord("wrong_rollouts", "The batch is of another stage or peer than its record.")
        num_shown = {"answer": 0, "critique": len(view.answers)}.get(
            header.stage, len(view.answers) + len(view.critiques)
        )
        if len(header.consumed) != num_shown:
            raise BadRecord("wrong_rollouts", "It consumed what its prompts do not show.")
        check_batch(batch, view, text_of=self._text_of, is_exact=self._run.task.is_exact)
        return batch

    def _checked(
        self, header: BatchHeader, blob: bytes, batch: RolloutBatch, scores: Scores, started_at: float
    ) -> CheckedBatch:
        now = self._now()
        return CheckedBatch(
            content_id(blob),
            header,
            batch,
            scores,
            arrived_at=now,
            took_s=now - started_at,
            contested=contested(batch.claims, scores),
        )
